package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Numbers of a stream of events.
const (
	maxStreams  = 64                     // of a node; each asks the store twice a second
	orgStreams  = 16                     // of one organisation on a node
	streamPoll  = 500 * time.Millisecond // new events are shown within this
	streamCheck = 5 * time.Second        // a key that was switched off streams no longer than this
	streamPing  = 30 * time.Second       // so that proxies keep the connection
	streamWrite = 10 * time.Second       // a reader that takes nothing for so long is let go
	streamSays  = 1 << 10                // of what a reader sends, which is only control frames
	storeAway   = time.Minute            // how long a stream outlives a store that does not answer
)

// streams are the streams of this node.
type streams struct {
	free   *places
	ending chan struct{} // closed when all of them have to end
	mu     sync.Mutex    // between begin and end
	wg     sync.WaitGroup
}

func newStreams() *streams {
	return &streams{free: newPlaces(maxStreams, orgStreams), ending: make(chan struct{})}
}

// begin counts a stream, unless all of them have to end.
func (s *streams) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ending:
		return false
	default:
		s.wg.Add(1)
		return true
	}
}

func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ending)
}

// Run ends all streams when ctx ends, and returns when they have ended.
func (a *API) Run(ctx context.Context) error {
	<-ctx.Done()
	a.streams.end()
	a.streams.wg.Wait()
	return nil
}

// upgrader makes websockets. A page of another origin gets none: a browser might send a
// key with it that somebody typed.
var upgrader = websocket.Upgrader{ReadBufferSize: 256, WriteBufferSize: 4 << 10, HandshakeTimeout: streamWrite}

var errStreams = refusal{http.StatusServiceUnavailable, "too many streams of the audit log; try again, or another node"}

// A follower is one stream.
type follower struct {
	c     *call
	ws    *websocket.Conn
	may   func(env string) bool
	kinds []string
	from  int64
}

// streamAudit is GET /api/audit over a WebSocket: each message is one event, from now on,
// or from the index of the log that from says.
func streamAudit(ctx context.Context, c *call) error {
	f := &follower{c: c, kinds: c.many("kind"), from: int64(c.number("from"))}
	if err := f.prepare(ctx); err != nil {
		return err
	}
	if !c.api.streams.free.take(c.key.Org) {
		return errStreams
	}
	defer c.api.streams.free.leave(c.key.Org)
	if !c.api.streams.begin() {
		return errStreams
	}
	defer c.api.streams.wg.Done()
	var err error
	if f.ws, err = upgrader.Upgrade(c.w, c.r, nil); err != nil {
		return nil //nolint:nilerr // it has answered
	}
	defer func() { _ = f.ws.Close() }()
	f.run(ctx)
	return nil
}

// prepare finds out what may be shown, and where to begin.
func (f *follower) prepare(ctx context.Context) error {
	return f.c.api.Store.Read(ctx, func(tx *store.Tx) error {
		if err := f.scope(ctx, tx); err != nil {
			return as(err, store.ErrNotFound, bad("env: not an environment that this key is for"))
		}
		head, err := tx.AuditHead(ctx)
		switch {
		case f.c.text("from") == "":
			f.from = head.Size
		case f.from > head.Size:
			return bad("from: the log has fewer entries")
		}
		return err
	})
}

// scope reads what the key may see now: an administrator may take environments from it.
func (f *follower) scope(ctx context.Context, tx *store.Tx) error {
	envs, err := f.c.auditEnvs(ctx, tx)
	if err == nil {
		f.may = func(env string) bool { return envs == nil || slices.Contains(envs, env) }
	}
	return err
}

// run writes events until the reader leaves, the key ends or the node does.
func (f *follower) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go f.listen(cancel)
	poll, ping := time.NewTicker(streamPoll), time.NewTicker(streamPing)
	defer poll.Stop()
	defer ping.Stop()
	checked, answered := time.Now(), time.Now()
	for {
		more, err := f.send(ctx)
		switch {
		case err == nil:
			answered = time.Now()
		case errors.Is(err, errGone) || time.Since(answered) > storeAway:
			f.end(websocket.CloseTryAgainLater, "try again")
			return
		}
		if time.Since(checked) > streamCheck {
			if checked = time.Now(); f.revoked(ctx) {
				f.end(websocket.ClosePolicyViolation, "the key is not good any more")
				return
			}
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-f.c.api.streams.ending:
			f.end(websocket.CloseServiceRestart, "this node stops")
			return
		case <-ping.C:
			_ = f.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(streamWrite)) // a broken connection shows when it is written to
		case <-poll.C:
		}
	}
}

// listen reads what a reader sends: nothing that counts, but its end.
func (f *follower) listen(cancel func()) {
	defer cancel()
	f.ws.SetReadLimit(streamSays)
	for {
		if _, _, err := f.ws.NextReader(); err != nil {
			return
		}
	}
}

func (f *follower) end(code int, why string) {
	_ = f.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(streamWrite))
}

// revoked reports whether the key may not read the log any more, or not from there.
func (f *follower) revoked(ctx context.Context) bool {
	err := f.c.api.Store.Read(ctx, func(tx *store.Tx) error {
		if err := f.c.authenticate(ctx, tx); err != nil {
			return err
		}
		if org, err := tx.Organisation(ctx, f.c.key.Org); err != nil {
			return err
		} else if !org.Admits(f.c.from()) || !roleReaches(f.c.key.Role, f.c.row.role) {
			return errForbidden
		}
		return f.scope(ctx, tx)
	})
	return errors.Is(err, errUnauthorized) || errors.Is(err, errForbidden) || errors.Is(err, store.ErrNotFound)
}

// errGone says that the reader takes nothing any more.
var errGone = errors.New("api: the reader of a stream is gone")

// send writes the next events, and says whether there are more of them at once.
func (f *follower) send(ctx context.Context) (more bool, err error) {
	var events []audit.Record
	var next int64
	err = f.c.api.Store.Read(ctx, func(tx *store.Tx) (err error) {
		events, next, err = audit.FollowAll(ctx, tx, f.c.key.Org, f.may, f.from)
		return err
	})
	if err != nil {
		return false, err
	}
	for _, e := range events {
		if len(f.kinds) > 0 && !slices.Contains(f.kinds, string(e.Kind)) {
			continue
		}
		if err := f.write(e); err != nil {
			return false, errors.Join(errGone, err)
		}
	}
	more = next > f.from
	f.from = next
	return more, nil
}

// maxEvent is the longest message that readers of the public protocol take.
const maxEvent = 32<<10 - 40 // with its index

func (f *follower) write(e audit.Record) error {
	b, err := e.Wire()
	if err == nil && len(b) > maxEvent {
		e.Detail, e.Truncated = json.RawMessage("{}"), true
		b, err = e.Wire()
	}
	if err != nil {
		return err
	}
	b = fmt.Appendf(b[:len(b)-1], `,"log_index":%d}`, e.Index) // ours: a reader goes on from the next one
	if err := f.ws.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	return f.ws.WriteMessage(websocket.TextMessage, b)
}
