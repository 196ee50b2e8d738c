package coord

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// eachCoord runs f on every implementation. another gives a second client, as a second
// node has it; in-process it is the same.
func eachCoord(t *testing.T, f func(t *testing.T, c Coord, another func() Coord)) {
	t.Run("local", func(t *testing.T) {
		c := NewLocal()
		t.Cleanup(func() { _ = c.Close() })
		f(t, c, func() Coord { return c })
	})
	servers := []struct {
		name   string
		scheme string
		args   []string
	}{
		{"redis", "redis://", nil},
		{"redis without sharded pubsub", "redis://", []string{"--rename-command", "SPUBLISH", "", "--rename-command", "SSUBSCRIBE", ""}},
		{"redis cluster", "redis+cluster://", []string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000"}},
	}
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			server := testenv.SharedRedis(t, s.args...)
			if s.scheme == "redis+cluster://" {
				ownAllSlots(t, server)
			}
			prefix := rand.Text()
			another := func() Coord { return openRedis(t, s.scheme+server.Addr, prefix) }
			f(t, another(), another)
		})
	}
}

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func ownAllSlots(t *testing.T, server *testenv.Redis) {
	t.Helper()
	_, _ = server.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", "0", "16383") // refused the second time
	testenv.Eventually(t, "the cluster is ready", func() bool {
		info, err := server.Do(t.Context(), "CLUSTER", "INFO")
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
}

func openRedis(t *testing.T, url, prefix string) *Redis {
	t.Helper()
	c, err := OpenRedis(RedisConfig{URL: url, Prefix: prefix, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// An inbox collects messages.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (i *inbox) add(msg []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got = append(i.got, string(msg))
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.got...)
}

func TestMessagesReachEverySubscriberInOrder(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		ctx, other := t.Context(), another()
		var here, there, elsewhere inbox
		defer c.Subscribe(ctx, "wake", here.add)()
		defer other.Subscribe(ctx, "wake", there.add)()
		defer other.Subscribe(ctx, "else", elsewhere.add)()
		want := []string{}
		for i := range 100 {
			msg := fmt.Sprintf("%d\x00\xff", i)
			want = append(want, msg)
			if n, err := c.Publish(ctx, "wake", []byte(msg)); err != nil || n != 2 {
				t.Fatalf("publish: %d receivers, %v; want 2", n, err)
			}
		}
		for _, in := range []*inbox{&here, &there} {
			testenv.Eventually(t, "all messages", func() bool { return len(in.all()) == len(want) })
			if got := in.all(); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("got %q", got)
			}
		}
		if got := elsewhere.all(); len(got) != 0 {
			t.Errorf("another channel got %q", got)
		}
	})
}

func TestSubscribersComeAndGo(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, _ func() Coord) {
		ctx := t.Context()
		for i := range 50 { // leaving and joining the same channel again at once
			var a, b inbox
			stopA := c.Subscribe(ctx, "wake", a.add)
			stopB := c.Subscribe(ctx, "wake", b.add)
			stopA()
			stopA() // twice is allowed
			if n, err := c.Publish(ctx, "wake", []byte("x")); err != nil || n != 1 {
				t.Fatalf("round %d: %d receivers, %v; want 1", i, n, err)
			}
			testenv.Eventually(t, "the message", func() bool { return len(b.all()) == 1 })
			stopB()
			if len(a.all()) != 0 {
				t.Fatalf("round %d: a message after stop", i)
			}
		}
		testenv.Eventually(t, "nobody listens", func() bool {
			n, err := c.Publish(ctx, "wake", nil)
			return err == nil && n == 0
		})
	})
}

func TestValuesLiveAsLongAsTheySay(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		ctx, other := t.Context(), another()
		must(t, c.Set(ctx, "s", "long", []byte("a\x00b"), time.Minute))
		must(t, c.Set(ctx, "s", "gone", []byte("x"), time.Minute))
		must(t, c.Set(ctx, "s", "short", []byte("y"), 30*time.Millisecond))
		must(t, c.Set(ctx, "s2", "long", []byte("other set"), time.Minute))
		must(t, other.Delete(ctx, "s", "gone"))
		must(t, other.Delete(ctx, "s", "never was"))
		testenv.Eventually(t, "the short one ends", func() bool {
			_, err := other.Get(ctx, "s", "short")
			return errors.Is(err, ErrNotFound)
		})
		all, err := other.List(ctx, "s")
		must(t, err)
		if len(all) != 1 || string(all["long"]) != "a\x00b" {
			t.Errorf("list: %q", all)
		}
		if v, err := other.Get(ctx, "s", "long"); err != nil || string(v) != "a\x00b" {
			t.Errorf("get: %q, %v", v, err)
		}
		for _, key := range []string{"gone", "never was"} {
			if _, err := other.Get(ctx, "s", key); !errors.Is(err, ErrNotFound) {
				t.Errorf("get %s: %v, want ErrNotFound", key, err)
			}
		}
		must(t, c.Set(ctx, "s", "long", []byte("new"), time.Minute))
		if v, _ := other.Get(ctx, "s", "long"); string(v) != "new" {
			t.Errorf("after a second set: %q", v)
		}
		if all, err := c.List(ctx, "empty"); err != nil || len(all) != 0 {
			t.Errorf("empty set: %q, %v", all, err)
		}
	})
}

func TestOneHolderPerLease(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		ctx := t.Context()
		clients := []Coord{c, another()}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []Lease
		for i := range 40 {
			wg.Go(func() {
				l, err := clients[i%2].Acquire(ctx, "job", time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, l)
				} else if !errors.Is(err, ErrHeld) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d holders", len(won))
		}
		first := won[0]
		stranger := first
		stranger.Token = "another"
		if err := clients[1].Release(ctx, stranger); !errors.Is(err, ErrLost) {
			t.Errorf("a stranger releases: %v", err)
		}
		must(t, clients[1].Renew(ctx, first, 20*time.Millisecond))
		testenv.Eventually(t, "the lease ends", func() bool { return errors.Is(c.Renew(ctx, first, time.Millisecond), ErrLost) })
		second, err := clients[1].Acquire(ctx, "job", time.Minute)
		must(t, err)
		if second.Fence <= first.Fence {
			t.Errorf("fence %d after %d", second.Fence, first.Fence)
		}
		if err := c.Release(ctx, first); !errors.Is(err, ErrLost) {
			t.Errorf("the former holder releases: %v", err)
		}
		must(t, c.Release(ctx, second))
		n, err := clients[0].Fence(ctx)
		must(t, err)
		if n <= second.Fence {
			t.Errorf("fence %d after %d", n, second.Fence)
		}
	})
}

func TestBucketsLimitAcrossNodes(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		ctx := t.Context()
		clients := []Coord{c, another()}
		rate := Rate{Burst: 5, Every: time.Minute}
		for i := range 5 {
			ok, after, err := clients[i%2].Take(ctx, "203.0.113.1", rate)
			if full := time.Duration(i+1) * time.Minute; !ok || err != nil || after <= full-10*time.Second || after > full {
				t.Fatalf("take %d: %v, full after %v, %v", i, ok, after, err)
			}
		}
		for range 3 {
			ok, after, err := clients[1].Take(ctx, "203.0.113.1", rate)
			if ok || err != nil || after <= 50*time.Second || after > time.Minute {
				t.Errorf("beyond the burst: %v, after %v, %v", ok, after, err)
			}
		}
		if ok, _, err := c.Take(ctx, "203.0.113.2", rate); !ok || err != nil {
			t.Errorf("another address: %v, %v", ok, err)
		}
		fast := Rate{Burst: 1, Every: 20 * time.Millisecond}
		for range 3 {
			testenv.Eventually(t, "one more after a while", func() bool {
				ok, _, err := c.Take(ctx, "fast", fast)
				return ok && err == nil
			})
		}
	})
}

func TestHoldEndsItsWorkWhenTheLeaseIsLost(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, _ func() Coord) {
		const life = 600 * time.Millisecond // a machine that has much to do renews late
		err := Hold(t.Context(), c, "job", life, func(ctx context.Context, l Lease) error {
			if err := Hold(ctx, c, "job", life, nil); !errors.Is(err, ErrHeld) {
				t.Errorf("a second holder: %v", err)
			}
			wait, cancel := context.WithTimeout(ctx, 3*life) // longer than its life: it must be renewed
			defer cancel()
			<-wait.Done()
			if ctx.Err() != nil {
				t.Error("lost although renewed")
			}
			must(t, c.Release(ctx, l)) // somebody else ends it
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		boom := errors.New("boom")
		if err := Hold(t.Context(), c, "job", time.Minute, func(context.Context, Lease) error { return boom }); err != boom {
			t.Errorf("got %v", err)
		}
		must(t, Hold(t.Context(), c, "job", time.Minute, func(context.Context, Lease) error { return nil })) // released
	})
}

func TestHealthyWhenIdle(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, _ func() Coord) { must(t, c.Healthy(t.Context())) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
