package store

import (
	"context"
	"time"
)

// A Claim is what a browser that has read a ticket waits for: the code that it shows,
// typed in the browser that showed the ticket.
type Claim struct {
	Hash    string // of the ticket
	Session string // SHA-256 of the session of the browser that read it
	Far     bool   // it is in another network than the browser that began
	Tries   int    // codes typed
}

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
// ticket of the recovery was used but such as were refused.
func (tx *Tx) Handover(ctx context.Context, env, hash string) (string, error) {
	return One(ctx, tx, Text, `SELECT recovery FROM handovers h WHERE env = $1 AND hash = $2 AND expires_at > $3
		AND NOT EXISTS (SELECT 1 FROM handovers o WHERE o.env = h.env AND o.recovery = h.recovery AND o.used_at > 0 AND o.outcome <> 'refused')`,
		env, hash, Millis(tx.Now()))
}

// UseHandover uses a ticket up for a browser's session.
func (tx *Tx) UseHandover(ctx context.Context, env string, c Claim) error {
	return tx.Swap(ctx, `UPDATE handovers SET used_at = $3, claimer = $4, far = $5 WHERE env = $1 AND hash = $2 AND used_at = 0`,
		env, c.Hash, Millis(tx.Now()), c.Session, Flag(c.Far))
}

// Claim returns the claim of a recovery that waits for its code, ErrNotFound if none does.
func (tx *Tx) Claim(ctx context.Context, env, recovery string) (Claim, error) {
	return One(ctx, tx, func(scan Scan) (c Claim, err error) {
		var far int64
		err = scan(&c.Hash, &c.Session, &far, &c.Tries)
		c.Far = far != 0
		return c, err
	}, `SELECT hash, claimer, far, tries FROM handovers WHERE env = $1 AND recovery = $2 AND used_at > 0 AND outcome = ''`, env, recovery)
}

// TryHandover counts a code that was typed for a claim, at most limit times.
func (tx *Tx) TryHandover(ctx context.Context, env, hash string, limit int) error {
	return tx.Swap(ctx, `UPDATE handovers SET tries = tries + 1 WHERE env = $1 AND hash = $2 AND used_at > 0 AND outcome = '' AND tries < $3`, env, hash, limit)
}

// GiveHandover settles a claim. The session that gives its recovery away may watch it.
func (tx *Tx) GiveHandover(ctx context.Context, env, hash, watcher string) error {
	return tx.Swap(ctx, `UPDATE handovers SET outcome = 'given', watcher = $3 WHERE env = $1 AND hash = $2 AND used_at > 0 AND outcome = ''`, env, hash, watcher)
}

// RefuseHandover settles a claim that was somebody else's.
func (tx *Tx) RefuseHandover(ctx context.Context, env, hash string) error {
	return tx.Swap(ctx, `UPDATE handovers SET outcome = 'refused' WHERE env = $1 AND hash = $2 AND used_at > 0 AND outcome = ''`, env, hash)
}

// Claimed reports whether a session has read a ticket of a recovery, and was refused it.
func (tx *Tx) Claimed(ctx context.Context, env, recovery, session string) (bool, error) {
	var n int
	err := tx.Row(ctx, []any{&n}, `SELECT COUNT(*) FROM handovers WHERE env = $1 AND recovery = $2 AND claimer = $3 AND outcome = 'refused'`, env, recovery, session)
	return n > 0, err
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
