package caddymodule

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-id/postern/internal/testenv"
)

func TestTheAccessLogSaysThatATunnelWasOpened(t *testing.T) {
	useRecorder(t)
	c := start(t, plainHTTP)
	echo(t, c.tunnel(t, "s", "id.localhost"))
	lines := c.lines(t, 1)
	if lines[0]["status"] != float64(http.StatusSwitchingProtocols) || lines[0]["msg"] != "handled request" {
		t.Errorf("%v", lines[0])
	}
	get(t, c.client(t, "s"), "http://id.localhost/")
	if lines = c.lines(t, 2); len(lines) != 2 {
		t.Errorf("%d lines for a tunnel and another request", len(lines))
	}
}

// Caddy's recorder holds on to the request and to net/http's connection with its buffers,
// 13 KB of each idle agent.
func TestATunnelKeepsNothingOfTheRequestThatOpenedIt(t *testing.T) {
	h := useRecorder(t)
	freed := make(chan struct{})
	h.opening = func(w http.ResponseWriter) {
		recorder := w.(*response).ResponseWriter.(caddyhttp.ResponseRecorder)
		runtime.SetFinalizer(recorder, func(any) { close(freed) })
	}
	ws := start(t, plainHTTP).tunnel(t, "s", "id.localhost")
	testenv.Eventually(t, "Caddy's recorder is freed", func() bool {
		runtime.GC()
		select {
		case <-freed:
			return true
		default:
			return false
		}
	})
	echo(t, ws)
}

// errAsked is what asked answers.
var errAsked = errors.New("asked")

// asked is a writer of another module, with a way of its own to give its connection away.
type asked struct{ http.ResponseWriter }

func (asked) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errAsked }

func TestAWriterWithAWayOfItsOwnIsAskedForItsConnection(t *testing.T) {
	own := asked{httptest.NewRecorder()}
	within := caddyhttp.NewResponseRecorder(&caddyhttp.ResponseWriterWrapper{ResponseWriter: own}, nil, nil)
	for _, w := range []http.ResponseWriter{own, within} {
		if _, _, err := (&response{ResponseWriter: w}).Hijack(); !errors.Is(err, errAsked) {
			t.Errorf("%T: %v", w, err)
		}
	}
	w := &response{ResponseWriter: caddyhttp.NewResponseRecorder(httptest.NewRecorder(), nil, nil)}
	if _, _, err := w.Hijack(); !errors.Is(err, http.ErrNotSupported) || w.status != 0 {
		t.Errorf("a connection that is not given away: %v, status %d", err, w.status)
	}
}
