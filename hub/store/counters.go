package store

import (
	"context"
	"time"
)

// A ProofCounter counts failed proofs of one subject by one method for one purpose.
type ProofCounter struct {
	Failures  int // since WindowAt
	Total     int // since the last success
	WindowAt  time.Time
	CoolUntil time.Time // the method is shut until then
}

// ProofCounter returns a counter; one that was never written is zero.
func (tx *Tx) ProofCounter(ctx context.Context, env, subject, method, purpose string) (ProofCounter, error) {
	all, err := All(ctx, tx, scanProofCounter, `SELECT failures, total, window_at, cool_until FROM proof_counters
		WHERE env = $1 AND subject = $2 AND method = $3 AND purpose = $4`, env, subject, method, purpose)
	if err != nil || len(all) == 0 {
		return ProofCounter{}, err
	}
	return all[0], nil
}

func scanProofCounter(scan Scan) (ProofCounter, error) {
	var failures, total, window, cool int64
	err := scan(&failures, &total, &window, &cool)
	return ProofCounter{Failures: int(failures), Total: int(total), WindowAt: Time(window), CoolUntil: Time(cool)}, err
}

// SaveProofCounter writes a counter that was read in the same transaction.
func (tx *Tx) SaveProofCounter(ctx context.Context, env, subject, method, purpose string, c ProofCounter) error {
	_, err := tx.Exec(ctx, `INSERT INTO proof_counters (env, subject, method, purpose, failures, total, window_at, cool_until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (env, subject, method, purpose)
		DO UPDATE SET failures = excluded.failures, total = excluded.total, window_at = excluded.window_at, cool_until = excluded.cool_until`,
		env, subject, method, purpose, c.Failures, c.Total, Millis(c.WindowAt), Millis(c.CoolUntil))
	return err
}

// ForgetProofCounter makes a counter zero: after a success, or by an administrator.
func (tx *Tx) ForgetProofCounter(ctx context.Context, env, subject, method, purpose string) error {
	_, err := tx.Exec(ctx, `DELETE FROM proof_counters WHERE env = $1 AND subject = $2 AND method = $3 AND purpose = $4`,
		env, subject, method, purpose)
	return err
}

// PurgeProofCounters deletes the counters of addresses whose last failure was before the
// time given and that shut nothing by now: whoever types many addresses fills no table.
// Those of accounts stay.
func (tx *Tx) PurgeProofCounters(ctx context.Context, before, now time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM proof_counters WHERE subject LIKE 'address:%' AND window_at < $1 AND cool_until < $2`,
		Millis(before.Add(-24*time.Hour)), Millis(now))
	return err
}

// OperationUses returns how many operations of an account count since then, and when
// the first of them was.
func (tx *Tx) OperationUses(ctx context.Context, env, directory, account string, since time.Time) (n int, first time.Time, err error) {
	var count, at int64
	err = tx.Row(ctx, []any{&count, &at}, `SELECT COUNT(*), COALESCE(MIN(used_at), 0) FROM operation_uses
		WHERE env = $1 AND directory = $2 AND account = $3 AND used_at > $4`, env, directory, account, Millis(since))
	return int(count), Time(at), err
}

// AddOperationUse counts a recovery's operation once.
func (tx *Tx) AddOperationUse(ctx context.Context, env, directory, account, recovery string) error {
	_, err := tx.Exec(ctx, `INSERT INTO operation_uses (env, directory, account, recovery, used_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env, directory, account, recovery) DO UPDATE SET used_at = excluded.used_at`, env, directory, account, recovery, Millis(tx.Now()))
	return err
}

// DropOperationUse gives it back: nothing was performed.
func (tx *Tx) DropOperationUse(ctx context.Context, env, directory, account, recovery string) error {
	_, err := tx.Exec(ctx, `DELETE FROM operation_uses WHERE env = $1 AND directory = $2 AND account = $3 AND recovery = $4`, env, directory, account, recovery)
	return err
}

// PurgeOperationUses deletes what no window reaches any more.
func (tx *Tx) PurgeOperationUses(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM operation_uses WHERE used_at < $1`, Millis(before))
	return err
}
