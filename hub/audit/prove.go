package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
	w := &wanted{id: id, from: from, err: errUnmade}
	l.mu.Lock()
	mine := l.next
	mine.list = append(mine.list, w)
	l.mu.Unlock()
	select {
	case l.proving <- struct{}{}:
	case <-ctx.Done():
		return auditlog.Proof{}, ctx.Err()
	}
	defer func() { <-l.proving }()
	if !mine.made {
		l.make(ctx, l.take())
	}
	return w.proof, w.err
}

// proofLife bounds the making of proofs, for which others wait, too.
const proofLife = 20 * time.Second

var errUnmade = errors.New("audit: the proof was not made")

// wanted is a proof that somebody waits for.
type wanted struct {
	id    string
	from  int64
	proof auditlog.Proof
	err   error
}

// proofs are those whose callers came while others' were made. They share one sequencing
// and one look at the head of the log.
type proofs struct {
	list []*wanted
	made bool // guarded by Log.proving, as the results are
}

func (l *Log) take() *proofs {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.next
	l.next = &proofs{}
	return all
}

// make makes proofs. The caller has the turn; its end does not end what others wait for.
func (l *Log) make(ctx context.Context, all *proofs) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proofLife)
	defer cancel()
	l.look(ctx, all.list)
	late := slices.DeleteFunc(slices.Clone(all.list), func(w *wanted) bool { return !errors.Is(w.err, store.ErrNotFound) })
	if len(late) > 0 {
		if err := l.Sequence(ctx); err == nil {
			l.look(ctx, late)
		} else {
			fail(late, err)
		}
	}
	all.made = true
}

func fail(list []*wanted, err error) {
	for _, w := range list {
		w.proof, w.err = auditlog.Proof{}, err
	}
}

// look proves what has an index.
func (l *Log) look(ctx context.Context, list []*wanted) {
	err := l.store.Read(ctx, func(tx *store.Tx) error {
		head, err := tx.AuditHead(ctx)
		if err != nil {
			return err
		}
		t := newTiles(ctx, tx)
		c, err := l.signed(head, t)
		if err != nil {
			return err
		}
		for _, w := range list {
			w.proof, w.err = l.prove(tx, head, c, t, w)
		}
		return nil
	})
	if err != nil {
		fail(list, err)
	}
}

// prove proves an event in the log of head, whose signed checkpoint is c.
func (l *Log) prove(tx *store.Tx, head store.AuditHead, c auditlog.Checkpoint, t *tiles, w *wanted) (auditlog.Proof, error) {
	entry, err := tx.AuditEntry(t.ctx, w.id)
	if err != nil {
		return auditlog.Proof{}, err
	}
	if entry.Index < 0 || entry.Index >= head.Size {
		return auditlog.Proof{}, fmt.Errorf("%w: event %s has the index %d", ErrDamaged, w.id, entry.Index)
	}
	p := auditlog.Proof{Public: l.public, Checkpoint: head.Checkpoint, Index: entry.Index, Leaf: []byte(entry.Leaf), From: w.from}
	if p.Inclusion, err = tlog.ProveRecord(head.Size, entry.Index, t); err != nil {
		return auditlog.Proof{}, err
	}
	if err := auditlog.CheckInclusion(c, p.Index, auditlog.LeafHash(p.Leaf), p.Inclusion); err != nil {
		return auditlog.Proof{}, fmt.Errorf("%w: event %s: %w", ErrDamaged, w.id, err)
	}
	p.Consistency, err = consistency(w.from, head.Size, t)
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
