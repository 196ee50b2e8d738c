package tunnel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/carrier"
)

// Limits of the public agent protocol.
const (
	// legacyRequest is the largest frame that its agents take; one byte more and they
	// close the socket.
	legacyRequest = 32768
	// legacyReply bounds what they send: a page of accounts is one frame.
	legacyReply = 32 << 20
	// A reply that does not come in time ends the socket, because replies are matched
	// to requests by their order alone.
	legacyPage      = 120 * time.Second
	legacyOperation = 60 * time.Second
)

// A socket carries one request at a time over the public agent protocol. Who waits for
// the turn is served by priority.
type socket struct {
	ws    *websocket.Conn
	spawn func(func()) bool // runs an exchange on a goroutine that somebody waits for
	turn  turn
	end   sync.Once
	gone  chan struct{} // closed when the reader has ended

	began   time.Time
	heard   atomic.Int64 // nanoseconds after began, when the last sign of life came: clocks are set
	working atomic.Bool  // a request is under way: the agent answers no pings then

	mu      sync.Mutex
	replies chan []byte // of the request under way; nil if there is none
}

func newSocket(ws *websocket.Conn, spawn func(func()) bool) *socket {
	s := &socket{ws: ws, spawn: spawn, gone: make(chan struct{}), began: time.Now()}
	ws.SetReadLimit(legacyReply)
	ws.SetPongHandler(func(string) error {
		s.heard.Store(int64(time.Since(s.began)))
		return nil
	})
	return s
}

// errUnasked ends a socket on which a reply came that nobody waits for: the next would
// be taken for the answer to another request.
var errUnasked = errors.New("tunnel: a reply that nobody asked for")

// read hands replies to whoever waits, until the socket ends.
func (s *socket) read(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.close(websocket.CloseGoingAway, "stopping") })
	defer stop()
	defer close(s.gone)
	defer s.close(websocket.CloseNormalClosure, "")
	for {
		_, msg, err := s.ws.ReadMessage()
		if err != nil {
			return carrier.CloseError(err)
		}
		s.heard.Store(int64(time.Since(s.began)))
		s.mu.Lock()
		replies := s.replies
		s.replies = nil
		s.mu.Unlock()
		if replies == nil {
			return errUnasked
		}
		replies <- msg
	}
}

func (s *socket) close(code int, reason string) {
	s.end.Do(func() {
		carrier.SayGoodbye(s.ws, code, reason)
	})
}

// lastHeard is now while a request is under way: only its deadline tells.
func (s *socket) lastHeard() time.Time {
	if s.working.Load() {
		return time.Now()
	}
	return s.began.Add(time.Duration(s.heard.Load()))
}

// ping asks an idle agent for a sign of life.
func (s *socket) ping() error {
	if s.working.Load() {
		return nil
	}
	return s.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(carrier.CloseLife))
}

// Ends of an exchange. errUnsent means that nothing can have happened.
var (
	errUnsent = errors.New("tunnel: not sent")
	errNoWord = errors.New("tunnel: no reply came")
)

// exchange sends one request when its turn comes and returns the reply. If the caller
// goes, the exchange goes on without it, because the reply must be taken off the line.
func (s *socket) exchange(ctx context.Context, p protocol.Priority, life time.Duration, request any) ([]byte, error) {
	text, err := encodeRequest(request)
	if err != nil {
		return nil, err
	}
	if !s.turn.take(ctx, p, s.gone) {
		return nil, errUnsent
	}
	type result struct {
		reply []byte
		err   error
	}
	done := make(chan result, 1)
	if !s.spawn(func() {
		defer s.turn.give()
		reply, err := s.roundTrip(text, life)
		done <- result{reply, err}
	}) {
		s.turn.give()
		return nil, errUnsent
	}
	select {
	case r := <-done:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, errNoWord
	}
}

// encodeRequest writes one JSON document that fits into a frame.
func encodeRequest(request any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(request); err != nil {
		return nil, err
	}
	text := bytes.TrimRight(b.Bytes(), "\n")
	if len(text) > legacyRequest {
		return nil, protocol.Err(protocol.CodeBadRequest, "the request is too large for the agent")
	}
	return text, nil
}

// roundTrip is one request and its reply. The caller has the turn.
func (s *socket) roundTrip(text []byte, life time.Duration) ([]byte, error) {
	select {
	case <-s.gone:
		return nil, errUnsent
	default:
	}
	replies := make(chan []byte, 1)
	s.mu.Lock()
	s.replies = replies
	s.mu.Unlock()
	s.working.Store(true)
	defer s.working.Store(false)
	deadline := time.NewTimer(life)
	defer deadline.Stop()
	_ = s.ws.SetWriteDeadline(time.Now().Add(carrier.WriteLife)) // a broken socket fails at the write
	if err := s.ws.WriteMessage(websocket.TextMessage, text); err != nil {
		s.close(websocket.CloseInternalServerErr, "write failed")
		return nil, errNoWord
	}
	select {
	case reply := <-replies:
		s.heard.Store(int64(time.Since(s.began)))
		return reply, nil
	case <-deadline.C:
		s.close(websocket.ClosePolicyViolation, "no reply in time")
	case <-s.gone:
	}
	select { // it may have come at the same time
	case reply := <-replies:
		return reply, nil
	default:
		return nil, errNoWord
	}
}

// A turn is held by one at a time and goes to the waiter of the highest priority.
type turn struct {
	mu      sync.Mutex
	taken   bool
	waiting [protocol.PriorityRecovery + 1][]chan struct{}
}

// take waits for the turn. It reports false if ctx or gone ended first.
func (t *turn) take(ctx context.Context, p protocol.Priority, gone <-chan struct{}) bool {
	p = min(p, protocol.PriorityRecovery)
	t.mu.Lock()
	select {
	case <-gone:
		t.mu.Unlock()
		return false
	default:
	}
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return true
	}
	mine := make(chan struct{})
	t.waiting[p] = append(t.waiting[p], mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	case <-gone:
	}
	if t.withdraw(p, mine) {
		return false
	}
	<-mine // it was given at the same moment
	t.give()
	return false
}

// withdraw takes a waiter off the list, unless the turn was given to it.
func (t *turn) withdraw(p protocol.Priority, mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range t.waiting[p] {
		if w == mine {
			t.waiting[p] = append(t.waiting[p][:i], t.waiting[p][i+1:]...)
			return true
		}
	}
	return false
}

// give passes the turn on.
func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := len(t.waiting) - 1; p >= 0; p-- {
		if len(t.waiting[p]) > 0 {
			next := t.waiting[p][0]
			t.waiting[p] = t.waiting[p][1:]
			close(next)
			return
		}
	}
	t.taken = false
}
