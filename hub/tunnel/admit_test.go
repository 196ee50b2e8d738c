package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/carrier"
)

func TestT19_OneTicketOneAgentAndFurtherOnesWait(t *testing.T) {
	in := install(t)
	n := in.start(t)
	first := newProcess(t)
	first.ticket = in.newTicket(t)
	l := first.dial(n)
	if w := l.welcome; w.State != protocol.AgentActive || w.Directory != in.Directory.ID || w.Node != n.mesh.ID() || w.Agent == "" || w.Nodes != 1 {
		t.Errorf("welcome %+v", w)
	}
	must(t, n.echo(t, in.to()))
	thief := newProcess(t)
	thief.ticket = first.ticket
	if _, err := thief.tryDial(n); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("a used ticket: %v", err)
	}
	second := newProcess(t)
	second.ticket = in.newTicket(t)
	l2 := second.dial(n)
	if l2.welcome.State != protocol.AgentPending || l2.welcome.BirthDateKey != nil {
		t.Errorf("second agent: %+v", l2.welcome)
	}
	to := in.to()
	to.Agent = l2.welcome.Agent
	wantCode(t, "call of a pending agent", n.echo(t, to), protocol.CodeUnavailable)
	by := audit.Principal{APIKey: "k"}
	if err := n.Confirm(t.Context(), in.Env.ID, to.Agent, protocol.Fingerprint(first.keys.Public, first.sign), by); !errors.Is(err, ErrFingerprint) {
		t.Errorf("another agent's fingerprint: %v", err)
	}
	must(t, n.Confirm(t.Context(), in.Env.ID, to.Agent, protocol.Fingerprint(second.keys.Public, second.sign), by))
	if code := l2.closeCode(t); code != protocol.CloseComeBack {
		t.Errorf("closed with %d", code)
	}
	second.ticket, second.agent = "", to.Agent
	if l := second.dial(n); l.welcome.State != protocol.AgentActive {
		t.Errorf("confirmed: %+v", l.welcome)
	}
	must(t, n.echo(t, to))
	if n1, n2 := in.audited(t, audit.AgentEnrolled), in.audited(t, audit.AgentConfirmed); n1 != 2 || n2 != 1 {
		t.Errorf("%d enrolled, %d confirmed in the audit log", n1, n2)
	}
}

func TestP07_ATicketRacedEnrolsOneAgent(t *testing.T) {
	in := install(t)
	n := in.start(t)
	ticket := in.newTicket(t)
	results := make(chan error)
	const racers = 20
	for range racers {
		p := newProcess(t)
		p.ticket = ticket
		go func() { _, err := p.tryDial(n); results <- err }()
	}
	won := 0
	for range racers {
		if err := <-results; err == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d agents enrolled", won)
	}
}

func TestP11_StrangersAndRevokedKeysAreSentAwayForAnHour(t *testing.T) {
	in := install(t)
	n := in.start(t)
	stranger := newProcess(t)
	stranger.agent = "3f0c2c8e-0000-4000-8000-000000000000"
	if _, err := stranger.tryDial(n); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("unknown key: %v", err)
	}
	p := in.enrolled(t, n)
	wrong := p.again()
	wrong.agent = "another"
	if _, err := wrong.tryDial(n); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("key of another agent: %v", err)
	}
	l := p.dial(n)
	must(t, n.echo(t, in.to()))
	began := time.Now()
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error { // on another node, so to say
		return tx.SetAgentState(t.Context(), in.Env.ID, p.agent, protocol.AgentRevoked, protocol.AgentActive)
	}))
	wantCode(t, "dispatch right after the revocation", n.echo(t, in.to()), protocol.CodeUnavailable)
	if code := l.closeCode(t); code != protocol.CloseComeBackHourly {
		t.Errorf("closed with %d", code)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("revoked after %v", d)
	}
	if _, err := p.tryDial(n); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("revoked key: %v", err)
	}
}

func TestP11_TheSweepFindsRevocationsWithoutADispatch(t *testing.T) {
	t.Parallel() // it waits for the sweep
	in := install(t)
	n := in.start(t)
	l := in.enrolled(t, n).dial(n)
	began := time.Now()
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.SetAgentState(t.Context(), in.Env.ID, l.welcome.Agent, protocol.AgentRevoked, protocol.AgentActive)
	}))
	if code := l.closeCode(t); code != protocol.CloseComeBackHourly {
		t.Errorf("closed with %d", code)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("revoked after %v", d)
	}
}

func TestP11_RevokedByAnAdministrator(t *testing.T) {
	in := install(t)
	n := in.start(t)
	l := in.enrolled(t, n).dial(n)
	must(t, n.Revoke(t.Context(), in.Env.ID, l.welcome.Agent, audit.Principal{APIKey: "k"}))
	if code := l.closeCode(t); code != protocol.CloseComeBackHourly {
		t.Errorf("closed with %d", code)
	}
	if err := n.Revoke(t.Context(), in.Env.ID, l.welcome.Agent, audit.Principal{}); !errors.Is(err, store.ErrRevoked) {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestP12_BrowsersCannotOpenATunnel(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	for _, origin := range []string{"https://evil.example", n.server.URL, "null", ""} {
		p.header = http.Header{"Origin": {origin}, "Cookie": {"session=x"}}
		if _, err := p.tryDial(n); !errors.Is(err, websocket.ErrBadHandshake) {
			t.Errorf("Origin %q: %v", origin, err)
		}
	}
	p.header = http.Header{"Cookie": {"session=x"}} // authenticates nothing, forbids nothing
	if l := p.dial(n); l.welcome.State != protocol.AgentActive {
		t.Errorf("%+v", l.welcome)
	}
}

func TestP12_NothingButTheSubprotocolIsSpoken(t *testing.T) {
	in := install(t)
	n := in.start(t)
	url := n.server.URL + protocol.Path
	for name, c := range map[string]struct {
		method string
		header http.Header
		want   int
	}{
		"plain GET":          {http.MethodGet, nil, http.StatusUpgradeRequired},
		"POST":               {http.MethodPost, upgradeHeader(protocol.Subprotocol), http.StatusUpgradeRequired},
		"no subprotocol":     {http.MethodGet, upgradeHeader(""), http.StatusBadRequest},
		"other subprotocol":  {http.MethodGet, upgradeHeader("postern.agent.v9"), http.StatusBadRequest},
		"old websocket":      {http.MethodGet, with(upgradeHeader(protocol.Subprotocol), "Sec-WebSocket-Version", "8"), http.StatusBadRequest},
		"origin of the host": {http.MethodGet, with(upgradeHeader(protocol.Subprotocol), "Origin", n.server.URL), http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, url, nil)
		must(t, err)
		req.Header = c.header
		if req.Header == nil {
			req.Header = http.Header{}
		}
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", name, resp.Status, c.want)
		}
	}
}

func upgradeHeader(subprotocol string) http.Header {
	h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	if subprotocol != "" {
		h.Set("Sec-WebSocket-Protocol", subprotocol)
	}
	return h
}

func with(h http.Header, key, value string) http.Header {
	h.Set(key, value)
	return h
}

// rawSocket opens the websocket without speaking Noise.
func rawSocket(t *testing.T, n *node) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(n.server.URL, "http")+protocol.Path, nil)
	must(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

func TestP12_HostileClientsAreCutOff(t *testing.T) {
	in := install(t)
	n := in.start(t)
	for name, say := range map[string]func(*websocket.Conn) error{
		"text":     func(ws *websocket.Conn) error { return ws.WriteMessage(websocket.TextMessage, []byte("hello")) },
		"nonsense": func(ws *websocket.Conn) error { return ws.WriteMessage(websocket.BinaryMessage, make([]byte, 96)) },
		"empty":    func(ws *websocket.Conn) error { return ws.WriteMessage(websocket.BinaryMessage, nil) },
		"oversize frame": func(ws *websocket.Conn) error {
			return ws.WriteMessage(websocket.BinaryMessage, make([]byte, carrier.MaxFrame+1))
		},
	} {
		ws := rawSocket(t, n)
		must(t, say(ws))
		_ = ws.SetReadDeadline(time.Now().Add(within))
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				var timeout interface{ Timeout() bool }
				if errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%s: still open", name)
				}
				break
			}
		}
	}
}

func TestP12_FailuresFromOneAddressAreLimited(t *testing.T) {
	in := install(t)
	n := in.start(t, func(c *Config) {
		c.Address = func(r *http.Request) string { return r.Header.Get("X-Test-Address") }
	})
	from := func(address string) error {
		p := newProcess(t)
		p.header = http.Header{"X-Test-Address": {address}}
		_, err := p.tryDial(n)
		return err
	}
	tried := 0
	for err := from("203.0.113.7"); !errors.Is(err, websocket.ErrBadHandshake); err = from("203.0.113.7") {
		if tried++; tried > 2*failures.Burst {
			t.Fatalf("%d keys tried from one address", tried)
		}
	}
	if tried < failures.Burst {
		t.Errorf("limited after %d", tried)
	}
	if err := from("203.0.113.8"); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("another address: %v", err)
	}
}

// Whoever opens connections and says nothing keeps the agents of others waiting only if they
// have several networks: one takes half of the places of a node, whatever addresses of it
// they use.
func TestT31_OneNetworkDoesNotKeepOtherAgentsOut(t *testing.T) {
	in := install(t)
	n := in.start(t, func(c *Config) {
		c.Address = func(r *http.Request) string { return r.Header.Get("X-Test-Address") }
	})
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	silent := func(i int) error {
		ws, res, err := d.Dial("ws"+strings.TrimPrefix(n.server.URL, "http")+protocol.Path, http.Header{"X-Test-Address": {fmt.Sprintf("2001:db8::%x", i+1)}})
		if res != nil {
			_ = res.Body.Close()
		}
		if err == nil {
			t.Cleanup(func() { _ = ws.Close() })
		}
		return err
	}
	var wg sync.WaitGroup
	var held atomic.Int32
	for i := range handshakes + 1 {
		wg.Go(func() {
			if silent(i) == nil {
				held.Add(1)
			}
		})
	}
	testenv.Eventually(t, "they hold what they can", func() bool { return held.Load() >= handshakes/2 })
	p := newProcess(t)
	p.header, p.ticket = http.Header{"X-Test-Address": {"203.0.113.8"}}, in.newTicket(t)
	if _, err := p.tryDial(n); err != nil {
		t.Errorf("an agent from elsewhere: %v", err)
	}
	wg.Wait()
	if held.Load() != handshakes/2 {
		t.Errorf("one network holds %d of %d places", held.Load(), handshakes)
	}
}

func TestP28_AWrongClockIsToleratedAndReported(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	for _, ahead := range []time.Duration{0, 90 * time.Second, -3 * time.Hour} {
		p.ahead = ahead
		l := p.dial(n)
		must(t, n.echo(t, in.to()))
		status, err := n.Status(t.Context(), in.Env.ID)
		must(t, err)
		if len(status) != 1 || len(status[0].Tunnels) != 1 {
			t.Fatalf("status %+v", status)
		}
		got := status[0].Tunnels[0]
		if d := got.Skew - ahead; d.Abs() > 5*time.Second || got.SkewWarn != (ahead != 0) {
			t.Errorf("ahead %v: reported %v, warned %v", ahead, got.Skew, got.SkewWarn)
		}
		l.leave()
		testenv.Eventually(t, "it is gone", func() bool { return len(n.roster.all()) == 0 })
	}
}

func TestASecondTunnelToOneNodeTakesOver(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	one := p.dial(n)
	two := p.dial(n)
	select { // both answer: the agent decides which it keeps
	case <-one.ended:
		t.Error("a living tunnel was closed")
	default:
	}
	three := p.dial(n)
	if code := one.closeCode(t); code != protocol.CloseReplaced {
		t.Errorf("the oldest of three closed with %d", code)
	}
	two.leave()
	must(t, n.echo(t, in.to()))
	three.leave()
}

func TestASilentTunnelGivesWayToTheNextOfItsProcess(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	blocked := make(chan struct{})
	mute := p.again()
	mute.instance = p.instance
	silent := mute.dialMute(t, n, blocked)
	two := p.dial(n)
	must(t, n.echo(t, in.to())) // the newest is used
	select {
	case <-silent:
	case <-time.After(within):
		t.Error("the silent tunnel was kept")
	}
	close(blocked)
	two.leave()
}

// dialMute opens a tunnel that is admitted and then never answers, as one whose
// network broke. gone is closed when the hub gave it up.
func (p *process) dialMute(t *testing.T, n *node, until <-chan struct{}) (gone <-chan struct{}) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(n.server.URL, "http")+protocol.Path, nil)
	must(t, err)
	hello := protocol.Hello{Agent: p.agent, Instance: p.instance, Time: time.Now()}
	_, _, err = protocol.Dial(t.Context(), carrier.New(ws), p.keys, n.keys.Public, hubName, hello, linkHandler{p, nil})
	must(t, err)
	testenv.Eventually(t, "it is admitted", func() bool { return len(n.roster.all()) > 0 && n.roster.all()[0].attached() != nil })
	c := n.roster.all()[0]
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for slices.Contains(n.roster.all(), c) {
			select {
			case <-until:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { _ = ws.Close(); <-ended })
	return ended
}

func TestP26_WithoutTheStoreNothingIsGivenAndTunnelsStay(t *testing.T) {
	t.Parallel() // it starts a database of its own
	server := testenv.StartPostgres(t)
	s := storetest.Open(t, store.Config{URL: server.Database(t), Dir: t.TempDir(), MasterKey: storetest.MasterKey})
	shared := coord.NewLocal()
	t.Cleanup(func() { _ = shared.Close() })
	in := installOn(t, s, func() coord.Coord { return shared })
	n := in.start(t)
	p := in.enrolled(t, n)
	l := p.dial(n)
	must(t, n.echo(t, in.to()))
	server.Stop()
	wantCode(t, "call", n.echo(t, in.to()), protocol.CodeUnavailable)
	wantCode(t, "execute", n.Execute(t.Context(), l.welcome.Agent, in.Env.ID, "r"), protocol.CodeUnavailable)
	q := p.again()
	if _, err := q.tryDial(n); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("admission without the store: %v", err)
	}
	server.Start(t)
	testenv.Eventually(t, "the same tunnel serves again", func() bool { return n.echo(t, in.to()) == nil })
	select {
	case <-l.ended:
		t.Error("an open tunnel was closed because the store was away")
	default:
	}
}

func TestTheWelcomeCarriesTheBirthDateKeyToActiveAgentsOnly(t *testing.T) {
	in := install(t)
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.SetBirthDateKey(t.Context(), in.Env.ID, in.Directory.ID, []byte("0123456789abcdef"))
	}))
	n := in.start(t)
	for i, want := range []string{"0123456789abcdef", ""} {
		p := newProcess(t)
		p.ticket = in.newTicket(t)
		if l := p.dial(n); string(l.welcome.BirthDateKey) != want {
			t.Errorf("agent %d, %s: %q", i, l.welcome.State, l.welcome.BirthDateKey)
		}
	}
}

func TestAnAgentMayNotCallTheHub(t *testing.T) {
	in := install(t)
	n := in.start(t)
	l := in.enrolled(t, n).dial(n)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	wantCode(t, "call", l.Call(ctx, protocol.MethodList, protocol.PrioritySync, protocol.Empty{}, nil), protocol.CodeBadRequest)
	must(t, l.Event("made up", json.RawMessage(`{"x":1}`)))
	must(t, n.echo(t, in.to()))
}
