package tunnel

import (
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/protocol"
)

// Rules that differ among the agents of a directory are told to each of them.
func TestT20_AnAgentIsToldThatAnotherHasOtherRules(t *testing.T) {
	in := install(t)
	n := in.start(t)
	first := newProcess(t)
	first.ticket, first.guard = in.newTicket(t), "rules"
	l := first.dial(n)
	if l.welcome.GuardDiffers || l.welcome.Version != hubVersion {
		t.Errorf("the only agent is welcomed with %+v", l.welcome)
	}
	second := newProcess(t)
	second.ticket, second.guard = in.newTicket(t), "other rules"
	waiting := second.dial(n)
	if waiting.welcome.GuardDiffers {
		t.Error("an agent that waits to be confirmed is told of the others")
	}
	second.agent = waiting.welcome.Agent
	must(t, n.Confirm(t.Context(), in.Env.ID, second.agent, protocol.Fingerprint(second.keys.Public, second.sign), audit.Principal{}))
	waiting.leave()
	l.leave()
	first.agent = l.welcome.Agent
	for _, c := range []struct {
		guard string
		want  bool
	}{{"rules", true}, {"other rules", false}, {"", false}} {
		again := first.again()
		again.guard = c.guard
		l := again.dial(n)
		if l.welcome.GuardDiffers != c.want {
			t.Errorf("rules %q: differs = %v", c.guard, l.welcome.GuardDiffers)
		}
		l.leave()
	}
}
