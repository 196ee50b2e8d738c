package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// guarded is a link whose gate asks check.
func guarded(t testing.TB, check func() error) *Link {
	hub := connect(t, func(_ context.Context, _ Method, body []byte) (any, error) { return json.RawMessage(body), nil }, nil)
	hub.Guard(check)
	return hub
}

func get(t testing.TB, l *Link, want string) error {
	var got string
	err := l.Call(t.Context(), MethodGet, PriorityLookup, want, &got)
	if err == nil && got != want {
		t.Errorf("got %q for %q", got, want)
	}
	return err
}

func TestT29_AnAnswerGivenBeforeACallCameLetsItNotPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var revoked atomic.Bool
		hold := make(chan struct{})
		hub := guarded(t, func() error {
			asked.Add(1)
			found := revoked.Load()
			<-hold
			if found {
				return Err(CodeQuarantined, "revoked")
			}
			return nil
		})
		var early, late sync.WaitGroup
		early.Go(func() {
			if err := get(t, hub, "early"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // it asks
		revoked.Store(true)
		for range 16 {
			late.Go(func() {
				if err := get(t, hub, "late"); CodeOf(err) != CodeQuarantined {
					t.Errorf("a call after the change: %v", err)
				}
			})
		}
		synctest.Wait()
		close(hold)
		early.Wait()
		late.Wait()
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times for one caller and sixteen after it, want 2", n)
		}
	})
}

func TestT29_ManyAtOnceAreAskedForAfterTheyCame(t *testing.T) {
	var version atomic.Int64
	var seen sync.Map // of each call that was served, the version that let it pass
	var let atomic.Int64
	hub := connect(t, func(_ context.Context, _ Method, body []byte) (any, error) {
		seen.Store(string(body), let.Load())
		return json.RawMessage(body), nil
	}, nil)
	hub.Guard(func() error { let.Store(version.Load()); return nil })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				before := version.Add(1)
				body, _ := json.Marshal(before)
				if err := hub.Call(t.Context(), MethodGet, PriorityLookup, json.RawMessage(body), nil); err != nil {
					t.Error(err)
					return
				}
				if v, ok := seen.Load(string(body)); !ok || v.(int64) < before {
					t.Errorf("call %d was let pass by what was known at %v", before, v)
				}
			}
		})
	}
	all.Wait()
}

func TestAQuestionThatTakesLongHoldsUpNothingButCalls(t *testing.T) {
	hold := make(chan struct{})
	hub := guarded(t, func() error { <-hold; return nil })
	var all sync.WaitGroup
	all.Go(func() {
		if err := get(t, hub, "waits"); err != nil {
			t.Error(err)
		}
	})
	rested(t, hub)
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() {
		if err := hub.Call(ctx, MethodGet, PriorityLookup, "leaves", nil); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	cancel()
	rested(t, hub)
	close(hold)
	all.Wait()
	if err := get(t, hub, "afterwards"); err != nil {
		t.Error(err)
	}
}

func TestACallThatWaitedToLeaveWhenTheLinkBrokeWasNeverSent(t *testing.T) {
	hold := make(chan struct{})
	asked := make(chan struct{}, 1)
	hub := connect(t, func(context.Context, Method, []byte) (any, error) {
		t.Error("it was served")
		return nil, nil
	}, nil)
	hub.Guard(func() error { asked <- struct{}{}; <-hold; return nil })
	failed := make(chan error, 2)
	for range cap(failed) {
		go func() { failed <- hub.Call(t.Context(), MethodPerform, PriorityRecovery, Empty{}, nil) }()
	}
	<-asked
	hub.Close(CloseComeBack, "revoked")
	for deadline := time.Now().Add(10 * time.Second); hub.Ping() == nil; runtime.Gosched() { // its end is told to all
		if time.Now().After(deadline) {
			t.Fatal("the link goes on")
		}
	}
	close(hold)
	for range cap(failed) {
		if err := <-failed; CodeOf(err) != CodeUnavailable {
			t.Errorf("got %v, want %s", err, CodeUnavailable)
		}
	}
}

func TestACancelNeverOvertakesItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold, served := make(chan struct{}), make(chan error, 2)
		hub := connect(t, func(ctx context.Context, m Method, _ []byte) (any, error) {
			if m == MethodList {
				<-ctx.Done()
				served <- ctx.Err()
			}
			return nil, nil
		}, nil)
		hub.Guard(func() error { <-hold; return nil })
		go func() { _ = hub.Call(t.Context(), MethodGet, PriorityLookup, Empty{}, nil) }()
		synctest.Wait() // it asks, the others wait for it
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() { defer close(left); _ = hub.Call(ctx, MethodList, PriorityLookup, Empty{}, nil) }()
		synctest.Wait()
		cancel()
		<-left
		close(hold)
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Errorf("the call ended with %v", err)
		}
	})
}

func TestACancelThatWaitsForThePeerHoldsUpNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := guarded(t, func() error { return nil })
		if err := get(t, hub, "the first"); err != nil { // which makes the gate
			t.Fatal(err)
		}
		hub.out.mu.Lock()
		full := make([]byte, maxWaiting+1)
		hub.out.urgent.buf, hub.out.active = &full, true // the peer takes nothing
		hub.out.mu.Unlock()
		ended := make(chan struct{})
		go func() { defer close(ended); hub.cancel(7) }()
		synctest.Wait()
		if !hub.gate.mu.TryLock() {
			t.Fatal("the gate is shut")
		}
		hub.gate.mu.Unlock()
		hub.out.stop(errClosed)
		<-ended
	})
}

func TestAWriterThatHasStoppedHandsNothingOn(t *testing.T) {
	w, went := newWriter(nil), make(chan struct{})
	if !w.hand(func() { close(went) }) {
		t.Error("not handed on")
	}
	<-went
	w.stop(errClosed)
	if w.hand(func() { t.Error("handed on") }) {
		t.Error("said to be handed on")
	}
	w.successors.Wait()
}

func TestNobodyWorksForOthersForLong(t *testing.T) {
	first := make(chan struct{})
	var stop atomic.Bool
	hub := guarded(t, func() error { return nil })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for !stop.Load() {
				if err := get(t, hub, "x"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 8 { // each comes back again and again while the others go on
		all.Go(func() {
			for range 200 {
				if err := get(t, hub, "y"); err != nil {
					t.Error(err)
				}
			}
			select {
			case first <- struct{}{}:
			case <-t.Context().Done():
			}
		})
	}
	for range 8 {
		<-first
	}
	stop.Store(true)
	all.Wait()
}
