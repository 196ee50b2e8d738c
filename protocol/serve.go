package protocol

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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

// served are the calls that one reader serves, in the order in which they came. One
// goroutine serves those that end at once, one after another; before it begins with one
// it starts another goroutine for those that wait, which therefore never wait for a
// call that takes long.
type served struct {
	link   *Link
	ctx    context.Context // of all calls, which ends with the reader
	cancel context.CancelFunc
	fresh  []*servedCall // of the message that is taken apart; owned by the reader

	workers sync.WaitGroup
	mu      sync.Mutex
	waiting []*servedCall
	coming  bool // a goroutine was started that has not looked yet
}

// begin lets the calls of a message begin.
func (s *served) begin() {
	if len(s.fresh) == 0 {
		return
	}
	s.mu.Lock()
	s.waiting = append(s.waiting, s.fresh...)
	s.callLocked()
	s.mu.Unlock()
	clear(s.fresh)
	s.fresh = s.fresh[:0]
}

// callLocked starts a goroutine for those that wait, unless one is coming.
func (s *served) callLocked() {
	if !s.coming && len(s.waiting) > 0 {
		s.coming = true
		s.workers.Go(s.work)
	}
}

// work serves calls until none waits.
func (s *served) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming = false
	for len(s.waiting) > 0 {
		c := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		s.callLocked()
		s.mu.Unlock()
		s.link.serve(c)
		s.mu.Lock()
	}
	s.waiting = nil
}

// end cancels the calls and waits for them.
func (s *served) end() {
	s.cancel()
	s.workers.Wait()
}
