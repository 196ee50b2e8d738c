package store

import (
	"context"
	"time"
)

// A Manual is a verification by hand: staff were sure of somebody, for one recovery.
type Manual struct {
	Env, ID   string
	Directory string
	Account   string // immutable id
	Person    string // row id of the account
	Staff     string // who verified
	Details   []byte // sealed
	Recovery  string // that counts it; "": none
	MadeAt    time.Time
	EndsAt    time.Time // no recovery begins to count it after that
	UsedAt    time.Time
	RevokedAt time.Time
	RevokedBy string
}

// Waits reports whether a recovery may still begin to count it at now.
func (m Manual) Waits(now time.Time) bool {
	return m.Recovery == "" && m.RevokedAt.IsZero() && m.EndsAt.After(now)
}

func manualCell(env, id string) Cell {
	return Cell{Env: env, Table: "manual_verifications", Column: "details", Row: id}
}

// AddManual inserts m, made now.
func (tx *Tx) AddManual(ctx context.Context, m *Manual) error {
	details, err := tx.Seal(manualCell(m.Env, m.ID), m.Details)
	if err != nil {
		return err
	}
	m.MadeAt = tx.Now()
	_, err = tx.Exec(ctx, `INSERT INTO manual_verifications (env, id, directory, account, person, staff, details, recovery, made_at, ends_at, used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, m.Env, m.ID, m.Directory, m.Account, m.Person, m.Staff, details, m.Recovery,
		Millis(m.MadeAt), Millis(m.EndsAt), Millis(m.UsedAt))
	return err
}

const manualColumns = "env, id, directory, account, person, staff, details, recovery, made_at, ends_at, used_at, revoked_at, revoked_by"

func (tx *Tx) scanManual(scan Scan) (m Manual, err error) {
	var details string
	var made, ends, used, revoked int64
	if err = scan(&m.Env, &m.ID, &m.Directory, &m.Account, &m.Person, &m.Staff, &details, &m.Recovery, &made, &ends, &used, &revoked, &m.RevokedBy); err != nil {
		return m, err
	}
	m.MadeAt, m.EndsAt, m.UsedAt, m.RevokedAt = Time(made), Time(ends), Time(used), Time(revoked)
	m.Details, err = tx.Unseal(manualCell(m.Env, m.ID), details)
	return m, err
}

// Manual returns one verification by hand.
func (tx *Tx) Manual(ctx context.Context, env, id string) (Manual, error) {
	return One(ctx, tx, tx.scanManual, "SELECT "+manualColumns+" FROM manual_verifications WHERE env = $1 AND id = $2", env, id)
}

// maxManuals bounds a list of verifications by hand.
const maxManuals = 100

// ManualsOf lists those of an account, the newest first.
func (tx *Tx) ManualsOf(ctx context.Context, env, directory, account string) ([]Manual, error) {
	return All(ctx, tx, tx.scanManual, "SELECT "+manualColumns+` FROM manual_verifications WHERE env = $1 AND directory = $2 AND account = $3
		ORDER BY made_at DESC, id LIMIT $4`, env, directory, account, maxManuals)
}

// ManualFor returns the one that a recovery counts and that was not taken back.
func (tx *Tx) ManualFor(ctx context.Context, env, recovery string) (Manual, error) {
	return One(ctx, tx, tx.scanManual, "SELECT "+manualColumns+` FROM manual_verifications WHERE env = $1 AND recovery = $2 AND recovery <> '' AND revoked_at = 0
		ORDER BY used_at DESC, id LIMIT 1`, env, recovery)
}

// ClaimManual gives a verification by hand to one recovery; ErrConflict if another has
// it, it was taken back, or it is too old.
func (tx *Tx) ClaimManual(ctx context.Context, env, id, recovery string) error {
	return tx.Swap(ctx, `UPDATE manual_verifications SET recovery = $3, used_at = $4 WHERE env = $1 AND id = $2 AND recovery = '' AND revoked_at = 0 AND ends_at > $4`,
		env, id, recovery, Millis(tx.Now()))
}

// RevokeManual takes a verification by hand back, once; ErrConflict if it was before.
// details say why.
func (tx *Tx) RevokeManual(ctx context.Context, env, id, by string, details []byte) error {
	sealed, err := tx.Seal(manualCell(env, id), details)
	if err != nil {
		return err
	}
	return tx.Swap(ctx, "UPDATE manual_verifications SET revoked_at = $3, revoked_by = $4, details = $5 WHERE env = $1 AND id = $2 AND revoked_at = 0",
		env, id, Millis(tx.Now()), by, sealed)
}

// ManualSettled writes down that the recovery was told.
func (tx *Tx) ManualSettled(ctx context.Context, env, recovery string) error {
	_, err := tx.Exec(ctx, "UPDATE manual_verifications SET settled_at = $3 WHERE env = $1 AND recovery = $2 AND recovery <> ''", env, recovery, Millis(tx.Now()))
	return err
}

// PurgeManuals removes those that were made before a time.
func (tx *Tx) PurgeManuals(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, "DELETE FROM manual_verifications WHERE made_at < $1", Millis(before))
	return err
}
