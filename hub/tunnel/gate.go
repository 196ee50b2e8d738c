package tunnel

import (
	"context"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/coord"
)

// Limits of whoever knocks.
const (
	// handshakes bounds the admissions under way: each costs about half a
	// millisecond of computing and a query.
	handshakes = 256
	// handshakesOfOne bounds those of one network: whoever opens connections and says
	// nothing does not keep the agents of everybody else out (T31).
	handshakesOfOne = handshakes / 2
	// handshakeLife bounds one admission, from the request to the welcome.
	handshakeLife = 10 * time.Second
	// handshakeWait is how long a request waits for its turn before it is sent away.
	handshakeWait = 2 * time.Second
)

// failures is how often admission may fail from one network: a misconfigured agent
// comes back hourly, so more is somebody who tries keys.
var failures = coord.Rate{Burst: 30, Every: 10 * time.Second}

// maxBlocked bounds the networks that are remembered.
const maxBlocked = 4096

// A gate limits admissions by number, of all and of one network, and where they fail, by
// network.
type gate struct {
	buckets coord.Buckets
	slots   chan struct{}

	mu      sync.Mutex
	blocked map[string]time.Time // until when
	crowds  map[string]*crowd    // by network, while somebody of it is here
}

// A crowd is whoever knocks from one network.
type crowd struct {
	slots chan struct{}
	here  int // guarded by the gate
}

func newGate(b coord.Buckets) *gate {
	return &gate{buckets: b, slots: make(chan struct{}, handshakes), blocked: map[string]time.Time{}, crowds: map[string]*crowd{}}
}

// enter takes a place, or returns after how long to come again. leave gives it back.
func (g *gate) enter(ctx context.Context, network string) (wait time.Duration, ok bool) {
	if wait := g.blockedFor(network); wait > 0 {
		return wait, false
	}
	full := time.NewTimer(handshakeWait)
	defer full.Stop()
	own := g.join(network)
	if !place(ctx, own, full.C) {
		g.part(network)
		return handshakeWait, false
	}
	if !place(ctx, g.slots, full.C) {
		<-own
		g.part(network)
		return handshakeWait, false
	}
	return 0, true
}

// place waits for one of some places.
func place(ctx context.Context, slots chan struct{}, full <-chan time.Time) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-full:
	case <-ctx.Done():
	}
	return false
}

func (g *gate) leave(network string) {
	<-g.slots
	<-g.part(network)
}

// join counts somebody who knocks, and returns the places of their network.
func (g *gate) join(network string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.crowds[network]
	if c == nil {
		c = &crowd{slots: make(chan struct{}, handshakesOfOne)}
		g.crowds[network] = c
	}
	c.here++
	return c.slots
}

// part counts somebody who does so no more. It returns the places of their network.
func (g *gate) part(network string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.crowds[network]
	if c.here--; c.here == 0 {
		delete(g.crowds, network)
	}
	return c.slots
}

func (g *gate) blockedFor(network string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.blocked[network]
	if !ok {
		return 0
	}
	if d := time.Until(until); d > 0 {
		return d
	}
	delete(g.blocked, network)
	return 0
}

// failed counts a failed admission. While the coordinator is away nothing is counted:
// keys of 256 bits need no counting, only machines do.
func (g *gate) failed(ctx context.Context, network string) {
	allowed, after, err := g.buckets.Take(ctx, "agent/"+network, failures)
	if err != nil || allowed {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.blocked) >= maxBlocked {
		clear(g.blocked) // the buckets remember
	}
	g.blocked[network] = time.Now().Add(after)
}
