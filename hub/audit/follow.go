package audit

import (
	"context"

	"github.com/postern-id/postern/hub/store"
)

// followBatch is how many events of the log one call of Follow goes through, whosever
// they are: the time of a transaction is bounded.
const followBatch = 200

// Follow returns the events of an environment in the order of the log, from an index on,
// and the index from which the next call goes on. What has an index keeps it, and nothing
// comes before it later: whoever remembers next misses no event and gets none twice.
func Follow(ctx context.Context, tx *store.Tx, env string, from int64) (all []Record, next int64, err error) {
	head, err := tx.AuditHead(ctx)
	if err != nil {
		return nil, from, err
	}
	from = max(from, head.Dropped)
	rows, err := tx.AuditSince(ctx, env, from, followBatch)
	if err != nil {
		return nil, from, err
	}
	reader := newReader(tx)
	for _, row := range rows {
		r, err := reader.read(ctx, row)
		if err != nil {
			return nil, from, err
		}
		all = append(all, r)
	}
	return all, max(from, min(from+followBatch, head.Size)), nil
}

// FollowAll is Follow over all of an organisation that may says yes to; "" is what
// concerns no environment.
func FollowAll(ctx context.Context, tx *store.Tx, org string, may func(env string) bool, from int64) (all []Record, next int64, err error) {
	head, err := tx.AuditHead(ctx)
	if err != nil {
		return nil, from, err
	}
	from = max(from, head.Dropped)
	rows, err := tx.AuditEntries(ctx, from, followBatch)
	if err != nil {
		return nil, from, err
	}
	next = from
	reader := newReader(tx)
	for _, row := range rows {
		if next = row.Index + 1; row.Leaf == "" || row.Org != org || !may(row.Env) {
			continue
		}
		r, err := reader.read(ctx, store.AuditRow{ID: row.ID, Org: row.Org, Env: row.Env, Leaf: row.Leaf})
		if err != nil {
			return nil, from, err
		}
		r.Index = row.Index
		all = append(all, r)
	}
	return all, next, nil
}
