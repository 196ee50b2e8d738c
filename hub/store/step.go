package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
)

// Step is Tx for one step of a state machine, whose fn spends its time on everything but
// writing: what it reads, opens, seals and signs. On SQLite fn runs beside whoever writes,
// each of its queries sees what is committed by then, and what it writes is put down and
// done afterwards, in its order and in one transaction. Each statement has to change exactly
// one row then, as a compare-and-set does; where one does not, nothing of it has happened, and
// fn runs again as that of Tx. What only moves one exchange on and tells of it is durable in a
// redo file before Step returns, and in the database soon afterwards (docs/decisions/0019).
//
// So whatever must still be so when fn's work is done has to stand in the WHERE of what it
// writes, or be a parent of a row that it inserts: other rows that fn has read may have
// changed for as long as fn took. Where that is not enough, use Tx. On PostgreSQL the two
// are one.
func (s *Store) Step(ctx context.Context, fn func(tx *Tx) error) error {
	return s.transact(ctx, s.db.step, fn)
}

// Record is Step for what nobody may see before it is durable, as nobody sees a Tx: what
// happened, with no state that anybody goes on from.
func (s *Store) Record(ctx context.Context, fn func(tx *Tx) error) error {
	return s.transact(ctx, s.db.record, fn)
}

// Glance is Get for a function whose result a Step goes on from. It may see of each row
// what was committed before Glance began or later, and on SQLite what steps of this process
// remember of it.
func Glance[T any](ctx context.Context, s *Store, fn func(tx *Tx) (T, error)) (T, error) {
	var v T
	err := s.db.glance(ctx, func(q querier) (err error) {
		v, err = fn(&Tx{s: s, q: q})
		return err
	})
	return v, err
}

// A plan is a querier that reads what is committed, and puts down what is written.
type plan struct {
	d          *sqliteDB
	early      bool        // it may be written later
	conn       *sqliteConn // nil: nothing was read yet
	statements []statement
	events     [][]any  // audit rows that it writes
	tables     []string // that the statements write
	unfit      bool     // it has to be a transaction

	age     int64 // of the memory, when the plan began
	recalls bool  // it has gone by the memory
}

// A statement is one that is yet to run.
type statement struct {
	query string
	args  []any
	move  move // in place of a query, where it has a next
}

// moves reports whether it makes a version of an exchange.
func (s statement) moves(id string, version int64) bool {
	return s.move.next != nil && s.move.next.ID == id && s.move.next.Version == version
}

// errUnfit ends the fn of a plan that has to be a transaction.
var errUnfit = errors.New("store: this step needs a transaction")

// writtenBy names the table of a statement that can be put down. What is deleted may take
// rows of other tables with it.
func writtenBy(query string) (table string, ok bool) {
	for _, words := range []string{"INSERT INTO ", "INSERT OR FAIL INTO "} {
		if table, ok = tableAfter(query, words); ok {
			return table, true
		}
	}
	return tableAfter(query, "UPDATE ")
}

// deletedFrom names the table of a statement that deletes.
func deletedFrom(query string) (table string, ok bool) { return tableAfter(query, "DELETE FROM ") }

// tableAfter names the table of a statement that begins with some words.
func tableAfter(query, words string) (table string, ok bool) {
	rest, ok := strings.CutPrefix(query, words)
	if end := strings.IndexAny(rest, " \n\t("); end >= 0 {
		rest = rest[:end]
	}
	return rest, ok && rest != ""
}

// writes reports whether anything was put down.
func (p *plan) writes() bool { return len(p.statements)+len(p.events) > 0 }

// movesOn reports whether an exchange is moved on.
func (p *plan) movesOn() bool {
	return slices.ContainsFunc(p.statements, func(s statement) bool { return s.move.next != nil })
}

// gather implements gatherer.
func (p *plan) gather(row []any) {
	p.events = append(p.events, row)
	p.touches("audit_") // the beginning of them all
}

// touches notes that it writes to a table.
func (p *plan) touches(table string) {
	if !slices.Contains(p.tables, table) {
		p.tables = append(p.tables, table)
	}
}

// holds reports whether what it has gone by still holds.
func (p *plan) holds() bool { return !p.recalls || p.age == p.d.memory.age.Load() }

// recall implements recaller.
func (p *plan) recall(name string) (any, bool) {
	v, ok := p.d.memory.row(p.age, name)
	p.recalls = p.recalls || ok
	return v, ok
}

// keep implements recaller.
func (p *plan) keep(name string, v any) { p.d.memory.keep(p.age, name, v) }

// exec implements querier. The statement will have changed one row, or fn runs again.
func (p *plan) exec(_ context.Context, query string, args ...any) (sql.Result, error) {
	table, ok := writtenBy(query)
	if !ok {
		p.unfit = true
		return nil, errUnfit
	}
	p.touches(table)
	p.statements = append(p.statements, statement{query: query, args: args})
	return oneRow{}, nil
}

// query implements querier. What was put down is not yet there.
func (p *plan) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if p.unfit || slices.ContainsFunc(p.tables, func(table string) bool { return strings.Contains(query, table) }) {
		p.unfit = true
		return nil, errUnfit
	}
	if p.conn == nil {
		c, err := p.d.readers.take(ctx)
		if err != nil {
			return nil, err
		}
		p.conn = c
	}
	return p.conn.txn().query(ctx, query, args...)
}

// oneRow is the result of a statement that is yet to run.
type oneRow struct{}

// LastInsertId implements sql.Result.
func (oneRow) LastInsertId() (int64, error) { return 0, errUnfit }

// RowsAffected implements sql.Result.
func (oneRow) RowsAffected() (int64, error) { return 1, nil }
