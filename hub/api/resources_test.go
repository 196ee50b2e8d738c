package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit/audittest"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func lite(t *testing.T) *stack {
	t.Helper()
	s := storetest.Open(t, storetest.SQLite(t))
	audittest.Watch(t, s)
	return start(t, s)
}

// want sends a request as the owner and fails the test unless the status is as expected.
func (st *stack) want(t *testing.T, status int, method, path, body string) reply {
	t.Helper()
	got := st.do(t, st.owner, method, path, body)
	if got.status != status {
		t.Fatalf("%s %s %s = %d %s; want %d", method, path, body, got.status, got.body, status)
	}
	return got
}

func TestKeysAreTakenAsBearerAndAsBasic(t *testing.T) {
	st := lite(t)
	for what, c := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"bearer":                {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+st.owner) }, 200},
		"lower case":            {func(r *http.Request) { r.Header.Set("Authorization", "bearer "+st.owner) }, 200},
		"basic":                 {func(r *http.Request) { r.SetBasicAuth("", st.owner) }, 200},
		"basic with a user":     {func(r *http.Request) { r.SetBasicAuth("admin", st.owner) }, 401},
		"a client's secret":     {func(r *http.Request) { r.SetBasicAuth(st.mine.Env.ID, st.owner) }, 200},
		"a directory's":         {func(r *http.Request) { r.SetBasicAuth(st.mine.Directory.ID, st.owner) }, 200},
		"another's":             {func(r *http.Request) { r.SetBasicAuth(st.foreign.Env.ID, st.owner) }, 401},
		"another environment's": {func(r *http.Request) { r.SetBasicAuth(st.other.Env.ID, st.mine.key) }, 401},
		"another scheme":        {func(r *http.Request) { r.Header.Set("Authorization", "Token "+st.owner) }, 401},
		"two headers":           {func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + st.owner, "Bearer x"} }, 401},
		"in the query":          {func(r *http.Request) { r.URL.RawQuery = "auth=" + st.owner + "&access_token=" + st.owner }, 401},
		"as a cookie":           {func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: st.owner}) }, 401},
		"with something added":  {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+st.owner+"x") }, 401},
	} {
		got := st.do(t, "", "GET", "/api/envs", "", c.change)
		if got.status != c.status {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
		if c.status == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", what, got.header.Get("WWW-Authenticate"))
		}
	}
}

func TestKeysThatWereSwitchedOffOrExpiredEnd(t *testing.T) {
	st := lite(t)
	text := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{"*"}})
	ids := st.want(t, 200, "GET", "/api/apikeys", "")
	var list struct{ Apikeys []apiKey }
	if err := json.Unmarshal([]byte(ids.body), &list); err != nil {
		t.Fatal(err)
	}
	id := list.Apikeys[slices.IndexFunc(list.Apikeys, func(k apiKey) bool { return k.Role == RoleAdmin })].ID
	for _, c := range []struct {
		body   string
		status int
	}{
		{`{"enabled":false}`, 401}, {`{"enabled":true}`, 200},
		{`{"expires_at":"2020-01-01T00:00:00Z"}`, 401}, {`{"name":"kept"}`, 401}, {`{"expires_at":null}`, 200},
	} {
		st.want(t, 204, "PATCH", "/api/apikeys/"+id, c.body)
		if got := st.do(t, text, "GET", "/api/envs", ""); got.status != c.status {
			t.Errorf("after %s: %d", c.body, got.status)
		}
	}
	if got := st.want(t, 200, "GET", "/api/apikeys/"+id, ""); got.member(t, "last_used_at") == nil || got.member(t, "expires_at") != nil {
		t.Errorf("the key is now %s", got.body)
	}
	st.want(t, 204, "DELETE", "/api/apikeys/"+id, "")
	if got := st.do(t, text, "GET", "/api/envs", ""); got.status != 401 {
		t.Errorf("a deleted key: %d", got.status)
	}
}

func TestNoKeyMakesOrChangesAGreaterOne(t *testing.T) {
	st := lite(t)
	admin := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{"*"}})
	made := st.want(t, 201, "POST", "/api/apikeys", `{"name":"boss","role":"owner"}`)
	id, key := made.member(t, "id").(string), made.member(t, "key").(string)
	if strings.Count(key, ".") == 2 {
		t.Errorf("the key %q could be taken for a JWT", key)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/api/apikeys", `{"role":"owner"}`, 400},
		{"POST", "/api/apikeys", `{"role":"reader"}`, 400},
		{"POST", "/api/apikeys", `{"role":"admin"}`, 201},
		{"PATCH", "/api/apikeys/" + id, `{"role":"limited"}`, 403},
		{"DELETE", "/api/apikeys/" + id, "", 403},
		{"PATCH", "/api/apikeys/" + st.mine.apikey.ID, `{"role":"owner"}`, 400},
		{"PATCH", "/api/apikeys/" + st.mine.apikey.ID, `{"envs":[]}`, 400},
	} {
		if got := st.do(t, admin, c.method, c.path, c.body); got.status != c.status {
			t.Errorf("%s %s %s = %d %s; want %d", c.method, c.path, c.body, got.status, got.body, c.status)
		}
	}
}

func TestRefusalsNameTheMemberAndTheFix(t *testing.T) {
	st := lite(t)
	dir, env := "/api/directories/"+st.mine.Directory.ID, "/api/envs/"+st.mine.Env.ID
	for _, c := range []struct{ method, path, body, want string }{
		{"PATCH", dir, `{"passwrod_policy":{}}`, "password_policy"},
		{"PATCH", dir, `{"password_policy":{"groups":[],"default":"everybody"}}`, "everybody"},
		{"PATCH", dir, `{"recovery_operation_rate_limit":{"count":1,"window":"soon"}}`, "1h30m"},
		{"PATCH", dir, `{"temporary_access_pass_lifetime_minutes":5}`, "10 to 43200"},
		{"PATCH", dir, `{"temporary_access_pass_lifetime_minutes":"5"}`, "want a number"},
		{"PATCH", dir, `{"methods":{"default":[[]]}}`, "combination"},
		{"PATCH", dir, `{"birth_date_hmac_secret":"short"}`, "birth_date_hmac_secret"},
		{"PATCH", dir, `[]`, "object"},
		{"PATCH", dir, `{"name":"x"} {"name":"y"}`, "nothing after it"},
		{"PATCH", dir, `{"name":`, "not JSON"},
		{"PATCH", dir, `{"name":"a\u0000b"}`, "name: a NUL"},
		{"PATCH", dir, `{"name":"a\nb"}`, "name: want one line"},
		{"PATCH", env, `{"microsite":{"accent":"red"}}`, "#0a5fd0"},
		{"PATCH", env, `{"microsite":{"languages":["klingon!"]}}`, "klingon!"},
		{"PATCH", env, `{"add_webhooks":[{"url":"ftp://x","events":[]}]}`, "https address"},
		{"PATCH", env, `{"add_webhooks":[{"url":"https://x.test","events":["everything"]}]}`, "events"},
		{"PATCH", env, `{"remove_webhooks":["nobody"]}`, "nobody"},
		{"PATCH", env, `{"callback_urls":["http://x.test/back"]}`, "callback_urls"},
		{"PATCH", env, `{"terms_of_service_url":"http://x.test/terms"}`, "terms_of_service_url"},
		{"POST", env + "/domains", `{"name":"id.vendor.test"}`, "console"},
		{"POST", env + "/domains", `{"name":"192.0.2.1"}`, "recover.example.com"},
		{"POST", "/api/directories", `{"env":"` + st.mine.Env.ID + `","kind":"okta","credentials":{}}`, "kind"},
		{"POST", dir + "/agent-tickets", `{"ttl":"2h"}`, "1h0m0s"},
		{"POST", dir + "/sync/confirm", ``, "asks nothing"},
		{"GET", "/api/accounts?count=0", "", "count"},
		{"GET", "/api/accounts?count=10&count=20", "", "once"},
		{"GET", "/api/accounts?offset=-1", "", "offset"},
		{"GET", "/api/accounts?verified=maybe", "", "verified"},
		{"GET", "/api/accounts?nv=1", "", "nv"},
		{"POST", env + "/recovery_microsite/presign", `{"email":"nobody","ttl":"1h"}`, "email"},
		{"POST", env + "/recovery_microsite/presign", `{"email":"a@b.test","ttl":"48h"}`, "ttl"},
		{"POST", env + "/recovery_microsite/presign", `{"email":"a@b.test","ttl":"1h","operations":["delete"]}`, "operation"},
		{"POST", env + "/recovery_microsite/presign", `{"email":"a@b.test","ttl":"1h","recovery_policy":{"mfa":"NONE"}}`, "NONE"},
	} {
		got := st.do(t, st.owner, c.method, c.path, c.body)
		var refusal struct {
			Status int
			Errors []string
		}
		if err := json.Unmarshal([]byte(got.body), &refusal); err != nil || got.status != 400 || refusal.Status != 400 || len(refusal.Errors) != 1 {
			t.Errorf("%s %s %.80s = %d %s", c.method, c.path, c.body, got.status, got.body)
			continue
		}
		if !strings.Contains(refusal.Errors[0], c.want) {
			t.Errorf("%s %s %.80s: %q does not speak of %q", c.method, c.path, c.body, refusal.Errors[0], c.want)
		}
	}
}

func TestAnEnvironmentFromItsCreationToItsEnd(t *testing.T) {
	st := lite(t)
	id := st.want(t, 201, "POST", "/api/envs", "").member(t, "id").(string)
	path := "/api/envs/" + id
	st.want(t, 204, "PATCH", path, `{"name":"prod","public_name":"Example AG","microsite":{"require_presigned":true,"languages":["de","en"],"accent":"#0a5fd0"},
		"add_webhooks":[{"url":"https://hooks.test/a","events":["recover","revoke"],"authorization_header":"Bearer secret"}]}`)
	got := st.want(t, 200, "GET", path, "")
	for _, want := range []string{`"name":"prod"`, `"public_name":"Example AG"`, `"require_presigned":true`, `"languages":["de","en"]`, `"accent":"#0a5fd0"`,
		`"callback_urls":[]`, `"templates":[{"id":"`, `"name":"Default","is_default":true`, `"oidc_delegates":[]`, `"microsite_saml_directories":[]`, `"events":["recover","reject"]`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("%s lacks %s", got.body, want)
		}
	}
	if strings.Contains(got.body, "Bearer secret") {
		t.Error("the authorization header of a webhook is shown")
	}
	st.want(t, 204, "PATCH", path, `{"remove_webhook":["https://hooks.test/a"],"microsite":{"languages":[]}}`)
	if got := st.want(t, 200, "GET", path, ""); !strings.Contains(got.body, `"webhooks":[]`) || !strings.Contains(got.body, `"public_name":"Example AG"`) {
		t.Errorf("after the second change: %s", got.body)
	}
	secret := st.want(t, 200, "POST", path+"/refresh-webhook-secret", `{"envID":"`+id+`"}`).member(t, "webhook_shared_secret").(string)
	if len(secret) < 32 {
		t.Errorf("secret %q", secret)
	}
	st.want(t, 204, "DELETE", path, "")
	st.want(t, 404, "GET", path, "")
	if bytes.Contains(st.leaves(t), []byte("Bearer secret")) || bytes.Contains(st.leaves(t), []byte(secret)) {
		t.Error("the audit log holds a secret")
	}
}

// leaves returns all audit rows of my organisation.
func (st *stack) leaves(t *testing.T) []byte {
	t.Helper()
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE org = $1", st.mine.Org.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.Join(rows, "\n"))
}

func TestADomainIsCheckedWhenItIsRegisteredAndWhenAsked(t *testing.T) {
	st := lite(t)
	path, name := "/api/envs/"+st.mine.Env.ID+"/domains", "recover.customer.test"
	added := st.want(t, 201, "POST", path, `{"name":"Recover.Customer.test."}`)
	if added.member(t, "proven") != false || added.member(t, "cname") != st.mine.Env.ID+".edge.vendor.test" || added.member(t, "problem") == nil {
		t.Errorf("registered: %s", added.body)
	}
	st.dns.Set(t, name, "CNAME "+st.mine.Env.ID+".edge.vendor.test")
	if got := st.want(t, 200, "POST", path+"/"+name+"/check", ""); got.member(t, "proven") != true || got.member(t, "url") != "https://"+name+"/" {
		t.Errorf("checked: %s", got.body)
	}
	if _, err := st.api.Domains.Find(name); err != nil {
		t.Errorf("a proven domain is not known at once: %v", err)
	}
	if got := st.want(t, 200, "GET", "/api/envs/"+st.mine.Env.ID, ""); !strings.Contains(got.body, name) {
		t.Errorf("the environment lacks its domain: %s", got.body)
	}
	st.want(t, 204, "DELETE", path+"/"+name, "")
	if _, err := st.api.Domains.Find(name); err == nil {
		t.Error("a removed domain is still served")
	}
	st.want(t, 404, "GET", path+"/"+name, "")
	if got := st.do(t, st.foreign.key, "POST", "/api/envs/"+st.foreign.Env.ID+"/domains", `{"name":"`+name+`"}`); got.status != 400 || !strings.Contains(got.body, "a year ago") {
		t.Errorf("another environment takes a removed domain: %d %s", got.status, got.body)
	}
}

func TestADirectoryIsBornWithItsMethodWrittenOut(t *testing.T) {
	st := lite(t)
	id := st.want(t, 200, "POST", "/api/directories", `{"env":"`+st.mine.Env.ID+`","kind":"ad","name":"Head office"}`).member(t, "id").(string)
	path := "/api/directories/" + id
	got := st.want(t, 200, "GET", path, "")
	for _, want := range []string{`"kind":"ad"`, `"name":"Head office"`, `"methods":{"default":[["mail_code"]]}`, `"default":"name_match"`, `"sync_running":false`,
		`"name":"Domain Admins"},"policy":"disabled"`, `"native":false`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("%s lacks %s", got.body, want)
		}
	}
	st.want(t, 204, "PATCH", path, `{"unlock_policy":{"groups":[{"group":{"directory_immutable_identifier":"g1","name":"Staff"},"policy":"none"}],"default":"disabled"},
		"recovery_operation_rate_limit":{"count":3,"window":5400000000000},"methods":{"default":[["agent_code"],["mail_code","agent_code"]]}}`)
	got = st.want(t, 200, "GET", path, "")
	for _, want := range []string{`"unlock_policy":{"groups":[{"group":{"directory_immutable_identifier":"g1","name":"Staff"},"policy":"none"}],"default":"disabled"}`,
		`"recovery_operation_rate_limit":{"count":3,"window":"1h30m0s"}`, `"methods":{"default":[["agent_code"],["mail_code","agent_code"]]}`, `"password_policy":{"groups":[{`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("%s lacks %s", got.body, want)
		}
	}
	st.want(t, 204, "PATCH", path, `{"recovery_operation_rate_limit":null,"birth_date_hmac_secret":"c2l4dGVlbiBieXRlcyBvciBtb3Jl"}`)
	got = st.want(t, 200, "GET", path, "")
	if strings.Contains(got.body, "rate_limit") || got.member(t, "birth_date_hmac_secret_exists") != true || bytes.Contains(st.leaves(t), []byte("c2l4")) {
		t.Errorf("after the last change: %s", got.body)
	}
	st.want(t, 204, "PATCH", path, `{"reset_options":[{"require_code":true,"by_mail":true,"by_sms":false},{"group":{"directory_immutable_identifier":"","name":"Sales"},"by_sms":true}]}`)
	got = st.want(t, 200, "GET", path, "")
	for _, want := range []string{`"methods":{"rules":[{"group":{"directory_immutable_identifier":"","name":"Sales"},"accept":[["sms_code"]]},{"action":"options","accept":[["mail_code"]]}],"default":[["mail_code","totp"]]}`,
		`"reset_options":[{"require_code":true,"by_mail":true,"by_sms":false},{"group":{"directory_immutable_identifier":"","name":"Sales"},"require_code":false,"by_mail":false,"by_sms":true}]`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("%s lacks %s", got.body, want)
		}
	}
	st.want(t, 204, "POST", path+"/sync", "")
	if want := "sync " + st.mine.Env.ID + " " + id; !slices.Contains(st.calls, want) {
		t.Errorf("asked %q; want %q", st.calls, want)
	}
	st.want(t, 204, "DELETE", path, "")
	st.want(t, 404, "GET", path, "")
}

func TestT24_TheLegacyTokenIsForBearerOnlyAndNeverBesideAnEnrolledAgent(t *testing.T) {
	st := lite(t)
	made := st.want(t, 200, "POST", "/api/directories", `{"env":"`+st.mine.Env.ID+`","kind":"custom"}`)
	id, first := made.member(t, "id").(string), made.member(t, "agent_token").(string)
	path := "/api/directories/" + id + "/regenerate-directory-agent-token"
	basic := func(r *http.Request) { r.SetBasicAuth("", st.owner) }
	cookie := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: st.owner}) }
	for what, change := range map[string]func(*http.Request){"basic": basic, "cookie": cookie} {
		if got := st.do(t, "", "GET", path, "", change); got.status != http.StatusUnauthorized {
			t.Errorf("by %s: %d %s", what, got.status, got.body)
		}
	}
	if got := st.do(t, st.owner, "HEAD", path, ""); got.status < 400 {
		t.Errorf("by HEAD: %d", got.status)
	}
	if !st.opens(t, first) {
		t.Fatal("a refused request ended the token")
	}
	got := st.want(t, 200, "GET", path, "")
	second := got.member(t, "agent_token").(string)
	if got.header.Get("Cache-Control") != "no-store" || st.opens(t, first) || !st.opens(t, second) {
		t.Errorf("regenerated: %v %s", got.header, got.body)
	}
	if leaves := string(st.leaves(t)); strings.Contains(leaves, first) || strings.Contains(leaves, second) {
		t.Error("the audit log holds an agent token")
	}
	st.enrol(t, storetest.Fixture{Org: st.mine.Org, Env: st.mine.Env, Directory: store.Directory{ID: id}}, 9)
	if got := st.do(t, st.owner, "GET", path, ""); got.status != 400 || !strings.Contains(got.body, "agent-tickets") {
		t.Errorf("beside an enrolled agent: %d %s", got.status, got.body)
	}
	if st.opens(t, second) {
		t.Error("the token lives on beside an enrolled agent")
	}
}

// opens reports whether an agent of the public protocol gets in with the token.
func (st *stack) opens(t *testing.T, token string) bool {
	t.Helper()
	_, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.Directory, error) {
		return tx.LegacyDirectory(t.Context(), store.HashToken(token))
	})
	return err == nil
}

func TestT19_ATicketIsForOneHourAndOneDirectory(t *testing.T) {
	st := lite(t)
	got := st.want(t, 201, "POST", "/api/directories/"+st.mine.Directory.ID+"/agent-tickets", `{"ttl":"10m"}`)
	ticket, err := protocol.ParseTicket(got.member(t, "ticket").(string))
	if err != nil {
		t.Fatal(err)
	}
	if ticket.Directory != st.mine.Directory.ID || ticket.Hub != "https://id.vendor.test" || time.Until(ticket.Expires) > 10*time.Minute || len(ticket.HubKey) != 32 {
		t.Errorf("ticket %+v", ticket)
	}
	use := func() error {
		return st.store.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.RedeemTicket(t.Context(), store.HashToken(ticket.Secret), "a")
			return err
		})
	}
	if err := use(); err != nil {
		t.Errorf("first use: %v", err)
	}
	if err := use(); err == nil {
		t.Error("a ticket was used twice")
	}
}

func TestT19_AgentsAreConfirmedByFingerprintReleasedAndRevoked(t *testing.T) {
	st := lite(t)
	path := "/api/directories/" + st.mine.Directory.ID + "/agents"
	state := func(a store.Agent) string {
		t.Helper()
		got, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(t.Context(), a.Env, a.ID) })
		if err != nil {
			t.Fatal(err)
		}
		return got.State
	}
	pending := `{"fingerprint":"` + protocol.Fingerprint(st.mine.pending.NoiseKey, st.mine.pending.SignKey) + `"}`
	if got := st.want(t, 200, "GET", path, ""); strings.Count(got.body, `"conflict_since"`) != 1 {
		t.Errorf("one agent is in conflict: %s", got.body)
	}
	st.want(t, 409, "POST", path+"/"+st.mine.pending.ID+"/release", "")
	st.want(t, 400, "POST", path+"/"+st.mine.pending.ID+"/confirm", "")
	st.want(t, 400, "POST", path+"/"+st.mine.quarantined.ID+"/confirm", pending)
	st.want(t, 204, "POST", path+"/"+st.mine.pending.ID+"/confirm", pending)
	st.want(t, 409, "POST", path+"/"+st.mine.pending.ID+"/confirm", pending)
	st.want(t, 204, "POST", path+"/"+st.mine.quarantined.ID+"/release", "")
	st.want(t, 204, "DELETE", path+"/"+st.mine.agent.ID, "")
	st.want(t, 409, "DELETE", path+"/"+st.mine.agent.ID, "")
	if state(st.mine.pending) != protocol.AgentActive || state(st.mine.agent) != protocol.AgentRevoked {
		t.Errorf("states %s, %s", state(st.mine.pending), state(st.mine.agent))
	}
	got := st.want(t, 200, "GET", path, "")
	want := protocol.Fingerprint(st.mine.agent.NoiseKey, st.mine.agent.SignKey)
	if !strings.Contains(got.body, `"fingerprint":"`+want+`"`) || !strings.Contains(got.body, `"nodes":["node1"]`) {
		t.Errorf("agents: %s", got.body)
	}
}

func TestAccountsPageAcrossEnvironmentsWithoutGapsOrRepeats(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		var more []protocol.Account
		for _, name := range []string{"bob", "carol", "dave", "erin"} {
			more = append(more, protocol.Account{ID: name, Identifiers: []string{name + "@mine.test"}, Name: name})
		}
		st.mine.Accounts(t, s, more...)
		st.other.Accounts(t, s, more...)
		seen := map[string]int{}
		path := "/api/accounts?count=3"
		for range 10 {
			var list accountsList
			if err := json.Unmarshal([]byte(st.want(t, 200, "GET", path, "").body), &list); err != nil {
				t.Fatal(err)
			}
			for _, a := range list.Accounts {
				seen[a.ID]++
			}
			if list.NextOffset == 0 {
				break
			}
			path = "/api/accounts?count=3&offset=" + url.QueryEscape(jsonNumber(list.NextOffset))
		}
		if len(seen) != 10 {
			t.Errorf("%d of 10 accounts", len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s was listed %d times", id, n)
			}
		}
		if got := st.want(t, 200, "GET", "/api/accounts?q=CAROL&env="+st.mine.Env.ID, ""); strings.Count(got.body, `"id":`) != 1 {
			t.Errorf("search: %s", got.body)
		}
		if got := st.want(t, 200, "GET", "/api/accounts?verified=true", ""); got.body != `{"accounts":[]}` {
			t.Errorf("bound accounts: %s", got.body)
		}
	})
}

// A script that was written for longer pages goes on where the page ends, as with every page.
func TestACountAboveTheMostIsTheMostAndTheRestFollows(t *testing.T) {
	st := lite(t)
	more := make([]protocol.Account, store.MaxAccounts)
	for i := range more {
		name := "more-" + jsonNumber(i)
		more[i] = protocol.Account{ID: name, Identifiers: []string{name + "@mine.test"}, Name: name}
	}
	st.mine.Accounts(t, st.store, more...)
	for _, count := range []string{"5000", "2147483647"} {
		var first, rest accountsList
		path := "/api/accounts?env=" + st.mine.Env.ID + "&count=" + count
		if err := json.Unmarshal([]byte(st.want(t, 200, "GET", path, "").body), &first); err != nil {
			t.Fatal(err)
		}
		if len(first.Accounts) != store.MaxAccounts || first.NextOffset != store.MaxAccounts {
			t.Fatalf("%s: %d accounts, next %d", count, len(first.Accounts), first.NextOffset)
		}
		if err := json.Unmarshal([]byte(st.want(t, 200, "GET", path+"&offset="+jsonNumber(first.NextOffset), "").body), &rest); err != nil {
			t.Fatal(err)
		}
		if len(rest.Accounts) != 1 || rest.NextOffset != 0 {
			t.Errorf("%s: then %d accounts, next %d", count, len(rest.Accounts), rest.NextOffset)
		}
	}
	for _, count := range []string{"0", "-1", "99999999999999999999", "1e3", "many"} {
		st.want(t, 400, "GET", "/api/accounts?count="+count, "")
	}
}

func jsonNumber(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestAnAccountIsFoundByAnyOfItsNames(t *testing.T) {
	st := lite(t)
	for _, name := range []string{st.mine.account.ID, "mine-1", "alice%40mine.test", "ALICE@mine.test", "mine%2Falice%20c%3Fd"} {
		if got := st.want(t, 200, "GET", "/api/accounts/"+name, ""); got.member(t, "id") != st.mine.account.ID {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	twin := protocol.Account{ID: "twin", Identifiers: []string{"alice@mine.test"}, Name: "Alice the other"}
	st.other.Accounts(t, st.store, twin)
	if got := st.do(t, st.owner, "GET", "/api/accounts/alice@mine.test", ""); got.status != http.StatusConflict {
		t.Errorf("two accounts of one name: %d %s", got.status, got.body)
	}
	if got := st.do(t, st.mine.key, "GET", "/api/accounts/alice@mine.test", ""); got.status != 200 {
		t.Errorf("a key for one environment is told of the other: %d %s", got.status, got.body)
	}
}

// Whoever prints an objectGUID in capitals means the same account; another id is as it is.
func TestAnAccountIsFoundByItsGUIDInCapitals(t *testing.T) {
	st := lite(t)
	const id = "9ff64e62-539c-5869-ba35-534dfe1b8f99"
	st.mine.Accounts(t, st.store, protocol.Account{ID: id, Name: "Carol"}, protocol.Account{ID: "plain-id", Name: "Dora"})
	for _, written := range []string{id, strings.ToUpper(id)} {
		if got := st.do(t, st.owner, "GET", "/api/accounts/"+written, ""); got.status != 200 || got.member(t, "name") != "Carol" {
			t.Errorf("%s: %d %s", written, got.status, got.body)
		}
	}
	st.want(t, 200, "GET", "/api/accounts/plain-id", "")
	st.want(t, 404, "GET", "/api/accounts/PLAIN-ID", "")
}

func TestT32_PresignedLinksForAnybodyAreOwnersOnly(t *testing.T) {
	st := lite(t)
	user := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleUser, Envs: []string{"*"}})
	env := st.mine.Env.ID
	for _, c := range []struct {
		what, key, path, body string
		status                int
	}{
		{"the CLI's body", st.owner, "/api/envs/" + env + "/recovery_microsite/presign", `{"email":"*","ttl":"1h0m0s","flow":""}`, 200},
		{"anybody by a user's key", user, "/api/envs/" + env + "/recovery_microsite/presign", `{"email":"*","ttl":"1h"}`, 400},
		{"nobody named by a user's key", user, "/api/envs/" + env + "/recovery_microsite/presign", `{"ttl":"1h"}`, 400},
		{"somebody by a user's key", user, "/api/envs/" + env + "/recovery_microsite/presign", `{"email":"a@b.test","ttl":3600000000000,"operations":["mfa"],"recovery_policy":{"mfa":"photo"}}`, 200},
		{"the documented query", user, "/api/env/" + env + "/recovery/presign?email=a@b.test&operation=mfa&operation=password&flow=enroll&ttl=1h&directory=" + st.mine.Directory.ID, "", 200},
		{"a query for anybody", user, "/api/env/" + env + "/recovery/presign?operation=mfa", "", 400},
		{"a repeated address", st.owner, "/api/env/" + env + "/recovery/presign?email=a@b.test&email=c@d.test", "", 400},
		{"an unknown parameter", st.owner, "/api/env/" + env + "/recovery/presign?password", "", 400},
		{"a flow that is none", st.owner, "/api/env/" + env + "/recovery/presign?flow=Recover", "", 400},
	} {
		got := st.do(t, c.key, "POST", c.path, c.body)
		if got.status != c.status {
			t.Errorf("%s: %d %s; want %d", c.what, got.status, got.body, c.status)
			continue
		}
		if c.status == 200 {
			st.checkLink(t, c.what, got.member(t, "url").(string))
		}
	}
	if leaves := string(st.leaves(t)); strings.Contains(leaves, "id_token") || strings.Contains(leaves, "a@b.test") || !strings.Contains(leaves, "recovery_link_created") {
		t.Errorf("the audit log: %s", leaves)
	}
}

func TestT32_LinksAdmitForADayUnlessTheEnvironmentSaysMore(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID
	sign := func(want int, ttl string) string {
		t.Helper()
		got := st.want(t, want, "POST", env+"/recovery_microsite/presign", `{"email":"a@b.test","ttl":"`+ttl+`"}`)
		if want == 200 {
			st.checkLink(t, ttl, got.member(t, "url").(string))
		}
		return got.body
	}
	says := func(want string) {
		t.Helper()
		if got := st.want(t, 200, "GET", env, ""); !strings.Contains(got.body, `"max_link_ttl":"`+want+`"`) {
			t.Errorf("want %s: %s", want, got.body)
		}
	}
	says("24h0m0s")
	sign(200, "24h")
	sign(400, "24h0m1s")
	st.want(t, 204, "PATCH", env, `{"microsite":{"max_link_ttl":"168h"}}`)
	says("168h0m0s")
	sign(200, "168h")
	if body := sign(400, "169h"); !strings.Contains(body, "168h0m0s") {
		t.Error(body)
	}
	st.want(t, 204, "PATCH", env, `{"microsite":{"max_link_ttl":"1h"}}`)
	sign(400, "2h")
	for _, wrong := range []string{"721h", "59s", "-1h", "90.5s", "soon"} {
		st.want(t, 400, "PATCH", env, `{"microsite":{"max_link_ttl":"`+wrong+`"}}`)
	}
	st.want(t, 204, "PATCH", env, `{"microsite":{"max_link_ttl":"0s"}}`)
	says("24h0m0s")
}

// Nothing else ends a link that was made: whoever lowers the limit means those that are about.
func TestT32_ALowerLimitEndsLinksThatWereMadeBefore(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID
	st.want(t, 204, "PATCH", env, `{"microsite":{"max_link_ttl":"168h"}}`)
	made := st.want(t, 200, "POST", env+"/recovery_microsite/presign", `{"email":"a@b.test","ttl":"168h"}`).member(t, "url").(string)
	_, text, _ := strings.Cut(made, "?id_token=")
	links := token.Links{Keys: st.store, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}
	for _, c := range []struct {
		limit  string
		admits bool
	}{{"168h", true}, {"3h", true}, {"1h", false}, {"168h", true}, {"2h", false}, {"0s", true}} {
		st.want(t, 204, "PATCH", env, `{"microsite":{"max_link_ttl":"`+c.limit+`"}}`)
		_, err := links.Verify(t.Context(), st.mine.Env.ID, text)
		if c.admits != (err == nil) || err != nil && !errors.Is(err, token.ErrInvalid) {
			t.Errorf("two hours old, at most %s: %v", c.limit, err)
		}
	}
}

// checkLink wants a link to the proven domain whose token admits.
func (st *stack) checkLink(t *testing.T, what, link string) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Scheme+"://"+u.Host != "https://"+st.mine.domain {
		t.Errorf("%s: link %s", what, link)
		return
	}
	links := token.Links{Keys: st.store}
	if _, err := links.Verify(t.Context(), st.mine.Env.ID, u.Query().Get("id_token")); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func TestALinkNeedsAProvenDomain(t *testing.T) {
	st := lite(t)
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.RemoveDomain(ctx, st.mine.Env.ID, st.mine.domain)
	})
	got := st.do(t, st.owner, "POST", "/api/envs/"+st.mine.Env.ID+"/recovery_microsite/presign", `{"email":"a@b.test"}`)
	if got.status != 400 || !strings.Contains(got.body, "/domains") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestP26_AStoppedStoreIsSaidSoAndNothingHappens(t *testing.T) {
	pg := testenv.StartPostgres(t)
	cfg := storetest.SQLite(t)
	cfg.URL = pg.Database(t)
	st := start(t, storetest.Open(t, cfg))
	pg.Stop()
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/envs", ""}, {"POST", "/api/directories/" + st.mine.Directory.ID + "/sync", ""}, {"DELETE", "/api/envs/" + st.mine.Env.ID, ""},
	} {
		got := st.do(t, st.owner, c.method, c.path, c.body)
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "SQL") {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
	}
	if len(st.calls) != 0 {
		t.Errorf("without a store the API asked %q", st.calls)
	}
	pg.Start(t)
	st.want(t, 200, "GET", "/api/envs", "")
}

func FuzzBodies(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"email":"*","ttl":"1h"}`, `{"unlock_policy":{"groups":[],"default":"none"}}`, `{"expires_at":null}`,
		`{"recovery_operation_rate_limit":{"count":1,"window":1}}`, `{"microsite":{"languages":["de"]}}`} {
		f.Add([]byte(seed))
	}
	var rows []row
	for _, r := range routes() {
		if r.do.decode != nil {
			rows = append(rows, r)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range rows {
			v, err := r.do.decode(b)
			if err != nil {
				if refused, ok := err.(badRequest); !ok || len(refused) == 0 || len(refused) > maxLines || len(refused[0]) > 1000 {
					t.Errorf("%s: %q: %T %.200v", r.pattern, b, err, err)
				}
				continue
			}
			if red, ok := v.(redactor); ok {
				v = red.redacted()
			}
			if _, err := json.Marshal(v); err != nil {
				t.Errorf("%s: %q: %v", r.pattern, b, err)
			}
		}
	})
}
