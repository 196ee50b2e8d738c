package store

import "context"

// A SavedCode is one code on the sheet of a factor of kind saved_code.
type SavedCode struct {
	ID, Factor   string
	Hash         string // salt and SHA-256; the code itself is nowhere
	Used         bool
	Verification string // in which it was used, until it is replaced
}

// AddSavedCode adds a code to a factor's sheet.
func (tx *Tx) AddSavedCode(ctx context.Context, env, factor, hash string) error {
	_, err := tx.Exec(ctx, `INSERT INTO saved_codes (env, id, factor, hash) VALUES ($1, $2, $3, $4)`, env, NewID(), factor, hash)
	return err
}

// SavedCodes lists the codes of a factor, used ones too.
func (tx *Tx) SavedCodes(ctx context.Context, env, factor string) ([]SavedCode, error) {
	return All(ctx, tx, scanSavedCode, `SELECT id, factor, hash, used_at, verification FROM saved_codes WHERE env = $1 AND factor = $2
		ORDER BY id LIMIT $3`, env, factor, maxFactors)
}

// UsedCodes lists the codes that were used in a verification and are not replaced yet.
func (tx *Tx) UsedCodes(ctx context.Context, env, verification string) ([]SavedCode, error) {
	return All(ctx, tx, scanSavedCode, `SELECT id, factor, hash, used_at, verification FROM saved_codes WHERE env = $1 AND verification = $2
		ORDER BY id LIMIT $3`, env, verification, maxFactors)
}

func scanSavedCode(scan Scan) (c SavedCode, err error) {
	var used int64
	err = scan(&c.ID, &c.Factor, &c.Hash, &used, &c.Verification)
	c.Used = used > 0
	return c, err
}

// UseSavedCode takes a code for a verification, once: of many at once one succeeds, the
// others are ErrConflict (P7).
func (tx *Tx) UseSavedCode(ctx context.Context, env, id, verification string) error {
	return tx.Swap(ctx, `UPDATE saved_codes SET used_at = $3, verification = $4 WHERE env = $1 AND id = $2 AND used_at = 0`,
		env, id, Millis(tx.Now()), verification)
}

// ReplaceSavedCode puts a new code in the place of one that was used in a verification;
// ErrConflict if that was done already.
func (tx *Tx) ReplaceSavedCode(ctx context.Context, env, id, verification, hash string) error {
	return tx.Swap(ctx, `UPDATE saved_codes SET hash = $4, used_at = 0, verification = '' WHERE env = $1 AND id = $2 AND verification = $3 AND used_at > 0`,
		env, id, verification, hash)
}
