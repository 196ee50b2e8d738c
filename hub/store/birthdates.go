package store

import "context"

// givenColumn is a part of accountColumns: whether an operator gave a birth date.
const givenColumn = "CASE WHEN EXISTS (SELECT 1 FROM account_birth_dates b WHERE b.account = a.num) THEN 1 ELSE 0 END"

func givenBirthDateCell(env, account string) Cell {
	return Cell{Env: env, Table: "account_birth_dates", Column: "body", Row: account}
}

// SetGivenBirthDate keeps what an operator says of when the owner of an account was born,
// as a hash of a form that match.BirthDate reads, sealed, in place of what they said
// before. It is apart from what the directory says, which no pass over the directory may
// lose. ErrNotFound if there is no such account.
func (tx *Tx) SetGivenBirthDate(ctx context.Context, env, account, hash string) error {
	if _, err := tx.Account(ctx, env, account); err != nil {
		return err
	}
	sealed, err := tx.Seal(givenBirthDateCell(env, account), []byte(hash))
	if err != nil {
		return err
	}
	tx.erased = true
	_, err = tx.Exec(ctx, `INSERT INTO account_birth_dates (account, env, person, body, created_at)
		SELECT num, env, id, $3, $4 FROM accounts WHERE env = $1 AND id = $2
		ON CONFLICT (account) DO UPDATE SET body = excluded.body, created_at = excluded.created_at`, env, account, sealed, Millis(tx.Now()))
	return err
}

// GivenBirthDate returns the hash that an operator gave for an account; ErrNotFound if
// there is none.
func (tx *Tx) GivenBirthDate(ctx context.Context, env, account string) (string, error) {
	sealed, err := One(ctx, tx, Text, "SELECT body FROM account_birth_dates WHERE env = $1 AND person = $2", env, account)
	if err != nil {
		return "", err
	}
	b, err := tx.Unseal(givenBirthDateCell(env, account), sealed)
	return string(b), err
}

// RemoveGivenBirthDate forgets what an operator gave; ErrNotFound if that is nothing.
func (tx *Tx) RemoveGivenBirthDate(ctx context.Context, env, account string) error {
	tx.erased = true
	return tx.Must(ctx, "DELETE FROM account_birth_dates WHERE env = $1 AND person = $2", env, account)
}
