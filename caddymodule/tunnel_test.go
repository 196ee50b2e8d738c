package caddymodule

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// wire is a websocket as protocol.Link wants it.
type wire struct {
	*websocket.Conn
	once sync.Once
}

func (w *wire) ReadMessage() ([]byte, error) {
	_, b, err := w.Conn.ReadMessage()
	var ended *websocket.CloseError
	if errors.As(err, &ended) {
		return nil, &protocol.CloseError{Code: ended.Code, Reason: ended.Text}
	}
	return b, err
}

func (w *wire) WriteMessage(b []byte) error { return w.Conn.WriteMessage(websocket.BinaryMessage, b) }

func (w *wire) Close(code int, reason string) error {
	w.once.Do(func() {
		_ = w.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
		_ = w.Conn.Close()
	})
	return nil
}

// quiet is an agent that answers nothing but notes events.
type quiet struct{ events chan string }

func (quiet) ServeCall(context.Context, protocol.Method, []byte) (any, error) {
	return nil, protocol.Err(protocol.CodeUnavailable, "a test's agent does nothing")
}

func (q quiet) ServeEvent(name string, _ []byte) {
	select {
	case q.events <- name:
	default:
	}
}

// fronted is a real hub behind a stock reverse_proxy in the same Caddy, as a node is
// behind another machine's.
const fronted = `	postern {
		public_url http://id.localhost
		data_dir DIR/data
	}
	servers {
		trusted_proxies_unix
	}
}
http://id.localhost {
	bind unix/DIR/front
	reverse_proxy unix/DIR/s {
		stream_close_delay 1h
	}
}
http:// {
	bind unix/DIR/s
	log
	postern
}
`

func TestAnEnrolledAgentsTunnelPassesAProxyAndAReloadAndHearsGoodbye(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	c := &running{testenv.Dir(t)}
	in := c.install(t, fronted)
	if err := c.load(t, fronted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	ticket := c.ticket(t, in)
	front := c.client(t, "front")
	testenv.Eventually(t, "the hub takes tunnels, which it does a moment after it answers", func() bool {
		code, _, _ := get(t, front, "http://id.localhost/readyz")
		return code == http.StatusOK
	})

	q := quiet{make(chan string, 4)}
	link := c.enrol(t, ticket, q)
	ended := make(chan error, 1)
	go func() { ended <- link.Run(context.WithoutCancel(t.Context())) }()
	for i := range 3 {
		if err := c.load(t, strings.Replace(fronted, "public_url", fmt.Sprintf("cname_target e%d.test\n\t\tpublic_url", i), 1)); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		if err := link.Ping(); err != nil {
			t.Fatalf("after reload %d: %v", i+1, err)
		}
		testenv.Eventually(t, "a sign of life after the reload", func() bool { return link.LastHeard().After(asked) })
	}
	if log := c.log(t); strings.Contains(log, ticket.Secret) {
		t.Error("the log holds the ticket")
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	var closed *protocol.CloseError
	if err := <-ended; !errors.As(err, &closed) || closed.Code != protocol.CloseComeBack {
		t.Errorf("the tunnel ended with %v", err)
	}
	testenv.Eventually(t, "every goroutine ended", func() bool { return runtime.NumGoroutine() <= goroutines+leftByCaddy })
}

// leftByCaddy is how many goroutines Caddy and the Go runtime keep after a stop.
const leftByCaddy = 6

// install sets the store up that a configuration of the test names.
func (c *running) install(t *testing.T, caddyfile string) hub.Installation {
	t.Helper()
	if err := os.MkdirAll(c.dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	cfg, err := ReadConfig([]byte(strings.ReplaceAll("{\n"+globals+caddyfile, "DIR", c.dir)), "Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	in, err := hub.Install(t.Context(), cfg, "Example AG", "production")
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// ticket makes a directory and a ticket for its agent over the REST API.
func (c *running) ticket(t *testing.T, in hub.Installation) protocol.Ticket {
	t.Helper()
	var made struct{ ID, Ticket string }
	for _, step := range []struct{ path, body string }{
		{"/api/directories", `{"env":"` + in.Environment + `","kind":"demo"}`}, {"/api/directories/ID/agent-tickets", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://id.localhost"+strings.Replace(step.path, "ID", made.ID, 1), bytes.NewBufferString(step.body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("", in.Key.Reveal())
		resp, err := c.client(t, "front").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode >= 300 || json.Unmarshal(b, &made) != nil {
			t.Fatalf("%s: %s %s %v", step.path, resp.Status, b, err)
		}
	}
	ticket, err := protocol.ParseTicket(made.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// enrol enrols an agent through the proxy and returns its link.
func (c *running) enrol(t *testing.T, ticket protocol.Ticket, h protocol.Handler) *protocol.Link {
	t.Helper()
	keys, err := protocol.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	sign, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := websocket.Dialer{NetDialContext: c.dial("front"), Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.DialContext(t.Context(), "ws://id.localhost"+protocol.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	hello := protocol.Hello{Ticket: ticket.Secret, SignKey: sign, Name: "test", Instance: "1", Version: "test", Time: time.Now()}
	link, welcome, err := protocol.Dial(t.Context(), &wire{Conn: ws}, keys, ticket.HubKey, ticket.HubName, hello, h)
	if err != nil || welcome.State != protocol.AgentActive {
		t.Fatalf("%+v, %v", welcome, err)
	}
	return link
}
