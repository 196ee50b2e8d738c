package tunnel

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// When many agents come back at once, what their admissions leave is collected before it
// lies between too much of what stays.
func TestGarbageIsCollectedAfterManyAdmissions(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := newProcess(t)
	p.ticket = in.newTicket(t)
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	before := forced()
	n.admitted.Store(collectEvery - 2)
	first := p.dial(n)
	if forced() != before {
		t.Fatal("collected for a single admission")
	}
	p.agent, p.ticket = first.welcome.Agent, ""
	first.leave()
	p.again().dial(n)
	testenv.Eventually(t, "a collection", func() bool { return forced() > before })
}

// The buffer that an idle connection keeps is small, and what the largest control frame
// and longer messages say passes it.
func TestAnIdleConnectionKeepsASmallBuffer(t *testing.T) {
	size, read := make(chan int, 1), make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w, err := upgrade(rw, r)
		if err != nil {
			t.Error(err)
			return
		}
		w.Wait()
		size <- w.in.Size()
		msg, err := w.ReadMessage()
		if err != nil {
			t.Error(err)
		}
		read <- string(msg)
		_ = w.Close(protocol.CloseNormal, "")
	}))
	defer srv.Close()
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	must(t, err)
	defer ws.Close()
	ping, said, pong := strings.Repeat("p", 125), strings.Repeat("message", 3000), ""
	ws.SetPongHandler(func(s string) error { pong = s; return nil })
	must(t, ws.WriteControl(websocket.PingMessage, []byte(ping), time.Now().Add(within)))
	must(t, ws.WriteMessage(websocket.BinaryMessage, []byte(said)))
	if got := <-size; got != readBuffer {
		t.Errorf("an idle connection keeps %d bytes, want %d", got, readBuffer)
	}
	if got := <-read; got != said {
		t.Errorf("read %d bytes, want %d", len(got), len(said))
	}
	_, _, _ = ws.ReadMessage() // meets the pong, and the end
	if pong != ping {
		t.Errorf("the pong says %q", pong)
	}
}
