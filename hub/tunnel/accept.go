package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/protocol"
)

// ServeAgent serves protocol.Path. It returns as soon as the socket has a goroutine of
// its own, so that nothing of the request stays in memory.
func (t *Tunnels) ServeAgent(w http.ResponseWriter, r *http.Request) {
	address, done := t.knock(w, r)
	if done == nil {
		return
	}
	if !slices.Contains(websocket.Subprotocols(r), protocol.Subprotocol) {
		done()
		http.Error(w, "this address speaks the websocket subprotocol "+protocol.Subprotocol, http.StatusBadRequest)
		return
	}
	ctx, ok := t.begin()
	if !ok {
		done()
		unavailable(w)
		return
	}
	ws, err := upgrade(w, r)
	if err != nil { // it has answered
		done()
		t.work.Done()
		return
	}
	probe := r.Header.Get(protocol.ProbeHeader) != ""
	go func() {
		defer t.work.Done()
		defer done()
		if probe {
			_ = ws.Close(protocol.CloseNormal, "probe")
			t.log.Info("the doctor of an agent looked whether tunnels are let through", "address", address)
			return
		}
		t.admitSocket(ctx, ws, address)
	}()
}

// knock makes the checks that both sockets share (P12): a browser's request bears an
// Origin header and is refused, so that no page can use a person's way to the hub;
// cookies are not looked at. It returns nil if it has answered, else what ends the
// caller's place among the admissions.
func (t *Tunnels) knock(w http.ResponseWriter, r *http.Request) (address string, done func()) {
	if _, browser := r.Header["Origin"]; browser {
		http.Error(w, "not for browsers", http.StatusForbidden)
		return "", nil
	}
	if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "a websocket is expected here", http.StatusUpgradeRequired)
		return "", nil
	}
	if t.Ready() != nil {
		unavailable(w)
		return "", nil
	}
	address = t.address(r)
	network := policy.Client(address)
	if wait, ok := t.gate.enter(r.Context(), network); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		http.Error(w, "too many connections", http.StatusTooManyRequests)
		return "", nil
	}
	return address, func() { t.gate.leave(network) }
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, "the hub is not ready", http.StatusServiceUnavailable)
}

func (t *Tunnels) address(r *http.Request) string {
	if t.cfg.Address != nil {
		return t.cfg.Address(r)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// refuseCalls is the hub's Handler for one tunnel: agents do not call it, and say one
// thing that it acts on.
type refuseCalls struct {
	t *Tunnels
	c *conn // set before anything is read
}

// ServeCall implements protocol.Handler.
func (refuseCalls) ServeCall(context.Context, protocol.Method, []byte) (any, error) {
	return nil, protocol.Err(protocol.CodeBadRequest, "agents do not call the hub")
}

// ServeEvent implements protocol.Handler.
func (h *refuseCalls) ServeEvent(name string, _ []byte) {
	if name == protocol.EventChanged && h.t.cfg.Changed != nil && h.c.state == protocol.AgentActive {
		h.t.cfg.Changed(To{Env: h.c.Env, Directory: h.c.Directory, Agent: h.c.Agent})
	}
}

// admitSocket runs the handshake and, when the agent is admitted, starts the one
// goroutine of an idle tunnel, which reads.
func (t *Tunnels) admitSocket(ctx context.Context, w *wire, address string) {
	_ = w.ws.SetReadDeadline(time.Now().Add(handshakeLife)) // a socket that cannot take it fails at the read
	a := &admission{t: t, address: address}
	shake, cancel := context.WithTimeout(ctx, handshakeLife)
	defer cancel()
	handler := &refuseCalls{t: t}
	link, hello, err := protocol.Accept(shake, w, t.cfg.Keys, t.cfg.HubName, a.admit, handler)
	if err != nil {
		a.abandon()
		if !refusedAsCrowded(err) {
			t.gate.failed(ctx, policy.Client(address))
		}
		t.log.Info("agent not admitted", "address", address, "agent", hello.Agent, "error", err)
		return
	}
	_ = w.ws.SetReadDeadline(time.Time{}) // the wheel finds silent ones
	c := a.conn
	handler.c = c
	link.Guard(func() error { return t.standing(ctx, c) })
	t.attach(ctx, c, link)
	t.work.Add(1) // under the count of this goroutine
	link.Start(ctx, func(err error) { t.closed(ctx, c, err) })
	if ctx.Err() != nil { // Run has closed those that it saw
		link.Close(protocol.CloseComeBack, "stopping")
	}
	if hello.Ticket == "" { // an enrolment ends at once
		t.tellConnected(c)
	}
}

// tellConnected says that an agent can be asked.
func (t *Tunnels) tellConnected(c *conn) {
	if t.cfg.Connected != nil && c.state == protocol.AgentActive {
		t.cfg.Connected(To{Env: c.Env, Directory: c.Directory, Agent: c.Agent})
	}
}

// closed is the end of a tunnel.
func (t *Tunnels) closed(ctx context.Context, c *conn, err error) {
	defer t.work.Done()
	t.detach(ctx, c)
	t.log.Info("tunnel closed", "agent", c.Agent, "directory", c.Directory, "probe", c.probe, "error", err)
}

// attach makes a connection ready for calls. Other connections of the same process to
// this node are probably dead: the agent would not have come back otherwise.
func (t *Tunnels) attach(ctx context.Context, c *conn, p peer) {
	c.peer = p
	close(c.ready)
	t.wheel.add(c)
	t.collect()
	t.log.Info("tunnel open", "agent", c.Agent, "directory", c.Directory, "state", c.state, "version", c.Version, "probe", c.probe, "skew", c.skew.Round(time.Millisecond).String())
	older := t.roster.of(c.Directory, func(o *conn) bool {
		return o.Agent == c.Agent && o.Instance == c.Instance && o.seq < c.seq && o.attached() != nil
	})
	for i, o := range older {
		if crowded := i < len(older)-1; crowded || c.legacy() {
			t.spawn(func() { o.close(protocol.CloseReplaced, "replaced") })
			continue
		}
		t.spawn(func() {
			ctx, cancel := context.WithTimeout(ctx, replaceLife)
			defer cancel()
			if !t.answers(ctx, o.peer) {
				o.close(protocol.CloseReplaced, "replaced")
			}
		})
	}
}

// collectEvery is after how many admissions garbage is collected. An admission leaves ten
// times what its tunnel keeps, and what is kept lies between: memory with holes, which the
// system does not get back. When ten thousand agents come back at once, each would cost one
// kilobyte more, through TLS nearly three, for as long as it stays; the collections are a
// tenth of the work then.
const collectEvery = 256

// collect counts an admission.
func (t *Tunnels) collect() {
	if t.admitted.Add(1)%collectEvery == 0 {
		t.spawn(runtime.GC)
	}
}

// detach forgets a connection that has ended.
func (t *Tunnels) detach(ctx context.Context, c *conn) {
	t.wheel.remove(c)
	t.roster.remove(c)
	t.unclaim(ctx, c)
}

// unclaim takes a connection's claim back, so that other nodes do not ask here.
func (t *Tunnels) unclaim(ctx context.Context, c *conn) {
	fence := c.claimed.Swap(0)
	if fence == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unclaimLife)
	defer cancel()
	if err := t.mesh.Unclaim(ctx, claimSet(c.Directory), fence); err != nil {
		t.log.Debug("claim left behind", "directory", c.Directory, "error", err) // whoever follows it finds nothing
	}
}

// Limits of asking whether a connection lives.
const (
	unclaimLife = 2 * time.Second
	answerLife  = 3 * time.Second
	replaceLife = time.Second // of a process that dialled again: calls on a dead connection wait meanwhile
	answerPoll  = 5 * time.Millisecond
)

// answers reports whether the other end of a connection answers a ping.
func (t *Tunnels) answers(ctx context.Context, p peer) bool {
	ctx, cancel := context.WithTimeout(ctx, answerLife)
	defer cancel()
	asked := time.Now()
	t.spawn(func() { _ = p.Ping() }) // a broken link does not answer
	tick := time.NewTicker(answerPoll)
	defer tick.Stop()
	for {
		if p.LastHeard().After(asked) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// refusal is an error for the agent with a close code that says when to come back.
func refusal(code protocol.Code, message string, comeBack int) error {
	return fmt.Errorf("%w: %w", protocol.Err(code, message), &protocol.CloseError{Code: comeBack, Reason: string(code)})
}
