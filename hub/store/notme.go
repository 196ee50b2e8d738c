package store

import (
	"context"
	"errors"
	"time"
)

// An Objection is what a token of "this was not me" stands for.
type Objection struct {
	Hash      string // SHA-256 of the token, base64
	Env       string
	Recovery  string
	Directory string
	Account   string
	Action    string
	MadeAt    time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero: not yet
}

// AddObjection keeps the hash of a token.
func (tx *Tx) AddObjection(ctx context.Context, o Objection) error {
	_, err := tx.Exec(ctx, `INSERT INTO objections (hash, env, recovery, directory, account, action, made_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, o.Hash, o.Env, o.Recovery, o.Directory, o.Account, o.Action, Millis(tx.Now()), Millis(o.ExpiresAt))
	return err
}

// Objection returns what a token stands for.
func (tx *Tx) Objection(ctx context.Context, env, hash string) (Objection, error) {
	return One(ctx, tx, scanObjection, `SELECT hash, env, recovery, directory, account, action, made_at, expires_at, used_at
		FROM objections WHERE env = $1 AND hash = $2 AND expires_at > $3`, env, hash, Millis(tx.Now()))
}

func scanObjection(scan Scan) (Objection, error) {
	var o Objection
	var made, expires, used int64
	err := scan(&o.Hash, &o.Env, &o.Recovery, &o.Directory, &o.Account, &o.Action, &made, &expires, &used)
	o.MadeAt, o.ExpiresAt, o.UsedAt = Time(made), Time(expires), Time(used)
	return o, err
}

// UseObjection marks a token as used; ErrConflict if it was.
func (tx *Tx) UseObjection(ctx context.Context, env, hash string) error {
	return tx.Swap(ctx, `UPDATE objections SET used_at = $3 WHERE env = $1 AND hash = $2 AND used_at = 0 AND expires_at > $3`,
		env, hash, Millis(tx.Now()))
}

// BlockRecovery refuses recoveries of an account until then. A longer block stays.
func (tx *Tx) BlockRecovery(ctx context.Context, env, directory, account string, until time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO recovery_blocks (env, directory, account, until) VALUES ($1, $2, $3, $4)
		ON CONFLICT (env, directory, account) DO UPDATE SET until = CASE WHEN recovery_blocks.until > excluded.until
		THEN recovery_blocks.until ELSE excluded.until END`, env, directory, account, Millis(until))
	return err
}

// RecoveryBlock returns until when recoveries of an account are refused; zero if they are not.
func (tx *Tx) RecoveryBlock(ctx context.Context, env, directory, account string) (time.Time, error) {
	var until int64
	err := tx.Row(ctx, []any{&until}, `SELECT until FROM recovery_blocks WHERE env = $1 AND directory = $2 AND account = $3 AND until > $4`,
		env, directory, account, Millis(tx.Now()))
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	return Time(until), err
}

// LiftRecoveryBlock ends a block early: an administrator may.
func (tx *Tx) LiftRecoveryBlock(ctx context.Context, env, directory, account string) error {
	_, err := tx.Exec(ctx, `DELETE FROM recovery_blocks WHERE env = $1 AND directory = $2 AND account = $3`, env, directory, account)
	return err
}

// PurgeObjections deletes tokens and blocks that have ended.
func (tx *Tx) PurgeObjections(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM objections WHERE expires_at < $1`, Millis(before))
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM recovery_blocks WHERE until < $1`, Millis(before))
	}
	return err
}
