package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Tunnels of one agent.
const (
	wantTunnels = 2                // to different nodes, where there are as many
	probeEvery  = 15 * time.Minute // is there a second node now?
	flushLife   = time.Second
	answerLife  = 3 * time.Second // for a ping to a tunnel that may be dead
)

// tunnels keep as many links as the hub has nodes, at most two.
type tunnels struct {
	svc      *service
	cfg      Config
	dialer   *dialer
	instance string
	version  string
	log      *slog.Logger

	wg      sync.WaitGroup
	mu      sync.Mutex
	open    map[*tunnel]bool // false for those of a node that goes away
	dialing int
	nodes   int           // of the hub, as the last welcome said
	more    chan struct{} // has a token when another tunnel may be wanted
}

func newTunnels(s *service, cfg Config, d *dialer, version string, log *slog.Logger) *tunnels {
	return &tunnels{
		svc: s, cfg: cfg, dialer: d, instance: rand.Text(), version: version, log: log,
		open: map[*tunnel]bool{}, more: make(chan struct{}, 1),
	}
}

// run keeps the tunnels until ctx ends, and serves those that are open until links
// ends, so that running calls can be answered. It returns when all have ended.
func (m *tunnels) run(ctx, links context.Context) {
	for range wantTunnels {
		m.wg.Go(func() { m.keep(ctx, links) })
	}
	m.wg.Wait()
}

// keep is one place for a tunnel.
func (m *tunnels) keep(ctx, links context.Context) {
	var b backoff
	probe := false
	for ctx.Err() == nil {
		if !m.take(probe) {
			probe = m.awaitMore(ctx)
			continue
		}
		probe = false
		start := time.Now()
		err := m.once(ctx, links)
		if ctx.Err() != nil {
			return
		}
		d := b.after(err, time.Since(start))
		if !errors.Is(err, errSameNode) {
			m.log.Warn("tunnel lost", "error", err, "again_in", d.Round(time.Millisecond).String())
		}
		wait(ctx, d)
	}
}

// errSameNode ends an attempt that led to a node that has a tunnel.
var errSameNode = errors.New("agent: a tunnel to that node is open already")

// A leavingError says that the node goes away, and that all its agents look for
// another one within spread.
type leavingError struct{ spread time.Duration }

// Error implements error.
func (e *leavingError) Error() string { return "agent: the node goes away" }

// once opens a tunnel and serves it until it ends or its node goes away; a tunnel of
// a leaving node is served on beside its replacement.
func (m *tunnels) once(ctx, links context.Context) error {
	t, err := m.connect(ctx)
	if err == nil && m.crowds(ctx, t) {
		err = errSameNode
	}
	m.claim(t, err)
	if err != nil {
		return sameNode(err)
	}
	ended := make(chan error, 1)
	m.wg.Go(func() {
		err := t.run(links)
		m.release(t, true)
		ended <- err
	})
	select {
	case err := <-ended:
		return sameNode(err)
	case <-t.leaving:
		m.release(t, false)
		return &leavingError{t.spread}
	case <-ctx.Done():
		return ctx.Err() // served on until links ends
	}
}

// sameNode recognises the close code of a second link to one node.
func sameNode(err error) error {
	var ended *protocol.CloseError
	if errors.As(err, &ended) && ended.Code == protocol.CloseReplaced {
		return errSameNode
	}
	return err
}

// take reports whether a place should dial now: there are fewer tunnels than nodes,
// or it probes for a node that came up since.
func (m *tunnels) take(probe bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	want := min(max(m.nodes, 1), wantTunnels)
	if probe {
		want = wantTunnels
	}
	if m.liveLocked()+m.dialing >= want {
		return false
	}
	m.dialing++
	return true
}

func (m *tunnels) liveLocked() int {
	n := 0
	for _, live := range m.open {
		if live {
			n++
		}
	}
	return n
}

// crowds closes a new tunnel whose node has one that lives, for hubs that do not look
// at Hello.Nodes; an older one that is dead makes room.
func (m *tunnels) crowds(ctx context.Context, t *tunnel) bool {
	m.mu.Lock()
	m.nodes = t.welcome.Nodes
	var older *tunnel
	for o, live := range m.open {
		if live && o.welcome.Node == t.welcome.Node {
			older = o
		}
	}
	m.mu.Unlock()
	if older == nil {
		return false
	}
	if older.answers(ctx, answerLife) {
		t.link.Close(protocol.CloseNormal, "this process has a tunnel to this node")
		return true
	}
	older.link.Close(protocol.CloseProtocol, "silent")
	m.release(older, false)
	return false
}

// claim ends an attempt and notes its tunnel.
func (m *tunnels) claim(t *tunnel, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dialing--
	if err != nil {
		return
	}
	m.open[t] = true
	m.nodes = t.welcome.Nodes
	m.signalLocked()
}

// heard takes the number of nodes from an event.
func (m *tunnels) heard(nodes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes = nodes
	m.signalLocked()
}

// connected lists the nodes that have a tunnel that is to stay.
func (m *tunnels) connected() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for t, live := range m.open {
		if live {
			list = append(list, t.welcome.Node)
		}
	}
	return list
}

// release says that a tunnel counts no more: its node goes away, or it has ended.
func (m *tunnels) release(t *tunnel, ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[t] = false
	if ended {
		delete(m.open, t)
	}
	m.signalLocked()
}

// signalLocked wakes the place that waits.
func (m *tunnels) signalLocked() {
	select {
	case m.more <- struct{}{}:
	default:
	}
}

// awaitMore waits until another tunnel may be wanted. It reports whether it is time
// to look for a node that nobody told of.
func (m *tunnels) awaitMore(ctx context.Context) (probe bool) {
	t := time.NewTimer(probeEvery)
	defer t.Stop()
	select {
	case <-m.more:
		return false
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// addresses are those that tunnels use.
func (m *tunnels) addresses() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for t := range m.open {
		list = append(list, t.address)
	}
	return list
}

// flush waits until every answer has left.
func (m *tunnels) flush(ctx context.Context) {
	m.mu.Lock()
	list := slices.Collect(maps.Keys(m.open))
	m.mu.Unlock()
	for _, t := range list {
		t.answers(ctx, flushLife) // a ping leaves behind the answers
	}
}
