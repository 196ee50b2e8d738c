package api

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/domain"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/verify/wallet"
	hooks "github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// asked records what the API asks of the rest of the hub.
type asked struct {
	mu    sync.Mutex
	calls []string

	refuses error // of examinations
}

func (a *asked) note(what string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, what)
	return nil
}

func (a *asked) SyncNow(_ context.Context, env, directory string) error {
	return a.note("sync " + env + " " + directory)
}
func (a *asked) Examine(_ context.Context, env, directory, agent string) (protocol.Examination, error) {
	if err := a.note("examine " + env + " " + directory + " " + agent); err != nil {
		return protocol.Examination{}, err
	}
	return protocol.Examination{Directory: protocol.DirectoryUntrusted, Bases: protocol.BasesUnknown, Disk: protocol.DiskLow}, a.refuses
}
func (a *asked) Connected(context.Context, string, string, string) ([]string, error) {
	return []string{"node1"}, nil
}

// stack is the API on a real store, with one organisation that has two environments and
// a second organisation.
type stack struct {
	*asked
	store   *store.Store
	api     *API
	server  *httptest.Server
	dns     *testenv.DNS
	reviews *review.Reviews
	signers *signer.Agent

	mail     *mailbox.Server
	notifier *notify.Notifier
	refusal  atomic.Pointer[string] // of the mail server; nil: it takes mails

	mine, other, foreign place  // one environment, another of the same organisation, one of another organisation
	owner                string // a key of the organisation for all environments
}

// judge is the mail server's.
func (st *stack) judge(string, []string) (int, string) {
	if text := st.refusal.Load(); text != nil {
		return 554, *text
	}
	return 0, ""
}

// place is an environment with one of everything in it, and a key for it alone.
type place struct {
	storetest.Fixture
	domain, key                  string
	agent, pending, quarantined  store.Agent
	account                      store.Account
	apikey                       store.APIKey
	member                       string
	trust, pem, provider, client string
	evaluation, delivery, event  string
	destination                  string
	request, template, subject   string
	signer                       string // JSON
}

func start(t *testing.T, s *store.Store) *stack {
	t.Helper()
	st := &stack{asked: new(asked), store: s, dns: testenv.StartDNS(t)}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	domains, err := domain.Open(t.Context(), s, domain.Settings{CNAMETarget: "edge.vendor.test", Resolvers: []string{st.dns.Addr}, Control: "id.vendor.test"}, log)
	if err != nil {
		t.Fatal(err)
	}
	st.reviews = review.New(s, log)
	st.mail = testenv.StartSMTP(t, mailbox.Config{Judge: st.judge})
	if st.notifier, err = notify.New(notify.Config{Store: s, Route: notify.Route{Host: st.mail.Addr(), From: "hub@vendor.test", TLS: notify.Off}, Node: "edge1", Log: log}); err != nil {
		t.Fatal(err)
	}
	checks, err := hooks.New(hooks.Config{Store: s, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if st.signers, err = signer.New(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.signers.Close() })
	st.api = New(Config{
		Checks:  checks,
		Mail:    st.notifier,
		Signer:  st.signers,
		Trust:   wallet.NewLists(time.Now),
		Exports: st,
		Faces:   st.reviews,
		Store:   s, Domains: domains, Sync: st, Tunnels: st, Examiner: st, Recoveries: recoveries(s), Acts: st, Requests: request.New(request.Config{Store: s, Public: func() string { return "https://id.vendor.test" }}), Log: log,
		Evaluations: evaluation.New(evaluation.Config{Store: s, Log: log}),
		Audit:       audit.NewLog(audit.LogConfig{Store: s, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Origin: "id.vendor.test/audit/v1", Log: log}),
		Buckets:     buckets{coord.NewLocal()},
		Storage:     storage.New(storage.Config{Store: s, Transport: http.DefaultTransport, Log: log}),
		Members:     staff.New(staff.Config{Store: s, Mail: unsent{}}), Console: func() string { return "https://id.vendor.test" },
		Ticket: protocol.Ticket{Hub: "https://id.vendor.test", HubName: "id.vendor.test", HubKey: make([]byte, 32), LogKey: make([]byte, 32)},
		Origin: func(name string) string { return "https://" + name },
	})
	st.api.strangers = class{"unknown", 1_000_000} // one machine tries all that strangers try
	st.server = httptest.NewServer(st.api)
	t.Cleanup(st.server.Close)
	st.mine = st.place(t, "mine", storetest.Seed(t, s))
	st.other = st.place(t, "other", st.beside(t, st.mine.Fixture))
	st.foreign = st.place(t, "foreign", storetest.Seed(t, s))
	st.owner = st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{store.AllEnvs}})
	if err := domains.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// recoveries are the product's own, which send nothing here.
func recoveries(s *store.Store) *flow.Recoveries {
	return flow.New(flow.Config{Store: s, Verifiers: []verify.Verifier{mailcode.New(nil, nil)}})
}

// beside makes another environment in the organisation of f.
func (st *stack) beside(t *testing.T, f storetest.Fixture) storetest.Fixture {
	t.Helper()
	out := storetest.Fixture{Org: f.Org}
	st.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		if out.Env, err = tx.CreateEnvironment(ctx, store.Environment{Org: f.Org.ID, Name: "staging", PublicName: "Example"}); err != nil {
			return err
		}
		out.Directory, err = tx.CreateDirectory(ctx, store.Directory{Env: out.Env.ID, Kind: "custom", Name: "people"})
		return err
	})
	return out
}

// place puts one of everything into an environment.
func (st *stack) place(t *testing.T, name string, f storetest.Fixture) place {
	t.Helper()
	p := place{Fixture: f, event: store.NewID(), domain: "recover." + name + "-" + f.Env.ID[:8] + ".test"}
	p.pem, p.signer = string(newAuthority(t).PEM()), signerOf(t, p.domain)
	p.key = st.addKey(t, store.APIKey{Org: f.Org.ID, Role: RoleOwner, Envs: []string{f.Env.ID}})
	f.Accounts(t, st.store, protocol.Account{ID: name + "-1", Identifiers: []string{"alice@" + name + ".test", name + "/alice c?d"}, Name: "Alice " + name})
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.AddDomain(ctx, f.Env.ID, p.domain); err != nil {
			return err
		}
		if err := tx.DomainProven(ctx, f.Env.ID, p.domain); err != nil {
			return err
		}
		var err error
		if p.account, err = tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, name+"-1"); err != nil {
			return err
		}
		source := store.TrustSource{Env: f.Env.ID, Kind: store.TrustPEM, Name: "theirs", Body: []byte(p.pem)}
		if err := tx.AddTrustSource(ctx, &source); err != nil {
			return err
		}
		p.trust = source.ID
		idp := store.IdentityProvider{Env: f.Env.ID, Body: []byte(p.providerBody())}
		if err := tx.AddIdentityProvider(ctx, &idp); err != nil {
			return err
		}
		p.provider = idp.ID
		collector := store.Destination{Org: f.Org.ID, Settings: []byte(`{"name":"SIEM","url":"tls://collector.example.com","format":"cef"}`)}
		if err := tx.AddDestination(ctx, &collector); err != nil {
			return err
		}
		p.destination = collector.ID
		run := store.Evaluation{Env: f.Env.ID, Directory: f.Directory.ID, Expires: tx.Now().Add(time.Hour)}
		if err := tx.AddEvaluation(ctx, &run); err != nil {
			return err
		}
		p.evaluation = run.ID
		asks := store.OIDCClient{Env: f.Env.ID, Contract: "okta_eam", Directory: p.Directory.ID, Settings: []byte(`{"name":"Okta"}`)}
		if err := tx.AddOIDCClient(ctx, &asks); err != nil {
			return err
		}
		p.client = asks.ID
		if p.delivery, err = addDelivered(ctx, tx, f.Env.ID); err != nil {
			return err
		}
		who := store.Staff{Org: f.Org.ID, ID: store.NewID(), Name: name, Mail: name + "@staff.test", Role: "user", Envs: []string{f.Env.ID}}
		if err := tx.AddStaff(ctx, &who); err != nil {
			return err
		}
		p.member = who.ID
		p.apikey, err = tx.CreateAPIKey(ctx, store.APIKey{Org: f.Org.ID, Name: "other", Hash: store.HashToken(store.NewToken()), Role: RoleUser, Envs: []string{f.Env.ID}, Enabled: true})
		return err
	})
	st.ask(t, &p)
	p.agent, p.pending, p.quarantined = st.enrol(t, f, 1), st.enrol(t, f, 2), st.enrol(t, f, 3)
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.OpenConflict(ctx, f.Env.ID, p.quarantined.ID, "the first instance")
	})
	return p
}

// ask puts a request, a template and a person who shared a name into a place.
func (st *stack) ask(t *testing.T, p *place) {
	t.Helper()
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		r, err := st.api.Requests.Create(ctx, tx, request.Order{Env: p.Env.ID, Origin: "https://" + p.domain, Claims: []string{"name"}, MaxUses: 1})
		if err != nil {
			return err
		}
		p.request = r.ID
		row := store.Template{Env: p.Env.ID, Name: "of its own", Body: []byte("{}")}
		if err := tx.AddTemplate(ctx, &store.Template{Env: p.Env.ID, Name: "the default", Default: true, Body: []byte(`{"enabled":true,"claim_definitions":[{"claim":"name"}]}`)}); err != nil {
			return err
		}
		if err := tx.AddTemplate(ctx, &row); err != nil {
			return err
		}
		p.template = row.ID
		person, err := tx.PersonID(ctx, p.Env.ID, "somebody")
		if err != nil {
			return err
		}
		p.subject = request.Subject(p.Env.ID, person)
		if err := tx.AddPerson(ctx, p.Env.ID, person); err != nil {
			return err
		}
		if err := tx.PutProperty(ctx, p.Env.ID, person, store.Property{Claim: "name", Value: []byte(`"Alice"`)}); err != nil {
			return err
		}
		return tx.AddShare(ctx, p.Env.ID, store.Share{Request: r.ID, Person: person, Claims: []string{"name"}})
	})
}

// enrol enrols an agent by a ticket, as the tunnel does.
func (st *stack) enrol(t *testing.T, f storetest.Fixture, n int) (a store.Agent) {
	t.Helper()
	secret := store.NewToken()
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateTicket(ctx, f.Env.ID, f.Directory.ID, store.HashToken(secret), time.Minute); err != nil {
			return err
		}
		var err error
		a, err = tx.EnrolAgent(ctx, store.HashToken(secret), store.Agent{NoiseKey: []byte(secret[:32]), SignKey: []byte(secret[:32]), Name: fmt.Sprint("host", n)})
		return err
	})
	return a
}

func (st *stack) addKey(t *testing.T, k store.APIKey) string {
	t.Helper()
	text := store.NewAPIKey()
	k.Name, k.Hash, k.Enabled = "test", store.HashToken(text), true
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateAPIKey(ctx, k)
		return err
	})
	return text
}

func (st *stack) tx(t *testing.T, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := st.store.Tx(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   string
}

// decode reads a member of the answer's object.
func (r reply) member(t *testing.T, name string) any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("%q: %v", r.body, err)
	}
	return m[name]
}

// do sends a request with a key as Bearer; "" sends none.
func (st *stack) do(t *testing.T, key, method, path, body string, change ...func(*http.Request)) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, st.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for _, f := range change {
		f(req)
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) reply {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// body is the example of a row, for the place.
func (p place) body(pattern string) string {
	i := slices.IndexFunc(routes(), func(r row) bool { return r.pattern == pattern })
	return p.fill(routes()[i].example)
}

// fill puts what is in the place where an example has a name for it. Pictures are packed
// only where they are named: hardly any of the thousands of bodies is one.
func (p place) fill(text string) string {
	inJSON := func(s string) string { q := strconv.Quote(s); return q[1 : len(q)-1] }
	text = strings.NewReplacer("{env}", p.Env.ID, "{directory}", p.Directory.ID, "{domain}", p.domain, "{account}", p.account.ID, "{subject}", p.subject,
		"{request}", p.request, "{template}", p.template, "{apikey}", p.apikey.ID, "{agent}", p.agent.ID, "{secret}", "postern_canary",
		"{fingerprint}", protocol.Fingerprint(p.pending.NoiseKey, p.pending.SignKey), "{pem}", inJSON(p.pem), "{signer}", inJSON(p.signer)).Replace(text)
	for name, packed := range map[string]func() string{"{photo}": aFace, "{selfie}": aSelfie, "{photos}": func() string { return archiveOf(p.account.ID+".png", aFace()) }} {
		if strings.Contains(text, name) {
			text = strings.ReplaceAll(text, name, packed())
		}
	}
	return text
}

// path fills a row's path with what is in the place.
func (p place) path(pattern string) string {
	_, path, _ := strings.Cut(pattern, " ")
	agent := p.agent.ID
	if strings.HasSuffix(path, "/confirm") {
		agent = p.pending.ID
	}
	if strings.HasSuffix(path, "/release") {
		agent = p.quarantined.ID
	}
	path = strings.NewReplacer("{env}", p.Env.ID, "{directory}", p.Directory.ID, "{domain}", p.domain, "{agent}", agent,
		"{account}", p.account.ID, "{apikey}", p.apikey.ID, "{member}", p.member, "{trust}", p.trust, "{provider}", p.provider, "{client}", p.client, "{evaluation}", p.evaluation, "{delivery}", p.delivery, "{event}", p.event, "{destination}", p.destination,
		"{request}", p.request, "{template}", p.template, "{subject}", p.subject, "{scopes}", "name,birth_date").Replace(path)
	query := url.Values{}
	for _, r := range routes() {
		for _, param := range r.query {
			if r.pattern == pattern && param.example != "" {
				query.Add(param.name, p.fill(param.example))
			}
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

// prepare brings the place into the state that a row needs.
func (st *stack) prepare(t *testing.T, p place, pattern string) {
	t.Helper()
	switch {
	case strings.Contains(pattern, "{event}"):
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.AppendAudit(ctx, store.AuditRow{ID: p.event, Org: p.Org.ID, Env: p.Env.ID, Kind: "env_updated", Leaf: `{"id":"` + p.event + `","kind":"env_updated"}`})
		})
	case strings.HasSuffix(pattern, "/sync/confirm"):
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE directories SET sync_pending = $1 WHERE id = $2", `{"reason":"shrink","missing":9,"of":20}`, p.Directory.ID)
			return err
		})
	case pattern == "POST /api/directories/{directory}/evaluations":
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.AgentSeen(ctx, p.Env.ID, p.agent.ID, "n", "v", "g", true), tx.RemoveEvaluation(ctx, p.Env.ID, p.evaluation))
		})
	case strings.HasSuffix(pattern, "/picture"), strings.HasSuffix(pattern, "/selfie"):
		st.shareSelfie(t, p)
		st.analyzer(t, p, sure)
	case pattern == "DELETE /api/accounts/{account}/photo":
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.SetAccountPhoto(ctx, p.Env.ID, p.account.ID, "sum", []byte("face"))
		})
	case strings.HasSuffix(pattern, "/storage/test"):
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.SetStorage(ctx, p.Env.ID, []byte(`{"azure_blob_eu":"http://127.0.0.1:1/c?sig=x"}`)) // nobody answers
		})
	case strings.HasPrefix(pattern, "DELETE ") && strings.HasSuffix(pattern, "/logo"):
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			l := store.NewLogo("mobile", "image/png", []byte("logo"))
			return errors.Join(tx.SetLogo(ctx, p.Env.ID, l), tx.SetDirectoryLogo(ctx, p.Env.ID, p.Directory.ID, l))
		})
	case strings.HasSuffix(pattern, "/former-webhook-secret"):
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			for range 2 {
				if _, err := tx.RenewWebhookSecret(ctx, p.Env.ID, time.Hour); err != nil {
					return err
				}
			}
			return nil
		})
	case strings.HasSuffix(pattern, "agent-token"):
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE directories SET native_since = 0, kind = 'custom' WHERE id = $1", p.Directory.ID)
			return err
		})
	}
}

// buckets are those of a coordinator.
type buckets struct{ coord.Buckets }

func (b buckets) Take(ctx context.Context, key string, burst int, every time.Duration) (bool, time.Duration, error) {
	return b.Buckets.Take(ctx, key, coord.Rate{Burst: burst, Every: every})
}

// unsent takes every mail.
type unsent struct{}

func (unsent) Usable() bool                                               { return true }
func (unsent) QueueStaff(context.Context, *store.Tx, staff.Message) error { return nil }
func (unsent) Wake()                                                      {}

// method is the method of a pattern.
func method(pattern string) string {
	m, _, _ := strings.Cut(pattern, " ")
	return m
}

// providerBody is an outside identity provider for the place's directory.
func (p place) providerBody() string { return p.body("POST /api/envs/{env}/identity-providers") }
