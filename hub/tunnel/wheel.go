package tunnel

import (
	"context"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Times of an idle connection.
const (
	wheelSlots = 30               // a turn takes as many seconds, and visits every connection once
	pingAfter  = 20 * time.Second // of silence at the visit
	deadAfter  = 75 * time.Second // two pings without an answer
)

// A wheel visits every connection once a turn, a slot each second, so that no
// connection needs a timer of its own.
type wheel struct {
	mu    sync.Mutex
	slots [wheelSlots]map[*conn]struct{}
	next  int
}

func (w *wheel) add(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.slot = w.next
	w.next = (w.next + 1) % wheelSlots
	if w.slots[c.slot] == nil {
		w.slots[c.slot] = map[*conn]struct{}{}
	}
	w.slots[c.slot][c] = struct{}{}
}

func (w *wheel) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.slots[c.slot], c)
}

// due returns the connections of a slot that were silent for so long that they are
// dead, and those that are to be pinged.
func (w *wheel) due(slot int, now time.Time) (dead, quiet []*conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.slots[slot] {
		switch silence := now.Sub(c.peer.LastHeard()); {
		case silence > deadAfter:
			dead = append(dead, c)
		case silence > pingAfter:
			quiet = append(quiet, c)
		}
	}
	return dead, quiet
}

// turn runs the wheel until ctx ends.
func (t *Tunnels) turn(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for slot := 0; ; slot = (slot + 1) % wheelSlots {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.visit(slot)
		}
	}
}

// visit looks after one slot. Whatever may wait for a slow peer does so on a goroutine
// of its own.
func (t *Tunnels) visit(slot int) {
	dead, quiet := t.wheel.due(slot, t.now())
	for _, c := range dead {
		t.log.Warn("agent silent", "agent", c.Agent, "directory", c.Directory)
		t.spawn(func() { c.peer.Close(protocol.CloseComeBack, "silent") })
	}
	for _, c := range quiet {
		t.spawn(func() { _ = c.peer.Ping() }) // a broken link is met by its reader
	}
}
