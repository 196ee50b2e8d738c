package directory_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestDirectoryIsDue(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		name      string
		sync      store.SyncState
		connected bool
		due       bool
	}{
		{"never tried", store.SyncState{}, false, true},
		{"running", store.SyncState{Started: ago(3 * time.Hour), Beat: ago(time.Second)}, true, false},
		{"finished lately", store.SyncState{Started: ago(59 * time.Minute), Completed: ago(58 * time.Minute)}, true, false},
		{"finished long ago", store.SyncState{Started: ago(71 * time.Minute), Completed: ago(70 * time.Minute)}, false, true},
		{"failed lately", store.SyncState{Started: ago(2 * time.Minute), Completed: ago(2 * time.Hour), Error: "x"}, false, false},
		{"failed lately, the agent comes", store.SyncState{Started: ago(2 * time.Minute), Completed: ago(2 * time.Hour), Error: "x"}, true, true},
		{"failed a while ago", store.SyncState{Started: ago(6 * time.Minute), Completed: ago(2 * time.Hour), Error: "x"}, false, true},
		{"failed from the start", store.SyncState{Started: ago(16 * time.Second), Error: "x"}, false, true},
		{"failed from the start, lately", store.SyncState{Started: ago(10 * time.Second), Error: "x"}, false, false},
		{"the node died", store.SyncState{Started: ago(2 * time.Minute), Completed: ago(time.Hour), Beat: ago(time.Minute)}, false, true},
		{"the node died, the agent comes", store.SyncState{Started: ago(40 * time.Second), Completed: ago(time.Hour), Beat: ago(35 * time.Second)}, true, true},
	} {
		if got := directory.IsDue(store.Directory{ID: "d", Sync: c.sync}, c.connected, now); got != c.due {
			t.Errorf("%s: due %v, want %v", c.name, got, c.due)
		}
	}
}

// works lets a node work until the test ends.
func (b *bench) works(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestRunSynchronisesWhatIsDueAndWhatConnects(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	c := newCompany(5)
	b := newBench(t, s, c)
	b.works(t)
	testenv.Eventually(t, "the new directory is synchronised", func() bool { return b.state(t).Sync.Count == 5 })
	other := storetest.Seed(t, s) // a directory that is added later: its agent connects
	b.Wake(other.Env.ID, other.Directory.ID)
	testenv.Eventually(t, "the agent that connected is asked", func() bool {
		d, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.Directory, error) {
			return tx.Directory(t.Context(), other.Env.ID, other.Directory.ID)
		})
		return err == nil && d.Sync.Count == 5
	})
}

func TestRunEndsAPassWithItsContext(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	c := newCompany(5)
	b := newBench(t, s, c)
	ctx, cancel := context.WithCancel(t.Context())
	c.onPage = func(ctx context.Context, _ string, _ int) error {
		cancel() // the node stops while the agent is at work
		<-ctx.Done()
		return ctx.Err()
	}
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if d := b.state(t); d.Sync.Error != "" || len(b.failures) != 0 {
		t.Fatalf("a stopped node is told as a failure: %+v", d.Sync)
	}
}

func TestAnAgentThatConnectsDuringAPassThatFailsIsAskedAtOnce(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	c := newCompany(5)
	b := newBench(t, s, c)
	b.mustSync(t) // so that a failure waits for minutes
	away := protocol.Err(protocol.CodeUnavailable, "no agent of the directory is connected")
	var calls atomic.Int32
	c.set(func() {
		c.onPage = func(ctx context.Context, _ string, _ int) error {
			if calls.Add(1) > 1 {
				return nil
			}
			b.Wake(b.Env.ID, b.Directory.ID) // while the pass runs
			directory.Look(ctx, b.Directories)
			return away
		}
	})
	b.works(t)
	if err := b.SyncNow(t.Context(), b.Env.ID, b.Directory.ID); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the agent that connected during the pass is asked", func() bool {
		return calls.Load() > 1 && b.state(t).Sync.Error == ""
	})
}

func TestWhatAnAgentTellsIsListedAtOnceAndNotMoreOftenThanThat(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	c := newCompany(5)
	b := newBench(t, s, c)
	b.works(t)
	b.Changed(b.Env.ID, b.Directory.ID) // before anything was listed: the first pass comes anyway
	testenv.Eventually(t, "the new directory is synchronised", func() bool { return b.state(t).Sync.Count == 5 })
	before := b.state(t).Sync.Generation
	for range 1000 {
		b.Changed(b.Env.ID, b.Directory.ID)
	}
	testenv.Eventually(t, "somebody asks what changed", func() bool { return b.state(t).Sync.Generation > before })
	if n := b.state(t).Sync.Generation - before; n > 10 {
		t.Errorf("1000 messages led to %d passes", n)
	}
}
