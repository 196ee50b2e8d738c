package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/auditlog"
)

// MaxEntries is the longest page of an export.
const MaxEntries = 1000

// pageBytes ends a page of an export early: leaves may have 32 KiB each.
const pageBytes = 8 << 20

// Export returns a page of the log from an index on, at most count entries. Bytes are
// given of the leaves that may says yes to; of all others there is the hash. from may be
// the size of the log; beyond it is ErrRolledBack.
func (l *Log) Export(ctx context.Context, from int64, count int, may func(org, env string) bool) (auditlog.Export, error) {
	return store.Get(ctx, l.store, func(tx *store.Tx) (auditlog.Export, error) {
		head, err := tx.AuditHead(ctx)
		if err != nil {
			return auditlog.Export{}, err
		}
		if from > head.Size || from < 0 {
			return auditlog.Export{}, fmt.Errorf("%w: it has %d leaves, not %d", ErrRolledBack, head.Size, from)
		}
		p := auditlog.Export{Origin: l.origin, Public: l.public, Checkpoint: head.Checkpoint, Dropped: head.Dropped}
		n := min(head.Size-from, int64(min(max(count, 1), MaxEntries)))
		if p.Entries, err = hashed(ctx, tx, from, n); err != nil {
			return p, err
		}
		rows, err := tx.AuditEntries(ctx, from, int(n))
		if err != nil {
			return p, err
		}
		p.Entries = fill(p.Entries, rows, head.Dropped, may)
		if next := from + int64(len(p.Entries)); next < head.Size {
			p.Next = next
		}
		return p, nil
	})
}

// hashed returns entries with their hashes.
func hashed(ctx context.Context, tx *store.Tx, from, n int64) ([]auditlog.Entry, error) {
	indexes := make([]int64, n)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, from+int64(i))
	}
	hashes, err := newTiles(ctx, tx).ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	all := make([]auditlog.Entry, n)
	for i := range all {
		all[i] = auditlog.Entry{Index: from + int64(i), Hash: hashes[i], Why: auditlog.WhyMissing}
	}
	return all, nil
}

// fill adds the bytes that there are, up to the length of a page.
func fill(all []auditlog.Entry, rows []store.AuditLeaf, dropped int64, may func(org, env string) bool) []auditlog.Entry {
	byIndex := make(map[int64]store.AuditLeaf, len(rows))
	for _, r := range rows {
		byIndex[r.Index] = r
	}
	size := 0
	for i := range all {
		e := &all[i]
		r, found := byIndex[e.Index]
		switch {
		case e.Index < dropped:
			e.Why = auditlog.WhyDropped
		case !found || r.Leaf == "":
		case !may(r.Org, r.Env):
			e.Why = auditlog.WhyOther
		default:
			e.Leaf, e.Why = r.Leaf, ""
		}
		if size += len(e.Leaf); size > pageBytes {
			return all[:i+1]
		}
	}
	return all
}
