package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// A Photo says which photo an account has. The zero value is none.
type Photo struct {
	SHA256  string // of the picture as it was sent, in hex
	Created time.Time
	// Until is when one is destroyed that the directory lent for a recovery; zero for one
	// that an operator gave.
	Until time.Time
}

// Exists reports whether there is one.
func (p Photo) Exists() bool { return p.SHA256 != "" }

// Given reports whether an operator gave one.
func (p Photo) Given() bool { return p.Exists() && p.Until.IsZero() }

// Lent reports whether there is one that the directory lent.
func (p Photo) Lent() bool { return p.Exists() && !p.Until.IsZero() }

// photoColumns are a part of accountColumns: the photo, without the picture.
const photoColumns = `COALESCE((SELECT p.sha256 FROM account_photos p WHERE p.account = a.num), ''),
	COALESCE((SELECT p.created_at FROM account_photos p WHERE p.account = a.num), 0),
	COALESCE((SELECT p.expires_at FROM account_photos p WHERE p.account = a.num), 0)`

func photoCell(env, account string) Cell {
	return Cell{Env: env, Table: "account_photos", Column: "body", Row: account}
}

// SetAccountPhoto keeps a picture as the photo of an account, sealed, in place of another.
// The caller has written the picture anew; sha256 is of what was sent. ErrNotFound if
// there is no such account.
func (tx *Tx) SetAccountPhoto(ctx context.Context, env, account, sha256 string, body []byte) error {
	return tx.putPhoto(ctx, env, account, Photo{SHA256: sha256}, body, "")
}

// LendAccountPhoto keeps a picture that the directory lent until a time, in place of
// another one that it lent; never in place of one that an operator gave. The caller has
// written the picture anew. ErrNotFound if there is no such account.
func (tx *Tx) LendAccountPhoto(ctx context.Context, env, account, sha256 string, body []byte, until time.Time) error {
	return tx.putPhoto(ctx, env, account, Photo{SHA256: sha256, Until: until}, body, " WHERE account_photos.expires_at > 0")
}

// putPhoto writes a row, in place of one for which the condition holds.
func (tx *Tx) putPhoto(ctx context.Context, env, account string, p Photo, body []byte, condition string) error {
	if _, err := tx.Account(ctx, env, account); err != nil {
		return err
	}
	sealed, err := tx.Seal(photoCell(env, account), body)
	if err != nil {
		return err
	}
	if condition == "" {
		if err := tx.removePhotosElsewhere(ctx, "env = $1 AND person = $2", env, account); err != nil {
			return err
		}
	}
	tx.erased = true
	_, err = tx.Exec(ctx, `INSERT INTO account_photos (account, env, person, sha256, body, created_at, expires_at)
		SELECT num, env, id, $3, $4, $5, $6 FROM accounts WHERE env = $1 AND id = $2
		ON CONFLICT (account) DO UPDATE SET sha256 = excluded.sha256, body = excluded.body, created_at = excluded.created_at, expires_at = excluded.expires_at, storage = '', object = '', clean = ''`+condition,
		env, account, p.SHA256, sealed, Millis(tx.Now()), Millis(p.Until))
	return err
}

// AccountPhoto returns the picture of an account; ErrNotFound if there is none, Elsewhere if
// it lies in a storage.
func (tx *Tx) AccountPhoto(ctx context.Context, env, account string) ([]byte, error) {
	sealed, storage, object, _, err := tx.photoRow(ctx, env, account)
	if err != nil {
		return nil, err
	}
	if storage == "" {
		return tx.Unseal(photoCell(env, account), sealed)
	}
	return nil, &Elsewhere{env, storage, object, func(ctx context.Context, tx *Tx, body []byte) ([]byte, error) {
		return tx.openPhoto(ctx, env, account, object, body)
	}}
}

// AccountPhotoSum returns the SHA-256, in hex, of the picture of an account as AccountPhoto
// gives it, wherever that lies; ErrNotFound if there is none.
func (tx *Tx) AccountPhotoSum(ctx context.Context, env, account string) (string, error) {
	sealed, storage, _, sum, err := tx.photoRow(ctx, env, account)
	if err != nil || storage != "" {
		return sum, err
	}
	photo, err := tx.Unseal(photoCell(env, account), sealed)
	return sumOf(photo), err
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (tx *Tx) photoRow(ctx context.Context, env, account string) (sealed, storage, object, sum string, err error) {
	err = tx.Row(ctx, []any{&sealed, &storage, &object, &sum}, "SELECT body, storage, object, clean FROM account_photos WHERE env = $1 AND person = $2", env, account)
	return sealed, storage, object, sum, err
}

// openPhoto opens what a storage gave back for the photo of an account; ErrNotFound if it is
// not that any more.
func (tx *Tx) openPhoto(ctx context.Context, env, account, object string, body []byte) ([]byte, error) {
	sealed, storage, now, _, err := tx.photoRow(ctx, env, account)
	if err == nil && (storage == "" || now != object) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	key, err := tx.Unseal(photoCell(env, account), sealed)
	if err != nil {
		return nil, err
	}
	return PersonKey{Secret: key}.openObject(photoPlace(env, account), object, body)
}

// RemoveAccountPhoto destroys the photo of an account; ErrNotFound if there is none.
func (tx *Tx) RemoveAccountPhoto(ctx context.Context, env, account string) error {
	if err := tx.removePhotosElsewhere(ctx, "env = $1 AND person = $2", env, account); err != nil {
		return err
	}
	tx.erased = true
	n, err := tx.Exec(ctx, "DELETE FROM account_photos WHERE env = $1 AND person = $2", env, account)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// ReturnAccountPhoto destroys what the directory lent, if it lent something. What an
// operator gave stays.
func (tx *Tx) ReturnAccountPhoto(ctx context.Context, env, account string) error {
	n, err := tx.Exec(ctx, "DELETE FROM account_photos WHERE env = $1 AND person = $2 AND expires_at > 0", env, account)
	tx.erased = tx.erased || n > 0
	return err
}

// PurgeLentPhotos destroys what directories lent until now.
func (tx *Tx) PurgeLentPhotos(ctx context.Context) error {
	n, err := tx.Exec(ctx, "DELETE FROM account_photos WHERE expires_at > 0 AND expires_at <= $1", Millis(tx.Now()))
	tx.erased = tx.erased || n > 0
	return err
}
