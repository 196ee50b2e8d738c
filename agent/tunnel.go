package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Times of a tunnel that is open.
const (
	pingAfter   = 15 * time.Second // of silence: a tunnel with calls on it needs none
	pongLife    = 5 * time.Second  // for the answer, four retransmissions included; with the first wait, another tunnel serves within 30 s
	drainLife   = 2 * time.Minute  // a node that said it goes away closes by itself when its calls are done
	askAgain    = 10 * time.Minute // a tunnel of an agent that is given nothing is renewed, in case nobody tells it
	skewWarning = maxSkew / 2
	lookSpread  = 5 * time.Second // all agents hear at once that a node came
)

// capabilities are what this agent tells the hub.
var capabilities = []string{"seal", "outcome"}

// A tunnel is one link to one node.
type tunnel struct {
	svc     *service
	tunnels *tunnels
	link    *protocol.Link
	welcome protocol.Welcome
	address string
	log     *slog.Logger

	once    sync.Once
	leaving chan struct{} // closed when the node goes away
	spread  time.Duration // over which its agents look for another; set before leaving is closed
}

// ServeCall implements protocol.Handler. An agent that is not active serves nothing.
func (t *tunnel) ServeCall(ctx context.Context, m protocol.Method, body []byte) (any, error) {
	if t.welcome.State != protocol.AgentActive {
		return nil, protocol.Err(protocol.CodeQuarantined, "the agent is "+t.welcome.State+" and does nothing")
	}
	return t.svc.serve(ctx, m, body, t.welcome.Node)
}

// ServeEvent implements protocol.Handler. What it does not know it ignores.
func (t *tunnel) ServeEvent(name string, body []byte) {
	switch name {
	case protocol.EventGoAway:
		t.once.Do(func() {
			t.spread = protocol.Spread(string(body))
			close(t.leaving)
		})
	case protocol.EventNodes:
		var e protocol.NodesEvent
		if json.Unmarshal(body, &e) == nil && e.Nodes > 0 {
			time.AfterFunc(jitter(lookSpread), func() { t.tunnels.heard(e.Nodes) })
		}
	}
}

// helloOf is what a process says of itself before it is known.
func helloOf(cfg Config, version, guardHash string, now time.Time) protocol.Hello {
	name := cfg.Name
	if name == "" {
		name, _ = os.Hostname() // for people; it may stay empty
	}
	return protocol.Hello{
		Name: name, Instance: rand.Text(), Version: version, Capabilities: capabilities, GuardHash: guardHash, Time: now,
		Groups: cfg.Evidence.GroupTrust(cfg.Guard.SensitiveGroups), Evaluation: cfg.Evaluation,
	}
}

// hello is what every tunnel of this process says.
func (m *tunnels) hello() protocol.Hello {
	h := helloOf(m.cfg, m.version, m.svc.rulesHash(), m.svc.now())
	h.Agent, h.Instance, h.Nodes = m.svc.id.Agent, m.instance, m.connected()
	h.LogSize, h.LogStopped = m.svc.witness.Last(), m.svc.witness.Stopped()
	return h
}

// connect opens one tunnel, up to the hub's welcome.
func (m *tunnels) connect(ctx context.Context) (*tunnel, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLife)
	defer cancel()
	w, address, err := m.dialer.open(ctx, m.addresses())
	if err != nil {
		return nil, err
	}
	t := &tunnel{svc: m.svc, tunnels: m, address: address, leaving: make(chan struct{})}
	id := m.svc.id
	t.link, t.welcome, err = protocol.Dial(ctx, w, id.keys.noise, id.HubKey, id.HubName, m.hello(), t)
	if err != nil {
		return nil, err
	}
	t.log = m.log.With("node", t.welcome.Node, "address", address)
	if t.welcome.Directory != id.Directory {
		t.link.Close(protocol.CloseNormal, "another directory")
		return nil, errors.New("the hub says that this agent serves another directory; enrol anew")
	}
	t.greet()
	return t, nil
}

// greet takes from the welcome what the agent needs, and tells people what they need.
func (t *tunnel) greet() {
	if d, ok := t.svc.dir.(directory.Keyed); ok && len(t.welcome.BirthDateKey) > 0 {
		d.UseBirthDateKey(t.welcome.BirthDateKey)
	}
	skew := t.svc.now().Sub(t.welcome.Time)
	if skew.Abs() > skewWarning {
		t.log.Warn("clocks differ: set the clock of this machine or of the hub", "skew", skew.Round(time.Second).String(), "tolerated", maxSkew.String())
	}
	switch t.welcome.State {
	case protocol.AgentActive:
		t.log.Info("tunnel open", "nodes", t.welcome.Nodes, "skew", skew.Round(time.Millisecond).String())
	case protocol.AgentPending:
		t.log.Warn("waiting to be confirmed: an administrator compares this fingerprint with the one on the hub's status page",
			"fingerprint", t.svc.id.Fingerprint())
	case protocol.AgentQuarantined:
		t.log.Warn("quarantined: another process uses this agent's keys; stop it, or enrol this one anew, and tell an administrator, who decides in the hub",
			"fingerprint", t.svc.id.Fingerprint())
	default:
		t.log.Warn("the hub gives this agent nothing to do; enrol it anew if it should serve", "state", t.welcome.State)
	}
}

// run serves the tunnel until it ends. Pings keep middleboxes from forgetting it and
// find a hub that is gone.
func (t *tunnel) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { t.watch(ctx) })
	return t.link.Run(ctx)
}

// watch pings, and closes a link that is silent, drained, or to be renewed.
func (t *tunnel) watch(ctx context.Context) {
	p := pulse{link: t.link}
	look := time.NewTimer(pingAfter)
	defer look.Stop()
	var over <-chan time.Time
	if t.welcome.State != protocol.AgentActive {
		renew := time.NewTimer(askAgain)
		defer renew.Stop()
		over = renew.C
	}
	leaving := t.leaving
	for {
		select {
		case <-ctx.Done():
			return
		case <-leaving:
			drained := time.NewTimer(drainLife)
			defer drained.Stop()
			leaving, over = nil, drained.C
		case <-over:
			t.link.Close(protocol.CloseNormal, "over")
			return
		case <-look.C:
			again, alive := p.feel(time.Now())
			if !alive {
				t.log.Warn("tunnel silent")
				t.link.Close(protocol.CloseProtocol, "silent")
				return
			}
			look.Reset(again)
		}
	}
}

// A pulse finds out whether the other end of a link is there.
type pulse struct {
	link interface {
		Ping() error
		LastHeard() time.Time
	}
	asked time.Time // the last ping
}

// feel pings a link that was silent for long, and says when to feel again; it is dead
// when a ping had no answer in time. A process that was held up itself asks first.
func (p *pulse) feel(now time.Time) (again time.Duration, alive bool) {
	heard := p.link.LastHeard()
	switch quiet := now.Sub(heard); {
	case quiet < pingAfter:
		return pingAfter - quiet, true
	case p.asked.After(heard):
		left := pongLife - now.Sub(p.asked)
		return left, left > 0
	}
	p.asked = now
	_ = p.link.Ping() // a broken link is met by the reader
	return pongLife, true
}

// answers reports whether the hub answers a ping within d.
func (t *tunnel) answers(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	asked := time.Now()
	if t.link.Ping() != nil {
		return false
	}
	for t.link.LastHeard().Before(asked) {
		if !wait(ctx, 5*time.Millisecond) {
			return false
		}
	}
	return true
}
