package coord

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

var testMaster = bytes.Repeat([]byte{7}, 32)

// startNode runs a node that echoes, until the test or stop ends it.
func startNode(t *testing.T, c Coord, change ...func(*Mesh)) (m *Mesh, stop func()) {
	t.Helper()
	m, err := NewMesh(MeshConfig{Coord: c, MasterKey: testMaster, Name: "test", Log: testLog(t)})
	must(t, err)
	m.Handle("echo", func(_ context.Context, from string, body []byte) []byte {
		return append([]byte(from+" "), body...)
	})
	for _, f := range change {
		f(m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return m, stop
}

// meet waits until every node knows every other.
func meet(t *testing.T, nodes ...*Mesh) {
	t.Helper()
	for _, m := range nodes {
		testenv.Eventually(t, "the nodes know each other", func() bool { return len(m.Nodes()) == len(nodes) })
	}
}

func TestNodesCallEachOther(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		a, _ := startNode(t, c)
		b, _ := startNode(t, another())
		meet(t, a, b)
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				from, to := a, b
				if i%3 == 0 {
					from, to = b, a
				}
				if i%10 == 0 {
					to = from // itself
				}
				size := []int{0, 100, frameBody, frameBody + 1, 3 * frameBody, 2 * batchBytes}[i%6]
				body := append(fmt.Append(nil, i), bytes.Repeat([]byte{byte(i)}, size)...)
				got, err := from.Call(t.Context(), to.ID(), "echo", body)
				if err != nil || !bytes.Equal(got, append([]byte(from.ID()+" "), body...)) {
					t.Errorf("call %d: %d bytes, %v", i, len(got), err)
				}
			})
		}
		wg.Wait()
		if n := a.Refused() + b.Refused(); n != 0 {
			t.Errorf("%d batches refused", n)
		}
	})
}

func TestALargeBodyArrivesWhole(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		a, _ := startNode(t, c)
		b, _ := startNode(t, another())
		meet(t, a, b)
		body := make([]byte, 4<<20)
		_, _ = rand.Read(body)
		got, err := a.Call(t.Context(), b.ID(), "echo", body)
		if err != nil || !bytes.HasSuffix(got, body) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if _, err := a.Call(t.Context(), b.ID(), "echo", make([]byte, maxBody+1)); err == nil {
			t.Error("a body beyond the limit was sent")
		}
	})
}

func TestCallsEndWithTheirReason(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		entered, left := make(chan struct{}), make(chan struct{})
		a, _ := startNode(t, c)
		b, stop := startNode(t, another(), func(m *Mesh) {
			m.Handle("wait", func(ctx context.Context, _ string, _ []byte) []byte {
				entered <- struct{}{}
				<-ctx.Done()
				left <- struct{}{}
				return nil
			})
		})
		meet(t, a, b)
		if _, err := a.Call(t.Context(), b.ID(), "nothing", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("unknown name: %v", err)
		}
		if _, err := a.Call(t.Context(), a.ID(), "nothing", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("unknown name here: %v", err)
		}
		if _, err := a.Call(t.Context(), nodeID{1}.String(), "echo", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a node that is not there: %v", err)
		}
		if _, err := a.Call(t.Context(), "no node", "echo", nil); err == nil {
			t.Error("a malformed id was called")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { _, err := a.Call(ctx, b.ID(), "wait", nil); done <- err }()
		<-entered
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		<-left                                                         // the cancel reached the other node
		short, cancel := context.WithTimeout(t.Context(), time.Second) // it has to get there in time
		defer cancel()
		go func() { _, err := a.Call(short, b.ID(), "wait", nil); done <- err }()
		<-entered
		<-left // the deadline travelled with the call
		if err := <-done; err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("deadline: %v", err)
		}
		go func() { _, err := a.Call(t.Context(), b.ID(), "wait", nil); done <- err }()
		<-entered
		go func() { <-left }()
		stop()
		if err := <-done; !errors.Is(err, ErrNoAnswer) && err != nil {
			t.Errorf("the node ended: %v", err)
		}
		testenv.Eventually(t, "the node is gone", func() bool { return len(a.Nodes()) == 1 })
	})
}

func TestANodeThatVanishesIsNoticed(t *testing.T) {
	t.Parallel() // it waits for a node's life
	c := NewLocal()
	defer func() { _ = c.Close() }()
	a, _ := startNode(t, c)
	cut := &cutCoord{Coord: c}
	entered := make(chan struct{})
	b, _ := startNode(t, cut, func(m *Mesh) {
		m.Handle("wait", func(ctx context.Context, _ string, _ []byte) []byte {
			close(entered)
			<-ctx.Done()
			return nil
		})
	})
	meet(t, a, b)
	done := make(chan error)
	go func() { _, err := a.Call(t.Context(), b.ID(), "wait", nil); done <- err }()
	<-entered
	cut.cut.Store(true) // no goodbye: its cable is cut
	began := time.Now()
	if err := <-done; !errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(began); d > nodeLife+3*beatEvery {
		t.Errorf("noticed after %v", d)
	}
}

// cutCoord is a coordinator to which the way can be cut.
type cutCoord struct {
	Coord
	cut atomic.Bool
}

func (c *cutCoord) Set(ctx context.Context, set, key string, v []byte, life time.Duration) error {
	if c.cut.Load() {
		return ErrUnavailable
	}
	return c.Coord.Set(ctx, set, key, v, life)
}

func (c *cutCoord) Publish(ctx context.Context, channel string, b []byte) (int, error) {
	if c.cut.Load() {
		return 0, ErrUnavailable
	}
	return c.Coord.Publish(ctx, channel, b)
}

func TestTheNewestClaimIsFirst(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		ctx := t.Context()
		a, _ := startNode(t, c)
		b, stopB := startNode(t, another())
		meet(t, a, b)
		first, _, err := a.Claim(ctx, "agents/d1", []byte("one"))
		must(t, err)
		second, before, err := b.Claim(ctx, "agents/d1", []byte("two"))
		must(t, err)
		if len(before) != 1 || before[0].Fence != first.Fence {
			t.Errorf("before it: %v", before)
		}
		third, _, err := a.Claim(ctx, "agents/d1", []byte("three"))
		must(t, err)
		_, _, err = a.Claim(ctx, "agents/d2", []byte("elsewhere"))
		must(t, err)
		for _, m := range []*Mesh{a, b} {
			wantClaims(t, m, third, second, first)
		}
		must(t, a.Unclaim(ctx, first.Set, first.Fence))
		wantClaims(t, b, third, second)
		stopB()
		testenv.Eventually(t, "claims of a gone node do not count", func() bool {
			got, err := a.Claims(ctx, "agents/d1")
			return err == nil && len(got) == 1
		})
		wantClaims(t, a, third)
	})
}

func wantClaims(t *testing.T, m *Mesh, want ...Claim) {
	t.Helper()
	got, err := m.Claims(t.Context(), "agents/d1")
	must(t, err)
	if len(got) != len(want) {
		t.Fatalf("claims %v, want %v", got, want)
	}
	for i := range want {
		if got[i].Node != want[i].Node || got[i].Fence != want[i].Fence || string(got[i].Detail) != string(want[i].Detail) {
			t.Errorf("claim %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestP26_LosingRedisLosesNothing(t *testing.T) {
	t.Parallel()
	server := testenv.StartRedis(t)
	ctx := t.Context()
	restored := make(chan struct{}, 8)
	a, _ := startNode(t, openRedis(t, server.URL(), ""), func(m *Mesh) { m.OnRestored(func() { restored <- struct{}{} }) })
	b, _ := startNode(t, openRedis(t, server.URL(), ""))
	meet(t, a, b)
	claim, _, err := a.Claim(ctx, "agents/d1", []byte("x"))
	must(t, err)
	gone, _, err := a.Claim(ctx, "agents/d1", []byte("gone"))
	must(t, err)
	server.Stop()
	if _, err := b.Call(ctx, a.ID(), "echo", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("call during the outage: %v, want ErrUnavailable", err)
	}
	if got, err := a.Call(ctx, a.ID(), "echo", []byte("x")); err != nil || !bytes.HasSuffix(got, []byte("x")) {
		t.Errorf("local call during the outage: %q, %v", got, err)
	}
	if _, err := b.Claims(ctx, "agents/d1"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("claims during the outage: %v", err)
	}
	if err := a.Unclaim(ctx, gone.Set, gone.Fence); !errors.Is(err, ErrUnavailable) {
		t.Errorf("unclaim during the outage: %v", err)
	}
	server.Start(t)
	testenv.Eventually(t, "calls work again", func() bool {
		try, cancel := context.WithTimeout(ctx, time.Second) // what is sent just now may be lost
		defer cancel()
		_, err := b.Call(try, a.ID(), "echo", []byte("x"))
		return err == nil
	})
	<-restored
	testenv.Eventually(t, "the nodes know each other again", func() bool { // a look may have begun before a was back
		got, err := b.Claims(ctx, "agents/d1")
		return err == nil && len(got) == 1 && len(b.Nodes()) == 2
	})
	wantClaims(t, b, claim)
}

func TestOfTwoClaimsAtOnceOneSeesTheOther(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		a, _ := startNode(t, c)
		b, _ := startNode(t, another())
		meet(t, a, b)
		for round := range 50 {
			set := fmt.Sprint("agents/", round)
			var seen atomic.Int64
			var wg sync.WaitGroup
			for _, m := range []*Mesh{a, b} {
				wg.Go(func() {
					_, before, err := m.Claim(t.Context(), set, nil)
					if err != nil {
						t.Error(err)
					}
					seen.Add(int64(len(before)))
				})
			}
			wg.Wait()
			if n := seen.Load(); n != 1 {
				t.Fatalf("round %d: %d saw the other", round, n)
			}
		}
	})
}
