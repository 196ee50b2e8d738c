package store

import (
	"context"
	"slices"
)

// auditEvent is the event of webhooks that follow the audit log, in the spelling of the
// public API.
const auditEvent = "audit"

// follow has a webhook follow the audit log from now on, or not any more. One that
// follows already goes on where it is.
func (tx *Tx) follow(ctx context.Context, w Webhook) error {
	if !w.Enabled || !slices.Contains(w.Events, auditEvent) {
		_, err := tx.Exec(ctx, `DELETE FROM webhook_cursors WHERE webhook = $1`, w.ID)
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO webhook_cursors (webhook, seq) SELECT $1, size FROM audit_head WHERE id = 1
		ON CONFLICT (webhook) DO NOTHING`, w.ID)
	return err
}

// A Follower is a webhook that there is something new in the audit log for.
type Follower struct {
	Webhook, Env string
	Next         int64 // index of the first event that it was not told of
}

// Followers lists webhooks that were not told of the whole log.
func (tx *Tx) Followers(ctx context.Context) ([]Follower, error) {
	return All(ctx, tx, func(scan Scan) (f Follower, err error) { return f, scan(&f.Webhook, &f.Env, &f.Next) },
		`SELECT c.webhook, w.env, c.seq FROM webhook_cursors c JOIN webhooks w ON w.id = c.webhook
		WHERE c.seq < (SELECT size FROM audit_head WHERE id = 1) ORDER BY c.webhook`)
}

// Followed says that a webhook was told of the log up to, but not including, an index.
// ErrConflict if another node was first.
func (tx *Tx) Followed(ctx context.Context, f Follower, next int64) error {
	return tx.Swap(ctx, `UPDATE webhook_cursors SET seq = $3 WHERE webhook = $1 AND seq = $2`, f.Webhook, f.Next, next)
}

// AuditSince returns the events of an environment among the n that follow in the log
// from an index on, in its order.
func (tx *Tx) AuditSince(ctx context.Context, env string, from int64, n int) ([]AuditRow, error) {
	return All(ctx, tx, scanAudit, `SELECT e.id, e.org, e.env, e.kind, e.account, e.trace, e.time, e.leaf
		FROM audit_entries n JOIN audit_rows e ON e.id = n.event WHERE n.seq >= $1 AND n.seq < $2 AND e.env = $3 ORDER BY n.seq`, from, from+int64(n), env)
}
