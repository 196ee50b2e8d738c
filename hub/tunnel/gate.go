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
	// handshakeLife bounds one admission, from the request to the welcome.
	handshakeLife = 10 * time.Second
	// handshakeWait is how long a request waits for its turn before it is sent away.
	handshakeWait = 2 * time.Second
)

// failures is how often admission may fail from one address: a misconfigured agent
// comes back hourly, so more is somebody who tries keys.
var failures = coord.Rate{Burst: 30, Every: 10 * time.Second}

// maxBlocked bounds the addresses that are remembered.
const maxBlocked = 4096

// A gate limits admissions by number and, where they fail, by address.
type gate struct {
	buckets coord.Buckets
	slots   chan struct{}

	mu      sync.Mutex
	blocked map[string]time.Time // until when
}

func newGate(b coord.Buckets) *gate {
	return &gate{buckets: b, slots: make(chan struct{}, handshakes), blocked: map[string]time.Time{}}
}

// enter takes a place, or returns after how long to come again. leave gives it back.
func (g *gate) enter(ctx context.Context, address string) (wait time.Duration, ok bool) {
	if wait := g.blockedFor(address); wait > 0 {
		return wait, false
	}
	full := time.NewTimer(handshakeWait)
	defer full.Stop()
	select {
	case g.slots <- struct{}{}:
		return 0, true
	case <-full.C:
	case <-ctx.Done():
	}
	return handshakeWait, false
}

func (g *gate) leave() { <-g.slots }

func (g *gate) blockedFor(address string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.blocked[address]
	if !ok {
		return 0
	}
	if d := time.Until(until); d > 0 {
		return d
	}
	delete(g.blocked, address)
	return 0
}

// failed counts a failed admission. While the coordinator is away nothing is counted:
// keys of 256 bits need no counting, only machines do.
func (g *gate) failed(ctx context.Context, address string) {
	allowed, after, err := g.buckets.Take(ctx, "agent/"+address, failures)
	if err != nil || allowed {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.blocked) >= maxBlocked {
		clear(g.blocked) // the buckets remember
	}
	g.blocked[address] = time.Now().Add(after)
}
