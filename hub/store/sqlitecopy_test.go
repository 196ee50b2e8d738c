package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fillJournal writes until the journal is to be copied.
func fillJournal(t *testing.T, d *sqliteDB) {
	t.Helper()
	ctx := t.Context()
	for i := 0; d.index.pages() < copyFrom; i++ {
		err := d.draft(ctx, func(q querier) error {
			for j := range 400 {
				if _, err := q.exec(ctx, "INSERT INTO used (name) VALUES ($1)", fmt.Sprint(i, "/", j, strings.Repeat("x", 4000))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheJournalBeginsAnewOnceItIsLong: what is in it is in the database then, and the next
// transaction writes at its beginning.
func TestTheJournalBeginsAnewOnceItIsLong(t *testing.T) {
	dir := t.TempDir()
	d, ctx := bareSQLite(t, dir), t.Context()
	fillJournal(t, d)
	if len(d.copying.full) != 1 {
		t.Fatal("nobody said that the journal is long")
	}
	run, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); d.copies(run, slog.New(slog.DiscardHandler)) }()
	defer func() { stop(); <-ended }()
	names := usedNames(t, d)
	for end := time.Now().Add(20 * time.Second); d.index.pages() >= copyFrom; names++ {
		if time.Now().After(end) {
			t.Fatal("the journal is as long as ever")
		}
		if err := d.step(ctx, use(ctx, fmt.Sprint(names))); err != nil {
			t.Fatal(err)
		}
	}
	if n := usedNames(t, d); n != names {
		t.Errorf("%d names, not %d", n, names)
	}
}

// TestTheJournalIsCopiedWhole: the database alone has all of it.
func TestTheJournalIsCopiedWhole(t *testing.T) {
	dir := t.TempDir()
	d := bareSQLite(t, dir)
	fillJournal(t, d)
	if err := d.copyJournal(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	alone := t.TempDir()
	if err == nil {
		err = os.WriteFile(filepath.Join(alone, FileName), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, want := usedNames(t, bareSQLite(t, alone)), usedNames(t, d); got != want {
		t.Errorf("the database alone has %d of %d names", got, want)
	}
}
