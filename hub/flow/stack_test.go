package flow_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
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

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// clock runs with the real one, and can be set forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// stack is one node on a real store, with an agent and everything that it sends.
type stack struct {
	node
	t        *testing.T
	clock    *clock
	store    *store.Store
	fixture  storetest.Fixture
	agent    *testAgent
	tunnels  *tunnels
	mail     *mailbox
	notices  *notices
	alarms   *alarms
	links    *token.Links
	config   config
	kill     func() // ends the first node's Run
	env, dir string
}

// A config is what one node is made of.
type config struct {
	flow.Config
	does operation.Config
}

// A node leads people and carries out what they proved.
type node struct {
	*flow.Recoveries
	*operation.Operations
}

func (c config) open() node {
	c.Operations = operation.New(c.does)
	return node{flow.New(c.Config), c.Operations}
}

// eachStore runs a test on both databases.
func eachStore(t *testing.T, test func(t *testing.T, s *stack)) {
	t.Helper()
	storetest.EachConfig(t, func(t *testing.T, c store.Config) { test(t, newStack(t, c, nil)) })
}

func newStack(t *testing.T, c store.Config, change func(*config)) *stack {
	t.Helper()
	s := &stack{t: t, clock: &clock{}, mail: &mailbox{}, notices: &notices{}, alarms: &alarms{}}
	c.Now = s.clock.now
	s.store = storetest.Open(t, c)
	s.fixture = storetest.Seed(t, s.store)
	s.env, s.dir = s.fixture.Env.ID, s.fixture.Directory.ID
	s.agent = newAgent(t, s.clock.now)
	s.enrol(s.agent, s.dir)
	s.traits(protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true, CanMustChange: true, CanRemoveAllMFA: true, CanSendCode: true})
	s.tunnels = &tunnels{agents: []*testAgent{s.agent}}
	s.links = &token.Links{Keys: s.store, Now: s.clock.now}
	local := coord.NewLocal()
	t.Cleanup(func() { _ = local.Close() })
	s.config.does = operation.Config{
		Store: s.store, Agents: s.tunnels, Notifier: s.notices, Alarms: s.alarms, Log: s.logger(), Now: s.clock.now,
	}
	s.config.Config = flow.Config{
		Store: s.store, Links: s.links, Buckets: buckets{local},
		Verifiers: []verify.Verifier{
			mailcode.New(s.mail, func() [][]byte { return s.store.DeriveKeys(mailcode.KeyPurpose) }),
			agentcode.New(operation.Caller{Agents: s.tunnels}),
		},
		Log: s.config.does.Log, Now: s.clock.now, StartsPerAddress: 100_000, LookEvery: 20 * time.Millisecond,
	}
	if change != nil {
		change(&s.config)
	}
	s.node = s.config.open()
	s.tunnels.node = s.Operations
	s.kill = s.run(s.Recoveries)
	return s
}

// newStackOnStoppablePostgres returns a stack whose database can be stopped, and
// started again.
func newStackOnStoppablePostgres(t *testing.T) (s *stack, stop func() (start func())) {
	t.Helper()
	p := testenv.StartPostgres(t)
	c := storetest.SQLite(t)
	c.URL = p.Database(t)
	s = newStack(t, c, nil)
	return s, func() func() {
		p.Stop()
		return func() { p.Start(t) }
	}
}

// logger writes to the test's output. When the test ends, nothing that it wrote at any
// level may tell an address, a code or a secret (T35).
func (s *stack) logger() *slog.Logger {
	var all testenv.Buffer
	s.t.Cleanup(func() {
		text := all.String()
		canaries := []string{"@private.example", "@example.com", "192.0.2.7", password}
		for _, m := range s.mail.all() {
			canaries = append(canaries, m.Code.Reveal())
		}
		for _, c := range canaries {
			if strings.Contains(text, c) {
				s.t.Errorf("T35: the log holds %q", c)
			}
		}
	})
	return slog.New(slog.NewTextHandler(io.MultiWriter(s.t.Output(), &all), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// run runs a node until the test ends, or until stop is called.
func (s *stack) run(r *flow.Recoveries) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	s.t.Cleanup(stop)
	return stop
}

func (s *stack) tx(fn func(ctx context.Context, tx *store.Tx) error) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	if err := s.store.Tx(ctx, func(tx *store.Tx) error { return fn(ctx, tx) }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) enrol(a *testAgent, directory string) {
	s.t.Helper()
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		hash := store.NewID()
		if _, err := tx.CreateTicket(ctx, s.env, directory, hash, time.Minute); err != nil {
			return err
		}
		row, err := tx.EnrolAgent(ctx, hash, store.Agent{NoiseKey: []byte(store.NewID()), SignKey: a.key.Public().(ed25519.PublicKey)})
		a.id, a.directory = row.ID, directory
		return err
	})
}

func (s *stack) traits(t protocol.Traits) {
	s.tx(func(ctx context.Context, tx *store.Tx) error { return tx.SetTraits(ctx, s.env, s.dir, t) })
}

// settings changes what the administrator decided for the directory.
func (s *stack) settings(change func(*store.DirectorySettings)) {
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		d, err := tx.Directory(ctx, s.env, s.dir)
		if err != nil {
			return err
		}
		change(&d.Settings)
		return tx.UpdateDirectory(ctx, d)
	})
}

// person adds an account with a private address.
func (s *stack) person(id string, more ...func(*protocol.Account)) {
	s.t.Helper()
	a := protocol.Account{ID: id, Name: "Name of " + id, Identifiers: []string{id + "@example.com"}}
	for _, f := range more {
		f(&a)
	}
	s.fixture.Accounts(s.t, s.store, a)
	s.agent.set(func(t *testAgent) {
		t.contacts[id] = protocol.Contacts{Mail: []string{id + "@private.example", id + "@example.com"}, Primary: []string{id + "@example.com"}}
	})
}

// browser is one session of a recovery.
type browser struct {
	*stack
	id, session string
	key         *ecdh.PrivateKey
	recipient   []byte
}

func (s *stack) start(address string, more ...func(*flow.Start)) *browser {
	s.t.Helper()
	b, err := s.tryStart(address, more...)
	if err != nil {
		s.t.Fatalf("start for %s: %v", address, err)
	}
	return b
}

func (s *stack) tryStart(address string, more ...func(*flow.Start)) (*browser, error) {
	s.t.Helper()
	q := flow.Start{Env: s.env, Address: address, Language: "de",
		Client: recovery.Client{Address: "192.0.2.7", UserAgent: "Browser/1", Origin: "https://recover.example.com", Languages: "de-CH,de;q=0.9,en;q=0.5"}}
	for _, f := range more {
		f(&q)
	}
	id, session, err := s.Start(s.t.Context(), q)
	key, kerr := ecdh.P256().GenerateKey(rand.Reader)
	if kerr != nil {
		s.t.Fatal(kerr)
	}
	recipient, kerr := seal.Encode(key.PublicKey())
	if kerr != nil {
		s.t.Fatal(kerr)
	}
	return &browser{s, id, session, key, recipient}, err
}

func (b *browser) view() flow.View {
	b.t.Helper()
	v, err := b.View(b.t.Context(), b.env, b.id, b.session)
	if err != nil {
		b.t.Fatalf("view: %v", err)
	}
	return v
}

func (b *browser) choose(a protocol.Action) {
	b.t.Helper()
	if err := b.Choose(b.t.Context(), b.env, b.id, b.session, "", a); err != nil {
		b.t.Fatalf("choose %s: %v", a, err)
	}
}

func (b *browser) submit(code string) error {
	return b.Answer(b.t.Context(), b.env, b.id, b.session, code)
}

func (b *browser) press() error {
	return b.Perform(b.t.Context(), b.env, b.id, b.session, b.recipient)
}

// row is what the store says, whoever asks.
func (b *browser) row() store.Recovery {
	b.t.Helper()
	rec, err := store.Get(b.t.Context(), b.store, func(tx *store.Tx) (store.Recovery, error) { return tx.Recovery(b.t.Context(), b.env, b.id) })
	if err != nil {
		b.t.Fatal(err)
	}
	return rec
}

// settled waits until nobody works behind the answers of this recovery.
func (b *browser) settled(states ...string) store.Recovery {
	b.t.Helper()
	var rec store.Recovery
	b.wait("state "+states[0], func() bool {
		rec = b.row()
		for _, s := range states {
			if rec.State == s {
				return true
			}
		}
		return false
	})
	return rec
}

// wait polls until ok.
func (s *stack) wait(what string, ok func() bool) {
	s.t.Helper()
	testenv.Eventually(s.t, what, ok)
}

// asked goes to code entry and returns the code that came by mail.
func (s *stack) asked(address string, a protocol.Action) (*browser, string) {
	s.t.Helper()
	b := s.start(address)
	b.choose(a)
	return b, b.code()
}

// code waits for the mail of this recovery.
func (b *browser) code() string {
	b.t.Helper()
	b.settled("proving")
	return b.mail.last(b.t)
}

// byMail chooses a code by mail, and types the one that comes.
func (b *browser) byMail() {
	b.t.Helper()
	sent := b.mail.count()
	if err := b.ChooseMethod(b.t.Context(), b.env, b.id, b.session, "mail_code", nil); err != nil {
		b.t.Fatal(err)
	}
	b.wait("a code", func() bool { return b.mail.count() > sent })
	if err := b.submit(b.code()); err != nil {
		b.t.Fatal(err)
	}
}

// ready goes to the button.
func (s *stack) ready(address string, a protocol.Action) *browser {
	s.t.Helper()
	b, code := s.asked(address, a)
	if err := b.submit(code); err != nil {
		s.t.Fatalf("submit: %v", err)
	}
	if v := b.view(); v.Step != flow.StepReady {
		s.t.Fatalf("step %s, problem %q", v.Step, v.Problem)
	}
	return b
}

// events returns the log of a recovery by kind.
func (b *browser) events() map[audit.Kind][]audit.Record {
	b.t.Helper()
	byKind := map[audit.Kind][]audit.Record{}
	err := b.store.Read(b.t.Context(), func(tx *store.Tx) error {
		list, err := audit.List(b.t.Context(), tx, b.fixture.Org.ID, store.AuditFilter{Envs: []string{b.env}, Count: 500})
		for _, r := range list {
			if r.Trace == b.id {
				byKind[r.Kind] = append(byKind[r.Kind], r)
			}
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return byKind
}

func detail(t *testing.T, r audit.Record) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.Detail, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// mailbox takes codes, as a mail server does, or does not.
type mailbox struct {
	mu   sync.Mutex
	mail []mailcode.Message
	err  error
	hold chan struct{} // not nil: the server has the mail, and answers when this is closed
}

func (m *mailbox) SendCode(_ context.Context, msg mailcode.Message) error {
	m.mu.Lock()
	err, hold := m.err, m.hold
	if err == nil {
		m.mail = append(m.mail, msg)
	}
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return err
}

func (m *mailbox) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mail)
}

func (m *mailbox) all() []mailcode.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]mailcode.Message(nil), m.mail...)
}

func (m *mailbox) last(t *testing.T) string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mail) == 0 {
		t.Fatal("no code was sent")
	}
	return m.mail[len(m.mail)-1].Code.Reveal()
}

func (m *mailbox) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// notices keeps what owners are told.
type notices struct {
	mu   sync.Mutex
	list []operation.Notice
	err  error
}

func (n *notices) Queue(_ context.Context, _ *store.Tx, notice operation.Notice) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.list = append(n.list, notice)
	}
	return n.err
}

func (*notices) Wake() {}

func (n *notices) all() []operation.Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]operation.Notice(nil), n.list...)
}

// alarms keeps what administrators are told.
type alarms struct {
	mu   sync.Mutex
	list []operation.Failure
}

func (a *alarms) DirectoryFailed(_ context.Context, _ *store.Tx, _ string, f operation.Failure) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, f)
	return nil
}

func (*alarms) Wake() {}

func (a *alarms) all() []operation.Failure {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]operation.Failure(nil), a.list...)
}

// buckets are those of the coordinator.
type buckets struct{ c coord.Buckets }

func (b buckets) Take(ctx context.Context, key string, burst int, every time.Duration) (bool, error) {
	ok, _, err := b.c.Take(ctx, key, coord.Rate{Burst: burst, Every: every})
	return ok, err
}

var errAway = errors.New("away")
