package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bareSQLite opens a database with one table of used names.
func bareSQLite(t *testing.T, dir string) *sqliteDB {
	t.Helper()
	d := openBare(t, dir)
	t.Cleanup(func() { _ = d.close() })
	return d
}

// openBare is bareSQLite for a database that the caller closes.
func openBare(t *testing.T, dir string) *sqliteDB {
	t.Helper()
	db, err := openSQLite(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := db.(*sqliteDB)
	err = d.write(t.Context(), func(q querier) error {
		_, err := q.exec(t.Context(), "CREATE TABLE IF NOT EXISTS used (name TEXT PRIMARY KEY)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// use is a step that uses a name, once.
func use(ctx context.Context, name string) func(querier) error {
	return func(q querier) error {
		_, err := q.exec(ctx, "INSERT INTO used (name) VALUES ($1)", name)
		return err
	}
}

// usedNames are those that a reader sees.
func usedNames(t *testing.T, d *sqliteDB) int64 {
	t.Helper()
	var n int64
	err := d.read(t.Context(), func(q querier) error {
		all, err := integers(t.Context(), q, "SELECT count(*) FROM used")
		n = all[0]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestP07_NobodyIsToldOfAStepBeforeItIsDurable holds the disk back: others go on writing
// meanwhile, and everybody waits for a call of the disk that began after their commit.
func TestP07_NobodyIsToldOfAStepBeforeItIsDurable(t *testing.T) {
	d, ctx := bareSQLite(t, t.TempDir()), t.Context()
	calls, free := make(chan struct{}, 6), make(chan struct{})
	d.journal.sync = func() error {
		calls <- struct{}{}
		<-free
		return nil
	}
	var told atomic.Int64
	var wg sync.WaitGroup
	step := func(name string) {
		wg.Go(func() {
			if err := d.step(ctx, use(ctx, name)); err != nil {
				t.Error(err)
			}
			told.Add(1)
		})
	}
	step("first")
	<-calls
	for i := range 5 {
		step(fmt.Sprint("later ", i))
	}
	for end := time.Now().Add(10 * time.Second); usedNames(t, d) < 6; {
		if time.Now().After(end) {
			t.Fatal("nobody writes while the disk is busy")
		}
	}
	if told.Load() != 0 {
		t.Fatal("somebody was told before the disk had answered")
	}
	free <- struct{}{}
	<-calls // of those that came later: together, or but for one who was on the way there
	if told.Load() > 1 {
		t.Fatal("the first call of the disk was taken for those that had begun after it")
	}
	close(free)
	wg.Wait()
	if told.Load() != 6 {
		t.Fatalf("%d of 6 were told", told.Load())
	}
}

// cutsOf keeps the files of a folder as they are whenever a call of the disk begins: what is
// there if the power goes then. durable is how many calls have ended.
func cutsOf(t *testing.T, d *sqliteDB, dir string) (disk *[]string, durable *atomic.Int64) {
	disk, durable = new([]string), new(atomic.Int64)
	var turn sync.Mutex
	keep := func() error {
		turn.Lock()
		defer turn.Unlock()
		folder := t.TempDir()
		for _, name := range []string{redoNames[0], redoNames[1], FileName + "-wal", FileName} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) && slices.Contains(redoNames[:], name) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(folder, name), b, 0o600)
			}
			if err != nil {
				return err
			}
		}
		*disk = append(*disk, folder)
		durable.Store(int64(len(*disk)))
		return nil
	}
	d.journal.sync = keep
	if r := d.redo.Load(); r != nil {
		r.sync = func(*os.File) error { return keep() }
	}
	return disk, durable
}

// TestP07_WhatWasToldIsThereAfterAPowerCut keeps what the disk has: the files as they are
// when a call of it begins. Whoever was told before the power went finds it there.
func TestP07_WhatWasToldIsThereAfterAPowerCut(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	d := bareSQLite(t, dir)
	disk, durable := cutsOf(t, d, dir)
	var mu sync.Mutex
	toldAt := map[string]int64{} // name: how many calls of the disk had ended by then
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				name := fmt.Sprint(i, "/", j)
				if err := d.step(ctx, use(ctx, name)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				toldAt[name] = durable.Load()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i, folder := range *disk {
		after := openBare(t, folder)
		for name, at := range toldAt {
			err := after.step(ctx, use(ctx, name))
			if at <= int64(i)+1 && err == nil { // it was told when the disk had this, or less
				t.Fatalf("%q can be used again after the power went", name)
			}
		}
		_ = after.close()
	}
}

// A disk that fails is told of, and nothing more is written before all that is there was
// copied out of the journal, durably.
func TestP07_AStepThatTheDiskLostDidNotSucceed(t *testing.T) {
	d, ctx := bareSQLite(t, t.TempDir()), t.Context()
	good := d.journal.sync
	d.journal.sync = func() error { return errors.New("no") }
	if err := d.step(ctx, use(ctx, "a")); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a step without a disk: %v", err)
	}
	d.journal.sync = good
	if err := d.step(ctx, use(ctx, "b")); err != nil {
		t.Fatal(err)
	}
	alone := t.TempDir() // without the journal
	b, err := os.ReadFile(d.journal.path[:len(d.journal.path)-len("-wal")])
	if err == nil {
		err = os.WriteFile(filepath.Join(alone, FileName), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := usedNames(t, bareSQLite(t, alone)); n != 1 {
		t.Fatalf("%d names are in the database itself, want the one that was in doubt", n)
	}
}

// A transaction that is no step is durable before anybody sees it.
func TestTransactionsAreDurableBeforeTheyAreSeen(t *testing.T) {
	d, ctx := bareSQLite(t, t.TempDir()), t.Context()
	d.journal.sync = func() error { return nil }
	level := func() int64 {
		var n int64
		err := d.write(ctx, func(q querier) error {
			all, err := integers(ctx, q, "PRAGMA synchronous")
			n = all[0]
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const full = 2
	for i := range 3 {
		if n := level(); n != full {
			t.Fatalf("transaction %d: synchronous is %d", i, n)
		}
		if err := d.step(ctx, use(ctx, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if !d.lazy {
			t.Fatal("a step alone waits for its own call of the disk under the turn")
		}
	}
}

// Of an event alone nobody knows before it is durable, whoever it is written with.
func TestP19_ARecordIsDurableBeforeItIsSeen(t *testing.T) {
	d, ctx := bareSQLite(t, t.TempDir()), t.Context()
	d.journal.sync = func() error {
		t.Error("something is seen that waits for the disk")
		return nil
	}
	if err := d.record(ctx, use(ctx, "alone")); err != nil || d.lazy {
		t.Fatalf("alone: error %v, lazy %v", err, d.lazy)
	}
	var wg sync.WaitGroup
	<-d.turn
	for name, do := range map[string]func(context.Context, func(querier) error) error{"step": d.step, "record": d.record, "another step": d.step} {
		wg.Go(func() {
			if err := do(ctx, use(ctx, name)); err != nil {
				t.Error(err)
			}
		})
	}
	for end := time.Now().Add(10 * time.Second); ; {
		d.gathering.mu.Lock()
		waits := d.gathering.next != nil && len(d.gathering.next.plans) == 3
		d.gathering.mu.Unlock()
		if waits {
			break
		}
		if time.Now().After(end) {
			t.Fatal("they do not gather")
		}
	}
	d.turn <- struct{}{}
	wg.Wait()
	if n := usedNames(t, d); n != 4 || d.lazy {
		t.Fatalf("%d names, lazy %v", n, d.lazy)
	}
}

// What a draft has left in the journal nobody has made durable yet: where the disk fails at
// the commit behind it, that may be what is lost, and a later commit behind it with it.
func TestAfterACommitThatFailedNothingIsWrittenBehindWhatMayBeLost(t *testing.T) {
	d := bareSQLite(t, t.TempDir())
	if err := d.draft(t.Context(), use(t.Context(), "drafted")); err != nil {
		t.Fatal(err)
	}
	err := d.write(t.Context(), func(q querier) error {
		_, err := q.exec(t.Context(), "ROLLBACK") // so that the commit fails
		return err
	})
	if err == nil || !d.doubtful {
		t.Fatalf("error %v, doubtful %v", err, d.doubtful)
	}
	if err := d.write(t.Context(), use(t.Context(), "after")); err != nil || d.doubtful {
		t.Errorf("error %v, doubtful %v", err, d.doubtful)
	}
}
