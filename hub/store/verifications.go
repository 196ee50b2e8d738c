package store

import (
	"context"
	"time"
)

// States of a verification.
const (
	VerificationOpen   = "open" // its person still proves something
	VerificationProven = "proven"
	VerificationClosed = "closed"
)

// A Verification is the persisted state of one verification: a person proves something
// by a set of methods that a policy accepts.
type Verification struct {
	Env, ID   string
	Recovery  string // that owns it; "" for a plain one
	Version   int64
	State     string
	Offered   []string // methods that the page offers now
	Shown     string   // method that is asked for now; "" while the person chooses
	Proven    []string
	Roots     [][]string // what those rest on: see hub/policy
	Factors   []string   // by which they were given, as far as people enrolled something for themselves
	Waiting   []string   // methods about which other people decide
	Declined  []string   // methods about which they said no
	ExpiresAt time.Time
	CreatedAt time.Time
}

// AddVerification inserts v as version 1.
func (tx *Tx) AddVerification(ctx context.Context, v *Verification) error {
	v.Version, v.CreatedAt = 1, tx.Now()
	_, err := tx.Exec(ctx, `INSERT INTO verifications (env, id, recovery, version, state, methods, shown, proven, waiting, declined, roots, factors, expires_at, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)`, v.Env, v.ID, v.Recovery, v.Version, v.State,
		JSON(v.Offered), v.Shown, JSON(v.Proven), JSON(v.Waiting), JSON(v.Declined), rootsColumn(v.Roots), JSON(v.Factors), Millis(v.ExpiresAt), Millis(v.CreatedAt))
	return err
}

const verificationColumns = `env, id, recovery, version, state, methods, shown, proven, waiting, declined, roots, factors, expires_at, created_at`

// VerificationOf returns the verification that a recovery owns.
func (tx *Tx) VerificationOf(ctx context.Context, env, recovery string) (Verification, error) {
	return One(ctx, tx, scanVerification, `SELECT `+verificationColumns+` FROM verifications WHERE env = $1 AND recovery = $2`, env, recovery)
}

// Verification returns one verification.
func (tx *Tx) Verification(ctx context.Context, env, id string) (Verification, error) {
	return One(ctx, tx, scanVerification, `SELECT `+verificationColumns+` FROM verifications WHERE env = $1 AND id = $2`, env, id)
}

func scanVerification(scan Scan) (Verification, error) {
	var v Verification
	var lists [5]string
	var roots string
	var expires, created int64
	if err := scan(&v.Env, &v.ID, &v.Recovery, &v.Version, &v.State, &lists[0], &v.Shown, &lists[1], &lists[2], &lists[3], &roots, &lists[4], &expires, &created); err != nil {
		return v, err
	}
	v.ExpiresAt, v.CreatedAt = Time(expires), Time(created)
	for i, to := range []*[]string{&v.Offered, &v.Proven, &v.Waiting, &v.Declined, &v.Factors} {
		if err := ParseJSON(lists[i], to); err != nil {
			return v, err
		}
	}
	return v, ParseJSON(roots, &v.Roots)
}

// rootsColumn keeps that nothing is known as an empty list.
func rootsColumn(roots [][]string) string {
	if roots == nil {
		roots = [][]string{}
	}
	return JSON(roots)
}

// SaveVerification is the one compare-and-set of a verification, see SaveRecovery.
func (tx *Tx) SaveVerification(ctx context.Context, v *Verification) error {
	err := tx.Swap(ctx, `UPDATE verifications SET version = version + 1, state = $4, methods = $5, shown = $6, proven = $7, waiting = $8,
		declined = $9, roots = $10, factors = $11, expires_at = $12, updated_at = $13 WHERE env = $1 AND id = $2 AND version = $3`, v.Env, v.ID, v.Version, v.State,
		JSON(v.Offered), v.Shown, JSON(v.Proven), JSON(v.Waiting), JSON(v.Declined), rootsColumn(v.Roots), JSON(v.Factors), Millis(v.ExpiresAt), Millis(tx.Now()))
	if err == nil {
		v.Version++
	}
	return err
}
