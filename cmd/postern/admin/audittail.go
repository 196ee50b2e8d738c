package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/spf13/cobra"
)

// Numbers of following.
const (
	maxStreamed  = 32 << 10 // of one event
	streamSilent = 90 * time.Second
	streamAgain  = time.Second
	streamMost   = 30 * time.Second
	dialWithin   = 15 * time.Second
)

// tail follows the audit log.
type tail struct {
	cl    *client
	query url.Values
	next  int64 // index of the log to go on from; -1: now
	show  func(raw []byte) error
}

func (f *flags) tailAudit() *cobra.Command {
	var kinds []string
	from := int64(-1)
	c := leaf("tail", "Shows audit events as they happen, until Ctrl-C", `  postern audit tail
  postern audit tail --kind operation_finished --json | my-collector`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		cl, err := f.client(c)
		if err != nil {
			return err
		}
		q := url.Values{"kind": kinds}
		if f.env != "" {
			q.Set("env", f.env)
		}
		t := &tail{cl: cl, query: q, next: from, show: func(raw []byte) error { return f.showEvent(c.OutOrStdout(), raw) }}
		return t.run(c.Context(), c.ErrOrStderr())
	})
	c.Flags().StringArrayVar(&kinds, "kind", nil, "only events of this kind; may be repeated")
	c.Flags().Int64Var(&from, "from", -1, "index of the log to begin at, such as the log_index of the last event seen and one; now if left out")
	return c
}

func (f *flags) showEvent(w io.Writer, raw []byte) error {
	if f.json {
		_, err := fmt.Fprintf(w, "%s\n", raw)
		return err
	}
	var e auditEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	_, err := fmt.Fprintf(plain{w}, "%s  %s  %s  %s  %s\n", e.Time.Local().Format(time.DateTime), e.Kind, first(e.Account, "-"), e.by(), e.ID)
	return err
}

// run follows until ctx ends. It connects again by itself and goes on after the last
// event that it showed.
func (t *tail) run(ctx context.Context, says io.Writer) error {
	wait := streamAgain
	for {
		shown, err := t.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var refused refusedStream
		if errors.As(err, &refused) {
			return err
		}
		if shown {
			wait = streamAgain
		}
		_, _ = fmt.Fprintf(says, "the stream was interrupted (%v); again in %s\n", err, wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, streamMost)
	}
}

// refusedStream is an answer that trying again does not change.
type refusedStream struct{ error }

// follow shows events of one connection, and reports whether it got any.
func (t *tail) follow(ctx context.Context) (shown bool, err error) {
	ws, err := t.dial(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = ws.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = ws.Close() })
	defer stop()
	ws.SetReadLimit(maxStreamed)
	alive := func(string) error { return ws.SetReadDeadline(time.Now().Add(streamSilent)) }
	ping := ws.PingHandler()
	ws.SetPingHandler(func(data string) error { return errors.Join(alive(data), ping(data)) })
	for {
		if err := alive(""); err != nil {
			return shown, err
		}
		_, raw, err := ws.ReadMessage()
		if websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
			return shown, refusedStream{errors.New("the hub does not take the key any more")}
		}
		if err != nil {
			return shown, err
		}
		if err := t.take(raw); err != nil {
			return shown, refusedStream{err}
		}
		shown = true
	}
}

// take shows an event and notes where to go on.
func (t *tail) take(raw []byte) error {
	var at struct {
		Index *int64 `json:"log_index"`
	}
	if err := json.Unmarshal(raw, &at); err != nil {
		return fmt.Errorf("the hub sent no event: %w", err)
	}
	if at.Index != nil {
		t.next = *at.Index + 1
	}
	return t.show(raw)
}

func (t *tail) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	if t.next >= 0 {
		t.query.Set("from", strconv.FormatInt(t.next, 10))
	}
	address := "ws" + strings.TrimPrefix(t.cl.server, "http") + "/api/audit?" + t.query.Encode()
	d := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: dialWithin}
	ws, resp, err := d.DialContext(ctx, address, http.Header{"Authorization": {"Bearer " + t.cl.key.Reveal()}, "User-Agent": {userAgent()}})
	if resp == nil || err == nil {
		return ws, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxStreamed)) // what there is of it
	err = refusal("/api/audit", resp.StatusCode, body)
	if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
		err = refusedStream{err}
	}
	return nil, err
}
