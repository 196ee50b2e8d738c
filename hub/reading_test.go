package hub

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/api"
	"github.com/postern-id/postern/hub/console"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/site"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// whole is the whole hub on a port of its own, without anything that runs behind pages:
// what changes in its store was changed by a request.
type whole struct {
	t      *testing.T
	hub    *Hub
	in     Installation
	client *http.Client
	origin string // of the control address; the site is at recover.localhost
	site   string
	ids    map[string]string // recoveries by state
}

const siteName = "recover.localhost"

func openWhole(t *testing.T) *whole {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := &whole{t: t, origin: "http://localhost:" + port, site: "http://" + siteName + ":" + port, ids: map[string]string{}}
	cfg := Config{DataDir: t.TempDir(), PublicURL: w.origin, Log: slog.New(slog.DiscardHandler)}
	if w.in, err = Install(t.Context(), cfg, "Example", "production"); err != nil {
		t.Fatal(err)
	}
	if w.hub, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.hub.Close() })
	srv.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, siteName) {
			w.hub.Site().ServeHTTP(rw, r)
			return
		}
		w.hub.Handler().ServeHTTP(rw, r)
	})
	srv.Start()
	t.Cleanup(srv.Close)
	w.client = newClient(t, srv.Listener.Addr().String())
	w.api(http.MethodPost, "/api/envs/"+w.in.Environment+"/domains", `{"name":"`+siteName+`"}`)
	return w
}

// newClient resolves every name to the server and follows nothing.
func newClient(t *testing.T, addr string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (w *whole) do(method, address, body string, header ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(b)
}

func (w *whole) api(method, path, body string) string {
	w.t.Helper()
	resp, text := w.do(method, w.origin+path, body, "Authorization", "Bearer "+w.in.Key.Reveal(), "Content-Type", "application/json")
	if resp.StatusCode >= 300 {
		w.t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
	return text
}

// signIn opens the console as an owner.
func (w *whole) signIn() {
	w.t.Helper()
	_, page := w.do(http.MethodGet, w.in.ConsoleLink.Reveal(), "")
	token := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(page)
	if token == nil {
		w.t.Fatalf("no form: %s", page)
	}
	resp, _ := w.do(http.MethodPost, w.in.ConsoleLink.Reveal(), "form="+url.QueryEscape(token[1]), "Content-Type", "application/x-www-form-urlencoded", "Origin", w.origin)
	if resp.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("signing in: %s", resp.Status)
	}
}

// recoveries puts recoveries of this browser into several states, one of them with a
// ticket on a screen and one whose ticket a phone has read.
func (w *whole) recoveries() {
	w.t.Helper()
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	var cookies []*http.Cookie
	err := w.hub.store.Tx(w.t.Context(), func(tx *store.Tx) error {
		ctx := w.t.Context()
		d, err := tx.CreateDirectory(ctx, store.Directory{Env: w.in.Environment, Kind: "ldap", Name: "Office"})
		if err != nil {
			return err
		}
		states := map[string]string{"choosing": "choosing", "proving": "proving", "ready": "ready", "read": "ready"}
		for i, state := range slices.Sorted(maps.Keys(states)) {
			id := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("recovery-no-%04d", i)))
			w.ids[state] = id
			rec := store.Recovery{Env: w.in.Environment, ID: id, State: states[state], Session: hash("session-" + state), Private: []byte(`{"address":"ada@example.com"}`),
				Directory: d.ID, Action: "unlock", Tasks: string(protocol.Unlock), Account: "1", ExpiresAt: time.Now().Add(time.Hour), DueAt: time.Now().Add(time.Hour)}
			if err := tx.AddRecovery(ctx, &rec); err != nil {
				return err
			}
			if err := tx.SaveRecovery(ctx, &rec); err != nil { // with what a new one has not
				return err
			}
			v := store.Verification{Env: rec.Env, ID: store.NewID(), Recovery: id, State: "open", Offered: []string{"mail_code"}, Shown: "mail_code", Proven: []string{"totp"}, ExpiresAt: rec.ExpiresAt}
			if err := tx.AddVerification(ctx, &v); err != nil {
				return err
			}
			if err := tx.OpenCode(ctx, rec.Env, v.ID, "x"); err != nil {
				return err
			}
			if _, err := tx.AddHandover(ctx, rec.Env, id, hash("ticket "+state), time.Now().Add(time.Minute)); err != nil {
				return err
			}
			if state == "read" {
				if err := tx.UseHandover(ctx, rec.Env, store.Claim{Hash: hash("ticket " + state), Session: hash("session-" + state)}); err != nil {
					return err
				}
				if err := tx.GiveRecovery(ctx, &rec, hash("another")); err != nil {
					return err
				}
			}
			cookies = append(cookies, &http.Cookie{Name: "recovery." + id, Value: "session-" + state, Path: "/"})
		}
		return tx.AddObjection(ctx, store.Objection{Hash: hash("objection"), Env: w.in.Environment, Recovery: w.ids["ready"], Directory: d.ID, Account: "1", Action: "unlock", ExpiresAt: time.Now().Add(time.Hour)})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	at, _ := url.Parse(w.site)
	w.client.Jar.SetCookies(at, cookies)
}

// dump is everything that stands in the store.
func (w *whole) dump() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := w.hub.store.Read(w.t.Context(), func(tx *store.Tx) error {
		ctx := w.t.Context()
		tables, err := store.All(ctx, tx, store.Text, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
		if err != nil {
			return err
		}
		for _, table := range tables {
			columns, err := store.All(ctx, tx, store.Text, `SELECT 'quote(' || name || ')' FROM pragma_table_info($1)`, table)
			if err != nil {
				return err
			}
			rows, err := store.All(ctx, tx, store.Text, `SELECT `+strings.Join(columns, ` || ' ' || `)+` FROM `+table)
			if err != nil {
				return err
			}
			slices.Sort(rows)
			all[table] = strings.Join(rows, "\n")
		}
		return nil
	})
	if err != nil || len(all) < 20 {
		w.t.Fatalf("%d tables: %v", len(all), err)
	}
	return all
}

// An address is one that a scanner of links may open.
type address struct{ base, path string }

// addresses are all that the hub serves, with what is known put into their patterns.
func (w *whole) addresses() (list []address) {
	link, oneShot := w.presigned()
	query := "?op=unlock&code=00000000&token=objection&email=ada@example.com&ticket=" + base64.RawURLEncoding.EncodeToString(make([]byte, 16)) + "&state=x&with=y&form=z&cancel=1"
	fill := func(pattern, id string) string {
		p := strings.NewReplacer("{$}", "", "{id}", id, "{env}", w.in.Environment, "{secret}", strings.TrimPrefix(w.in.ConsoleLink.Reveal(), w.origin+console.LinkPath)).Replace(pattern)
		return regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(p, "x")
	}
	for _, p := range append(site.Patterns(), "/wallet/answer/x") {
		for _, id := range w.ids {
			list = append(list, address{w.site, fill(p, id)}, address{w.site, fill(p, id) + query})
		}
	}
	list = append(list, address{w.site, "/" + link}, address{w.site, "/" + oneShot})
	for _, p := range console.Patterns() {
		list = append(list, address{w.origin, fill(p, "x")}, address{w.origin, fill(p, "x") + query})
	}
	for _, p := range oidc.Patterns() {
		list = append(list, address{w.origin, fill(p, "x")}, address{w.origin, fill(p, "x") + query})
	}
	for _, p := range api.Patterns() {
		if _, path, _ := strings.Cut(p, " "); path != "" {
			list = append(list, address{w.origin, fill(path, "x")})
		}
	}
	return list
}

// presigned makes links that admit people, one of them once.
func (w *whole) presigned() (link, oneShot string) {
	for i, body := range []string{`{"ttl":"1h"}`, `{"ttl":"1h","one_shot":true}`} {
		var made struct {
			URL string `json:"url"`
		}
		text := w.api(http.MethodPost, "/api/envs/"+w.in.Environment+"/recovery_microsite/presign", body)
		if err := json.Unmarshal([]byte(text), &made); err != nil {
			w.t.Fatal(err)
		}
		u, err := url.Parse(made.URL)
		if err != nil || u.RawQuery == "" {
			w.t.Fatalf("%s: %v", text, err)
		}
		if i == 0 {
			link = "?" + u.RawQuery
		} else {
			oneShot = "?" + u.RawQuery
		}
	}
	return link, oneShot
}

// Link scanners, previews and prefetching read addresses, with the browser's cookies or
// without: by GET and HEAD nothing in the store changes, whatever the address. The one
// that must, a wallet's request by GET as its protocol has it, is no address that people
// are sent, unguessable, and refuses HEAD.
func TestP24_ReadingAnyAddressChangesNothingAndNoneIsFramed(t *testing.T) {
	w := openWhole(t)
	w.signIn()
	w.recoveries()
	addresses := w.addresses()
	cookies := w.client.Jar
	before := w.dump()
	served := 0
	for _, a := range addresses {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, jar := range []http.CookieJar{cookies, nil} {
				w.client.Jar = jar
				var header []string
				if strings.HasPrefix(a.path, "/api/") && jar != nil {
					header = []string{"Authorization", "Bearer " + w.in.Key.Reveal()}
				}
				resp, _ := w.do(method, a.base+a.path, "", header...)
				if resp.StatusCode == http.StatusOK {
					served++
				}
				if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("%s %s: %s", method, a.path, resp.Status)
				}
				unframed(t, method+" "+a.path, resp)
			}
		}
	}
	for table, rows := range w.dump() {
		if rows != before[table] {
			t.Errorf("reading changed %s:\n%s\n\nbefore\n%s", table, rows, before[table])
		}
	}
	if served < 50 {
		t.Errorf("only %d of %d addresses gave a page", served, len(addresses))
	}
}

// unframed fails for an answer that another page may frame, guess the type of, or keep.
func unframed(t *testing.T, what string, resp *http.Response) {
	t.Helper()
	h := resp.Header
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") == "" {
		t.Errorf("%s: %s has %v", what, resp.Status, h)
	}
	if kind := h.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		return
	}
	csp := h.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("%s: the policy lacks %s: %s", what, part, csp)
		}
	}
	opener := "same-origin"
	if openedByOthers(resp.Request.URL.Path) {
		opener = "unsafe-none"
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": opener, "Cross-Origin-Resource-Policy": "same-origin"} {
		if h.Get(name) != want {
			t.Errorf("%s: %s is %q", what, name, h.Get(name))
		}
	}
	if !strings.Contains(h.Get("Cache-Control"), "no-store") && !strings.Contains(h.Get("Cache-Control"), "no-cache") {
		t.Errorf("%s: kept by the browser: %s", what, h.Get("Cache-Control"))
	}
}

// openedByOthers reports whether an identity provider or an application opens a page, in a
// window of its own perhaps, which has to keep hold of who opened it.
func openedByOthers(path string) bool {
	return path == "/sign-in" || strings.HasSuffix(path, "/authorize")
}
