package coord

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// intruder stands between a node and the coordinator: it keeps what the node
// publishes, and lets it through or not.
type intruder struct {
	Coord
	mu   sync.Mutex
	hold bool
	seen []publication
}

type publication struct {
	channel string
	batch   []byte
}

func (i *intruder) Publish(ctx context.Context, channel string, b []byte) (int, error) {
	i.mu.Lock()
	i.seen = append(i.seen, publication{channel, slices.Clone(b)})
	hold := i.hold
	i.mu.Unlock()
	if hold {
		return 1, nil
	}
	return i.Coord.Publish(ctx, channel, b)
}

// batches returns what was published to a node.
func (i *intruder) batches(to *Mesh) (all [][]byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.seen {
		if p.channel == inboxOf(to.self) {
			all = append(all, p.batch)
		}
	}
	return all
}

// A writer with full access to Redis, without the master key, plays every trick on
// calls between two nodes: no handler runs for a frame of its making, none twice.
func TestT10_NothingPublishedToRedisMakesANodeAct(t *testing.T) {
	server := testenv.StartRedis(t)
	ctx := t.Context()
	redis := openRedis(t, server.URL(), "")
	wire := &intruder{Coord: openRedis(t, server.URL(), "")}
	var mu sync.Mutex
	ran := map[string]int{}
	count := func(m *Mesh) {
		m.Handle("act", func(_ context.Context, _ string, body []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			ran[string(body)]++
			return body
		})
	}
	a, _ := startNode(t, wire, count)
	b, _ := startNode(t, openRedis(t, server.URL(), ""), count)
	c, _ := startNode(t, openRedis(t, server.URL(), ""), count)
	meet(t, a, b, c)
	for n := range 20 {
		if _, err := a.Call(ctx, b.ID(), "act", fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	genuine := wire.batches(b)
	sent := 0
	inject := func(to *Mesh, batch []byte) {
		sent++
		if n, err := redis.Publish(ctx, inboxOf(to.self), batch); n != 1 || err != nil {
			t.Fatalf("inject: %d receivers, %v", n, err)
		}
	}
	for range 50 { // replayed, in any order
		for _, i := range rand.Perm(len(genuine)) {
			inject(b, genuine[i])
		}
	}
	for _, batch := range genuine[:3] { // every bit of it flipped
		for bit := range len(batch) * 8 {
			forged := slices.Clone(batch)
			forged[bit/8] ^= 1 << (bit % 8)
			inject(b, forged)
		}
	}
	for _, batch := range genuine { // sent on to another node, with and without its name
		inject(c, batch)
		forged := slices.Clone(batch)
		copy(forged[17:], c.self[:])
		inject(c, forged)
		inject(a, batch) // and back to the sender, as if the receiver had sent it
		forged = slices.Clone(batch)
		copy(forged[1:], b.self[:])
		copy(forged[17:], a.self[:])
		inject(a, forged)
	}
	for n := range 200 { // cut off, lengthened, nonsense
		batch := genuine[n%len(genuine)]
		inject(b, batch[:rand.IntN(len(batch))])
		inject(b, append(slices.Clone(batch), byte(n)))
		nonsense := make([]byte, n)
		for i := range nonsense {
			nonsense[i] = byte(rand.Uint32())
		}
		inject(b, nonsense)
	}
	testenv.Eventually(t, "everything injected was refused", func() bool {
		return a.Refused()+b.Refused()+c.Refused() == int64(sent)
	})
	if _, err := a.Call(ctx, b.ID(), "act", []byte("after")); err != nil {
		t.Errorf("a genuine call afterwards: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ran) != 21 {
		t.Errorf("%d different calls ran, want 21: %v", len(ran), ran)
	}
	for body, n := range ran {
		if n != 1 {
			t.Errorf("%q ran %d times", body, n)
		}
	}
}

func TestT10_BatchesThatWereHeldBackRunAtMostOnceAndNotLate(t *testing.T) {
	c := NewLocal()
	defer func() { _ = c.Close() }()
	wire := &intruder{Coord: c}
	var ran atomic.Int64
	var ahead atomic.Int64 // how far b's clock is ahead
	a, _ := startNode(t, wire)
	b, _ := startNode(t, c, func(m *Mesh) {
		m.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		m.Handle("act", func(context.Context, string, []byte) []byte { ran.Add(1); return nil })
	})
	meet(t, a, b)
	wire.mu.Lock()
	wire.hold = true
	wire.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for n := range 3 {
		calls.Go(func() { _, _ = a.Call(ctx, b.ID(), "act", nil) })
		testenv.Eventually(t, "the batch", func() bool { return len(wire.batches(b)) == n+1 })
	}
	held := wire.batches(b)
	deliver := func(batch []byte) { _, _ = c.Publish(ctx, inboxOf(b.self), batch) }
	deliver(held[1]) // out of order: the second first
	deliver(held[0])
	deliver(held[1])
	testenv.Eventually(t, "two are refused", func() bool { return b.Refused() == 2 && ran.Load() == 1 })
	for _, late := range []time.Duration{61 * time.Second, -61 * time.Second} {
		ahead.Store(int64(late))
		before := b.Refused()
		deliver(held[2])
		testenv.Eventually(t, "it is out of time", func() bool { return b.Refused() == before+1 })
	}
	if n := ran.Load(); n != 1 {
		t.Errorf("%d runs, want 1", n)
	}
	cancel()
	calls.Wait()
}

func TestT10_ForgedPresenceAndClaimsAreIgnored(t *testing.T) {
	eachCoord(t, func(t *testing.T, c Coord, another func() Coord) {
		ctx := t.Context()
		var later atomic.Int64
		a, _ := startNode(t, c, func(m *Mesh) { m.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
		b, stopB := startNode(t, another())
		meet(t, a, b)
		claim, _, err := a.Claim(ctx, "agents/d1", []byte("x"))
		must(t, err)
		nodes, err := c.List(ctx, nodesSet)
		must(t, err)
		claims, err := c.List(ctx, "agents/d1")
		must(t, err)
		forged := nodeID{9}.String()
		must(t, c.Set(ctx, nodesSet, forged, []byte(`{"id":"`+forged+`"}`), time.Minute))
		must(t, c.Set(ctx, nodesSet, nodeID{8}.String(), nodes[b.ID()], time.Minute)) // another's, under a new name
		must(t, c.Set(ctx, nodesSet, nodeID{7}.String(), nil, time.Minute))
		must(t, c.Set(ctx, "agents/d1", forged+"/1", []byte(`{"node":"`+forged+`"}`), time.Minute))
		must(t, c.Set(ctx, "agents/d1", claim.Node+"/99999999999999999", claims[claim.key()], time.Minute)) // newer than it is
		must(t, c.Set(ctx, "agents/d2", claim.key(), claims[claim.key()], time.Minute))                     // of another directory
		b.look()
		must(t, b.beat(ctx, false))
		if n := b.Nodes(); len(n) != 2 {
			t.Errorf("nodes: %v", n)
		}
		wantClaims(t, b, claim)
		if got, err := b.Claims(ctx, "agents/d2"); err != nil || len(got) != 0 {
			t.Errorf("claims of d2: %v, %v", got, err)
		}
		stopB()
		must(t, c.Set(ctx, nodesSet, b.ID(), nodes[b.ID()], time.Minute)) // the dead are called back
		later.Store(int64(nodeLife + clockSkew + time.Second))
		must(t, a.beat(ctx, false))
		if n := a.Nodes(); len(n) != 1 {
			t.Errorf("a replayed presence counts: %v", n)
		}
	})
}

func TestAnotherMasterKeyIsAnotherMesh(t *testing.T) {
	c := NewLocal()
	defer func() { _ = c.Close() }()
	a, _ := startNode(t, c)
	b, _ := startNode(t, c, func(m *Mesh) {
		m.master = make([]byte, 32)
		m.values, _ = derive(m.master, "values")
	})
	testenv.Eventually(t, "both are known to the coordinator", func() bool {
		all, _ := c.List(t.Context(), nodesSet)
		return len(all) == 2
	})
	must(t, a.beat(t.Context(), false))
	if len(a.Nodes()) != 1 {
		t.Error("a node with another key is known")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := a.Call(ctx, b.ID(), "echo", nil); done <- err }()
	testenv.Eventually(t, "it is refused", func() bool { return b.Refused() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("call: %v", err)
	}
	if _, err := NewMesh(MeshConfig{Coord: c, MasterKey: make([]byte, 16)}); err == nil {
		t.Error("a short master key was taken")
	}
}
