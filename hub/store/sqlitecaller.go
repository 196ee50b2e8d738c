package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// A caller is the querier of one whose turn it is to write. What it writes can be taken
// back without the work of the others in its group.
type caller struct {
	sqliteTxn
	d     *sqliteDB
	first bool // all that the transaction holds is its work
	saved bool // there is a savepoint to go back to
	mark  int  // of d.late: its own rows begin there
	wrote int  // of d.wrote: likewise

	looked bool // at the log, which it sees as it was then, with its own rows

	told   unplaced
	caught caughtUp
}

// caller begins the work of one more of the open transaction.
func (d *sqliteDB) caller(first bool) *caller {
	return &caller{sqliteTxn: sqliteTxn{d.writer}, d: d, first: first, mark: len(d.late), wrote: len(d.wrote)}
}

// exec implements querier.
func (c *caller) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.save(); err != nil {
		return nil, err
	}
	if err := c.show(query); err != nil {
		return nil, err
	}
	return c.sqliteTxn.exec(ctx, query, args...)
}

// query implements querier.
func (c *caller) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := c.show(query); err != nil {
		return nil, err
	}
	return c.sqliteTxn.query(ctx, query, args...)
}

// save makes a savepoint before the caller's first change, unless its work is all there
// is: a savepoint makes SQLite copy every page before its first change. What others
// gathered is written before, so that it stays when the caller's work is taken back.
func (c *caller) save() error {
	if c.first || c.saved {
		return nil
	}
	if err := c.d.putDown(c.mark); err != nil {
		c.d.broken = err
		return err
	}
	c.mark = 0
	if err := c.d.writer.run("SAVEPOINT work"); err != nil {
		return err
	}
	c.saved = true
	return nil
}

// gather implements gatherer: nothing of it is in the database before it is looked at, or
// the group is committed. So the rows of many callers are one statement, and their pages
// are in no savepoint.
func (c *caller) gather(row []any) { c.d.late = append(c.d.late, row) }

// show writes what was gathered, or waits, if a statement may look at it. What sign-ins put
// into the queue after the caller's first look at the log comes later: it counts rows there.
func (c *caller) show(query string) error {
	if strings.Contains(query, "oidc_exchanges") || !c.looked && seesEvents(query) {
		c.looked = true
		if err := c.catchUpAll(); err != nil {
			return mapError(err)
		}
	}
	if len(c.d.late) == 0 || !seesEvents(query) {
		return nil
	}
	if err := c.save(); err != nil {
		return err
	}
	c.told = unplaced{} // the database has what was told of, and maybe more
	return c.d.putDown(len(c.d.late))
}

// end ends the caller's work.
func (c *caller) end() error {
	if c.saved {
		if err := c.d.writer.run("RELEASE work"); err != nil {
			return err
		}
	}
	c.d.caught.add(c.caught)
	return nil
}

// back takes the caller's work back, of which there may be none.
func (c *caller) back() error {
	c.d.late = c.d.late[:c.mark]
	c.d.exchanges.back(c.d.wrote[c.wrote:])
	c.d.wrote = c.d.wrote[:c.wrote]
	if !c.saved {
		return nil
	}
	if err := c.d.writer.run("ROLLBACK TO work"); err != nil {
		return err
	}
	return c.d.writer.run("RELEASE work")
}

// recall implements recaller. What is remembered is what is committed, and stays so while
// the caller has its turn; only what was written since the last commit is not remembered.
func (c *caller) recall(name string) (any, bool) {
	if c.d.changed {
		return nil, false
	}
	return c.d.memory.row(c.d.memory.age.Load(), name)
}

// keep implements recaller.
func (c *caller) keep(name string, v any) {
	if !c.d.changed {
		c.d.memory.keep(c.d.memory.age.Load(), name, v)
	}
}

// maxPutDown is how many rows one statement inserts at most, a power of two: so many
// callers' rows as there are at once, without texts of statements for each number.
const maxPutDown = 32

// auditColumnCount is the number of values of a gathered row.
const auditColumnCount = 8

// An auditInsert is the statements that insert 1, 2, 4 … rows into a table, by the logarithm.
type auditInsert [6]string // 1 to maxPutDown

func newAuditInsert(table string, columns int) (a auditInsert) {
	for i := range a {
		a[i] = "INSERT OR FAIL INTO " + table + " VALUES " + places(1<<i, columns)
	}
	return a
}

// places writes the parameters of some rows, without numbers: the driver looks each of
// those up in all of them.
func places(rows, columns int) string {
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	return row + strings.Repeat(", "+row, rows-1)
}

// putDown inserts the first n gathered rows.
func (d *sqliteDB) putDown(n int) error {
	last, err := d.insert(&d.inserts, d.late[:n])
	if err != nil {
		return fmt.Errorf("audit rows: %w", err)
	}
	if n > 0 {
		d.recent = last // they are counted from 1
	}
	d.down(n)
	return nil
}

// insert inserts rows, some at a time, and returns the number of the last one.
func (d *sqliteDB) insert(inserts *auditInsert, rows [][]any) (last int64, err error) {
	for at := 0; at < len(rows); {
		i := bits.Len(uint(min(len(rows)-at, maxPutDown))) - 1
		res, err := d.writer.txn().exec(context.Background(), inserts[i], slices.Concat(rows[at:at+1<<i]...)...)
		if err != nil {
			return 0, err
		}
		if last, err = res.LastInsertId(); err != nil {
			return 0, err
		}
		at += 1 << i
	}
	return last, nil
}

// down lets go of the first n gathered rows, which are written.
func (d *sqliteDB) down(n int) {
	left := copy(d.late, d.late[n:])
	clear(d.late[left:])
	d.late = d.late[:left]
}
