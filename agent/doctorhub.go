package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/protocol"
)

// hub goes the way to the hub and says hello. Beside a running agent it stops before it
// says who it is, because a second process with the same keys would be quarantined.
func (x *examination) hub(ctx context.Context, id *Identity) {
	if id == nil {
		return // nobody knows which hub
	}
	ctx, cancel := context.WithTimeout(ctx, 2*examineLife)
	defer cancel()
	d, err := newDialer(id.Hub, x.o.Config.Hub)
	if err != nil {
		x.found(areaHub, "settings", doctor.HubSettings, err)
		return
	}
	path, err := d.path()
	if err != nil {
		x.found(areaHub, "settings", doctor.HubSettings, err)
		return
	}
	if open, _ := path.Walk(ctx, x.Report); !open {
		return
	}
	if x.running {
		x.ok(areaHub, "hello", "not said: the agent is running, and two processes with its keys would be quarantined")
		return
	}
	if x.release == nil {
		return // the state folder is of no use, and somebody may start the agent meanwhile
	}
	x.hello(ctx, d, id)
}

// path is the way that the dialer goes.
func (d *dialer) path() (doctor.Path, error) {
	u, err := url.Parse(d.address)
	if err != nil {
		return doctor.Path{}, err
	}
	u.Scheme = map[string]string{"wss": "https", "ws": "http"}[u.Scheme]
	return doctor.Path{
		Area: areaHub, URL: u, Subprotocol: protocol.Subprotocol, Probe: protocol.ProbeHeader, Proxy: d.through, Why: d.why, Roots: d.ws.TLSClientConfig.RootCAs,
		Lookup: d.addresses,
	}, nil
}

// hello says hello as the agent would.
func (x *examination) hello(ctx context.Context, d *dialer, id *Identity) {
	w, _, err := d.open(ctx, nil)
	if err != nil {
		x.found(areaHub, "hello", doctor.HubAway, err) // a moment ago it was there
		return
	}
	link, welcome, err := protocol.Dial(ctx, w, id.keys.noise, id.HubKey, id.HubName, x.helloOf(id), refusing{})
	if err != nil {
		x.refused(err)
		return
	}
	link.Close(protocol.CloseNormal, "doctor")
	x.welcome(welcome, time.Now())
}

// helloOf is what the agent says, rules included: the hub notes their hash.
func (x *examination) helloOf(id *Identity) protocol.Hello {
	hash := ""
	if g, err := guard.New(x.o.Config.Guard, nil, time.Now); err == nil {
		hash = rulesHash(g.Hash(), x.o.Config.Evidence)
	}
	hello := helloOf(x.o.Config, x.o.Version, hash, time.Now())
	hello.Agent, hello.Probe = id.Agent, true
	return hello
}

// refused tells a hub that does not want this agent from somebody who is not the hub.
func (x *examination) refused(err error) {
	var said *protocol.Error
	switch {
	case errors.As(err, &said) && said.Code == protocol.CodePermissionDenied:
		x.found(areaHub, "hello", doctor.KeyRevoked, said)
	case errors.As(err, &said):
		x.found(areaHub, "hello", doctor.HubRefuses, said)
	default:
		x.found(areaHub, "hello", doctor.OtherHub, err)
	}
}

// standings are the findings of states that are not active.
var standings = map[string]int{
	protocol.AgentPending: doctor.KeyPending, protocol.AgentQuarantined: doctor.KeyQuarantined, protocol.AgentRevoked: doctor.KeyRevoked,
}

// welcome reads what the hub says of this agent.
func (x *examination) welcome(w protocol.Welcome, now time.Time) {
	if number, bad := standings[w.State]; bad {
		x.Found(areaHub, "hello", number, "the hub answers and knows this agent: "+w.State)
	} else {
		x.ok(areaHub, "hello", "the hub answers and knows this agent: %s, %d node(s)", w.State, w.Nodes)
	}
	x.version(w.Version)
	if w.GuardDiffers {
		x.Found(areaHub, "rules", doctor.GuardsDiffer, "another active agent of this directory has other rules")
	}
	skew := now.Sub(w.Time).Round(time.Second)
	switch {
	case skew.Abs() > maxSkew:
		x.Found(areaHub, "clock", doctor.ClockWrong, "this machine is "+ahead(skew)+" the hub; "+maxSkew.String()+" are tolerated")
	case skew.Abs() > skewWarning:
		x.Found(areaHub, "clock", doctor.ClockOff, "this machine is "+ahead(skew)+" the hub; "+maxSkew.String()+" are tolerated")
	default:
		x.ok(areaHub, "clock", "within %v of the hub's", skew.Abs()+time.Second)
	}
}

func ahead(skew time.Duration) string {
	if skew < 0 {
		return skew.Abs().String() + " behind"
	}
	return skew.String() + " ahead of"
}

// version compares the hub's with that of this agent, where both are numbered.
func (x *examination) version(hub string) {
	h, known := minor(hub)
	own, numbered := minor(x.o.Version)
	switch {
	case !known || !numbered:
		x.ok(areaHub, "version", "hub %s, agent %s", orUnknown(hub), orUnknown(x.o.Version))
	case h[0] != own[0] || h[1]-own[1] > 1 || own[1]-h[1] > 1:
		x.Found(areaHub, "version", doctor.HubVersion, "hub "+hub+", agent "+x.o.Version)
	default:
		x.ok(areaHub, "version", "hub %s, agent %s", hub, x.o.Version)
	}
}

func orUnknown(version string) string {
	if version == "" {
		return "without a number"
	}
	return doctor.OneLine(version)
}

// minor reads major and minor number of a version such as v1.4.2.
func minor(version string) (numbers [2]int, ok bool) {
	n, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &numbers[0], &numbers[1])
	return numbers, err == nil && n == 2 && numbers != [2]int{} // 0.0 is that of a build without one
}

// certificateRefused reports whether an error is that of a certificate.
func certificateRefused(err error) bool {
	verdict, _ := doctor.Judge(err)
	return verdict != ""
}
