package store

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// presignKeySize is the size of the key of an environment's presigned links, in bytes.
const presignKeySize = 32

// PresignKey returns the key that signs an environment's presigned links, made at its
// first use. Deleting the row ends every link.
func (s *Store) PresignKey(ctx context.Context, env string) ([]byte, error) {
	key, err := Get(ctx, s, func(tx *Tx) ([]byte, error) { return tx.presignKey(ctx, env) })
	if !errors.Is(err, ErrNotFound) {
		return key, err
	}
	return Change(ctx, s, func(tx *Tx) ([]byte, error) {
		key, err := tx.presignKey(ctx, env)
		if !errors.Is(err, ErrNotFound) {
			return key, err
		}
		return tx.makePresignKey(ctx, env)
	})
}

// LinkLife returns how long an environment's presigned links admit at most; 0: it says
// nothing of that.
func (s *Store) LinkLife(ctx context.Context, env string) (time.Duration, error) {
	e, err := Get(ctx, s, func(tx *Tx) (Environment, error) { return tx.Environment(ctx, env) })
	return e.Microsite.LinkLife, err
}

func presignCell(env string) Cell {
	return Cell{Env: env, Table: "presign_keys", Column: "secret", Row: env}
}

func (tx *Tx) presignKey(ctx context.Context, env string) ([]byte, error) {
	sealed, err := One(ctx, tx, Text, `SELECT secret FROM presign_keys WHERE env = $1`, env)
	if err != nil {
		return nil, err
	}
	return tx.Unseal(presignCell(env), sealed)
}

func (tx *Tx) makePresignKey(ctx context.Context, env string) ([]byte, error) {
	key := make([]byte, presignKeySize)
	_, _ = rand.Read(key) // never fails
	sealed, err := tx.Seal(presignCell(env), key)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO presign_keys (env, secret, created_at) VALUES ($1, $2, $3)`, env, sealed, Millis(tx.Now()))
	return key, err
}

// UseLink consumes a one-shot link; ErrConflict if it was used before. The row is kept
// until the link would have ended anyway.
func (tx *Tx) UseLink(ctx context.Context, env, jti, recovery string, expires time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO presign_uses (env, jti, recovery, expires_at) VALUES ($1, $2, $3, $4)`,
		env, jti, recovery, Millis(expires))
	return err
}

// PurgeLinks deletes the uses of links that have ended.
func (tx *Tx) PurgeLinks(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM presign_uses WHERE expires_at < $1`, Millis(before))
	return err
}
