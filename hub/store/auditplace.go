package store

import (
	"cmp"
	"context"
	"slices"
)

// A placer is a querier that may hold events which have no index yet and are not in the
// database either: those are written once, where they stay, together with their index.
type placer interface {
	// unplaced returns all events that have no index yet, by their ids, if the database has fewer
	// than n of them. Otherwise there are none, and it returns how many are not there; where that
	// is none either, it returns the first n of those that are.
	unplaced(ctx context.Context, n int) (rows []AuditLeaf, late int, err error)
	// place gives the events that unplaced returned, up to the one called last, the indexes from
	// one on. It returns how many they are; 0: unplaced returned no such event.
	place(ctx context.Context, from int64, last string) (n int, err error)
}

// An unplaced is what a caller was told of events without an index.
type unplaced struct {
	rows []AuditLeaf // by their ids
	late int         // so many of them are the first of those that the transaction gathered
}

// The parts of an audit row that whoever gives it its place goes by.
const (
	auditID   = 0
	auditLeaf = auditColumnCount - 1
)

// textOf returns a part of an audit row that is a text.
func textOf(row []any, part int) string {
	s, _ := row[part].(string)
	return s
}

// unplaced implements placer. What others of the transaction gathered was written before the
// caller's own, see save, so that all which is late is the caller's, or waited to be written.
func (c *caller) unplaced(ctx context.Context, n int) ([]AuditLeaf, int, error) {
	c.looked, c.told = true, unplaced{}
	if err := c.catchUpAll(); err != nil {
		return nil, 0, err
	}
	written, err := pendingAudit(ctx, c.sqliteTxn, n)
	late := c.d.late
	if len(late) == 0 {
		return written, 0, err
	}
	if !c.first || err != nil || len(written) >= n {
		return nil, len(late), err
	}
	slices.SortFunc(late, func(a, b []any) int { return cmp.Compare(textOf(a, auditID), textOf(b, auditID)) })
	rows := slices.Grow(written, len(late))
	for _, row := range late {
		rows = append(rows, AuditLeaf{ID: textOf(row, auditID), Leaf: textOf(row, auditLeaf)})
	}
	slices.SortFunc(rows, func(a, b AuditLeaf) int { return cmp.Compare(a.ID, b.ID) })
	c.told = unplaced{rows, len(late)}
	return rows, len(late), nil
}

// place implements placer.
func (c *caller) place(ctx context.Context, from int64, last string) (int, error) {
	told := c.told
	n := len(told.rows)
	if c.told = (unplaced{}); n == 0 || told.late > len(c.d.late) || told.rows[n-1].ID != last {
		return 0, nil
	}
	if n > told.late {
		if err := c.moveOn(ctx, last); err != nil {
			return 0, err
		}
	}
	if _, err := c.d.insert(&c.d.placed.rows, c.d.late[:told.late]); err != nil {
		return 0, err
	}
	c.d.down(told.late)
	entries := make([][]any, n)
	for i, row := range told.rows {
		entries[i] = []any{from + int64(i), row.ID}
	}
	_, err := c.d.insert(&c.d.placed.entries, entries)
	return n, err
}

// moveOn moves all events that are in the database to where they stay. None of them has an id
// after the last one, and none waits for its index any more.
func (c *caller) moveOn(ctx context.Context, last string) error {
	if err := moveAudit(ctx, c.sqliteTxn, last); err != nil {
		return err
	}
	_, err := c.sqliteTxn.exec(ctx, "DELETE FROM audit_pending")
	return err
}

// An auditPlacing is the statements that place events.
type auditPlacing struct{ rows, entries auditInsert }

func newAuditPlacing() auditPlacing {
	return auditPlacing{newAuditInsert("audit_rows ("+auditValues+")", auditColumnCount), newAuditInsert("audit_entries (seq, event)", 2)}
}
