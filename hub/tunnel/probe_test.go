package tunnel

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestADoctorWhoLooksAtTheWayIsNoAgentThatIsNotAdmitted(t *testing.T) {
	in := install(t)
	n := in.start(t)
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(n.server.URL, "http")+protocol.Path, http.Header{protocol.ProbeHeader: {"doctor"}})
	must(t, err)
	_, _, err = ws.ReadMessage()
	if ended := (*websocket.CloseError)(nil); !errors.As(err, &ended) || ended.Code != protocol.CloseNormal {
		t.Errorf("the hub ends it with %v", err)
	}
	must(t, ws.Close())
	testenv.Eventually(t, "the log says who it was", func() bool { return n.log.Has("doctor of an agent looked") })
	if n.log.Has("not admitted") {
		t.Errorf("log: %s", n.log.String())
	}
}

func TestAnAgentThatOnlyLooksIsAskedNothing(t *testing.T) {
	in := install(t)
	var told atomic.Int32
	n := in.start(t, func(c *Config) { c.Connected = func(To) { told.Add(1) } })
	p := in.enrolled(t, n)
	p.probe = true
	l := p.dial(n)
	if l.welcome.State != protocol.AgentActive {
		t.Errorf("it is told %q", l.welcome.State)
	}
	wantCode(t, "a call", n.echo(t, in.to()), protocol.CodeUnavailable)
	l.leave()
	testenv.Eventually(t, "the hub noticed", func() bool { return len(n.roster.all()) == 0 })
	if told.Load() != 0 || !n.log.Has("probe=true") {
		t.Errorf("told %d times of an agent that can be asked; log: %s", told.Load(), n.log.String())
	}
	p.probe, p.instance = false, p.instance+"2"
	p.dial(n)
	must(t, n.echo(t, in.to()))
	if told.Load() != 1 {
		t.Errorf("told %d times of one that can", told.Load())
	}
}
