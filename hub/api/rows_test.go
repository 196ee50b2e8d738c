package api

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit/audittest"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestP03_TheListOfRoutesIsAGoldenFile(t *testing.T) {
	var b strings.Builder
	for _, r := range routes() {
		fmt.Fprintf(&b, "%-80s %-12s %3d %s\n", r.pattern, r.role, r.status, r.kind)
	}
	const file = "testdata/routes.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != b.String() {
		t.Errorf("%v; the routes are now\n%s", err, b.String())
	}
}

func TestEveryRowIsWhole(t *testing.T) {
	unrecorded := []string{"POST /api/directories/{directory}/sync", "POST /api/envs/{env}/domains/{domain}/check", "POST /people/bulk", "POST /api/envs/{env}/encrypt-secret", "POST /api/envs/{env}/storage/test", "POST /api/directories/{directory}/authorize", "POST /api/audit/destinations/{destination}/test"} // ask for a look, change nothing that was set
	for _, r := range routes() {
		if method(r.pattern) != "GET" && r.kind == "" && !slices.Contains(unrecorded, r.pattern) {
			t.Errorf("%s leaves no audit record", r.pattern)
		}
		if !slices.Contains(Roles, r.role) {
			t.Errorf("%s: role %q", r.pattern, r.role)
		}
		if (r.body > 0) != (r.do.decode != nil || r.do.stream) {
			t.Errorf("%s: body limit %d, decoded %v", r.pattern, r.body, r.do.decode != nil)
		}
		if r.do.decode != nil && r.example == "" {
			t.Errorf("%s: no example of its body: add like(…)", r.pattern)
		}
		if answers := r.status == http.StatusOK || r.status == http.StatusCreated; answers != (r.reply != nil) {
			t.Errorf("%s: status %d and a reply of type %v: add gives(…) or creates(…)", r.pattern, r.status, r.reply)
		}
	}
}

func TestEveryRowAnswersAnOwnerWithItsStatus(t *testing.T) {
	schemas := newDescription(t).schemas
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, r := range routes() {
			st := start(t, s) // each its own organisations: rows change what others need
			st.prepare(t, st.mine, r.pattern)
			got := st.do(t, st.owner, method(r.pattern), st.mine.path(r.pattern), st.mine.body(r.pattern))
			if got.status != r.status {
				t.Errorf("%s = %d %s; want %d", r.pattern, got.status, got.body, r.status)
			}
			if r.status != http.StatusNoContent && r.reply != reflect.TypeFor[jpegImage]() && !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
				t.Errorf("%s: Content-Type %q", r.pattern, got.header.Get("Content-Type"))
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-RateLimit-Remaining") == "" {
				t.Errorf("%s: headers %v", r.pattern, got.header)
			}
			if r.reply != reflect.TypeFor[jpegImage]() {
				schemas.checkReply(t, r, got.body)
			}
			st.checkRecord(t, r)
		}
	})
}

// checkRecord wants one audit row of the row's kind, without a secret in it.
func (st *stack) checkRecord(t *testing.T, r row) {
	t.Helper()
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE org = $1", st.mine.Org.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.kind == "" {
		if len(rows) != strings.Count(r.pattern, "{event}") {
			t.Errorf("%s only reads, and left %s", r.pattern, rows)
		}
		return
	}
	if len(rows) != 1 || !strings.Contains(rows[0], `"kind":"`+string(r.kind)+`"`) {
		t.Errorf("%s left %s; want one %s", r.pattern, rows, r.kind)
		return
	}
	for _, fault := range audittest.Faults(rows[0]) {
		t.Errorf("%s: its record is not as the public reference has it: %s in %s", r.pattern, fault, rows[0])
	}
	for _, secret := range []string{"postern_", "postern-ticket-", "id_token"} {
		if strings.Contains(strings.Join(rows, ""), secret) {
			t.Errorf("%s: its record holds a secret: %s", r.pattern, rows)
		}
	}
}

func TestEveryRowWantsAKeyOfItsRole(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	keys := map[string]string{}
	for _, role := range Roles {
		keys[role] = st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: role, Envs: []string{store.AllEnvs}})
	}
	for _, r := range routes() {
		path, body := st.mine.path(r.pattern), st.mine.body(r.pattern)
		for what, key := range map[string]string{"none": "", "unknown": store.NewAPIKey(), "long": strings.Repeat("x", 4000)} {
			if got := st.do(t, key, method(r.pattern), path, body); got.status != http.StatusUnauthorized {
				t.Errorf("%s with a key %s: %d %s", r.pattern, what, got.status, got.body)
			}
		}
		for _, role := range Roles {
			if roleReaches(role, r.role) {
				break
			}
			if got := st.do(t, keys[role], method(r.pattern), path, body); got.status != http.StatusForbidden {
				t.Errorf("%s with role %s: %d %s", r.pattern, role, got.status, got.body)
			}
		}
	}
}

func TestT25_AnotherEnvironmentsIdsAreRefusedOnEveryRow(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	for _, r := range routes() {
		key := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{st.mine.Env.ID}}) // one key for all rows would ask too often
		for what, theirs := range map[string]place{"another environment": st.other, "another organisation": st.foreign} {
			st.prepare(t, theirs, r.pattern)
			for which, path := range mixed(r.pattern, st.mine, theirs) {
				got := st.do(t, key, method(r.pattern), path, st.mine.body(r.pattern))
				if got.status != http.StatusNotFound {
					t.Errorf("%s with %s of %s: %d %s", r.pattern, which, what, got.status, got.body)
				}
				if strings.Contains(got.body, theirs.Org.ID) || strings.Contains(got.body, theirs.domain) {
					t.Errorf("%s tells of %s: %s", r.pattern, what, got.body)
				}
			}
		}
	}
}

// mixed are the paths of a row with each of its ids, and with all of them, taken from
// another place.
func mixed(pattern string, mine, theirs place) map[string]string {
	out := map[string]string{}
	_, path, _ := strings.Cut(pattern, " ")
	names := strings.Split(path, "/")
	own, foreign := strings.Split(mine.path(pattern), "/"), strings.Split(theirs.path(pattern), "/")
	for i, n := range names {
		if !strings.HasPrefix(n, "{") || own[i] == foreign[i] { // the same words everywhere
			continue
		}
		one := slices.Clone(own)
		one[i] = foreign[i]
		out[n] = strings.Join(one, "/")
		out["every id"] = theirs.path(pattern)
	}
	return out
}

func TestT25_AnotherEnvironmentsIdsAreRefusedInBodiesAndParameters(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	mine := "/api/envs/" + st.mine.Env.ID
	for _, theirs := range []place{st.other, st.foreign} {
		for _, c := range []struct{ method, path, body string }{
			{"POST", "/api/directories", `{"env":"` + theirs.Env.ID + `","kind":"custom"}`},
			{"GET", "/api/directories?env=" + theirs.Env.ID, ""},
			{"GET", "/api/accounts?env=" + theirs.Env.ID, ""},
			{"GET", "/api/accounts?directory=" + theirs.Directory.ID, ""},
			{"PUT", "/api/account/photos?directory=" + theirs.Directory.ID, archiveOf("alice@other.test.png", aFace())},
			{"GET", "/api/accounts?env=" + st.mine.Env.ID + "&env=" + theirs.Env.ID, ""},
			{"POST", "/api/apikeys", `{"envs":["` + theirs.Env.ID + `"]}`},
			{"POST", "/api/apikeys", `{"envs":["*"]}`},
			{"POST", "/api/apikeys", `{}`},
			{"PATCH", "/api/apikeys/" + st.mine.apikey.ID, `{"envs":["` + theirs.Env.ID + `"]}`},
			{"PATCH", "/api/apikeys/" + st.mine.apikey.ID, `{"envs":["*"]}`},
			{"POST", "/api/org/members", `{"email":"x@staff.test","role":"user","envs":["` + theirs.Env.ID + `"]}`},
			{"POST", "/api/org/members", `{"email":"x@staff.test","role":"user","envs":["*"]}`},
			{"POST", "/api/org/members", `{"email":"x@staff.test","role":"user"}`},
			{"PATCH", "/api/org/members/" + st.mine.member, `{"envs":["` + st.mine.Env.ID + `","` + theirs.Env.ID + `"]}`},
			{"PATCH", "/api/org/members/" + st.mine.member, `{"envs":["*"]}`},
			{"POST", mine + "/domains", `{"name":"` + theirs.domain + `"}`},
			{"POST", mine + "/recovery_microsite/presign", `{"email":"a@b.test","ttl":"1h","directories":["` + theirs.Directory.ID + `"]}`},
			{"POST", mine + "/recovery_microsite/presign", `{"email":"a@b.test","ttl":"1h","domain":"` + theirs.domain + `"}`},
			{"POST", "/api/env/" + st.mine.Env.ID + "/recovery/presign?email=a@b.test&directory=" + theirs.Directory.ID, ""},
			{"POST", mine + "/refresh-webhook-secret", `{"envID":"` + theirs.Env.ID + `"}`},
			{"POST", "/api/envs", `{}`},
			{"POST", "/api/requests", `{"env":"` + theirs.Env.ID + `","claims":["name"]}`},
			{"POST", "/api/requests", `{"env":"` + st.mine.Env.ID + `","template":"` + theirs.template + `"}`},
		} {
			got := st.do(t, st.mine.key, c.method, c.path, c.body)
			if got.status < 400 {
				t.Errorf("%s %s %s = %d %s", c.method, c.path, c.body, got.status, got.body)
			}
		}
	}
	if got := st.do(t, st.mine.key, "GET", "/api/accounts", ""); strings.Contains(got.body, st.other.account.ID) || !strings.Contains(got.body, st.mine.account.ID) {
		t.Errorf("accounts of all environments: %s", got.body)
	}
	if got := st.do(t, st.mine.key, "POST", "/people/bulk", st.other.body("POST /people/bulk")); strings.Contains(got.body, "Alice") || !strings.Contains(got.body, "403") {
		t.Errorf("a person of another environment: %s", got.body)
	}
	for _, path := range []string{"/api/envs", "/api/directories", "/api/apikeys", "/api/org/members"} {
		if got := st.do(t, st.mine.key, "GET", path, ""); strings.Contains(got.body, st.other.Env.ID) || strings.Contains(got.body, st.foreign.Env.ID) {
			t.Errorf("%s tells of other environments: %s", path, got.body)
		}
	}
}

func TestP03_OnlyTheOneFormOfAPathIsServed(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	for _, r := range routes() {
		for _, key := range []string{"", st.owner} {
			for _, path := range disguised(st.mine.path(r.pattern)) {
				got := st.raw(t, method(r.pattern), path, key, st.mine.body(r.pattern))
				if got < 400 || got == http.StatusInternalServerError {
					t.Errorf("%s as %s with key %v: %d", r.pattern, path, key != "", got)
				}
			}
		}
		for _, m := range []string{"HEAD", "OPTIONS", "TRACE", "PUT", strings.ToLower(method(r.pattern))} {
			if got := st.raw(t, m, st.mine.path(r.pattern), st.owner, ""); got < 400 {
				t.Errorf("%s by %s: %d", r.pattern, m, got)
			}
		}
	}
}

// disguised are other spellings of a path, which some routers take for it.
func disguised(path string) []string {
	path, query, _ := strings.Cut(path, "?")
	if query != "" {
		query = "?" + query
	}
	root, rest, _ := strings.Cut(path[1:], "/")
	first, _, _ := strings.Cut(rest, "/")
	all := []string{
		"//" + root + "/" + rest, "/" + root + "//" + rest, "/./" + root + "/" + rest, "/" + root + "/./" + rest, "/x/../" + root + "/" + rest, "/" + root + "/x/../" + rest,
		"/" + root + "/" + rest + "/", "/" + root + "/" + rest + "//", "/" + root + "/" + rest + "/.", "/" + root + "/" + rest + "/x/..",
		"/" + root + ";x/" + rest, "/" + root + "/" + rest + ";x", "/" + root + "/;x/" + rest, "/" + root + "/" + rest + "%3bx",
		fmt.Sprintf("/%%%x", root[0]) + root[1:] + "/" + rest, "/" + root + "/%2e/" + rest, "/" + root + "%2f" + rest, "/" + root + "/%2E%2E/" + root + "/" + rest, "/" + root + "%5c" + rest, "/" + root + "\\" + rest,
		"/" + strings.ToUpper(root) + "/" + rest, "/" + root + "/" + strings.ToUpper(first) + strings.TrimPrefix(rest, first), "/" + root + "/" + rest + "%00", "/" + root + "/" + rest + "%0a",
		"/" + root + "/" + rest + "%20", "/" + root + "/" + rest + ".json", "/" + root + "/%" + fmt.Sprintf("%x", first[0]) + rest[1:],
	}
	if strings.Contains(first, "@") { // a subject may be escaped, as any id
		all = all[:len(all)-1]
	}
	for i := range all {
		all[i] += query
	}
	return all
}

// raw sends a path that no client would, and returns the status.
func (st *stack) raw(t *testing.T, method, path, key, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, st.server.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path
	if strings.HasPrefix(path, "//") {
		req.URL.Opaque = "http://" + req.URL.Host + path // or it would be taken for a host
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return send(t, req).status
}
