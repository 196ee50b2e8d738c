package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit/audittest"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	outside "github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

const (
	site      = "recover.example.com"
	authority = "https://login.microsoftonline.com"
	oktaBack  = "https://example.okta.com/oauth2/v1/authorize/callback"
	idvBack   = "https://example.okta.com/idp/identity-verification/callback"
)

// A rig is a provider on a real store, served over HTTP. The employee's side of it is
// played by the test: who proves what is its word.
type rig struct {
	t        *testing.T
	store    *store.Store
	fixture  storetest.Fixture
	provider *oidc.Provider
	origin   string
	tenant   *openid.Tenant
	employee *employee
	ahead    atomic.Int64 // of the clock
	log      *testenv.Buffer
	browser  *http.Client
	buckets  everything
	signer   *outside.Agent // names none, until a test does
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

// An employee stands for flow and requests: what they were asked, and what they prove.
type employee struct {
	store  *store.Store
	asked  flow.SignIn
	opened request.Opening
	proven []policy.Method
	claims *evidence.Claims
	strict bool
	down   bool
	waits  bool // for people who look at it

	stopped bool   // by whoever waited
	who     string // account that is proven in place of the one asked for
}

func (e *employee) SignIn(_ context.Context, s flow.SignIn) (id, session string, err error) {
	e.asked = s
	if e.down {
		return "", "", recovery.ErrUnavailable
	}
	return "recovery", "session", nil
}

func (e *employee) FinishSignIn(ctx context.Context, env, _, session string, give bool, then func(tx *store.Tx, s flow.SignedIn) error) error {
	if session != "session" || env != e.asked.Env {
		return recovery.ErrNotFound
	}
	s := flow.SignedIn{Env: env, Exchange: e.asked.Exchange, Recovery: "recovery", Account: e.asked.Account, Directory: e.asked.Directory, Strict: e.strict}
	if e.who != "" {
		s.Account = e.who
	}
	if give && e.asked.Account != "" && (!e.strict || e.asked.Strict) {
		s.Proven = e.proven
	}
	return e.store.Tx(ctx, func(tx *store.Tx) error { return then(tx, s) })
}

func (e *employee) OpenFor(_ context.Context, o request.Opening) (session string, err error) {
	e.opened = o
	return "session", nil
}

func (e *employee) FinishFor(ctx context.Context, _, _, _ string, give bool, then func(tx *store.Tx, exchange string, proven *request.Proof) error) error {
	proven := e.proof()
	if !give {
		proven = nil
	}
	return e.store.Tx(ctx, func(tx *store.Tx) error { return then(tx, e.opened.Exchange, proven) })
}

func (e *employee) StopFor(context.Context, *store.Tx, string, string) error {
	e.stopped = true
	return nil
}

func (e *employee) WaitsFor(context.Context, *store.Tx, string, string) (bool, error) {
	return e.waits, nil
}

// proof is what requests make of the claims, of which none is shared.
func (e *employee) proof() *request.Proof {
	if e.claims == nil {
		return nil
	}
	return &request.Proof{Given: e.claims.Given, Family: e.claims.Family, BirthDate: e.claims.BirthDate}
}

func (e *employee) ProofFor(context.Context, string, string, string) (string, request.Proof, error) {
	p := e.proof()
	if p == nil {
		return "", request.Proof{}, request.ErrStep
	}
	return e.opened.Exchange, *p, nil
}

func (e *employee) CodeIssued(context.Context, *store.Tx, string, string) error  { return nil }
func (e *employee) TokenIssued(context.Context, *store.Tx, string, string) error { return nil }

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, storetest.SQLite(t), func(*rig, *oidc.Config) {})
}

// newRigOn makes a rig on a store, of which a test changes what it has of its own.
func newRigOn(t *testing.T, c store.Config, change func(*rig, *oidc.Config)) *rig {
	t.Helper()
	r := &rig{t: t, log: &testenv.Buffer{}}
	c.Now = r.now
	c.Serves = true
	r.store = storetest.Open(t, c)
	audittest.Watch(t, r.store)
	r.fixture = storetest.Seed(t, r.store)
	r.tenant = openid.NewTenant(t, authority)
	r.employee = &employee{store: r.store, proven: []policy.Method{policy.TOTP}}
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.AddDomain(ctx, r.fixture.Env.ID, site); err != nil {
			return err
		}
		return tx.DomainProven(ctx, r.fixture.Env.ID, site)
	})
	r.fixture.Accounts(t, r.store,
		protocol.Account{ID: r.tenant.Object, Name: "Ann Lee", Identifiers: []string{"ann@example.com"}},
		protocol.Account{ID: "2", Name: "Bob Roe", Identifiers: []string{"bob@example.com", "both@example.com"}},
		protocol.Account{ID: "3", Name: "Cem Roe", Identifiers: []string{"cem@example.com", "both@example.com"}})
	var err error
	if r.signer, err = outside.New(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.signer.Close() })
	cfg := oidc.Config{
		Signer: r.signer,
		Store:  r.store, SignIns: r.employee, People: r.employee, Buckets: rates{&r.buckets}, Picture: drawn{}, Client: http.DefaultClient,
		Origin: func() string { return r.origin }, SiteOrigin: func(name string) string { return "https://" + name },
		Authority: r.tenant.URL, Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: r.now,
	}
	change(r, &cfg)
	r.provider = oidc.New(cfg)
	server := httptest.NewServer(r.provider)
	t.Cleanup(server.Close)
	r.origin = server.URL
	r.browser = r.newBrowser()
	return r
}

// everything lets one address ask as often as these tests do; shut lets nobody.
type everything struct {
	shut atomic.Bool
	real oidc.Buckets // where a test counts; nil: none does
}

func (e *everything) Take(context.Context, string, int, time.Duration) (bool, error) {
	return !e.shut.Load(), nil
}

// rates is everything, as the provider asks it.
type rates struct{ *everything }

func (r rates) Take(ctx context.Context, key string, burst int, every time.Duration) (bool, time.Duration, error) {
	if r.real != nil {
		return r.real.Take(ctx, key, burst, every)
	}
	ok, err := r.everything.Take(ctx, key, burst, every)
	return ok, every, err
}

// counts has the provider count as hubs do.
func (r *rig) counts() {
	local := coord.NewLocal()
	r.t.Cleanup(func() { _ = local.Close() })
	r.buckets.real = counted{local}
}

func (r *rig) newBrowser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (r *rig) tx(fn func(ctx context.Context, tx *store.Tx) error) {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	if err := r.store.Tx(ctx, func(tx *store.Tx) error { return fn(ctx, tx) }); err != nil {
		r.t.Fatal(err)
	}
}

// add makes a client, and returns its id and its secret.
func (r *rig) add(c party.Contract, change func(*party.Settings)) (id, secret string) {
	r.t.Helper()
	s := party.Settings{Name: "Example", Tenants: []string{r.tenant.ID}, AppID: r.tenant.AppID}
	directory := r.fixture.Directory.ID
	switch c {
	case party.OktaEAM:
		s = party.Settings{Name: "Okta", Redirects: []string{oktaBack}}
	case party.OktaIDV:
		s, directory = party.Settings{Name: "Okta", Redirects: []string{idvBack}}, ""
	case party.OpenID:
		s, directory = party.Settings{Name: "Application", Redirects: []string{appBack}}, ""
	}
	if change != nil {
		change(&s)
	}
	if err := s.Check(c); err != nil {
		r.t.Fatal(err)
	}
	key, err := party.NewKey(c, s, r.now())
	if err != nil {
		r.t.Fatal(err)
	}
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		made, err := party.Add(ctx, tx, r.fixture.Env.ID, "", c, directory, s, key)
		if err != nil {
			return err
		}
		id = made.ID
		text, err := party.NewSecret(ctx, tx, &made)
		if errors.Is(err, party.ErrSecrets) {
			return nil
		}
		secret = text.Reveal()
		return err
	})
	if c == party.OpenID {
		r.ahead.Add(int64(time.Second)) // for which a node keeps a key set
	}
	return id, secret
}

// entra connects the tenant.
func (r *rig) entra(change func(*party.Settings)) {
	r.t.Helper()
	r.tenant.ClientID, _ = r.add(party.EntraEAM, change)
	r.tenant.Discovery = r.origin + "/entra/eam/.well-known/openid-configuration"
}

// A got is what a browser was answered.
type got struct {
	status   int
	location *url.URL
	form     url.Values // of the page that sends itself
	action   string
	body     string
	header   http.Header
}

var (
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	formAction  = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
)

func (r *rig) do(client *http.Client, req *http.Request) got {
	r.t.Helper()
	res, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	g := got{status: res.StatusCode, body: string(b), header: res.Header, form: url.Values{}}
	g.location, _ = res.Location()
	if m := formAction.FindStringSubmatch(g.body); m != nil {
		g.action = m[1]
		for _, f := range hiddenField.FindAllStringSubmatch(g.body, -1) {
			g.form.Add(f[1], strings.NewReplacer("&#43;", "+", "&amp;", "&", "&#34;", `"`).Replace(f[2]))
		}
	}
	return g
}

func (r *rig) post(client *http.Client, path string, form url.Values, header ...string) got {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.origin+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return r.do(client, req)
}

func (r *rig) get(client *http.Client, address string) got {
	r.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = r.origin + address
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.do(client, req)
}

// ticket returns what a browser carries to the recovery domain.
func (r *rig) ticket(g got) string {
	r.t.Helper()
	if g.status != http.StatusSeeOther || g.location == nil || g.location.Host != site || g.location.Path != oidc.SignInPath || g.location.Fragment == "" {
		r.t.Fatalf("not sent to the recovery domain: %d %v %s", g.status, g.location, g.body)
	}
	return g.location.Fragment
}

// prove walks the employee's side and returns the address that leads back.
func (r *rig) prove(ticket string) string {
	r.t.Helper()
	o, err := r.provider.Open(r.t.Context(), r.fixture.Env.ID, ticket, "en", recovery.Client{Address: "192.0.2.7", Origin: "https://" + site})
	if err != nil {
		r.t.Fatalf("open: %v", err)
	}
	to := o.To
	switch {
	case o.Recovery != "":
		to, err = r.provider.Finish(r.t.Context(), r.fixture.Env.ID, o.Recovery, o.Session, true)
	case o.Use != "":
		to, err = r.provider.FinishPerson(r.t.Context(), r.fixture.Env.ID, o.Use, o.Session, true)
	}
	if err != nil {
		r.t.Fatalf("finish: %v", err)
	}
	return to
}

// standard writes what the default template of the environment says.
func (r *rig) standard(body string) {
	r.t.Helper()
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Templates(ctx, r.fixture.Env.ID)
		if err != nil {
			return err
		}
		all[0].Body = []byte(body)
		return tx.SaveTemplate(ctx, all[0])
	})
}

// leaves returns all audit rows of a kind.
func (r *rig) leaves(kind string) (all []string) {
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		rows, err := store.All(ctx, tx, store.Text, "SELECT leaf FROM audit_events WHERE kind = $1", kind)
		all = rows
		return err
	})
	return all
}

// clean fails the test if one of the secrets stands in log or audit.
func (r *rig) clean(secrets ...string) {
	r.t.Helper()
	r.tx(func(ctx context.Context, tx *store.Tx) error {
		rows, err := store.All(ctx, tx, store.Text, "SELECT leaf FROM audit_events")
		all := r.log.String() + strings.Join(rows, "\n")
		for _, s := range secrets {
			if s == "" {
				r.t.Error("an empty canary finds nothing")
			} else if strings.Contains(all, s) {
				r.t.Errorf("log or audit hold %.60q", s)
			}
		}
		return err
	})
}

func isJSON(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
