package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// A Factor is one thing that a person keeps for their own recovery.
type Factor struct {
	Env, ID    string
	Directory  string
	Account    string // canonical immutable id
	Kind       string
	Label      string     // by which its owner knows it
	Secret     []byte     // sealed in the store: key, seed, address, or what its confirmation waits for
	Credential string     // of a passkey: SHA-256 of its id, base64url; unique in the environment
	EnrolledBy []string   // methods that were proven when it was made
	Roots      [][]string // what those rested on: see hub/policy (T17)
	Recovery   string     // that enrolled it; "" in rows from before that was kept
	Parents    []string   // ids of factors that proved that recovery
	Tries      int        // of its confirmation
	LastStep   int64      // of a totp
	MadeAt     time.Time
	ActiveAt   time.Time // from when on it counts; zero: not confirmed
	UsedAt     time.Time // zero: never
	AgentAt    time.Time // from when on it counts at the directory's agent; zero: never (T3)
}

// Counts reports whether the factor may be used at now.
func (f Factor) Counts(now time.Time) bool { return !f.ActiveAt.IsZero() && !f.ActiveAt.After(now) }

func factorCell(env, id string) Cell {
	return Cell{Env: env, Table: "factors", Column: "secret", Row: id}
}

// AddFactor inserts f, made now.
func (tx *Tx) AddFactor(ctx context.Context, f *Factor) error {
	secret, err := tx.Seal(factorCell(f.Env, f.ID), f.Secret)
	if err != nil {
		return err
	}
	f.MadeAt = tx.Now()
	_, err = tx.Exec(ctx, `INSERT INTO factors (env, id, directory, account, kind, label, secret, credential, enrolled_by, roots, recovery, parents, made_at, active_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`, f.Env, f.ID, f.Directory, f.Account, f.Kind, f.Label, secret,
		credentialColumn(f.Credential), JSON(f.EnrolledBy), rootsColumn(f.Roots), f.Recovery, JSON(f.Parents), Millis(f.MadeAt), Millis(f.ActiveAt))
	return err
}

// credentialColumn keeps factors without a credential out of the unique index.
func credentialColumn(credential string) sql.NullString {
	return sql.NullString{String: credential, Valid: credential != ""}
}

const factorColumns = "env, id, directory, account, kind, label, secret, COALESCE(credential, ''), enrolled_by, roots, recovery, parents, tries, last_step, made_at, active_at, used_at, agent_at"

func (tx *Tx) scanFactor(scan Scan) (Factor, error) {
	var f Factor
	var secret, enrolled, roots, parents string
	var tries, made, active, used, agent int64
	err := scan(&f.Env, &f.ID, &f.Directory, &f.Account, &f.Kind, &f.Label, &secret, &f.Credential, &enrolled, &roots, &f.Recovery, &parents, &tries, &f.LastStep, &made, &active, &used, &agent)
	if err != nil {
		return f, err
	}
	f.Tries, f.MadeAt, f.ActiveAt, f.UsedAt, f.AgentAt = int(tries), Time(made), Time(active), Time(used), Time(agent)
	if f.Secret, err = tx.Unseal(factorCell(f.Env, f.ID), secret); err != nil {
		return f, err
	}
	return f, errors.Join(ParseJSON(enrolled, &f.EnrolledBy), ParseJSON(roots, &f.Roots), ParseJSON(parents, &f.Parents))
}

// maxFactors bounds what one account has.
const maxFactors = 64

// Factors lists the factors of an account, oldest first, those not confirmed too.
func (tx *Tx) Factors(ctx context.Context, env, directory, account string) ([]Factor, error) {
	return All(ctx, tx, tx.scanFactor, "SELECT "+factorColumns+` FROM factors WHERE env = $1 AND directory = $2 AND account = $3
		ORDER BY made_at, id LIMIT $4`, env, directory, account, maxFactors)
}

// Factor returns one factor.
func (tx *Tx) Factor(ctx context.Context, env, id string) (Factor, error) {
	return One(ctx, tx, tx.scanFactor, "SELECT "+factorColumns+" FROM factors WHERE env = $1 AND id = $2", env, id)
}

// ConfirmFactor makes a factor that waits for its confirmation one that counts from
// activeAt on; ErrConflict if it does not wait. Secret, credential, label and last step
// are those of f; a credential that the environment has already is ErrConflict too.
func (tx *Tx) ConfirmFactor(ctx context.Context, f Factor) error {
	secret, err := tx.Seal(factorCell(f.Env, f.ID), f.Secret)
	if err != nil {
		return err
	}
	return tx.Swap(ctx, `UPDATE factors SET secret = $3, credential = $4, label = $5, last_step = $6, active_at = $7, tries = 0
		WHERE env = $1 AND id = $2 AND active_at = 0`, f.Env, f.ID, secret, credentialColumn(f.Credential), f.Label, f.LastStep, Millis(f.ActiveAt))
}

// TryFactor counts a try to confirm a factor; ErrConflict after the limit, or if it
// does not wait for one.
func (tx *Tx) TryFactor(ctx context.Context, env, id string, limit int) error {
	return tx.Swap(ctx, `UPDATE factors SET tries = tries + 1 WHERE env = $1 AND id = $2 AND active_at = 0 AND tries < $3`, env, id, limit)
}

// RenameFactor changes the label.
func (tx *Tx) RenameFactor(ctx context.Context, env, id, label string) error {
	return tx.Must(ctx, `UPDATE factors SET label = $3 WHERE env = $1 AND id = $2`, env, id, label)
}

// RemoveFactor deletes a factor with all that belongs to it.
func (tx *Tx) RemoveFactor(ctx context.Context, env, id string) error {
	return tx.Must(ctx, `DELETE FROM factors WHERE env = $1 AND id = $2`, env, id)
}

// FactorUsed writes down that a factor was used now.
func (tx *Tx) FactorUsed(ctx context.Context, env, id string) error {
	return tx.Must(ctx, `UPDATE factors SET used_at = $3 WHERE env = $1 AND id = $2`, env, id, Millis(tx.Now()))
}

// FactorAtAgent writes down that the directory's agent took the key, to count from then on.
func (tx *Tx) FactorAtAgent(ctx context.Context, env, id string, from time.Time) error {
	return tx.Must(ctx, `UPDATE factors SET agent_at = $3 WHERE env = $1 AND id = $2`, env, id, Millis(from))
}

// UseStep takes one step of a totp: neither it nor an earlier one counts again. Of many
// at once one succeeds, the others are ErrConflict (P7).
func (tx *Tx) UseStep(ctx context.Context, env, id string, step int64) error {
	return tx.Swap(ctx, `UPDATE factors SET last_step = $3, used_at = $4 WHERE env = $1 AND id = $2 AND last_step < $3`,
		env, id, step, Millis(tx.Now()))
}

// PurgeFactors deletes what was begun before then and never confirmed.
func (tx *Tx) PurgeFactors(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM factors WHERE active_at = 0 AND made_at < $1`, Millis(before))
	return err
}
