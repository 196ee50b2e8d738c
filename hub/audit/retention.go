package audit

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/postern-id/postern/hub/store"
)

// How old leaves are dropped.
const (
	retentionEvery = time.Hour
	retentionBatch = 2000 // leaves of one transaction
)

// Dropped is the detail of the event that leaves were dropped. The log itself then says
// what it was up to there.
type Dropped struct {
	From int64  `json:"from"` // index of the first leaf whose bytes went
	To   int64  `json:"to"`   // index after the last one
	Root string `json:"root"` // of the tree of To leaves, base64
}

// Retain drops the bytes of leaves that are older than they are to be kept. Hashes stay,
// so every later leaf is provable and every checkpoint stays what it was.
func (l *Log) Retain(ctx context.Context) error {
	if l.retain == nil || l.retain() <= 0 {
		return nil
	}
	before := l.store.Now().Add(-l.retain())
	for {
		more, err := store.Change(ctx, l.store, func(tx *store.Tx) (bool, error) { return drop(ctx, tx, before) })
		if err == nil {
			err = l.Sequence(ctx) // whoever verifies the log asks it what it dropped
		}
		if err != nil || !more {
			return err
		}
	}
}

// drop drops one batch, and reports whether there may be more.
func drop(ctx context.Context, tx *store.Tx, before time.Time) (more bool, err error) {
	head, err := tx.AuditHead(ctx)
	if err != nil {
		return false, err
	}
	rows, err := tx.AuditEntries(ctx, head.Dropped, retentionBatch)
	if err != nil {
		return false, err
	}
	to := head.Dropped
	first := FirstID(before)
	for _, r := range rows {
		if r.ID >= first {
			break
		}
		to = r.Index + 1
	}
	if to == head.Dropped {
		return false, nil
	}
	root, err := tlog.TreeHash(to, newTiles(ctx, tx))
	if err != nil {
		return false, err
	}
	if err := tx.DropAudit(ctx, head.Dropped, to); err != nil {
		return false, err
	}
	return to == head.Dropped+int64(len(rows)), appendDropped(ctx, tx, Dropped{head.Dropped, to, root.String()})
}

// appendDropped tells every organisation: the log is one for all of them.
func appendDropped(ctx context.Context, tx *store.Tx, d Dropped) error {
	all, err := tx.Organisations(ctx)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := Append(ctx, tx, Event{Org: o.ID, Kind: LeavesDropped, Actor: Principal{System: "retention"}, Detail: d}); err != nil {
			return err
		}
	}
	return nil
}
