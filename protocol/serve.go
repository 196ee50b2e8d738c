package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A servedCall is a call of the peer.
type servedCall struct {
	callContext
	id     uint64
	method Method
	prio   Priority
	body   *[]byte
}

// openCall takes a call of the peer in. It begins when the message has been taken apart.
func (l *Link) openCall(calls *served, f frame, body []byte) error {
	if len(body) < callHeader {
		return fmt.Errorf("%w: call of %d bytes", errFrame, len(body))
	}
	c := &servedCall{id: f.id, method: Method(body[0]), prio: Priority(f.flags & maskPriority >> shiftPrio)}
	c.parent = calls.ctx
	if ms := binary.BigEndian.Uint32(body[1:]); ms > 0 {
		c.deadline = time.Now().Add(time.Duration(ms) * time.Millisecond)
	}
	if !l.admitCall(c) {
		return l.reply(f.id, 0, nil, Err(CodeUnavailable, "too many calls are open on this tunnel"))
	}
	c.body = pooledCopy(body[callHeader:])
	calls.fresh = append(calls.fresh, c)
	return nil
}

func (l *Link) admitCall(c *servedCall) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, twice := l.serving[c.id]; twice || len(l.serving) >= maxServing || l.open >= maxUnfinished {
		return false
	}
	l.open++
	if l.serving == nil {
		l.serving = map[uint64]*servedCall{}
	}
	l.serving[c.id] = c
	l.out.calls.Add(1)
	return true
}

// cancelCall ends a call that the peer no longer waits for; its handler still answers.
func (l *Link) cancelCall(id uint64) {
	l.mu.Lock()
	c := l.serving[id]
	delete(l.serving, id)
	l.mu.Unlock()
	if c != nil {
		c.end()
	}
}

// serve answers one call.
func (l *Link) serve(c *servedCall) {
	v, err := l.handler.ServeCall(c, c.method, *c.body)
	l.cancelCall(c.id)
	_ = l.reply(c.id, c.prio, v, err) // a broken link is met by the reader
	l.out.calls.Add(-1)
	release(c.body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// reply sends the answer to a call.
func (l *Link) reply(id uint64, p Priority, v any, err error) error {
	kind := kindReply
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = Err(CodeInternal, err.Error())
		}
		kind, v = kindError, e
	}
	body, err := bodyOf(v)
	if err != nil || len(body) > MaxBody {
		kind, body = kindError, []byte(`{"code":"internal_error","message":"the answer cannot be sent"}`)
	}
	return l.out.add(frame{kind: kind, id: id, body: body}, p == PrioritySync)
}

// maxParked is how many goroutines of one link stay for the next message, with stacks as
// large as an answer needs.
const maxParked = 2

// served are the calls that one reader serves, in the order in which they came. One
// goroutine serves those that end at once, one after another; before it begins with one
// it calls another goroutine for those that wait, which therefore never wait for a
// call that takes long.
type served struct {
	link   *Link
	ctx    context.Context // of all calls, which ends with the reader
	cancel context.CancelFunc
	fresh  []*servedCall // of the message that is taken apart; owned by the reader

	workers sync.WaitGroup
	mu      sync.Mutex
	waiting []*servedCall
	first   int       // of waiting that has not begun
	coming  bool      // a goroutine was called that has not looked yet
	parked  int       // goroutines that wait for more
	more    sync.Cond // signals that one of them is called, or that over is set
	over    bool
}

func newServed(ctx context.Context, l *Link) *served {
	s := &served{link: l}
	s.more.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// begin lets the calls of a message begin.
func (s *served) begin() {
	if len(s.fresh) == 0 {
		return
	}
	s.mu.Lock()
	if s.first > maxServing { // a peer that never pauses must not make it grow
		s.waiting, s.first = slices.Delete(s.waiting, 0, s.first), 0
	}
	s.waiting = append(s.waiting, s.fresh...)
	s.callLocked()
	s.mu.Unlock()
	clear(s.fresh)
	s.fresh = s.fresh[:0]
}

// callLocked calls a goroutine for those that wait, unless one is coming.
func (s *served) callLocked() {
	if s.coming || s.first == len(s.waiting) {
		return
	}
	s.coming = true
	if s.parked > 0 {
		s.more.Signal()
	} else {
		s.workers.Go(s.work)
	}
}

// work serves calls until the link ends, or enough goroutines have nothing to do.
func (s *served) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.coming = false
		s.serveLocked()
		if s.over || s.parked >= maxParked {
			return
		}
		s.parked++
		for !s.coming && !s.over {
			s.more.Wait()
		}
		s.parked--
	}
}

// serveLocked serves calls until none waits.
func (s *served) serveLocked() {
	for s.first < len(s.waiting) {
		c := s.waiting[s.first]
		s.waiting[s.first] = nil
		s.first++
		s.callLocked()
		s.mu.Unlock()
		s.link.serve(c)
		s.mu.Lock()
	}
	s.waiting, s.first = s.waiting[:0], 0
}

// end cancels the calls and waits for them.
func (s *served) end() {
	s.cancel()
	s.mu.Lock()
	s.over = true
	s.more.Broadcast()
	s.mu.Unlock()
	s.workers.Wait()
}
