package protocol

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// callHeader is method(1) and deadline in milliseconds(4).
const callHeader = 1 + 4

// maxPooled is the largest buffer that is kept to be used again: a page of accounts is
// rare, and would stay.
const maxPooled = 64 << 10

// bodies are buffers for what is on its way between the reader and those who wait.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// pooledCopy copies what lies in the reader's buffer, to be given back with release.
func pooledCopy(body []byte) *[]byte {
	b := bodies.Get().(*[]byte)
	*b = append((*b)[:0], body...)
	return b
}

func release(b *[]byte) {
	if cap(*b) <= maxPooled {
		bodies.Put(b)
	}
}

// An answer is what a call waits for. body is released by who decodes it.
type answer struct {
	body *[]byte
	err  error
}

// A waiter is a call of this end that has no answer yet. Whoever takes it out of the
// link's table sends it exactly one.
type waiter struct {
	c     chan answer // of one place
	until time.Time   // zero: only the caller's context ends it
	left  bool        // it may have been sent; guarded by the link's mu
}

// An alarm goes off at the earliest end of a call: one timer for all that wait, which is
// not set anew for calls that end later than those before them, as nearly all do.
type alarm struct {
	at    time.Time // zero: it is not set
	timer *time.Timer
}

func (a *alarm) set(at time.Time, ring func()) {
	switch {
	case a.timer == nil:
		a.timer = time.AfterFunc(time.Until(at), ring)
	case a.at.IsZero() || at.Before(a.at):
		a.timer.Reset(time.Until(at))
	default:
		return
	}
	a.at = at
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	*a = alarm{}
}

// Call asks the peer and waits for its answer, which is decoded into resp unless resp
// is nil; a *json.RawMessage takes it as it is, and a json.RawMessage as req is sent
// as it is. ctx's deadline travels with the call, and its end cancels it there. An
// error of the peer is an *Error. CodeUnavailable means that the call was never sent,
// CodeInternal that the tunnel broke and nobody knows.
func (l *Link) Call(ctx context.Context, m Method, p Priority, req, resp any) error {
	return l.CallWithin(ctx, 0, m, p, req, resp)
}

// CallWithin is Call with a bound on the wait beside ctx, which costs less than a
// deadline of ctx; 0 means none. After it the error wraps context.DeadlineExceeded.
func (l *Link) CallWithin(ctx context.Context, life time.Duration, m Method, p Priority, req, resp any) error {
	until := earliest(ctx, life)
	body := bodies.Get().(*[]byte)
	if err := appendCall(body, until, m, req); err != nil {
		release(body)
		return err
	}
	if life <= 0 {
		until = time.Time{} // ctx tells
	}
	w := &waiter{c: make(chan answer, 1), until: until, left: l.check == nil}
	id, err := l.wait(w)
	if err != nil {
		release(body)
		return err
	}
	defer l.out.calls.Add(-1)
	if err := l.send(gated{frame{kind: kindCall, flags: uint8(p) << shiftPrio, id: id, body: *body}, p == PrioritySync, body}); err != nil {
		l.abandon(id, w)
		return errClosed
	}
	select {
	case a := <-w.c:
		return a.decode(resp)
	case <-ctx.Done():
		l.abandon(id, w)
		l.cancel(id)
		return fmt.Errorf("protocol: no answer from the agent: %w", ctx.Err())
	}
}

// earliest is when a call ends: by its context or after its life; zero: never.
func earliest(ctx context.Context, life time.Duration) (until time.Time) {
	if life > 0 {
		until = time.Now().Add(life)
	}
	if d, ok := ctx.Deadline(); ok && (until.IsZero() || d.Before(until)) {
		until = d
	}
	return until
}

// appendCall writes a call's body into b.
func appendCall(b *[]byte, until time.Time, m Method, req any) error {
	var ms int64
	if !until.IsZero() {
		ms = min(max(time.Until(until).Milliseconds(), 1), 1<<31)
	}
	js, ok := req.(json.RawMessage)
	if !ok {
		var err error
		if js, err = json.Marshal(req); err != nil {
			return err
		}
	}
	if len(js) > MaxBody-callHeader {
		return Err(CodeBadRequest, "the call is too large")
	}
	*b = append(binary.BigEndian.AppendUint32(append((*b)[:0], byte(m)), uint32(ms)), js...)
	return nil
}

func (a answer) decode(resp any) error {
	if a.err != nil {
		return a.err
	}
	defer release(a.body)
	switch resp := resp.(type) {
	case nil:
	case *json.RawMessage:
		*resp = append(make([]byte, 0, len(*a.body)), *a.body...)
	default:
		if err := ReadBody(*a.body, resp); err != nil {
			return Err(CodeInternal, "the peer's answer cannot be read: "+err.Error())
		}
	}
	return nil
}

// wait enters a call into the table.
func (l *Link) wait(w *waiter) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return 0, errClosed
	}
	if l.pending == nil {
		l.pending = map[uint64]*waiter{}
	}
	if l.gate == nil && l.check != nil {
		l.gate = &gate{}
	}
	id := l.nextID.Add(1)
	l.pending[id] = w
	l.out.calls.Add(1)
	if !w.until.IsZero() {
		l.alarm.set(w.until, l.expire)
	}
	return id, nil
}

// take takes a call out of the table; nil: it has been answered.
func (l *Link) take(id uint64) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.pending[id]
	delete(l.pending, id)
	return w
}

// settle gives a call its answer.
func (l *Link) settle(id uint64, a answer) {
	if w := l.take(id); w != nil {
		w.c <- a
		return
	}
	if a.body != nil {
		release(a.body)
	}
}

// abandon gives a call up: nobody waits for what may have been answered meanwhile.
func (l *Link) abandon(id uint64, w *waiter) {
	if l.take(id) == nil {
		if a := <-w.c; a.body != nil {
			release(a.body)
		}
	}
}

// expire ends the calls whose time is over, and sets the alarm for the others.
func (l *Link) expire() {
	now := time.Now()
	var over []uint64
	l.mu.Lock()
	l.alarm.at = time.Time{}
	for id, w := range l.pending {
		switch {
		case w.until.IsZero():
		case w.until.After(now):
			l.alarm.set(w.until, l.expire)
		default:
			delete(l.pending, id)
			over = append(over, id)
			w.c <- answer{err: fmt.Errorf("protocol: no answer from the agent: %w", context.DeadlineExceeded)}
		}
	}
	if l.alarm.at.IsZero() {
		l.alarm = alarm{}
	}
	l.mu.Unlock()
	for _, id := range over {
		l.cancel(id)
	}
}
