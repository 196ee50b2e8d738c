package tunnel

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/directory/kinds"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

// realAgent enrols the agent that we ship, with a directory of its own.
func (in *installation) realAgent(t *testing.T, nodes ...*node) (agent.Config, agent.Enrolment) {
	t.Helper()
	text := "state_dir = \"state\"\n[hub]\naddresses = [" + quoted(nodes[1:]) + "]\n[directory]\nkind = \"demo\"\n"
	cfg, err := agent.ParseConfig(settings.File{Name: filepath.Join(t.TempDir(), "agent.toml"), Text: []byte(text)})
	must(t, err)
	e, err := agent.Enroll(t.Context(), cfg, "test", protocol.Ticket{
		Hub: nodes[0].server.URL, HubName: hubName, HubKey: in.keys.Public, LogKey: in.logKey(), Directory: in.Directory.ID, Secret: in.newTicket(t), Expires: time.Now().Add(time.Hour),
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	must(t, err)
	return cfg, e
}

func quoted(nodes []*node) string {
	var list []string
	for _, n := range nodes {
		list = append(list, `"`+n.server.Listener.Addr().String()+`"`)
	}
	return strings.Join(list, ", ")
}

// runs starts it.
func runs(t *testing.T, cfg agent.Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(t.Output(), nil)).With("side", "agent")
	go func() {
		ended <- agent.Run(ctx, agent.Options{Config: cfg, Open: kinds.Open, Version: "test", Log: log})
	}()
	stop = func() { cancel(); must(t, <-ended); ended <- nil }
	t.Cleanup(stop)
	return stop
}

// holds reports whether the node has so many connections, all of them ready for calls: an
// agent reads its Welcome a moment before.
func (n *node) holds(count int) func() bool {
	return func() bool {
		all := n.roster.all()
		return len(all) == count && !slices.ContainsFunc(all, func(c *conn) bool { return c.attached() == nil })
	}
}

func TestTheAgentThatWeShipTakesTunnelsToTwoNodesAndOutlivesOne(t *testing.T) {
	in := install(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	cfg, _ := in.realAgent(t, a, b)
	testenv.Eventually(t, "the enrolment has left", func() bool { return a.holds(0)() && b.holds(0)() })
	runs(t, cfg)
	testenv.Eventually(t, "a tunnel to each node", func() bool { return a.holds(1)() && b.holds(1)() })
	for _, n := range []*node{a, b} {
		var d protocol.Description
		must(t, n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, &d))
		if d.Kind != "demo" || !d.Traits.CanGetTemporaryPassword {
			t.Errorf("description = %+v", d)
		}
	}
	b.stop()
	for range 5 {
		must(t, a.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil))
	}
}

func TestTheSecondAgentThatWeShipWaitsForItsFingerprint(t *testing.T) {
	in := install(t)
	n := in.start(t)
	in.enrolled(t, n)
	cfg, e := in.realAgent(t, n)
	if e.State != protocol.AgentPending {
		t.Fatalf("enrolment = %+v", e)
	}
	stop := runs(t, cfg)
	testenv.Eventually(t, "it is connected", n.holds(1))
	err := n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil)
	wantCode(t, "a pending agent", err, protocol.CodeUnavailable)
	must(t, n.Confirm(t.Context(), in.Env.ID, e.Agent, e.Fingerprint, audit.Principal{}))
	testenv.Eventually(t, "it serves", func() bool {
		return n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil) == nil
	})
	stop()
	testenv.Eventually(t, "it has left", n.holds(0))
	runs(t, cfg) // a restart is no second process
	testenv.Eventually(t, "it serves again", func() bool {
		return n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil) == nil
	})
}

// logKey is what a ticket pins of the audit log.
func (in *installation) logKey() []byte {
	f := auditlog.Fingerprint(in.audit.Public())
	return f[:]
}

func TestAnAgentTellsThatItsDirectoryChanged(t *testing.T) {
	in := install(t)
	told := make(chan To, 10)
	n := in.start(t, func(c *Config) { c.Changed = func(to To) { told <- to } })
	first, second := in.enrolled(t, n), in.enrolled(t, n) // the second waits to be confirmed
	l := first.dial(n)
	must(t, l.Event("gossip", protocol.Empty{}))
	must(t, l.Event(protocol.EventChanged, protocol.Empty{}))
	select {
	case to := <-told:
		if to.Env != in.Env.ID || to.Directory != in.Directory.ID {
			t.Errorf("told of %+v", to)
		}
	case <-time.After(within):
		t.Fatal("the hub was not told")
	}
	if p := second.dial(n); p.Event(protocol.EventChanged, protocol.Empty{}) != nil {
		t.Fatal("the event was not sent")
	}
	must(t, l.Event(protocol.EventChanged, protocol.Empty{}))
	<-told
	if len(told) > 0 {
		t.Errorf("an agent that is not confirmed was believed: %+v", <-told)
	}
}
