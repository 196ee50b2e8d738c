package store

import (
	"context"
	"time"
)

// A Photo says which photo an operator gave an account. The zero value is none.
type Photo struct {
	SHA256  string // of the picture as it was sent, in hex
	Created time.Time
}

// Exists reports whether there is one.
func (p Photo) Exists() bool { return p.SHA256 != "" }

// photoColumns are a part of accountColumns: the photo, without the picture.
const photoColumns = `COALESCE((SELECT p.sha256 FROM account_photos p WHERE p.account = a.num), ''),
	COALESCE((SELECT p.created_at FROM account_photos p WHERE p.account = a.num), 0)`

func photoCell(env, account string) Cell {
	return Cell{Env: env, Table: "account_photos", Column: "body", Row: account}
}

// SetAccountPhoto keeps a picture as the photo of an account, sealed, in place of another.
// The caller has written the picture anew; sha256 is of what was sent. ErrNotFound if
// there is no such account.
func (tx *Tx) SetAccountPhoto(ctx context.Context, env, account, sha256 string, body []byte) error {
	if _, err := tx.Account(ctx, env, account); err != nil {
		return err
	}
	sealed, err := tx.Seal(photoCell(env, account), body)
	if err != nil {
		return err
	}
	tx.erased = true
	_, err = tx.Exec(ctx, `INSERT INTO account_photos (account, env, person, sha256, body, created_at)
		SELECT num, env, id, $3, $4, $5 FROM accounts WHERE env = $1 AND id = $2
		ON CONFLICT (account) DO UPDATE SET sha256 = excluded.sha256, body = excluded.body, created_at = excluded.created_at`,
		env, account, sha256, sealed, Millis(tx.Now()))
	return err
}

// AccountPhoto returns the picture of an account; ErrNotFound if there is none.
func (tx *Tx) AccountPhoto(ctx context.Context, env, account string) ([]byte, error) {
	sealed, err := One(ctx, tx, Text, "SELECT body FROM account_photos WHERE env = $1 AND person = $2", env, account)
	if err != nil {
		return nil, err
	}
	return tx.Unseal(photoCell(env, account), sealed)
}

// RemoveAccountPhoto destroys the photo of an account; ErrNotFound if there is none.
func (tx *Tx) RemoveAccountPhoto(ctx context.Context, env, account string) error {
	tx.erased = true
	n, err := tx.Exec(ctx, "DELETE FROM account_photos WHERE env = $1 AND person = $2", env, account)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}
