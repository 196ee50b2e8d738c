package protocol

import (
	"bytes"
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

func TestNoCallWaitsForAnotherThatTakesLong(t *testing.T) {
	const n = maxServing
	var begun sync.WaitGroup
	begun.Add(n)
	hub := connect(t, func(context.Context, Method, []byte) (any, error) {
		begun.Done()
		begun.Wait() // nobody ends before all have begun
		return "ok", nil
	}, nil)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := hub.Call(t.Context(), MethodGet, PriorityLookup, Empty{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestEachOfManyCallersGetsItsOwnAnswer(t *testing.T) {
	hub := connect(t, func(_ context.Context, _ Method, body []byte) (any, error) { return json.RawMessage(body), nil }, nil)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for k := range 500 {
				want, got := i*1000+k, -1
				if err := hub.CallWithin(t.Context(), time.Minute, MethodGet, PriorityLookup, want, &got); err != nil || got != want {
					t.Errorf("got %d for %d, %v", got, want, err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := hub.out.calls.Load(); n != 0 {
		t.Errorf("%d calls are in flight after the last", n)
	}
}

// Whoever cancels its calls at once, or does not read the answers, has no more of them at
// work than others.
func TestAPeerHasNoMemoryWithoutEndByCancelling(t *testing.T) {
	hold := make(chan struct{})
	var at, most atomic.Int64
	hub := connect(t, func(context.Context, Method, []byte) (any, error) {
		most.Store(max(most.Load(), at.Add(1)))
		defer at.Add(-1)
		<-hold
		return nil, nil
	}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * maxUnfinished {
		_ = hub.Call(ctx, MethodGet, PriorityLookup, Empty{}, nil)
	}
	err := hub.Call(t.Context(), MethodGet, PriorityLookup, Empty{}, nil)
	if CodeOf(err) != CodeUnavailable {
		t.Errorf("one more: %v", err)
	}
	close(hold)
	if n := most.Load(); n > maxUnfinished || n == 0 {
		t.Errorf("%d at once, want at most %d", n, maxUnfinished)
	}
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() { // they end
		if err = hub.Call(t.Context(), MethodGet, PriorityLookup, Empty{}, nil); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestACallEndsWithItsLifeAndThePeerIsTold(t *testing.T) {
	told := make(chan error, 8)
	hub := connect(t, func(ctx context.Context, m Method, _ []byte) (any, error) {
		if m == MethodGet {
			return "ok", nil
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the life does not travel")
		}
		<-ctx.Done()
		told <- ctx.Err()
		return nil, ctx.Err()
	}, nil)
	long := make(chan error, 1)
	leave, left := context.WithCancel(t.Context())
	go func() { long <- hub.CallWithin(leave, time.Hour, MethodList, PriorityLookup, Empty{}, nil) }()
	for range 3 { // the alarm of the long one is set, and is set anew
		err := hub.CallWithin(t.Context(), 20*time.Millisecond, MethodList, PriorityLookup, Empty{}, nil)
		if !errors.Is(err, context.DeadlineExceeded) && CodeOf(err) != CodeInternal { // the agent's clock may ring first
			t.Fatalf("got %v", err)
		}
		if err := <-told; err == nil {
			t.Error("the agent goes on")
		}
	}
	if err := hub.CallWithin(t.Context(), time.Hour, MethodGet, PriorityLookup, Empty{}, nil); err != nil {
		t.Error(err)
	}
	left()
	if err := <-long; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
}

func TestTheContextOfACallIsLikeAnyOther(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		parent, stop := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		defer stop(nil)
		fresh := func(life time.Duration) *callContext {
			c := &callContext{parent: parent}
			if life > 0 {
				c.deadline = time.Now().Add(life)
			}
			return c
		}
		c := fresh(time.Second)
		if d, ok := c.Deadline(); !ok || time.Until(d) != time.Second || c.Value(key{}) != "value" || c.Err() != nil {
			t.Errorf("deadline %v %v, value %v, err %v", d, ok, c.Value(key{}), c.Err())
		}
		<-time.After(time.Second)
		if err := c.Err(); !errors.Is(err, context.DeadlineExceeded) { // nobody has asked for Done
			t.Errorf("after the deadline: %v", err)
		}
		<-c.Done()

		c = fresh(0)
		synctest.Wait()
		before := runtime.NumGoroutine()
		derived, cancel := context.WithCancel(c)
		defer cancel()
		if n := runtime.NumGoroutine(); n > before { // those of earlier tests may still end
			t.Errorf("a derived context has %d goroutines", n-before)
		}
		c.end()
		<-derived.Done()
		if !errors.Is(c.Err(), context.Canceled) {
			t.Errorf("after its end: %v", c.Err())
		}

		c = fresh(0)
		c.end()
		if late, cancel := context.WithCancel(c); late.Err() == nil || context.Cause(c) == nil || c.Err() == nil {
			cancel()
			t.Error("a context that ended before anybody asked is alive")
		} else {
			cancel()
		}

		c = fresh(time.Hour)
		why := errors.New("the link broke")
		stop(why)
		if <-c.Done(); c.Err() == nil || !errors.Is(context.Cause(c), why) {
			t.Errorf("after the parent's end: %v, %v", c.Err(), context.Cause(c))
		}
	})
}

func TestFewGoroutinesStayForTheNextCall(t *testing.T) {
	stacks := make([]byte, 1<<20)
	workers := func() int { return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("(*served).work(")) }
	synctest.Test(t, func(t *testing.T) {
		hub := guarded(t, func() error { return nil })
		for range 20 {
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					if err := get(t, hub, "x"); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			synctest.Wait()
			if n := workers(); n < 1 || n > maxParked {
				t.Fatalf("%d goroutines stay", n)
			}
		}
	})
	if n := workers(); n != 0 {
		t.Errorf("%d goroutines outlive their link", n)
	}
}
