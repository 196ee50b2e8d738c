package protocol

import (
	"runtime"
	"sync"
)

// A gate asks before calls are sent whether the peer may be given any, once for all that
// wait at that moment, without a goroutine of its own: whoever finds nobody asking asks,
// and sends for the others what they have added meanwhile. It asks after a call has come
// and before it leaves. What is no call goes past it: a peer is answered and pinged while
// the question takes long.
type gate struct {
	mu      sync.Mutex
	waiting []gated
	spare   []gated // used again
	active  bool
}

// A gated call waits to be sent. body is what frame's lies in.
type gated struct {
	frame frame
	bulk  bool
	body  *[]byte
}

// Guard makes check, which may take its time, decide about each call before it is sent.
// With an error nothing is sent, and Call returns it. Guard is called before the link is
// used.
func (l *Link) Guard(check func() error) { l.check = check }

// send sends a call, whose waiter is told of every failure but those returned.
func (l *Link) send(c gated) error {
	g := l.gate
	if g == nil {
		defer release(c.body)
		return l.out.add(c.frame, c.bulk)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, c)
	if g.active {
		return nil
	}
	g.active = true
	l.passAllLocked(g)
	return nil
}

// cancel tells the peer that nobody waits for a call any more, behind the call.
func (l *Link) cancel(id uint64) {
	f := frame{kind: kindCancel, id: id}
	if g := l.gate; g == nil || !g.follow(f) {
		_ = l.out.add(f, false) // a broken link is met by the reader
	}
}

// follow puts a cancel behind the call, which may be here; false: the call has left. The
// gate is free again when the cancel waits for the peer, which may take its time.
func (g *gate) follow(f frame) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.active {
		g.waiting = append(g.waiting, gated{frame: f})
	}
	return g.active
}

// passAllLocked sends until nothing waits, or has another goroutine do so: nobody works
// for others for long. The caller is the one who asks, and holds the gate's lock.
func (l *Link) passAllLocked(g *gate) {
	for round := 0; len(g.waiting) > 0; round++ {
		if round >= maxRounds && l.out.hand(func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			l.passAllLocked(g)
		}) {
			return
		}
		l.passLocked(g)
	}
	g.active = false
}

// passLocked sends what waits. The caller holds the gate's lock, which is free meanwhile.
func (l *Link) passLocked(g *gate) {
	g.mu.Unlock()
	defer g.mu.Lock()
	if l.out.calls.Load() > 1 {
		runtime.Gosched() // others come to share it only if they are let
	}
	g.mu.Lock()
	batch := g.waiting
	g.waiting, g.spare = g.spare[:0], nil
	g.mu.Unlock()
	err := l.check()
	if err == nil {
		l.leave(batch)
	}
	if err == nil && l.out.addAll(batch) != nil {
		err = errClosed
	}
	for i, c := range batch {
		if err != nil {
			l.settle(c.frame.id, answer{err: err})
		}
		if c.body != nil {
			release(c.body)
		}
		batch[i] = gated{}
	}
	if cap(batch) <= maxServing {
		g.mu.Lock()
		g.spare = batch
		g.mu.Unlock()
	}
}

// leave notes that calls are being sent: from now on nobody knows what became of them
// should the link break.
func (l *Link) leave(batch []gated) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range batch {
		if w := l.pending[c.frame.id]; w != nil {
			w.left = true
		}
	}
}

// errClosed is what a call is told that was never sent.
var errClosed = Err(CodeUnavailable, "the tunnel is closed")
