package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// marked returns the mark of a database in which nobody writes.
func marked(t *testing.T, d *sqliteDB) Mark {
	t.Helper()
	m, ok := d.mark()
	if !ok {
		t.Fatal("no mark")
	}
	return m
}

func TestAMarkChangesWithEveryCommitAndWithNothingElse(t *testing.T) {
	dir := t.TempDir()
	d := bareSQLite(t, dir)
	seen := map[Mark]bool{}
	fresh := func(what string) {
		t.Helper()
		m := marked(t, d)
		if seen[m] {
			t.Errorf("%s: an earlier mark", what)
		}
		seen[m] = true
		usedNames(t, d) // a reader changes nothing
		_ = d.write(t.Context(), func(q querier) error {
			if err := use(t.Context(), "taken back")(q); err != nil {
				return err
			}
			return os.ErrInvalid
		})
		if marked(t, d) != m {
			t.Errorf("%s: another mark, though nothing was committed", what)
		}
	}
	fresh("at first")
	if err := d.write(t.Context(), use(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	fresh("a transaction")
	if err := d.step(t.Context(), use(t.Context(), "b")); err != nil {
		t.Fatal(err)
	}
	fresh("a step")
	other, err := sql.Open("sqlite", filepath.Join(dir, FileName)) // as another process does
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := other.ExecContext(t.Context(), "INSERT INTO used (name) VALUES ('c')"); err != nil {
		t.Fatal(err)
	}
	fresh("somebody else's")
	for _, name := range []string{"d", "e", "f"} { // the journal begins anew, as long as before
		if err := d.empty(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.write(t.Context(), use(t.Context(), name)); err != nil {
			t.Fatal(err)
		}
		fresh("after a checkpoint")
	}
}

func TestWhatWasReadUnderAMarkStandsAsLongAsTheMark(t *testing.T) {
	d := bareSQLite(t, t.TempDir())
	var told atomic.Int64 // names of which somebody was told that they are used
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			var last Mark
			var known int64 = -1
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := told.Load()
				m, ok := d.mark()
				if ok && known >= 0 && m == last {
					if known < least {
						t.Errorf("the mark of %d names, after %d were there", known, least)
						return
					}
					continue
				}
				known = usedNames(t, d)
				last = m
				if !ok {
					known = -1
				}
			}
		})
	}
	for i := range 300 {
		name := string(rune('a'+i%26)) + string(rune('0'+i/26))
		write := d.write
		if i%2 == 0 {
			write = d.step
		}
		if err := write(t.Context(), use(t.Context(), name)); err != nil {
			t.Error(err)
			break
		}
		told.Add(1)
	}
	close(stop)
	all.Wait()
}

// Closing any handle of a file drops all locks that the process has on it.
func TestAHandleOfTheIndexStaysUntilItsLastUserIsGone(t *testing.T) {
	dir := t.TempDir()
	first, second := openBare(t, dir), openBare(t, dir)
	if err := first.write(t.Context(), use(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	if a, b := marked(t, first), marked(t, second); a.header != b.header {
		t.Error("two marks of one database")
	}
	if first.index.file != second.index.file {
		t.Fatal("two handles of one file")
	}
	f := first.index.file
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := first.mark(); ok {
		t.Error("a closed database has a mark")
	}
	marked(t, second)
	if err := second.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(); err == nil {
		t.Error("the handle stays")
	}
}

func TestACommitOfThisProcessIsAnotherMarkWhateverTheIndexShows(t *testing.T) {
	d := bareSQLite(t, t.TempDir())
	before := marked(t, d)
	if err := d.write(t.Context(), use(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	after := marked(t, d)
	after.header = before.header // as a file system shows it that is late
	if after == before {
		t.Error("the same mark")
	}
}
