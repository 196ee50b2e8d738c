package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

// final is a plan that moves an exchange on, of which nobody knows.
func final(d *sqliteDB) *prepared {
	return &prepared{patient: true, holds: func() bool { return true }, err: errLost, statements: []statement{{query: "UPDATE used SET name = name WHERE name = 'one'"}}}
}

// work is what others do who can run: it takes as long as they.
func work() {
	for begin := time.Now(); time.Since(begin) < 20*turnover; {
		runtime.Gosched()
	}
}

// pacedSQLite is a database whose last batch of final steps began just now, and was one of
// a crowd or not. There is always other work.
func pacedSQLite(t *testing.T, crowd int) *sqliteDB {
	t.Helper()
	d := bareSQLite(t, t.TempDir())
	if err := d.step(t.Context(), use(t.Context(), "one")); err != nil {
		t.Fatal(err)
	}
	d.gathering.mu.Lock()
	defer d.gathering.mu.Unlock()
	d.gathering.pacing = pacing{began: time.Now().Add(time.Hour), crowd: crowd, yield: work}
	return d
}

// ends reports whether something ends by itself, which would take an hour if it rested.
func ends(t *testing.T, what string, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%s waits", what)
	}
}

// carried is await with what came of it.
func (d *sqliteDB) carried(p *prepared) error {
	d.await(p)
	return p.err
}

func TestAFinalStepWaitsForNobodyUnlessThereIsACrowd(t *testing.T) {
	d := pacedSQLite(t, runtime.GOMAXPROCS(0))
	ends(t, "whoever is alone", func() error { return d.carried(final(d)) })
}

func TestAFinalStepDoesNotWaitAfterAWhile(t *testing.T) {
	d := pacedSQLite(t, 100)
	d.gathering.pacing.began = time.Now().Add(-pace)
	ends(t, "the first one", func() error { return d.carried(final(d)) })
}

func TestAFinalStepDoesNotWaitWhereThereIsNothingElseToDo(t *testing.T) {
	d := pacedSQLite(t, 100)
	d.gathering.pacing.yield = nil
	ends(t, "who has nobody to let run", func() error { return d.carried(final(d)) })
}

// What is no final step of a sign-in does not wait, and takes along what does.
func TestWhatIsNoFinalStepHurriesABatch(t *testing.T) {
	ctx := context.Background()
	for name, hurried := range map[string]func(*sqliteDB) error{
		"a step":   func(d *sqliteDB) error { return d.step(ctx, use(ctx, "two")) },
		"a record": func(d *sqliteDB) error { return d.record(ctx, use(ctx, "two")) },
		"a flush":  func(d *sqliteDB) error { return d.carried(&prepared{catchUp: true, err: errLost}) },
	} {
		d := pacedSQLite(t, 100)
		resting := make(chan error, 1)
		go func() { resting <- d.carried(final(d)) }()
		gatheredAre(t, d, 1)
		ends(t, name, func() error { return hurried(d) })
		ends(t, "who rested", func() error { return <-resting })
	}
}

// TestP07_FinalStepsOfACrowdShareACallOfTheDisk lets one rest while others come: they are
// one batch, one call of the disk, and nobody is told before.
func TestP07_FinalStepsOfACrowdShareACallOfTheDisk(t *testing.T) {
	d := pacedSQLite(t, 100)
	calls := 0
	disk := d.journal.sync
	d.journal.sync = func() error { calls++; return disk() }
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { errs[i] = d.carried(final(d)) })
	}
	gatheredAre(t, d, len(errs))
	d.gathering.mu.Lock()
	b := d.gathering.next
	d.gathering.mu.Unlock()
	select {
	case <-b.done:
		t.Fatal("they were told before")
	default:
	}
	close(b.hurry) // as when the time is over
	wg.Wait()
	if err := errors.Join(errs...); err != nil || calls != 1 {
		t.Fatalf("%d calls of the disk for %d final steps: %v", calls, len(errs), err)
	}
	if c := d.gathering.pacing.crowd; c != len(errs) {
		t.Errorf("a crowd of %d, it says", c)
	}
}

// gatheredAre waits until so many plans wait for the writer.
func gatheredAre(t *testing.T, d *sqliteDB, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		d.gathering.mu.Lock()
		waits := d.gathering.next != nil && len(d.gathering.next.plans) == n
		d.gathering.mu.Unlock()
		if waits {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d plans do not wait for the writer", n)
		}
	}
}
