package tunnel

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
	"github.com/postern-id/postern/protocol/seal"
)

// A witnessed agent is the one that we ship, behind a hub with its real audit log.
type witnessed struct {
	*installation
	t     *testing.T
	disk  store.Config
	close func() error // of the store
	node  *node
	agent agent.Enrolment
	cfg   agent.Config
	stop  func() // of the agent
	key   *ecdh.PrivateKey

	row string
	req protocol.PerformRequest
	out protocol.Outcome
}

func newWitnessed(t *testing.T) *witnessed {
	t.Helper()
	w := &witnessed{t: t, disk: storetest.SQLite(t)}
	shared := coord.NewLocal()
	t.Cleanup(func() { _ = shared.Close() })
	t.Cleanup(func() { _ = w.close() })
	w.installation = installOn(t, w.open(), func() coord.Coord { return shared })
	var err error
	w.key, err = ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	w.serve()
	w.cfg, w.agent = w.realAgent(t, w.node)
	w.cfg.Guard.NoNotice, w.cfg.Guard.PerAccountPerHour = "allow", 100
	testenv.Eventually(t, "the enrolment has left", w.node.holds(0))
	w.run()
	return w
}

// serve starts the hub's node.
func (w *witnessed) serve() {
	w.t.Helper()
	w.node = w.installation.start(w.t, func(c *Config) {
		c.Executor = func(ctx context.Context, _ To, _ string, send Send) (err error) {
			w.out, err = send(ctx, w.row, w.req)
			return err
		}
	})
}

func (w *witnessed) run() {
	w.t.Helper()
	w.stop = runs(w.t, w.cfg)
	testenv.Eventually(w.t, "the agent is there", w.node.holds(1))
}

// begin begins a reset of somebody.
func (w *witnessed) begin() {
	w.t.Helper()
	q := protocol.BeginRequest{Recovery: make([]byte, protocol.RandomPart), Operation: string(protocol.GetTemporaryPassword), Origin: "https://recover.example.com"}
	_, _ = rand.Read(q.Recovery)
	var page protocol.ListPage
	must(w.t, w.node.Call(w.t.Context(), w.to(), protocol.MethodList, protocol.PrioritySync, protocol.ListRequest{Page: 50}, &page))
	q.Account = page.Accounts[0].ID
	var b protocol.Begun
	must(w.t, w.node.Call(w.t.Context(), w.to(), protocol.MethodBegin, protocol.PriorityRecovery, q, &b))
	if b.Finding != nil && b.Finding.Code != protocol.CodeLogInconsistent {
		w.t.Fatal(b.Finding)
	}
	recipient, err := seal.Encode(w.key.PublicKey())
	must(w.t, err)
	m := protocol.Members{Recovery: protocol.RecoveryID(q.Recovery, b.Recovery), Directory: w.Directory.ID, Account: b.Account, Operation: q.Operation, Recipient: recipient, NotAfter: b.NotAfter}
	w.req = protocol.PerformRequest{ID: rand.Text(), TTL: 60, Sent: time.Now().Unix(), Members: m, Context: m.Context()}
}

// entry is what the hub writes into its log for what was begun.
func (w *witnessed) entry() protocol.RequestedEntry {
	return protocol.RequestedEntry{Context: w.req.Context.String(), Agent: w.agent.Agent, Directory: w.Directory.ID, Operation: w.req.Members.Operation}
}

// perform executes what was begun with a row of the log.
func (w *witnessed) perform(row string) error {
	w.row, w.out = row, protocol.Outcome{}
	return w.node.Execute(w.t.Context(), w.agent.Agent, w.Env.ID, "recovery")
}

// resets begins and performs as an honest hub does.
func (w *witnessed) resets() error {
	w.t.Helper()
	w.begin()
	err := w.perform(w.requested(w.t, w.entry()))
	if err == nil && (w.out.State != protocol.Done || len(w.out.Sealed) == 0) {
		err = fmt.Errorf("%s: %w", w.out.State, w.out.Error)
	}
	return err
}

// known is what the hub has written down of its agent.
func (w *witnessed) known() store.Witness {
	w.t.Helper()
	a, err := store.Get(w.t.Context(), w.store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(w.t.Context(), w.Env.ID, w.agent.Agent) })
	must(w.t, err)
	return a.Witness
}

// sql changes the hub's database behind its back.
func (w *witnessed) sql(text string, args ...any) {
	w.t.Helper()
	must(w.t, w.store.Tx(w.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(w.t.Context(), text, args...)
		return err
	}))
}

// open opens the store, which close closes once.
func (w *witnessed) open() *store.Store {
	w.t.Helper()
	s, err := store.Open(context.Background(), w.disk)
	must(w.t, err)
	w.close = sync.OnceValue(s.Close)
	return s
}

// down ends the hub, so that its disk is whole.
func (w *witnessed) down() {
	w.t.Helper()
	w.node.stop()
	must(w.t, w.close())
}

// up starts the hub on the disk as it is now.
func (w *witnessed) up() {
	w.t.Helper()
	again := *w.installation
	again.store = w.open()
	again.audit = audit.NewLog(audit.LogConfig{Store: again.store, Key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("\x05", 32))), Origin: auditlog.Origin(hubName)})
	w.installation = &again
	w.stop()
	w.serve()
	path := filepath.Join(w.cfg.StateDir, "identity.json")
	id, err := agent.LoadIdentity(w.cfg.StateDir)
	must(w.t, err)
	text, err := os.ReadFile(path)
	must(w.t, err)
	must(w.t, os.WriteFile(path, []byte(strings.Replace(string(text), id.Hub, w.node.server.URL, 1)), 0o600)) // another port, as tests have it
	w.run()
}

// keep copies the hub's disk away, and restore puts a copy in its place.
func (w *witnessed) keep() string {
	w.t.Helper()
	to := filepath.Join(w.t.TempDir(), "copy")
	must(w.t, os.CopyFS(to, os.DirFS(w.disk.Dir)))
	return to
}

func (w *witnessed) restore(from string) {
	w.t.Helper()
	must(w.t, os.RemoveAll(w.disk.Dir))
	must(w.t, os.CopyFS(w.disk.Dir, os.DirFS(from)))
}

func TestT08_TheAgentActsOnNothingThatItsHubsLogDoesNotShow(t *testing.T) {
	w := newWitnessed(t)
	must(t, w.resets())
	testenv.Eventually(t, "the hub has the agent's signature", func() bool { return w.known().Size > 0 })
	known := w.known()
	head, err := auditlog.OpenCheckpoint(known.Checkpoint, w.audit.Public(), w.audit.Origin())
	must(t, err)
	a, err := store.Get(t.Context(), w.store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(t.Context(), w.Env.ID, w.agent.Agent) })
	must(t, err)
	line := known.Checkpoint[strings.LastIndex(known.Checkpoint, "— "):]
	if _, err := head.CheckCosignature(line, protocol.Witness(w.agent.Agent), a.SignKey); err != nil || head.Size != known.Size {
		t.Errorf("%q: %v", known.Checkpoint, err)
	}
	w.begin()
	own := w.entry()
	other := func(change func(e *protocol.RequestedEntry)) string {
		e := own
		change(&e)
		return w.requested(t, e)
	}
	twice := w.requested(t, own)
	w.sql(`UPDATE audit_recent SET leaf = replace(leaf, '"operation_requested":{', '"operation_requested":{"Context":"another",') WHERE id = $1`, twice)
	rewritten := other(func(e *protocol.RequestedEntry) { e.Context = "what it was" })
	w.sql(`UPDATE audit_recent SET leaf = replace(leaf, 'what it was', 'what it is') WHERE id = $1`, rewritten)
	late, dropped := w.requested(t, own), w.requested(t, own)
	must(t, w.audit.Sequence(t.Context()))
	w.sql(`DELETE FROM audit_rows WHERE id = $1`, dropped)
	w.sql(`UPDATE audit_rows SET leaf = replace(leaf, '"operation_requested":{', '"operation_requested":{"hidden":true,') WHERE id = $1`, late)
	kind, err := store.Change(t.Context(), w.store, func(tx *store.Tx) (string, error) {
		return audit.AppendRow(t.Context(), tx, audit.Event{Env: w.Env.ID, Kind: audit.RecoveryStarted, Detail: own})
	})
	must(t, err)
	for _, c := range []struct {
		name, row string
		want      protocol.Code
	}{
		{"no entry", "", protocol.CodeUnavailable},
		{"another context", other(func(e *protocol.RequestedEntry) { e.Context = "x" }), protocol.CodeLogUnproven},
		{"another agent", other(func(e *protocol.RequestedEntry) { e.Agent = "x" }), protocol.CodeLogUnproven},
		{"another directory", other(func(e *protocol.RequestedEntry) { e.Directory = "x" }), protocol.CodeLogUnproven},
		{"another operation", other(func(e *protocol.RequestedEntry) { e.Operation = "unlock" }), protocol.CodeLogUnproven},
		{"another kind", kind, protocol.CodeLogUnproven},
		{"a name that stands twice", twice, protocol.CodeLogUnproven},
		{"rewritten in SQL before it had its place", rewritten, protocol.CodeLogUnproven},
		{"rewritten in SQL after it had its place", late, protocol.CodeUnavailable},
		{"dropped in SQL after it had its place", dropped, protocol.CodeUnavailable},
	} {
		wantCode(t, c.name, w.perform(c.row), c.want)
		if w.out.State != "" {
			t.Errorf("%s: %+v", c.name, w.out)
		}
	}
	must(t, w.perform(w.requested(t, own))) // none of them used it up
	if w.out.State != protocol.Done || w.out.Replayed {
		t.Errorf("with its own entry: %+v", w.out)
	}
	w.begin()
	gone := w.requested(t, w.entry())
	w.sql(`INSERT INTO audit_pending (event) VALUES ($1)`, gone)
	w.sql(`DELETE FROM audit_recent WHERE id = $1`, gone) // a log with a hole goes no further
	wantCode(t, "dropped in SQL before it had its place", w.perform(gone), protocol.CodeUnavailable)
	wantCode(t, "whatever comes after the hole", w.resets(), protocol.CodeUnavailable)
}

// The hub's database is restored from a copy while its agent has seen more: the agent acts
// no more, the hub says so, and its administrator decides.
func TestT09_ARestoredHubIsFoundByItsAgentAndGoesOnWhenThatIsAccepted(t *testing.T) {
	w := newWitnessed(t)
	must(t, w.resets())
	w.down()
	old := w.keep()
	w.up()
	for range 3 {
		must(t, w.resets())
	}
	seen, err := agent.Heads(w.cfg.StateDir)
	must(t, err)
	w.down()
	later := w.keep()
	w.restore(old)
	w.up()
	w.refuses(seen.Seen.Hash)
	view, err := agent.Heads(w.cfg.StateDir)
	if err != nil || view.Seen.Hash != seen.Seen.Hash || view.Offered == nil {
		t.Fatalf("people read %+v, %v", view, err)
	}
	must(t, agent.OrderAcceptLog(w.cfg.StateDir, strings.Repeat("0", 64)))
	w.refuses(seen.Seen.Hash)
	must(t, agent.OrderAcceptLog(w.cfg.StateDir, view.Offered.Hash))
	testenv.Eventually(t, "it acts again", func() bool { return w.resets() == nil })
	testenv.Eventually(t, "the hub knows", func() bool { return w.known().Stopped == "" })

	// The hub that was there before, with the same keys, is the other side of a fork now.
	w.down()
	w.restore(later)
	w.up()
	w.refuses(view.Offered.Hash)
}

// refuses checks that the agent does nothing, and that its hub knows.
func (w *witnessed) refuses(seen string) {
	w.t.Helper()
	for range 2 {
		wantCode(w.t, "another history", w.resets(), protocol.CodeLogInconsistent)
	}
	testenv.Eventually(w.t, "the hub knows that its agent stopped", func() bool { return w.known().Stopped != "" && w.known().Stopped != seen })
	rows, err := store.Get(w.t.Context(), w.store, func(tx *store.Tx) ([]store.AuditRow, error) {
		return tx.AuditRows(w.t.Context(), w.Env.Org, store.AuditFilter{Kinds: []string{string(audit.AgentLogRefused)}, Count: 10})
	})
	if err != nil || len(rows) == 0 {
		w.t.Errorf("%d entries in the log, %v", len(rows), err)
	}
}
