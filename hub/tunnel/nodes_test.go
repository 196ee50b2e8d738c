package tunnel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestAProcessThatHasATunnelHereIsSentElsewhereAndKeepsIt(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	one := p.dial(n)
	p.nodes = []string{"elsewhere", n.mesh.ID()}
	for range 30 { // more than the failures that an address may have
		_, err := p.tryDial(n)
		var ended *protocol.CloseError
		if protocol.CodeOf(err) != protocol.CodeUnavailable || !errors.As(err, &ended) || ended.Code != protocol.CloseReplaced {
			t.Fatalf("a second tunnel: %v", err)
		}
	}
	must(t, n.echo(t, in.to()))
	one.leave()
	testenv.Eventually(t, "the hub noticed", func() bool { return len(n.roster.all()) == 0 })
	p.dial(n) // what it says is no longer so
	must(t, n.echo(t, in.to()))
}

func TestAHelloWithTooManyNodesIsRefused(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	for _, nodes := range [][]string{make([]string, maxNodes+1), {strings.Repeat("x", maxWords+1)}} {
		p.nodes = nodes
		_, err := p.tryDial(n)
		wantCode(t, "too many nodes", err, protocol.CodeBadRequest)
	}
}

func TestAgentsHearThatANodeCame(t *testing.T) {
	in := install(t)
	n := in.start(t)
	l := in.enrolled(t, n).dial(n)
	in.start(t)
	want := protocol.EventNodes + ` {"nodes":2}`
	select {
	case got := <-l.events:
		if got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	case <-time.After(within):
		t.Error("no event")
	}
}
