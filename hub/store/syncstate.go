package store

import (
	"context"
	"errors"
)

// StartSync makes run the pass that may write to a directory. A former one that still
// believes to be at work fails with ErrConflict at its next write.
func (tx *Tx) StartSync(ctx context.Context, env, id, run string) error {
	return tx.Must(ctx, `UPDATE directories SET sync_run = $3, sync_started_at = $4, sync_beat_at = $4, sync_listed = 0, sync_expected = 0
		WHERE env = $1 AND id = $2`, env, id, run, Millis(tx.Now()))
}

// SyncProgress says how far a pass is. ErrConflict: another pass has taken over.
func (tx *Tx) SyncProgress(ctx context.Context, env, id, run string, listed, expected int) error {
	return tx.Swap(ctx, "UPDATE directories SET sync_beat_at = $4, sync_listed = $5, sync_expected = $6 WHERE env = $1 AND id = $2 AND sync_run = $3",
		env, id, run, Millis(tx.Now()), listed, expected)
}

// A SyncResult is what a finished pass leaves.
type SyncResult struct {
	Full        bool // it listed everything
	Generation  int64
	Fingerprint string
	State       string
	Listed      int
}

// FinishSync ends a pass that finished: its error and question are over. Accounts are
// counted as they come and go, and once more behind a pass that listed everything.
func (tx *Tx) FinishSync(ctx context.Context, env, id, run string, r SyncResult) (err error) {
	count := 0
	if r.Full {
		if count, err = tx.CountAccounts(ctx, env, id); err != nil {
			return err
		}
	}
	now := Millis(tx.Now())
	return tx.Swap(ctx, `UPDATE directories SET sync_run = '', sync_completed_at = $4, sync_full_at = CASE WHEN $5 = 1 THEN $4 ELSE sync_full_at END,
		sync_beat_at = 0, sync_listed = $6, generation = $7, fingerprint = $8, sync_state = $9,
		account_count = CASE WHEN $5 = 1 THEN $10 ELSE account_count END,
		sync_error = '', sync_pending = '', needs_reconnect = 0 WHERE env = $1 AND id = $2 AND sync_run = $3`,
		env, id, run, now, Flag(r.Full), r.Listed, r.Generation, r.Fingerprint, r.State, count)
}

// A SyncFailure is why a pass ended without finishing.
type SyncFailure struct {
	Error          string // a sentence for an administrator
	NeedsReconnect bool
	Pending        Pending // the question that it asks; empty: none
}

// FailSync ends a pass that did not finish. It reports whether the failure is new, not
// the one that the directory had before.
func (tx *Tx) FailSync(ctx context.Context, env, id, run string, f SyncFailure) (isNew bool, err error) {
	d, err := tx.Directory(ctx, env, id)
	if err != nil {
		return false, err
	}
	count, err := tx.CountAccounts(ctx, env, id) // it may have written some
	if err != nil {
		return false, err
	}
	pending := ""
	if f.Pending.Reason != "" {
		pending = JSON(f.Pending)
	}
	err = tx.Swap(ctx, `UPDATE directories SET sync_run = '', sync_beat_at = 0, sync_error = $4, needs_reconnect = $5, sync_pending = $6,
		account_count = $7 WHERE env = $1 AND id = $2 AND sync_run = $3`,
		env, id, run, f.Error, Flag(f.NeedsReconnect), pending, count)
	was := d.Sync.Pending
	sameQuestion := f.Pending.Reason != "" && f.Pending.Reason == was.Reason && !was.Confirmed // with other numbers, perhaps
	return d.Sync.Error != f.Error && !sameQuestion, err
}

// ErrNoQuestion is given for the answer to a question that nobody asked.
var ErrNoQuestion = errors.New("store: no question waits for an answer")

// ConfirmSync answers the pending question of a directory with yes. A confirmed
// fingerprint is the directory's from now on, and the next pass lists everything; a
// confirmed shrink is done by the next pass. It returns the question.
func (tx *Tx) ConfirmSync(ctx context.Context, env, id string) (Pending, error) {
	d, err := tx.Directory(ctx, env, id)
	if err != nil {
		return Pending{}, err
	}
	p := d.Sync.Pending
	switch p.Reason {
	case PendingFingerprint:
		return p, tx.Must(ctx, "UPDATE directories SET fingerprint = $3, sync_state = '', sync_pending = '', sync_error = '' WHERE env = $1 AND id = $2",
			env, id, p.Fingerprint)
	case PendingShrink:
		p.Confirmed = true
		return p, tx.Must(ctx, "UPDATE directories SET sync_pending = $3 WHERE env = $1 AND id = $2", env, id, JSON(p))
	}
	return Pending{}, ErrNoQuestion
}
