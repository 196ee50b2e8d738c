package protocol

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Wire carries messages: one websocket message of type binary each. One goroutine
// reads and one writes at any moment.
type Wire interface {
	// ReadMessage returns the next message. The slice is valid, and may be written
	// to, until the next call.
	ReadMessage() ([]byte, error)
	WriteMessage([]byte) error
	// Close ends both directions, with a websocket close code and a short reason. It
	// may be called at any time and more than once.
	Close(code int, reason string) error
}

// A Waiter is a Wire that can wait until a message comes, without the deep stack of
// reading one. Link.Start then needs less memory for an idle link.
type Waiter interface{ Wait() }

// Close codes that tell an agent when to come back. Only a local command is final.
const (
	CloseNormal         = 1000
	CloseProtocol       = 1002
	CloseComeBack       = 4000 // at once, with jitter
	CloseComeBackHourly = 4001 // refused for now: a revoked key, a used ticket
	CloseReplaced       = 4002 // this process has another link to the same node: nothing to do
)

// A CloseError says how a link ended. A Wire returns it from ReadMessage when the
// peer closed.
type CloseError struct {
	Code   int
	Reason string
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("protocol: link closed with code %d: %s", e.Code, e.Reason)
}

// A Handler serves what the peer asks and tells. Its methods are called from the
// link's goroutines, ServeEvent in order and from the reader, so it must not block.
type Handler interface {
	// ServeCall answers one call. The result is sent as JSON, an error as *Error
	// (another error becomes CodeInternal with its text). ctx ends with the call's
	// deadline, a cancel of the peer, or the link.
	ServeCall(ctx context.Context, m Method, body []byte) (any, error)
	ServeEvent(name string, body []byte)
}

// EventGoAway is told to ServeEvent when the hub's node is about to stop: finish
// calls, take a tunnel to another node.
const EventGoAway = "goaway"

// EventNodes tells an agent that nodes came or went, so that it looks for a second one
// at once; without it an agent looks every quarter of an hour. Its body is NodesEvent.
const EventNodes = "nodes"

// EventChanged tells the hub that the agent's directory has something new to list. Its
// body is Empty. Without it the hub asks each hour.
const EventChanged = "changed"

// maxServing bounds the calls that one peer may have open.
const maxServing = 256

// A Link is a tunnel between one agent and one node, the same on both ends. Its
// methods may be called from many goroutines.
type Link struct {
	wire    Wire
	ch      channel
	out     *writer
	handler Handler
	began   time.Time
	heard   atomic.Int64 // nanoseconds after began, when the last frame came: clocks are set, and a link's silence is not theirs
	nextID  atomic.Uint64

	// owned by the reader
	asm assembler

	mu      sync.Mutex
	pending map[uint64]chan answer
	serving map[uint64]context.CancelFunc
	ended   error
}

type answer struct {
	body []byte
	err  error
}

func newLink(w Wire, ch channel, h Handler) *Link {
	l := &Link{wire: w, ch: ch, handler: h, began: time.Now()}
	l.out = newWriter(l.encryptAndSend)
	return l
}

// sealed are buffers for encrypted messages, shared by all links.
var sealed = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func (l *Link) encryptAndSend(msg []byte) error {
	bp := sealed.Get().(*[]byte)
	defer sealed.Put(bp)
	out, err := l.ch.send.encrypt((*bp)[:0], msg)
	if err != nil {
		return err
	}
	*bp = out
	if onlySigns(msg) {
		l.ch.send.rest()
	}
	if err := l.wire.WriteMessage(out); err != nil {
		_ = l.wire.Close(CloseProtocol, "write failed") // wakes the reader, which ends the link
		return err
	}
	return nil
}

// readMessage returns the next plaintext, in the wire's buffer.
func (l *Link) readMessage() ([]byte, error) {
	in, err := l.wire.ReadMessage()
	if err != nil {
		return nil, err
	}
	msg, err := l.ch.recv.decrypt(in[:0], in)
	if err != nil {
		return nil, fmt.Errorf("protocol: a message that the peer did not send: %w", err)
	}
	if onlySigns(msg) {
		l.ch.recv.rest()
	}
	l.heard.Store(int64(time.Since(l.began)))
	return msg, nil
}

// end fails everything that waits.
func (l *Link) end(err error) {
	_ = l.wire.Close(CloseProtocol, "link ended")
	l.out.stop(Err(CodeUnavailable, "the tunnel is closed"))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = err
	}
	for id, c := range l.pending {
		c <- answer{err: Err(CodeInternal, "the tunnel broke before the answer came")}
		delete(l.pending, id)
	}
}

// dispatch handles one whole frame. body lies in the reader's buffer: whoever keeps it copies.
func (l *Link) dispatch(calls *served, f frame, body []byte) error {
	switch f.kind {
	case kindCall:
		return l.startCall(calls, f, body)
	case kindReply:
		l.settle(f.id, answer{body: append([]byte(nil), body...)})
	case kindError:
		l.settle(f.id, answer{err: decodeError(body)})
	case kindCancel:
		l.cancelCall(f.id)
	case kindEvent:
		return l.event(body)
	case kindGoAway:
		l.handler.ServeEvent(EventGoAway, append([]byte(nil), body...))
	case kindPing:
		return l.out.add(frame{kind: kindPong, id: f.id}, false)
	}
	return nil // pongs were heard; unknown kinds are ignored
}

func decodeError(body []byte) error {
	var e Error
	if err := json.Unmarshal(body, &e); err != nil || e.Code == "" {
		return Err(CodeInternal, "the peer sent an error that cannot be read")
	}
	return &e
}

func (l *Link) event(body []byte) error {
	if len(body) < 1 || len(body) < 1+int(body[0]) {
		return fmt.Errorf("%w: event", errFrame)
	}
	n := 1 + int(body[0])
	l.handler.ServeEvent(string(body[1:n]), append([]byte(nil), body[n:]...))
	return nil
}

func (l *Link) settle(id uint64, a answer) {
	l.mu.Lock()
	c := l.pending[id]
	delete(l.pending, id)
	l.mu.Unlock()
	if c != nil {
		c <- a
	}
}

// callHeader is method(1) and deadline in milliseconds(4).
const callHeader = 1 + 4

func (l *Link) startCall(calls *served, f frame, body []byte) error {
	if len(body) < callHeader {
		return fmt.Errorf("%w: call of %d bytes", errFrame, len(body))
	}
	m, ms := Method(body[0]), binary.BigEndian.Uint32(body[1:])
	body = append([]byte(nil), body[callHeader:]...)
	ctx := calls.context()
	var cancel context.CancelFunc
	if ms > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	if !l.openCall(f.id, cancel) {
		cancel()
		return l.reply(f.id, 0, nil, Err(CodeUnavailable, "too many calls are open on this tunnel"))
	}
	prio := Priority(f.flags & maskPriority >> shiftPrio)
	calls.Go(func() {
		v, err := l.handler.ServeCall(ctx, m, body)
		l.cancelCall(f.id)
		_ = l.reply(f.id, prio, v, err) // a broken link is met by the reader
	})
	return nil
}

func (l *Link) openCall(id uint64, cancel context.CancelFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, twice := l.serving[id]; twice || len(l.serving) >= maxServing {
		return false
	}
	if l.serving == nil {
		l.serving = map[uint64]context.CancelFunc{}
	}
	l.serving[id] = cancel
	return true
}

func (l *Link) cancelCall(id uint64) {
	l.mu.Lock()
	cancel := l.serving[id]
	delete(l.serving, id)
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
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

// Call asks the peer and waits for its answer, which is decoded into resp unless resp
// is nil; a *json.RawMessage takes it as it is, and a json.RawMessage as req is sent
// as it is. ctx's deadline travels with the call, and its end cancels it there. An
// error of the peer is an *Error. CodeUnavailable means that the call was never sent,
// CodeInternal that the tunnel broke and nobody knows.
func (l *Link) Call(ctx context.Context, m Method, p Priority, req, resp any) error {
	body, err := callBody(ctx, m, req)
	if err != nil {
		return err
	}
	c := make(chan answer, 1)
	id, err := l.wait(c)
	if err != nil {
		return err
	}
	defer l.out.count(-1)
	if err := l.out.add(frame{kind: kindCall, flags: uint8(p) << shiftPrio, id: id, body: body}, p == PrioritySync); err != nil {
		l.forget(id)
		return Err(CodeUnavailable, "the tunnel is closed")
	}
	select {
	case a := <-c:
		return a.decode(resp)
	case <-ctx.Done():
		l.forget(id)
		_ = l.out.add(frame{kind: kindCancel, id: id}, false)
		return fmt.Errorf("protocol: no answer from the agent: %w", ctx.Err())
	}
}

func callBody(ctx context.Context, m Method, req any) ([]byte, error) {
	b := make([]byte, callHeader, 256)
	b[0] = byte(m)
	if d, ok := ctx.Deadline(); ok {
		ms := max(time.Until(d).Milliseconds(), 1)
		binary.BigEndian.PutUint32(b[1:], uint32(min(ms, 1<<31)))
	}
	js, ok := req.(json.RawMessage)
	if !ok {
		var err error
		if js, err = json.Marshal(req); err != nil {
			return nil, err
		}
	}
	if len(js) > MaxBody-callHeader {
		return nil, Err(CodeBadRequest, "the call is too large")
	}
	return append(b, js...), nil
}

func (a answer) decode(resp any) error {
	if a.err != nil || resp == nil {
		return a.err
	}
	if raw, ok := resp.(*json.RawMessage); ok {
		*raw = a.body
		return nil
	}
	if err := ReadBody(a.body, resp); err != nil {
		return Err(CodeInternal, "the peer's answer cannot be read: "+err.Error())
	}
	return nil
}

func (l *Link) wait(c chan answer) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return 0, Err(CodeUnavailable, "the tunnel is closed")
	}
	if l.pending == nil {
		l.pending = map[uint64]chan answer{}
	}
	id := l.nextID.Add(1)
	l.pending[id] = c
	l.out.count(1)
	return id, nil
}

func (l *Link) forget(id uint64) {
	l.mu.Lock()
	delete(l.pending, id)
	l.mu.Unlock()
}

// Event tells the peer something that needs no answer. name has at most 255 bytes.
func (l *Link) Event(name string, v any) error {
	js, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(name) > 255 {
		return errors.New("protocol: event name above 255 bytes")
	}
	body := append(append([]byte{byte(len(name))}, name...), js...)
	return l.out.add(frame{kind: kindEvent, body: body}, false)
}

// GoAway asks the peer to finish its calls and to take a tunnel to another node.
func (l *Link) GoAway(reason string) error {
	return l.out.add(frame{kind: kindGoAway, body: []byte(reason)}, false)
}

// Ping asks for a sign of life, which LastHeard shows; it does not wait.
func (l *Link) Ping() error { return l.out.add(frame{kind: kindPing}, false) }

// LastHeard returns when the last frame of the peer came, by the monotonic clock.
func (l *Link) LastHeard() time.Time { return l.began.Add(time.Duration(l.heard.Load())) }

// Close ends the link with a close code that tells the peer when to come back.
func (l *Link) Close(code int, reason string) { _ = l.wire.Close(code, reason) }
