// Package tunnel holds the connections of agents to this node and carries calls to
// whichever node holds the agent that is asked. It decides who is admitted; it does not
// know what a recovery is: the callback that it is given does.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// An Executor carries out the operation of a recovery on the node that holds the
// agent's tunnel. It re-reads the recovery from the store, claims the dispatch there,
// and calls send at most once. Nothing but the two ids came from elsewhere.
type Executor func(ctx context.Context, to To, recovery string, send Send) error

// Send gives the operation to the agent, with the proof that the audit log has an entry of
// it, and returns its outcome, whose signature the caller checks. CodeUnavailable means
// that it was not sent.
type Send func(ctx context.Context, entry string, req protocol.PerformRequest) (protocol.Outcome, error)

// A Config is what Tunnels are made of.
type Config struct {
	Store    *store.Store
	Coord    coord.Coord
	Mesh     *coord.Mesh   // New adds its handlers, so the mesh runs after New
	Keys     protocol.Keys // the installation's, which agents pin
	HubName  string        // host of the public address
	Version  string        // of the program, which agents compare with theirs; "": what its build says
	Executor Executor
	Log      *slog.Logger
	Audit    AuditLog // what agents want to see proven, and witness
	// Connected, if set, is told of every agent that begins to be given calls; it must
	// not block.
	Connected func(To)
	// Changed, if set, is told when an active agent says that its directory changed, as
	// often as it says so; it must not block.
	Changed func(To)
	// Address tells whom a request comes from; nil takes the connection's address.
	Address func(*http.Request) string
}

// Tunnels are the connections of one node. They live as long as Run, whatever HTTP
// server they came through.
type Tunnels struct {
	cfg    Config
	store  *store.Store
	mesh   *coord.Mesh
	log    *slog.Logger
	now    func() time.Time
	gate   *gate
	roster roster
	wheel  wheel

	admitted atomic.Int64
	begun    begunAccounts

	witnesses witnesses

	work     sync.WaitGroup // goroutines of connections and calls
	mu       sync.Mutex
	ctx      context.Context // of Run, for connections: their requests have ended long since
	stopping bool
	recheck  chan struct{} // buffered: claims were written again, so look for conflicts
}

// New makes the tunnels of a node. Connections are refused until Run.
func New(cfg Config) *Tunnels {
	t := &Tunnels{
		cfg: cfg, store: cfg.Store, mesh: cfg.Mesh, log: cfg.Log, now: time.Now,
		gate: newGate(cfg.Coord), roster: newRoster(), begun: newBegunAccounts(), recheck: make(chan struct{}, 1),
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.mesh.Handle(callName, t.serveCall)
	t.mesh.Handle(executeName, t.serveExecute)
	t.mesh.Handle(aliveName, t.serveAlive)
	t.mesh.Handle(dropName, t.serveDrop)
	t.mesh.Handle(statusName, t.serveStatus)
	t.mesh.OnRestored(t.restored)
	return t
}

// How a node says goodbye.
const (
	drainMost   = 10 * time.Second // for calls that run; an agent journals, so nothing is lost after it
	comeBackMin = time.Second      // over how long agents spread their return …
	comeBackPer = time.Millisecond // … and how much longer for each of them: a node admits a thousand a second
)

// Run keeps the tunnels until ctx ends: pings, revocations, claims. Then it asks every
// agent to go elsewhere, lets running calls end, closes all connections and returns
// after every goroutine has ended.
func (t *Tunnels) Run(ctx context.Context) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if !t.start(own) {
		return errors.New("tunnel: ran before")
	}
	var upkeep sync.WaitGroup
	upkeep.Go(func() { t.turn(ctx) })
	upkeep.Go(func() { t.sweeps(ctx) })
	upkeep.Go(func() { t.witness(ctx) })
	<-ctx.Done()
	t.drain()
	upkeep.Wait()
	cancel()
	for _, c := range t.roster.all() { // that were admitted meanwhile; later ones see the end of own
		c.close(protocol.CloseComeBack, "stopping")
	}
	t.work.Wait()
	return nil
}

func (t *Tunnels) start(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx != nil {
		return false
	}
	t.ctx = ctx
	return true
}

// begin counts a goroutine and gives it the context of all connections, unless the
// node is not running.
func (t *Tunnels) begin() (context.Context, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil || t.stopping {
		return nil, false
	}
	t.work.Add(1)
	return t.ctx, true
}

// spawn runs something that Run waits for. While the node stops it is left out.
func (t *Tunnels) spawn(f func()) bool {
	if _, ok := t.begin(); !ok {
		return false
	}
	go func() {
		defer t.work.Done()
		f()
	}()
	return true
}

// drain says goodbye to all agents, waits for calls that run, and closes.
func (t *Tunnels) drain() {
	t.mu.Lock()
	t.stopping = true
	t.mu.Unlock()
	all := t.roster.all()
	reason := protocol.SpreadReason(comeBackMin + time.Duration(len(all))*comeBackPer)
	for _, c := range all {
		c.goAway(reason)
	}
	t.roster.awaitIdle(drainMost)
	for _, c := range t.roster.all() {
		c.close(protocol.CloseComeBack, reason)
	}
}

// Ready returns nil while the node takes tunnels.
func (t *Tunnels) Ready() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil || t.stopping {
		return fmt.Errorf("tunnel: not running")
	}
	return nil
}
