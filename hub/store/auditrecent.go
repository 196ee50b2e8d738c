package store

import (
	"cmp"
	"context"
	"slices"
)

// mostRecent is how many events may have no index (docs/decisions/0016): a search reads them all, which takes a
// millisecond, and whoever comes next waits some 10 ms while they are moved.
const mostRecent = 1024

// auditValues are the columns that audit_recent and audit_rows have in common.
const auditValues = "id, org, env, kind, account, trace, time, leaf"

// auditMove moves all recent events. Their order is that of the indexes. Where a statement
// fails, so does all of the transaction: SQLite need not remember how each page was before.
var auditMove = [...]string{
	"INSERT OR FAIL INTO audit_rows (" + auditValues + ") SELECT " + auditValues + " FROM audit_recent ORDER BY id",
	"DELETE FROM audit_recent",
}

// auditMoveWaiting has recent events wait for their index where they are moved to.
const auditMoveWaiting = "INSERT OR FAIL INTO audit_pending (event) SELECT id FROM audit_recent WHERE id > $1 ORDER BY id"

// moveAudit moves all recent events to their indexes. Those after an id have no place in
// the log yet.
func moveAudit(ctx context.Context, q querier, after string) error {
	if _, err := q.exec(ctx, auditMoveWaiting, after); err != nil {
		return err
	}
	for _, text := range auditMove {
		if _, err := q.exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// move moves recent events under the turn, while no transaction is open. Nobody waits for
// the disk: until it is durable, they are where they were. Where it fails they stay there,
// and whoever gives them their places in the log says why.
func (d *sqliteDB) move() {
	if d.begin(true) != nil {
		return
	}
	if moveAudit(context.Background(), d.writer.txn(), "") != nil || d.end() != nil {
		d.rollback()
	}
	d.committed()
}

// recents reports whether events are in audit_recent first.
func (s *Store) recents() bool {
	_, ok := s.db.(*sqliteDB)
	return ok
}

// recentAudit returns what a filter says of recent events.
func (tx *Tx) recentAudit(ctx context.Context, org string, f AuditFilter) ([]AuditRow, error) {
	if !tx.s.recents() {
		return nil, nil
	}
	w, end := f.where(org)
	return All(ctx, tx, scanAudit, "SELECT "+auditColumns+" FROM audit_recent e WHERE "+w.text+end, w.args...)
}

// merged returns a page of two that are in the order of f. What was moved meanwhile may be
// on both.
func (f AuditFilter) merged(recent, rows []AuditRow) []AuditRow {
	if len(recent) == 0 {
		return rows
	}
	all := slices.Concat(recent, rows)
	slices.SortFunc(all, func(a, b AuditRow) int {
		if f.OldestFirst {
			return cmp.Compare(a.ID, b.ID)
		}
		return cmp.Compare(b.ID, a.ID)
	})
	all = slices.CompactFunc(all, func(a, b AuditRow) bool { return a.ID == b.ID })
	return all[:min(len(all), f.Count)]
}
