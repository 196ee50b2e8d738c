package tunnel

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A source is a standing that changes, with reads that can be held up.
type source struct {
	version atomic.Int64
	reads   atomic.Int64
	hold    chan struct{} // received from before a read returns what it found; nil: it never waits
}

func (s *source) read() (store.Standing, error) {
	s.reads.Add(1)
	found := store.Standing{State: string(rune(s.version.Load()))}
	if s.hold != nil {
		<-s.hold
	}
	return found, nil
}

func TestT29_AReadThatBeganEarlierServesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := (&conn{}).reread(), &source{hold: make(chan struct{})}
		var early, late sync.WaitGroup
		early.Go(func() {
			if got, err := r.get(t.Context(), false, s.read); got.State != "\x00" || err != nil {
				t.Errorf("the first caller: %q, %v", got.State, err)
			}
		})
		synctest.Wait() // its read is under way
		s.version.Store(1)
		for range 16 {
			late.Go(func() {
				if got, err := r.get(t.Context(), false, s.read); got.State != "\x01" || err != nil {
					t.Errorf("a caller after the change: %q, %v", got.State, err)
				}
			})
		}
		synctest.Wait()
		close(s.hold)
		early.Wait()
		late.Wait()
		if n := s.reads.Load(); n != 2 {
			t.Errorf("%d reads for one caller and sixteen after it, want 2", n)
		}
	})
}

func TestACallerThatLeavesDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := (&conn{}).reread(), &source{hold: make(chan struct{})}
		var all sync.WaitGroup
		all.Go(func() { _, _ = r.get(t.Context(), false, s.read) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() { // the first that waits, so it reads for both
			failing := func() (store.Standing, error) { <-ctx.Done(); return store.Standing{}, ctx.Err() }
			if _, err := r.get(ctx, false, failing); !errors.Is(err, context.Canceled) {
				t.Errorf("who left: %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if _, err := r.get(t.Context(), false, s.read); err != nil {
				t.Errorf("who stayed: %v", err)
			}
		})
		synctest.Wait()
		s.hold <- struct{}{} // the first read ends, the second begins
		synctest.Wait()
		cancel()
		close(s.hold)
		all.Wait()
	})
}

func TestT29_ManyAtOnceSeeWhatWasThereBeforeThem(t *testing.T) {
	r, s := (&conn{}).reread(), &source{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				before := s.version.Add(1)
				got, err := r.get(t.Context(), false, s.read)
				if seen := int64([]rune(got.State)[0]); err != nil || seen < before {
					t.Errorf("saw %d of %d, %v", seen, before, err)
					return
				}
			}
		})
	}
	all.Wait()
}

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
	eventually(t, "calls are under way", func() bool { return served.Load() > 100 })
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error { // another node's administrator did it
		return tx.SetAgentState(t.Context(), in.Env.ID, p.agent, protocol.AgentRevoked, protocol.AgentActive)
	}))
	revoked.Store(true)
	all.Wait()
	<-l.ended
}
