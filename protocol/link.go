package protocol

import (
	"context"
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
	// (another error becomes CodeInternal with its text); a json.RawMessage is sent as
	// it is. body is the handler's until it returns. ctx ends with the call's deadline, a
	// cancel of the peer, or the link.
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

// maxServing bounds the calls that one peer may have open; maxUnfinished those besides
// that it has cancelled or that were answered, and whose handler or answer has not ended
// yet: a peer that cancels or does not read must not have memory without end.
const (
	maxServing    = 256
	maxUnfinished = 4 * maxServing
)

// A Link is a tunnel between one agent and one node, the same on both ends. Its
// methods may be called from many goroutines.
type Link struct {
	wire    Wire
	ch      channel
	out     *writer
	check   func() error // see Guard; nil: every call is sent
	handler Handler
	began   time.Time
	heard   atomic.Int64 // nanoseconds after began, when the last frame came: clocks are set, and a link's silence is not theirs
	nextID  atomic.Uint64

	// owned by the reader
	asm assembler

	mu      sync.Mutex
	pending map[uint64]*waiter
	gate    *gate // made with the first call that is to be checked
	alarm   alarm // of pending
	serving map[uint64]*servedCall
	open    int // calls of the peer that have not ended, those in serving included
	ended   error
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
	for id, w := range l.pending {
		if w.left {
			w.c <- answer{err: Err(CodeInternal, "the tunnel broke before the answer came")}
		} else { // nor will it be: the writer has stopped
			w.c <- answer{err: errClosed}
		}
		delete(l.pending, id)
	}
	l.alarm.stop()
}

// dispatch handles one whole frame. body lies in the reader's buffer: whoever keeps it copies.
func (r *reader) dispatch(f frame, body []byte) error {
	l := r.link
	switch f.kind {
	case kindCall:
		return l.openCall(r.served(), f, body)
	case kindReply:
		if len(body) > len(f.body) { // it was joined
			l.settle(f.id, answer{body: &body})
		} else {
			l.settle(f.id, answer{body: pooledCopy(body)})
		}
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
