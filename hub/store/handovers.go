package store

import (
	"context"
	"time"
)

// AddHandover writes a ticket with which another browser takes a recovery over. It
// returns how many the recovery has had with it.
func (tx *Tx) AddHandover(ctx context.Context, env, recovery, hash string, expires time.Time) (int, error) {
	_, err := tx.Exec(ctx, `INSERT INTO handovers (hash, env, recovery, expires_at) VALUES ($1, $2, $3, $4)`, hash, env, recovery, Millis(expires))
	if err != nil {
		return 0, err
	}
	var n int
	err = tx.Row(ctx, []any{&n}, `SELECT COUNT(*) FROM handovers WHERE env = $1 AND recovery = $2`, env, recovery)
	return n, err
}

// Handover returns the recovery of a ticket that can be used: it has not expired, and no
// ticket of the recovery was used.
func (tx *Tx) Handover(ctx context.Context, env, hash string) (string, error) {
	return One(ctx, tx, Text, `SELECT recovery FROM handovers h WHERE env = $1 AND hash = $2 AND expires_at > $3
		AND NOT EXISTS (SELECT 1 FROM handovers o WHERE o.env = h.env AND o.recovery = h.recovery AND o.used_at > 0)`, env, hash, Millis(tx.Now()))
}

// UseHandover uses a ticket up. The session that gave its recovery away may watch it.
func (tx *Tx) UseHandover(ctx context.Context, env, hash, watcher string) error {
	return tx.Swap(ctx, `UPDATE handovers SET used_at = $3, watcher = $4 WHERE env = $1 AND hash = $2 AND used_at = 0`, env, hash, Millis(tx.Now()), watcher)
}

// Watches reports whether a session gave this recovery away.
func (tx *Tx) Watches(ctx context.Context, env, recovery, session string) (bool, error) {
	var n int
	err := tx.Row(ctx, []any{&n}, `SELECT COUNT(*) FROM handovers WHERE env = $1 AND recovery = $2 AND watcher = $3 AND used_at > 0`, env, recovery, session)
	return n > 0, err
}

// GiveRecovery makes another session the one of a recovery: the compare-and-set of
// SaveRecovery, for this member alone.
func (tx *Tx) GiveRecovery(ctx context.Context, r *Recovery, session string) error {
	err := tx.Swap(ctx, `UPDATE recoveries SET version = version + 1, session = $4, updated_at = $5 WHERE env = $1 AND id = $2 AND version = $3`,
		r.Env, r.ID, r.Version, session, Millis(tx.Now()))
	if err == nil {
		r.Version, r.Session = r.Version+1, session
	}
	return err
}
