package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
)

// An AuditHead is the state of the log over the audit rows.
type AuditHead struct {
	Size       int64  // rows that have an index
	Checkpoint string // signed note of that size; empty while Size is 0
	Dropped    int64  // the first ones, which are kept as hashes only
}

// Audited yields something after transactions of this node that wrote audit rows, at
// least once after the last of them. It has one reader.
func (s *Store) Audited() <-chan struct{} { return s.audited }

// AuditHead returns the state of the log.
func (tx *Tx) AuditHead(ctx context.Context) (AuditHead, error) {
	var h AuditHead
	err := tx.Row(ctx, []any{&h.Size, &h.Checkpoint, &h.Dropped}, "SELECT size, checkpoint, dropped FROM audit_head WHERE id = 1")
	return h, err
}

// An AuditLeaf is a row as the log sees it.
type AuditLeaf struct {
	ID    string
	Index int64
	Org   string
	Env   string
	Leaf  string // exact bytes; empty: the row is not there
}

// PendingAudit returns rows that have no index yet, in the order in which they will get
// theirs: all that wait in memory, and at most n of others. whole reports whether there are no
// more.
func (tx *Tx) PendingAudit(ctx context.Context, n int) (rows []AuditLeaf, whole bool, err error) {
	if p, ok := tx.q.(placer); ok {
		rows, late, err := p.unplaced(ctx, n)
		if late == 0 || len(rows) > 0 || err != nil {
			return rows, late > 0 || len(rows) < n, mapError(err)
		}
		n += late // or it would go on like that, a part of them each time
	}
	rows, err = pendingAudit(ctx, tx.q, n)
	if tx.s.recents() {
		err = notAnotherNode(err)
	}
	return rows, len(rows) < n, mapError(err)
}

// pendingAudit is PendingAudit of what is in the database.
func pendingAudit(ctx context.Context, q querier, n int) ([]AuditLeaf, error) {
	return All(ctx, &Tx{q: q}, func(scan Scan) (l AuditLeaf, err error) { return l, scan(&l.ID, &l.Leaf) },
		`SELECT p.event AS id, COALESCE(e.leaf, '') AS leaf FROM audit_pending p LEFT JOIN audit_rows e ON e.id = p.event
		UNION ALL SELECT id, leaf FROM audit_recent ORDER BY id LIMIT $1`, n)
}

// LastPendingAudit returns the greatest id of a row that has no index yet; "" if all have one.
func (tx *Tx) LastPendingAudit(ctx context.Context) (id string, err error) {
	var recent string
	err = tx.Row(ctx, []any{&id, &recent}, "SELECT COALESCE((SELECT MAX(event) FROM audit_pending), ''), COALESCE((SELECT MAX(id) FROM audit_recent), '')")
	return max(id, recent), err
}

// AuditIsPending reports whether any row up to an id has no index yet.
func (tx *Tx) AuditIsPending(ctx context.Context, last string) (bool, error) {
	var id string
	err := tx.Row(ctx, []any{&id}, "SELECT event FROM audit_pending WHERE event <= $1 UNION ALL SELECT id FROM audit_recent WHERE id <= $1 LIMIT 1", last)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ExtendAudit gives the rows that PendingAudit returned in this transaction, up to the
// one called last, the indexes from was.Size on, and replaces tiles. ErrConflict if the
// log has another size than was says.
func (tx *Tx) ExtendAudit(ctx context.Context, was, now AuditHead, last string, tiles map[string][]byte) error {
	if err := tx.Swap(ctx, "UPDATE audit_head SET size = $1, checkpoint = $2 WHERE id = 1 AND size = $3", now.Size, now.Checkpoint, was.Size); err != nil {
		return err
	}
	if err := tx.giveIndexes(ctx, was, now, last); err != nil {
		return err
	}
	for id, hashes := range tiles {
		_, err := tx.Exec(ctx, `INSERT INTO audit_tiles (id, hashes) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET hashes = excluded.hashes`,
			id, base64.StdEncoding.EncodeToString(hashes))
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) giveIndexes(ctx context.Context, was, now AuditHead, last string) error {
	if p, ok := tx.q.(placer); ok {
		n, err := p.place(ctx, was.Size, last)
		if err != nil {
			return notAnotherNode(err)
		}
		if n > 0 {
			return gave(int64(n), was, now)
		}
	}
	n, err := tx.Exec(ctx, `INSERT INTO audit_entries (seq, event) SELECT CAST($1 AS BIGINT) - 1 + ROW_NUMBER() OVER (ORDER BY event), event
		FROM (SELECT event FROM audit_pending UNION ALL SELECT id FROM audit_recent) waiting WHERE event <= $2`, was.Size, last)
	if err != nil && tx.s.recents() {
		err = notAnotherNode(err)
	}
	if err == nil {
		err = gave(n, was, now)
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM audit_pending WHERE event <= $1", last); err != nil {
		return err
	}
	if tx.s.recents() {
		return notAnotherNode(moveAudit(ctx, tx.q, last))
	}
	return nil
}

// notAnotherNode is mapError for what no other node can have done: ErrConflict would mean that
// trying again helps.
func notAnotherNode(err error) error {
	if err = mapError(err); errors.Is(err, ErrConflict) {
		return fmt.Errorf("store: an event cannot get its index, and none after it does until this is mended (docs/operations.md, %q): %s", "An event cannot get its index", err.Error())
	}
	return err
}

// gave says whether as many rows got an index as the log grew by.
func gave(n int64, was, now AuditHead) error {
	if n != now.Size-was.Size {
		return fmt.Errorf("store: %d rows got an index, not %d", n, now.Size-was.Size)
	}
	return nil
}

// AuditTiles reads tiles. One that does not exist is not in the result.
func (tx *Tx) AuditTiles(ctx context.Context, ids []string) (map[string][]byte, error) {
	w := where{text: "1 = 1"}
	w.oneOf("id", ids)
	all := make(map[string][]byte, len(ids))
	_, err := All(ctx, tx, func(scan Scan) (none struct{}, err error) {
		var id, text string
		if err := scan(&id, &text); err != nil {
			return none, err
		}
		all[id], err = base64.StdEncoding.DecodeString(text)
		return none, err
	}, "SELECT id, hashes FROM audit_tiles WHERE "+w.text, w.args...)
	return all, err
}

const auditLeafColumns = `SELECT n.event, n.seq, COALESCE(e.org, ''), COALESCE(e.env, ''), COALESCE(e.leaf, '')
	FROM audit_entries n LEFT JOIN audit_rows e ON e.id = n.event WHERE `

func scanAuditLeaf(scan Scan) (l AuditLeaf, err error) {
	return l, scan(&l.ID, &l.Index, &l.Org, &l.Env, &l.Leaf)
}

// AuditEntry returns a row that has an index by its id; ErrNotFound if it has none.
func (tx *Tx) AuditEntry(ctx context.Context, id string) (AuditLeaf, error) {
	return One(ctx, tx, scanAuditLeaf, auditLeafColumns+"n.event = $1", id)
}

// AuditEntries returns at most n rows from an index on. Dropped ones are not among them.
func (tx *Tx) AuditEntries(ctx context.Context, from int64, n int) ([]AuditLeaf, error) {
	return All(ctx, tx, scanAuditLeaf, auditLeafColumns+"n.seq >= $1 ORDER BY n.seq LIMIT $2", from, n)
}

// DropAudit deletes the bytes of the rows with the indexes from, up to but not
// including, to. Their hashes stay. ErrConflict if another node did so meanwhile.
func (tx *Tx) DropAudit(ctx context.Context, from, to int64) error {
	if err := tx.Swap(ctx, "UPDATE audit_head SET dropped = $2 WHERE id = 1 AND dropped = $1 AND size >= $2", from, to); err != nil {
		return err
	}
	if err := tx.countDropped(ctx, from, to); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM audit_rows WHERE id IN (SELECT event FROM audit_entries WHERE seq >= $1 AND seq < $2)", from, to); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM audit_entries WHERE seq >= $1 AND seq < $2", from, to)
	return err
}
