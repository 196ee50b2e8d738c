package audit

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/auditlog"
)

// Head returns the last checkpoint and its signed note, the zero value and "" while
// nothing was logged. It does not wait for rows that have no index yet.
func (l *Log) Head(ctx context.Context) (auditlog.Checkpoint, string, error) {
	var note string
	c, err := store.Get(ctx, l.store, func(tx *store.Tx) (auditlog.Checkpoint, error) {
		h, err := tx.AuditHead(ctx)
		if err != nil {
			return auditlog.Checkpoint{}, err
		}
		note = h.Checkpoint
		return l.signed(h, newTiles(ctx, tx))
	})
	return c, note, err
}

// Prove shows that the event with an id is in the log, and that the log begins with what
// it was when it had from leaves (0: nothing about the past). An event that was committed
// and has no index yet gets it now. store.ErrNotFound if there is no such event, or its
// bytes were dropped; ErrRolledBack if the log has fewer than from leaves; ErrDamaged if
// what is stored does not prove it.
func (l *Log) Prove(ctx context.Context, id string, from int64) (auditlog.Proof, error) {
	prove := func(tx *store.Tx) (auditlog.Proof, error) { return l.prove(ctx, tx, id, from) }
	p, err := store.Get(ctx, l.store, prove)
	if !errors.Is(err, store.ErrNotFound) {
		return p, err
	}
	if err := l.Sequence(ctx); err != nil {
		return auditlog.Proof{}, err
	}
	return store.Get(ctx, l.store, prove)
}

func (l *Log) prove(ctx context.Context, tx *store.Tx, id string, from int64) (auditlog.Proof, error) {
	entry, err := tx.AuditEntry(ctx, id)
	if err != nil {
		return auditlog.Proof{}, err
	}
	head, err := tx.AuditHead(ctx)
	if err != nil {
		return auditlog.Proof{}, err
	}
	t := newTiles(ctx, tx)
	c, err := l.signed(head, t)
	if err != nil {
		return auditlog.Proof{}, err
	}
	if entry.Index < 0 || entry.Index >= head.Size {
		return auditlog.Proof{}, fmt.Errorf("%w: event %s has the index %d", ErrDamaged, id, entry.Index)
	}
	p := auditlog.Proof{Public: l.public, Checkpoint: head.Checkpoint, Index: entry.Index, Leaf: []byte(entry.Leaf), From: from}
	if p.Inclusion, err = tlog.ProveRecord(head.Size, entry.Index, t); err != nil {
		return auditlog.Proof{}, err
	}
	if err := auditlog.CheckInclusion(c, p.Index, auditlog.LeafHash(p.Leaf), p.Inclusion); err != nil {
		return auditlog.Proof{}, fmt.Errorf("%w: event %s: %w", ErrDamaged, id, err)
	}
	p.Consistency, err = consistency(from, head.Size, t)
	return p, err
}

// Consistency shows that the log of to leaves begins with the log of from leaves; to 0
// means the last checkpoint's. ErrRolledBack if the log never had so many.
func (l *Log) Consistency(ctx context.Context, from, to int64) ([]auditlog.Hash, error) {
	return store.Get(ctx, l.store, func(tx *store.Tx) ([]auditlog.Hash, error) {
		head, err := tx.AuditHead(ctx)
		if err != nil {
			return nil, err
		}
		if to == 0 {
			to = head.Size
		}
		if to > head.Size {
			return nil, fmt.Errorf("%w: it has %d leaves, not %d", ErrRolledBack, head.Size, to)
		}
		return consistency(from, to, newTiles(ctx, tx))
	})
}

// consistency needs no hashes where nothing was before, or nothing came since.
func consistency(from, to int64, t *tiles) ([]auditlog.Hash, error) {
	switch {
	case from > to:
		return nil, fmt.Errorf("%w: it has %d leaves, not %d", ErrRolledBack, to, from)
	case from <= 0 || from == to:
		return nil, nil
	}
	return tlog.ProveTree(to, from, t)
}
