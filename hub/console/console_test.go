package console

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
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

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/audit/audittest"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/terminal"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/hub/verify/manual"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// connected adds connections to what the real tunnels say of the agents in the store.
type connected struct {
	*tunnel.Tunnels
	live map[string][]tunnel.TunnelStatus // by agent
	says map[string]func() (protocol.Examination, error)
}

// Examine answers for agents of which a test says what they say.
func (c connected) Examine(ctx context.Context, env, directory, agent string) (protocol.Examination, error) {
	if say := c.says[agent]; say != nil {
		return say()
	}
	return c.Tunnels.Examine(ctx, env, directory, agent)
}

func (c connected) Status(ctx context.Context, env string) ([]tunnel.AgentStatus, error) {
	list, err := c.Tunnels.Status(ctx, env)
	for i := range list {
		list[i].Tunnels = c.live[list[i].ID]
	}
	return list, err
}

// asked records for which directories a synchronisation was asked.
type asked struct {
	*directory.Directories
	now []string
}

func (a *asked) SyncNow(_ context.Context, _, id string) error {
	a.now = append(a.now, id)
	return nil
}

// A rig is a console over real stores, tunnels and directories.
type rig struct {
	storetest.Fixture
	t         *testing.T
	store     *store.Store
	agents    connected
	sync      *asked
	url       string
	reviews   *review.Reviews
	manuals   *manual.Manuals
	terminals *terminal.Terminals
	acts      *ordered
	desk      byHandOffice
	audit     *audit.Log
	logs      *bytes.Buffer
	mail      outlet
	signer    *signer.Agent
	clock     atomic.Int64 // how far the store's is ahead
}

// An outlet is a mail server, or none.
type outlet struct{ none atomic.Bool }

func (o *outlet) Usable() bool { return !o.none.Load() }

// ahead sets the clock forward.
func (g *rig) ahead(d time.Duration) { g.clock.Add(int64(d)) }

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, logs: &bytes.Buffer{}, acts: &ordered{}}
	c := storetest.SQLite(t)
	c.Now = func() time.Time { return time.Now().Add(time.Duration(g.clock.Load())) }
	s := storetest.Open(t, c)
	audittest.Watch(t, s)
	g.Fixture, g.store = storetest.Seed(t, s), s
	log := slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), g.logs), nil))
	local := coord.NewLocal()
	t.Cleanup(func() { _ = local.Close() })
	mesh, err := coord.NewMesh(coord.MeshConfig{Coord: local, MasterKey: storetest.MasterKey, Name: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	g.agents = connected{tunnel.New(tunnel.Config{Store: s, Coord: local, Mesh: mesh, Log: log}), map[string][]tunnel.TunnelStatus{}, map[string]func() (protocol.Examination, error){}}
	g.sync = &asked{Directories: directory.New(directory.Config{Store: s, Leases: local, Log: log})}
	g.reviews = review.New(s, log)
	g.manuals = manual.New(s, &g.desk, &g.desk, log)
	g.manuals.Flow = &g.desk
	g.terminals = terminal.New(terminal.Config{Store: s, Buckets: freely{}, Log: log})
	exports := export.New(export.Config{Store: s, Client: http.DefaultClient, Dial: new(net.Dialer).DialContext, Host: "id.vendor.test", Log: log})
	g.audit = audit.NewLog(audit.LogConfig{Store: s, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Origin: auditlog.Origin("id.vendor.test"), Log: log})
	if g.signer, err = signer.New(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.signer.Close() })
	pages := New(Config{Evaluations: evaluation.New(evaluation.Config{Store: s, Log: log}), Mail: &g.mail, Signer: g.signer, Trust: wallet.NewLists(time.Now), Audit: g.audit, Exports: exports, Terminals: g.terminals, Acts: g.acts, Orders: g.acts, Reviews: g.reviews, Manuals: g.manuals, Transcripts: g.reviews, Badges: g.reviews, Providers: provider.New(provider.Config{Store: s, Client: http.DefaultClient, Now: time.Now}), Members: staff.New(staff.Config{Store: s, Log: log, Wait: -1}), SiteOrigin: func(d string) string { return "https://" + d }, Store: s, Agents: g.agents, Directories: g.sync, Recoveries: flow.New(flow.Config{Store: s, Verifiers: []verify.Verifier{mailcode.New(nil, nil)}}), Origin: func() string { return g.url }, Log: log})
	srv := httptest.NewServer(pages)
	t.Cleanup(srv.Close)
	g.url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return g
}

func (g *rig) tx(fn func(ctx context.Context, tx *store.Tx) error) {
	g.t.Helper()
	if err := g.store.Tx(g.t.Context(), func(tx *store.Tx) error { return fn(g.t.Context(), tx) }); err != nil {
		g.t.Fatal(err)
	}
}

// newLink makes a one-time link and returns its path.
func (g *rig) newLink() string {
	secret := store.NewToken()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateConsoleLink(ctx, g.Env.Org, store.HashToken(secret))
	})
	return LinkPath + secret
}

// enrol adds an agent to the directory of the fixture.
func (g *rig) enrol(name string, seed byte) store.Agent {
	g.t.Helper()
	var a store.Agent
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		hash := store.NewID()
		if _, err = tx.CreateTicket(ctx, g.Env.ID, g.Directory.ID, hash, time.Minute); err != nil {
			return err
		}
		a, err = tx.EnrolAgent(ctx, hash, store.Agent{Name: name, NoiseKey: bytes.Repeat([]byte{seed}, 32), SignKey: bytes.Repeat([]byte{seed + 1}, 32)})
		if err == nil {
			err = tx.AgentSeen(ctx, g.Env.ID, a.ID, name, "1.0", "", false)
		}
		return err
	})
	return a
}

func (g *rig) connect(a store.Agent, change ...func(*tunnel.TunnelStatus)) {
	s := tunnel.TunnelStatus{NodeName: "node-1", Agent: a.ID, Directory: a.Directory, State: protocol.AgentActive, Address: "192.0.2.9", LastHeard: time.Now().Add(-3 * time.Second)}
	for _, f := range change {
		f(&s)
	}
	g.agents.live[a.ID] = append(g.agents.live[a.ID], s)
}

// listed finishes or fails a synchronisation of the directory.
func (g *rig) listed(f *store.SyncFailure) {
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.StartSync(ctx, g.Env.ID, g.Directory.ID, "run"); err != nil || f == nil {
			return orFinish(err, func() error {
				return tx.FinishSync(ctx, g.Env.ID, g.Directory.ID, "run", store.SyncResult{Full: true, Generation: 1, Listed: 3})
			})
		}
		_, err := tx.FailSync(ctx, g.Env.ID, g.Directory.ID, "run", *f)
		return err
	})
}

func orFinish(err error, finish func() error) error {
	if err != nil {
		return err
	}
	return finish()
}

// An admin uses the console as a browser that keeps cookies.
type admin struct {
	*rig
	client *http.Client
	status int
	header http.Header
	body   string
	at     *url.URL // of the page, after redirects
}

func (g *rig) admin() *admin {
	jar, _ := cookiejar.New(nil)
	return &admin{rig: g, client: &http.Client{Jar: jar}}
}

func (a *admin) do(method, path string, form url.Values, change ...func(*http.Request)) *admin {
	a.t.Helper()
	r, err := http.NewRequest(method, a.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", a.url)
	}
	for _, f := range change {
		f(r)
	}
	res, err := a.client.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	a.status, a.header, a.body, a.at = res.StatusCode, res.Header, string(b), res.Request.URL
	return a
}

func (a *admin) get(path string) *admin { a.t.Helper(); return a.do(http.MethodGet, path, nil) }

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// send posts the form of the page whose action is path, with its hidden fields.
func (a *admin) send(path string, fields url.Values) *admin {
	a.t.Helper()
	form := regexp.MustCompile(`(?s)<form method="post" action="` + regexp.QuoteMeta(path) + `".*?</form>`).FindString(a.body)
	if form == "" {
		a.t.Fatalf("no form %q in\n%s", path, a.body)
	}
	values := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(form, -1) {
		values.Set(m[1], m[2])
	}
	maps.Copy(values, fields)
	return a.do(http.MethodPost, path, values)
}

func (a *admin) sees(status int, texts ...string) *admin {
	a.t.Helper()
	if a.status != status {
		a.t.Errorf("status %d, want %d", a.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.t.Errorf("no %q in\n%s", text, a.body)
		}
	}
	return a
}

func (g *rig) signedIn() *admin {
	g.t.Helper()
	link := g.newLink()
	return g.admin().get(link).send(link, nil).sees(200, "Is recovery working?")
}

func TestP07_LinkSignsInOnceAndByTheButtonOnly(t *testing.T) {
	g := newRig(t)
	link := g.newLink()
	for range 3 { // programs that look behind links
		g.admin().get(link).sees(200, "Sign in to the console?")
		g.admin().do(http.MethodHead, link, nil)
	}
	a := g.admin().get(link).send(link, nil).sees(200, "Is recovery working?")
	g.admin().get(link).send(link, nil).sees(403, "This link does not work any more")
	a.get("/console").sees(200, "Is recovery working?")
	a.send("/console/sign-out", nil).sees(200, "You are signed out")
	a.get("/console").sees(403, "You are not signed in", "postern init --console-link")
	rows, err := store.Get(t.Context(), g.store, func(tx *store.Tx) ([]audit.Record, error) {
		return audit.List(t.Context(), tx, g.Env.Org, store.AuditFilter{Count: 10})
	})
	if err != nil || len(rows) != 2 || rows[0].Kind != audit.ConsoleSignout || rows[1].Kind != audit.ConsoleSignin {
		t.Errorf("audit rows %v, %v; want a sign-in and its end", rows, err)
	}
}

func TestP24_SessionIsStrictAndEverythingNeedsIt(t *testing.T) {
	g := newRig(t)
	link := g.newLink()
	a := g.admin()
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a.get(link).send(link, nil)
	cookie := a.header.Get("Set-Cookie")
	if a.status != http.StatusSeeOther || !strings.Contains(cookie, "SameSite=Strict") || !strings.Contains(cookie, "HttpOnly") {
		t.Errorf("status %d, cookie %s", a.status, cookie)
	}
	stranger := g.admin().get("/console")
	if stranger.header.Get("Content-Security-Policy") != page.Policy || stranger.header.Get("Cache-Control") != "no-store" {
		t.Error("headers:", stranger.header)
	}
	stranger.get(link) // a form token without a session
	token := hidden.FindStringSubmatch(stranger.body)[2]
	for _, path := range []string{"/console/sync", "/console/sync/confirm", "/console/agents/confirm", "/console/agents/resolve", "/console/agents/examine", "/console/accounts", "/console/accounts/reopen", "/console/accounts/unblock", "/console/sign-out"} {
		values := url.Values{"form": {token}, "env": {g.Env.ID}, "directory": {g.Directory.ID}}
		stranger.do(http.MethodPost, path, values).sees(403, "You are not signed in")
		stranger.get(path).sees(405)
		a.client.CheckRedirect = nil
		a.do(http.MethodPost, path, url.Values{"form": {"guess"}, "env": {g.Env.ID}}).sees(403)
		a.do(http.MethodPost, path, values, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }).sees(403)
	}
	if len(g.sync.now) > 0 {
		t.Error("something was synchronised")
	}
	for _, path := range []string{"/console/nothing", "/console/", "/console//", "/consolex", "/console/link/"} {
		if a.get(path); a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// mailStuck says that the mail server does not know the hub's password.
func (g *rig) mailStuck() {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.MailStuck(ctx, g.Env.ID, store.MailTrouble{Node: "edge1", Step: "sign_in", Reason: "answer 535 5.7.8"}, false)
		return err
	})
}

func TestStatusAnswersWhetherRecoveryWorks(t *testing.T) {
	g := newRig(t)
	a := g.signedIn().sees(200, "Not set up", "No agent serves this directory yet", "Never synchronised", "There is no recovery domain yet", "Nobody has recovered an account yet")
	agent := g.enrol("dc-agent-1", 1)
	a.get("/console").sees(200, "Not working", "not connected", protocol.Fingerprint(agent.NoiseKey, agent.SignKey))
	g.connect(agent)
	a.get("/console").sees(200, "Needs attention", "The accounts have not been listed yet", "node-1, from 192.0.2.9")
	g.listed(nil)
	a.get("/console").sees(200, "Working", "Nothing needs you", "Last synchronised at")
	g.mail.none.Store(true)
	a.get("/console").sees(200, "the hub has no mail server", "Set smtp in the Caddyfile")
	g.mail.none.Store(false)
	g.mailStuck()
	a.get("/console").sees(200, "mails are not going out", "The hub on edge1 cannot send mails since", "answer 535 5.7.8", "Check user and password_file", "postern -e "+g.Env.ID+" mail test")
	g.tx(func(ctx context.Context, tx *store.Tx) error { _, err := tx.MailFlows(ctx, "edge1"); return err })
	a.get("/console").sees(200, "Nothing needs you")
	g.listed(&store.SyncFailure{Error: "the directory closed the connection <1>"})
	a.get("/console").sees(200, "Needs attention", "the directory closed the connection &lt;1&gt;", "the last synchronisation did not finish")
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		e := g.Env
		e.Microsite.RequestMails = 1
		err := tx.UpdateEnvironment(ctx, e)
		for range 2 {
			if _, _, e := tx.CountRequestMail(ctx, g.Env.ID); e != nil {
				err = e
			}
		}
		return err
	})
	a.get("/console").sees(200, "no more mails go today to people who answer requests", g.Env.Name)
	g.agents.live[agent.ID][0].SkewWarn, g.agents.live[agent.ID][0].Skew = true, -3*time.Minute
	a.get("/console?lang=de").sees(200, "Funktioniert die Wiederherstellung?", "seine Uhr geht 3 Minuten nach", "Braucht Aufmerksamkeit")
}

// T5: the page says whom this hub alone can reset, by the weakest agent that serves.
func TestT05_ThePageSaysWhomTheHubAloneCanReset(t *testing.T) {
	g := newRig(t)
	strict := g.enrol("strict", 1)
	g.connect(strict, func(s *tunnel.TunnelStatus) {
		s.Groups = []protocol.GroupTrust{{Group: "Finance", Delay: 3600}, {Group: "HR", Confirm: true}, {Group: "*", HubCanReset: true}}
	})
	g.listed(nil)
	a := g.signedIn()
	a.sees(http.StatusOK, "<b>Finance</b>: no · the agent waits 60 minutes", "<b>HR</b>: no · the owner confirms to the agent", "<b>everybody else</b>: yes")
	g.connect(g.enrol("loose", 2)) // an older file
	page := a.get("/console").sees(http.StatusOK, "<b>everybody else</b>: yes")
	if strings.Contains(page.body, "Finance") {
		t.Error("the weakest agent does not decide")
	}
}

func TestSynchronisationIsAskedForAndFollowed(t *testing.T) {
	g := newRig(t)
	g.connect(g.enrol("dc-agent-1", 1))
	a := g.signedIn().send("/console/sync", nil).sees(200)
	if len(g.sync.now) != 1 || g.sync.now[0] != g.Directory.ID {
		t.Errorf("asked for %v", g.sync.now)
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.StartSync(ctx, g.Env.ID, g.Directory.ID, "run"); err != nil {
			return err
		}
		return tx.SyncProgress(ctx, g.Env.ID, g.Directory.ID, "run", 1250, 5000)
	})
	a.get("/console").sees(200, "1,250 of about 5,000 accounts listed", `value="25"`, "data-follow")
	if strings.Contains(a.body, `action="/console/sync"`) {
		t.Error("a running synchronisation can be asked for")
	}
}

func TestShrinkAndAnotherDirectoryWaitForAnAnswer(t *testing.T) {
	g := newRig(t)
	g.connect(g.enrol("dc-agent-1", 1))
	g.listed(&store.SyncFailure{Error: "too many are missing", Pending: store.Pending{Reason: store.PendingShrink, Missing: 40, Of: 100}})
	a := g.signedIn().sees(200, "Many accounts have disappeared", "40 of 100 accounts", "many accounts have disappeared: is that right?")
	a.send("/console/sync/confirm", nil).sees(200)
	d, err := store.Get(t.Context(), g.store, func(tx *store.Tx) (store.Directory, error) {
		return tx.Directory(t.Context(), g.Env.ID, g.Directory.ID)
	})
	if err != nil || !d.Sync.Pending.Confirmed || len(g.sync.now) != 1 {
		t.Errorf("pending %+v, asked %v, %v", d.Sync.Pending, g.sync.now, err)
	}
	g.listed(&store.SyncFailure{Pending: store.Pending{Reason: store.PendingFingerprint, Fingerprint: "x"}})
	a.get("/console").sees(200, "The agent serves another directory")
}

func TestT19_FurtherAgentIsConfirmedByItsFingerprint(t *testing.T) {
	g := newRig(t)
	g.enrol("first", 1)
	second := g.enrol("second", 3)
	print := protocol.Fingerprint(second.NoiseKey, second.SignKey)
	a := g.signedIn().sees(200, "an agent waits until you compare its fingerprint", print)
	a.send("/console/agents/confirm", url.Values{"fingerprint": {"AAAA-BBBB-CCCC-DDDD"}}).sees(409, "The fingerprint has changed")
	a.get("/console").send("/console/agents/confirm", nil).sees(200)
	if strings.Contains(a.body, "waits for confirmation") {
		t.Error("still pending")
	}
	stored, err := store.Get(t.Context(), g.store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(t.Context(), g.Env.ID, second.ID) })
	if err != nil || stored.State != protocol.AgentActive {
		t.Errorf("state %s, %v", stored.State, err)
	}
}

func TestT29_ConflictOfTwoProcessesIsShownAndDecided(t *testing.T) {
	g := newRig(t)
	agent := g.enrol("cloned", 1)
	g.connect(agent)
	g.connect(agent, func(s *tunnel.TunnelStatus) { s.State = protocol.AgentQuarantined })
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.OpenConflict(ctx, g.Env.ID, agent.ID, "instance")
	})
	a := g.signedIn().sees(200, "two processes use the key of one agent", "quarantined", "revoke the agent")
	a.send("/console/agents/resolve", nil).sees(200)
	if strings.Contains(a.body, "two processes use the key") {
		t.Error("the conflict is still open")
	}
}

// stopped is an agent that was shown two histories of the audit log.
func stopped(ctx context.Context, tx *store.Tx, a store.Agent) error {
	_, err := tx.AgentStopped(ctx, a.Env, a.ID, strings.Repeat("3f9a", 16))
	return err
}

func TestT09_AnAgentThatStoppedBecauseOfTheLogIsShown(t *testing.T) {
	g := newRig(t)
	agent := g.enrol("witness", 1)
	g.connect(agent)
	a := g.signedIn().sees(200, "witness")
	if strings.Contains(a.body, "accept-log") {
		t.Error("an agent that acts is said to do nothing")
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error { return stopped(ctx, tx, agent) })
	g.signedIn().sees(200, "postern-agent accept-log", strings.Repeat("3f9a", 16))
}

func TestT25_OtherOrganisationsAreOutOfReach(t *testing.T) {
	g := newRig(t)
	a := g.signedIn()
	token := hidden.FindStringSubmatch(a.body)[2]
	var other store.Environment
	var foreign store.Directory
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		org, err := tx.CreateOrganisation(ctx, store.Organisation{Name: "other"})
		if err == nil {
			other, err = tx.CreateEnvironment(ctx, store.Environment{Org: org.ID, Name: "other-env"})
		}
		if err == nil {
			foreign, err = tx.CreateDirectory(ctx, store.Directory{Env: other.ID, Kind: "ldap", Name: "foreign"})
		}
		return err
	})
	if a.get("/console"); strings.Contains(a.body, "foreign") || strings.Contains(a.body, other.ID) {
		t.Error("another organisation is shown")
	}
	for _, path := range []string{"/console/sync", "/console/sync/confirm", "/console/agents/confirm", "/console/agents/resolve", "/console/agents/examine", "/console/accounts", "/console/accounts/reopen", "/console/accounts/unblock"} {
		a.do(http.MethodPost, path, url.Values{"form": {token}, "env": {other.ID}, "directory": {foreign.ID}}).sees(404)
		a.do(http.MethodPost, path, url.Values{"form": {token}, "env": {""}}).sees(404)
	}
	a.do(http.MethodPost, "/console/sync", url.Values{"form": {token}, "env": {g.Env.ID}, "directory": {foreign.ID}}).sees(200)
	if len(g.sync.now) > 0 {
		t.Error("another environment's directory was synchronised")
	}
}

// recover adds a recovery that got as far as state.
func (g *rig) recover(state, ending, problem string) {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		r := store.Recovery{Env: g.Env.ID, ID: store.NewID(), State: "choosing", Session: store.NewID(), ExpiresAt: time.Now()}
		if err := tx.AddRecovery(ctx, &r); err != nil {
			return err
		}
		r.State, r.Ending, r.Problem, r.Directory, r.Account, r.Person, r.Action = state, ending, problem, g.Directory.ID, "a", "p", "unlock"
		return tx.SaveRecovery(ctx, &r)
	})
}

func TestRecentRecoveriesAreCountedByOutcome(t *testing.T) {
	g := newRig(t)
	g.recover("done", "", "")
	g.recover("ended", "acknowledged", "")
	g.recover("unknown", "", "")
	g.recover("ended", "expired", "")
	g.recover("ended", "cancelled", "not_allowed")
	g.recover("proving", "", "")
	a := g.signedIn()
	if n := strings.Count(a.body, "unlock</td>"); n != 6 {
		t.Errorf("%d recoveries are listed, want 6", n)
	}
	a.sees(200, "done: 2", "unknown, look at it: 1", "not finished: 1", "refused: 1", "under way: 1")
}

// No page shows a word that is missing in one of the languages, at any state.
func TestEveryWordOfThePagesIsThere(t *testing.T) {
	keys := regexp.MustCompile(`"((?:console|common|error)\.[a-z_.]+)"`)
	for _, name := range []string{"layout", "status", "accounts", "link", "message"} {
		b, err := os.ReadFile("templates/" + name + ".html")
		if err != nil {
			t.Fatal(err)
		}
		g := &visit{words: page.Words{}}
		for _, lang := range []string{"en", "de"} {
			g.words.Language = languageOf(lang)
			for _, m := range keys.FindAllStringSubmatch(string(b), -1) {
				if !strings.HasSuffix(m[1], ".") && !strings.HasSuffix(m[1], ".js") && !strings.HasSuffix(m[1], ".css") && !g.words.Has(m[1]) {
					t.Errorf("%s: %s lacks %q", name, lang, m[1])
				}
			}
		}
	}
	for key := range map[string]bool{"console.why.none": true, "console.why.away": true, "console.why.credential": true, "console.why.question": true, "console.why.sync": true,
		"console.why.first": true, "console.why.ok": true, "console.health.ok": true, "console.health.wait": true, "console.health.bad": true, "console.health.off": true,
		"console.need.shrink": true, "console.need.fingerprint": true, "console.fingerprint.title": true, "console.shrink.button": true, "console.fingerprint.button": true,
		"console.mail.next.connect": true, "console.mail.next.encrypt": true, "console.mail.next.sign_in": true, "console.mail.next.sender": true, "console.mail.next.recipient": true, "console.mail.next.words": true} {
		if !(page.Words{Language: languageOf("de")}).Has(key) {
			t.Errorf("no text %q", key)
		}
	}
}

func TestConsoleIsAccessibleAndFollowsASynchronisation(t *testing.T) {
	g := newRig(t)
	agent := g.enrol("dc-agent-1.corp.example.com", 1)
	g.connect(agent, func(s *tunnel.TunnelStatus) { s.SkewWarn, s.Skew = true, 4*time.Minute })
	g.enrol("dc-agent-2.corp.example.com", 3)
	g.listed(&store.SyncFailure{Error: "40 of 100 accounts are missing", Pending: store.Pending{Reason: store.PendingShrink, Missing: 40, Of: 100}})
	g.recover("done", "", "")
	g.recover("unknown", "", "")
	pages := strings.Repeat("0123456789abcdef", 4)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.RecordBundle(ctx, g.Env.ID, pages)
		return errors.Join(err, tx.AgentWitnessed(ctx, g.Env.ID, agent.ID, store.Witness{Size: 7, Failing: "syslog //files/audit/agent-1.jsonl"}), stopped(ctx, tx, agent))
	})
	g.mailStuck()
	b := testenv.Chromium(t)
	check := func(name string) {
		t.Helper()
		for _, dark := range []bool{false, true} {
			b.Dark(dark)
			for _, v := range b.Axe() {
				t.Errorf("%s (dark %v): %s", name, dark, v)
			}
			if dir := os.Getenv("SCREENSHOTS"); dir != "" {
				for width, what := range map[int64]string{360: "phone", 1280: "desk"} {
					b.Viewport(width, 900)
					b.Screenshot(dir + "/console-" + name + "-" + what + map[bool]string{false: "-light", true: "-dark"}[dark] + ".png")
				}
			}
		}
		b.Viewport(320, 640)
		if wide := b.Eval("document.documentElement.scrollWidth"); wide != "320" {
			t.Errorf("%s: %s pixels wide on a phone of 320", name, wide)
		}
		b.Viewport(1280, 900)
	}
	b.Open(g.url + "/console")
	check("signed-out")
	b.Open(g.url + g.newLink() + "?lang=de")
	check("link")
	b.Click("main button")
	b.WaitText("Funktioniert die Wiederherstellung?")
	check("status")
	if !strings.Contains(b.Text(), pages) {
		t.Error("the status does not show the hash of the pages (T4)")
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.StartSync(ctx, g.Env.ID, g.Directory.ID, "run"); err != nil {
			return err
		}
		return tx.SyncProgress(ctx, g.Env.ID, g.Directory.ID, "run", 1250, 5000)
	})
	b.Reload()
	b.WaitText("1.250 von etwa 5.000 Konten gelesen")
	check("running")
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.FinishSync(ctx, g.Env.ID, g.Directory.ID, "run", store.SyncResult{Full: true, Generation: 1, Listed: 5000})
	})
	b.WaitText("Zuletzt synchronisiert um") // by itself
}

func languageOf(code string) *locale.Language { return locale.Choose(nil, code) }
