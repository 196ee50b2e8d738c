package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// begin begins a transaction of the writer. The commit of a lazy one is not durable.
func (d *sqliteDB) begin(lazy bool) error {
	if d.recent >= mostRecent {
		d.recent = 0
		d.move()
	}
	ctx := context.Background()
	if d.doubtful {
		if err := d.empty(ctx); err != nil {
			return fmt.Errorf("%w: the journal: %w", ErrUnavailable, err)
		}
		d.doubtful = false
		d.journal.emptied()
	}
	if d.lazy != lazy {
		level := "PRAGMA synchronous(FULL)"
		if lazy {
			level = "PRAGMA synchronous(NORMAL)"
		}
		if _, err := d.writer.conn.ExecContext(ctx, level); err != nil { // it works when it is prepared, not when it runs
			return err
		}
		d.lazy = lazy
	}
	if err := d.writer.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	n, err := integers(ctx, d.writer.txn(), "PRAGMA data_version")
	if err != nil {
		_ = d.writer.run("ROLLBACK")
		return err
	}
	if n[0] != d.others {
		d.others = n[0]
		d.forget()
	}
	return nil
}

// watch looks at what the writer is about to do. Of a statement that does not begin with
// its table nothing is known. What is deleted may take rows of other tables with it, but
// rows of a settled table only together with one of another settled table, which it belongs to.
func (d *sqliteDB) watch(query string) {
	d.writes = true
	table, ok := writtenBy(query)
	if !ok {
		table, ok = deletedFrom(query)
		d.deleted = d.deleted || table == "oidc_exchanges"
	}
	d.changed = d.changed || !ok || slices.Contains(settled, table) || table == "people" && strings.HasPrefix(query, "UPDATE ")
}

// committed is called under the turn, before anybody is told of a commit.
func (d *sqliteDB) committed() {
	d.commits.Add(1)
	d.exchanges.committed(d.wrote)
	d.wroteNothing()
	d.caughtUp()
	if d.changed {
		d.forget()
	} else if d.deleted {
		d.exchanges.forget()
	}
	d.changed, d.deleted = false, false
	if d.writes { // last: until then nobody goes on from memory alone
		d.writes = false
		d.watchIndex()
	}
}

// caughtUp frees redo files that the transaction which was just committed has made needless,
// where it is known to be durable.
func (d *sqliteDB) caughtUp() {
	if d.caught.all && !d.lazy && !d.doubtful && !d.journal.doubted.Load() {
		d.catchUps.Add(1)
		if r := d.redo.Load(); r != nil {
			r.free(d.caught.passed)
		}
	}
	d.caught = caughtUp{}
}

// end writes what was gathered, and commits.
func (d *sqliteDB) end() error {
	if err := d.putDown(len(d.late)); err != nil {
		return err
	}
	if d.lazy {
		d.lazily.begun.Add(1)
		defer d.lazily.done.Add(1)
	}
	err := d.writer.run("COMMIT")
	if err != nil && !d.lazy {
		d.doubtful = true // the disk said it once, and what was committed lazily before may be what it lost
	}
	return err
}
