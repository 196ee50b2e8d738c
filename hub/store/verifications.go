package store

import (
	"context"
	"time"
)

// A Verification is the persisted state of one verification: a person proves something
// by every method of a combination, one after another.
type Verification struct {
	Env, ID   string
	Recovery  string // that owns it; "" for a plain one
	Version   int64
	State     string
	Methods   []string // all must be proven, in this order
	Proven    []string
	Shown     string // method that counts for the address, whatever its account is asked for
	ExpiresAt time.Time
	CreatedAt time.Time
}

// AddVerification inserts v as version 1.
func (tx *Tx) AddVerification(ctx context.Context, v *Verification) error {
	v.Version, v.CreatedAt = 1, tx.Now()
	_, err := tx.Exec(ctx, `INSERT INTO verifications (env, id, recovery, version, state, methods, proven, shown, expires_at, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`, v.Env, v.ID, v.Recovery, v.Version, v.State,
		JSON(v.Methods), JSON(v.Proven), v.Shown, Millis(v.ExpiresAt), Millis(v.CreatedAt))
	return err
}

// VerificationOf returns the verification that a recovery owns.
func (tx *Tx) VerificationOf(ctx context.Context, env, recovery string) (Verification, error) {
	return One(ctx, tx, scanVerification, `SELECT env, id, recovery, version, state, methods, proven, shown, expires_at, created_at
		FROM verifications WHERE env = $1 AND recovery = $2`, env, recovery)
}

func scanVerification(scan Scan) (Verification, error) {
	var v Verification
	var methods, proven string
	var expires, created int64
	if err := scan(&v.Env, &v.ID, &v.Recovery, &v.Version, &v.State, &methods, &proven, &v.Shown, &expires, &created); err != nil {
		return v, err
	}
	v.ExpiresAt, v.CreatedAt = Time(expires), Time(created)
	if err := ParseJSON(methods, &v.Methods); err != nil {
		return v, err
	}
	return v, ParseJSON(proven, &v.Proven)
}

// SaveVerification is the one compare-and-set of a verification, see SaveRecovery.
func (tx *Tx) SaveVerification(ctx context.Context, v *Verification) error {
	err := tx.Swap(ctx, `UPDATE verifications SET version = version + 1, state = $4, methods = $5, proven = $6, expires_at = $7, updated_at = $8
		WHERE env = $1 AND id = $2 AND version = $3`, v.Env, v.ID, v.Version, v.State, JSON(v.Methods), JSON(v.Proven),
		Millis(v.ExpiresAt), Millis(tx.Now()))
	if err == nil {
		v.Version++
	}
	return err
}
