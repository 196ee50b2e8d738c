package tunnel

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestT29_NoCallAfterARevocationReachesTheAgent(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	l := p.dial(n)
	var revoked atomic.Bool
	var served atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for {
				after := revoked.Load()
				err := n.echo(t, in.to())
				if err == nil && after {
					t.Error("a call after the revocation was answered")
				}
				if err != nil && after {
					wantCode(t, "a revoked agent", err, protocol.CodeUnavailable)
				}
				if err != nil { // or it was under way when the tunnel was closed
					return
				}
				served.Add(1)
			}
		})
	}
	testenv.Eventually(t, "calls are under way", func() bool { return served.Load() > 100 })
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error { // another node's administrator did it
		return tx.SetAgentState(t.Context(), in.Env.ID, p.agent, protocol.AgentRevoked, protocol.AgentActive)
	}))
	revoked.Store(true)
	all.Wait()
	<-l.ended
}
