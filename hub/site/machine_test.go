package site

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/agentcode"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// given is what the directory of these tests gives to everybody.
const given = "Falke-47-Moos-Tuch"

// agentsCode is the code that the agent of these tests makes and checks.
const agentsCode = "31415926"

// A machine is the product's own flow on a real store. Behind it stands, instead of
// tunnels and mail, an agent in this process that seals and signs as agents do.
type machine struct {
	*rig
	flow      *flow.Recoveries
	does      *operation.Operations
	directory string
	agent     string
	key       ed25519.PrivateKey

	mu      sync.Mutex
	hold    chan struct{} // closed when the agent may send codes; nil: at once
	begun   map[string]protocol.Members
	mails   []mailcode.Message
	notices []operation.Notice
	changes int
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{rig: newRig(t), begun: map[string]protocol.Members{}}
	fixture := storetest.Seed(t, m.store)
	m.env, m.directory = fixture.Env, fixture.Directory.ID
	var pub ed25519.PublicKey
	pub, m.key, _ = ed25519.GenerateKey(rand.Reader)
	m.tx(func(ctx context.Context, tx *store.Tx) error {
		hash := store.NewID()
		if _, err := tx.CreateTicket(ctx, m.env.ID, m.directory, hash, time.Minute); err != nil {
			return err
		}
		a, err := tx.EnrolAgent(ctx, hash, store.Agent{NoiseKey: []byte(store.NewID()), SignKey: pub})
		m.agent = a.ID
		if err != nil {
			return err
		}
		return tx.SetTraits(ctx, m.env.ID, m.directory, protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true, CanMustChange: true, CanSendCode: true})
	})
	fixture.Accounts(t, m.store, protocol.Account{ID: "1", Name: "Ada Lovelace", Identifiers: []string{"ada@acme.example"}},
		protocol.Account{ID: "2", Name: "Ben", Identifiers: []string{"ben@acme.example"}, Disabled: true},
		protocol.Account{ID: "3", Name: "Cy", Identifiers: []string{"twin@acme.example"}}, protocol.Account{ID: "4", Name: "Di", Identifiers: []string{"twin@acme.example"}})
	m.links = &token.Links{Keys: m.store}
	local := coord.NewLocal()
	t.Cleanup(func() { _ = local.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	m.does = operation.New(operation.Config{Store: m.store, Agents: m, Notifier: m, Log: log})
	m.flow = flow.New(flow.Config{
		Store: m.store, Operations: m.does, Links: m.links, Buckets: pass{}, Log: log, LookEvery: 20 * time.Millisecond,
		Verifiers: []verify.Verifier{
			mailcode.New(m, func() [][]byte { return m.store.DeriveKeys(mailcode.KeyPurpose) }), agentcode.New(operation.Caller{Agents: m}),
		},
	})
	m.site.cfg.Handovers, m.site.cfg.Recoveries, m.site.cfg.Proofs, m.site.cfg.Changes, m.site.cfg.Notices, m.site.cfg.Links = m.flow, m.flow, m.flow, m.does, m.does, m.links
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = m.flow.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return m
}

func (m *machine) tx(fn func(ctx context.Context, tx *store.Tx) error) {
	m.t.Helper()
	ctx := context.WithoutCancel(m.t.Context())
	if err := m.store.Tx(ctx, func(tx *store.Tx) error { return fn(ctx, tx) }); err != nil {
		m.t.Fatal(err)
	}
}

// pass lets every client in.
type pass struct{}

func (pass) Take(context.Context, string, int, time.Duration) (bool, error) { return true, nil }

// SendCode implements mailcode.Sender.
func (m *machine) SendCode(_ context.Context, msg mailcode.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, msg)
	return nil
}

// Queue implements operation.Notifier.
func (m *machine) Queue(_ context.Context, _ *store.Tx, n operation.Notice) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notices = append(m.notices, n)
	return nil
}

// Wake implements operation.Notifier.
func (m *machine) Wake() {}

// Reachable implements operation.Agents.
func (m *machine) Reachable(context.Context, string, string) bool { return true }

// holdCodes lets the agent send no code until release is called.
func (m *machine) holdCodes() (release func()) {
	hold := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold = hold
	return func() { close(hold) }
}

// held waits until the agent may send codes.
func (m *machine) held(ctx context.Context) {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold == nil {
		return
	}
	select {
	case <-hold:
	case <-ctx.Done():
	}
}

// Call implements operation.Agents: the agent's side of begin and contacts.
func (m *machine) Call(ctx context.Context, _ operation.To, method protocol.Method, _ protocol.Priority, req, resp any) error {
	if method == protocol.MethodSendCode {
		m.held(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch q := req.(type) {
	case protocol.BeginRequest:
		own := make([]byte, protocol.RandomPart)
		_, _ = rand.Read(own)
		b := protocol.Begun{Agent: m.agent, Recovery: own, Account: q.Account, NotAfter: time.Now().Add(15 * time.Minute).Unix()}
		id := protocol.RecoveryID(q.Recovery, own)
		m.begun[id] = protocol.Members{Recovery: id, Directory: m.directory, Account: q.Account, Operation: q.Operation, NotAfter: b.NotAfter}
		*resp.(*protocol.Begun) = b
		return nil
	case protocol.SendCodeRequest:
		resp.(*protocol.SentCode).Masked = []string{"a•••@agent.example"}
		return nil
	case protocol.CheckCodeRequest:
		resp.(*protocol.CheckedCode).OK = q.Code == agentsCode
		return nil
	case protocol.RecoveryRef:
		if c, ok := resp.(*protocol.Contacts); ok {
			*c = protocol.Contacts{Mail: []string{"ada@private.example"}, Primary: []string{"ada@acme.example"}}
		}
		return nil
	}
	return protocol.Err(protocol.CodeUnsupported, "method")
}

// Execute implements operation.Agents: the node that holds the tunnel.
func (m *machine) Execute(ctx context.Context, to operation.To, id string) error {
	return m.does.Execute(ctx, to, id, func(_ context.Context, _ string, q protocol.PerformRequest) (out protocol.Outcome, err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		own := m.begun[q.Members.Recovery]
		own.Recipient = q.Members.Recipient
		if own.Context() != q.Context {
			return out, protocol.Err(protocol.CodeBadRequest, "another context")
		}
		m.changes++
		out = protocol.Outcome{Context: q.Context, State: protocol.Done, MustChange: true}
		if len(q.Members.Recipient) > 0 {
			out.Sealed, err = seal.Seal(q.Members.Recipient, q.Context, protocol.NewSecret(given))
		}
		out.Sign(m.key)
		return out, err
	})
}

// code waits for the next mail after the first n and returns its code.
func (m *machine) code(n int) string {
	m.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		m.mu.Lock()
		if len(m.mails) > n {
			defer m.mu.Unlock()
			return m.mails[n].Code.Reveal()
		}
		m.mu.Unlock()
		<-time.After(5 * time.Millisecond)
	}
	m.t.Fatal("no code was sent")
	return ""
}

// prepared waits until nothing is prepared any more behind the recovery whose page is at path.
func (m *machine) prepared(path string) {
	m.t.Helper()
	id := strings.Split(path, "/")[2] // "/r/{id}"
	var state string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		m.tx(func(ctx context.Context, tx *store.Tx) error {
			rec, err := tx.Recovery(ctx, m.env.ID, id)
			state = rec.State
			return err
		})
		if state != recovery.Preparing {
			return
		}
	}
	m.t.Fatalf("the recovery is still %s", state)
}

func TestOwnMachineUnlocksWithoutScriptsAndTellsTheOwner(t *testing.T) {
	m := newMachine(t)
	p := m.person().asked("ada@acme.example", protocol.ActionUnlock)
	p.send("/code", url.Values{"code": {m.code(0)}}).sees(200, "Unlock your account now?", "Ada Lovelace")
	page := p.body
	p.send("/perform", nil).sees(200, "Your account is unlocked")
	p.body = page // an old page in another tab
	p.send("/perform", nil).sees(200, "Your account is unlocked")
	if m.changes != 1 {
		t.Errorf("%d changes, want 1", m.changes)
	}
	p.send("/acknowledge", nil).sees(200, "You are done")
	if len(m.notices) != 1 {
		t.Fatalf("%d notices", len(m.notices))
	}
	link := "/not-me?token=" + m.notices[0].Token.Reveal()
	p = m.person().get(link).sees(200, "Did you not ask for this?", "Ada Lovelace")
	p.get(link).sees(200, "Did you not ask for this?") // reading it did nothing
	p.send("/not-me", nil).sees(200, "Recovery of your account is blocked")
	p.get(link).sees(200, "Recovery of your account is blocked")
}

func TestOwnMachineSealsToTheBrowserThatAsked(t *testing.T) {
	m := newMachine(t)
	b := testenv.Chromium(t)
	b.Open(m.url + "/?lang=de&op=password")
	b.Type("#email", "ada@acme.example")
	b.Press("\r")
	b.WaitText("Was brauchen Sie?")
	b.Click("label:has([value=password])")
	b.Click("main form button")
	b.WaitText("Wie lautet der Code")
	b.Type("#code", m.code(0))
	b.Press("\r")
	b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready`)
	b.Reload()
	b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready`)
	b.Click("#perform")
	b.Wait(`document.querySelector('[data-do=show]') && !document.querySelector('[data-do=show]').hidden`)
	b.Click("[data-do=show]")
	b.Wait(`document.querySelector('.shown span')`)
	if got := shown(b); got != given {
		t.Errorf("shown %q, want %q", got, given)
	}
	b.Click("form[action*=acknowledge] button")
	b.WaitText("Sie sind fertig")
	if m.changes != 1 {
		t.Errorf("%d changes, want 1", m.changes)
	}
}

// The page and the product's own machine together: known, unknown, disabled and
// ambiguous addresses are told apart by nothing up to the first code entry.
func TestP09_T30_OwnMachineShowsTheSameForEveryAddress(t *testing.T) {
	m := newMachine(t)
	walk := func(address string) (seen []string) {
		p := m.person().asIs()
		note := func() { seen = append(seen, p.structure()) }
		p.get("/").send("/start", url.Values{"email": {address}})
		note()
		p.get(p.header.Get("Location"))
		note()
		p.send("/choose", url.Values{"op": {"unlock"}})
		note()
		p.get(p.header.Get("Location"))
		note()
		p.send("/resend", nil)
		note()
		for range 6 {
			p.get(p.at.Path[:len("/r/")+22])
			if p.status != 200 {
				break
			}
			p.send("/code", url.Values{"code": {"00000000"}})
			note()
		}
		p.get(p.at.Path[:len("/r/")+22])
		note()
		return seen
	}
	known := walk("ada@acme.example")
	for _, other := range []string{"nobody@acme.example", "ben@acme.example", "twin@acme.example"} {
		got := walk(other)
		if len(got) != len(known) {
			t.Fatalf("%s: %d answers, want %d", other, len(got), len(known))
		}
		for i := range known {
			if got[i] != known[i] {
				t.Errorf("%s differs at answer %d:\n%s\n\n%s", other, i, got[i], known[i])
			}
		}
	}
	if strings.Contains(strings.Join(known, ""), "Lovelace") {
		t.Error("a name before the proof")
	}
}

func TestT32_OwnMachineUsesALinkUpByTheFormOnly(t *testing.T) {
	m := newMachine(t)
	m.settings(func(e *store.Environment) { e.Microsite.RequirePresigned = true })
	m.person().get("/").sees(403, "Please open the link that you were given")
	text := mint(t, m.rig, token.Request{Email: "ada@acme.example", OneShot: true, Operations: []protocol.Action{protocol.ActionUnlock}})
	for range 3 {
		m.person().get("/?id_token="+text).sees(200, `value="ada@acme.example"`)
	}
	p := m.person().get("/?id_token=" + text)
	p.send("/start", url.Values{"email": {"eve@acme.example"}}).sees(422, "Your link is for another address")
	p.send("/start", nil).sees(422, "Type your work email address")
	p.send("/start", url.Values{"email": {"ada@acme.example"}}).sees(200, "My account unlocked")
	if strings.Contains(p.body, "A new password") {
		t.Error("the link's restriction is not kept")
	}
	p = m.person().get("/?id_token=" + text)
	p.send("/start", url.Values{"email": {"ada@acme.example"}}).sees(403, "This link does not work any more")
}
