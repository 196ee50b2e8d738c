package recovery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Rows are the recoveries of a store, each changed by one compare-and-set with its version.
type Rows struct {
	Store *store.Store
	Now   func() time.Time
}

// Change lets fn change a recovery of the session and swaps it, in one transaction.
func (r *Rows) Change(ctx context.Context, env, id, session string, fn func(tx *store.Tx, rec *store.Recovery) error) (store.Recovery, error) {
	var rec store.Recovery
	err := r.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if rec, err = Owned(ctx, tx, env, id, session); err != nil {
			return err
		}
		if err := fn(tx, &rec); err != nil {
			return err
		}
		return tx.SaveRecovery(ctx, &rec)
	})
	return rec, Plain(err)
}

// Swap saves rec in a transaction that also does what fn does, after the row has its
// new version. It may run several times; only then does rec bear the new version.
func (r *Rows) Swap(ctx context.Context, rec *store.Recovery, fn func(tx *store.Tx) error) error {
	saved, err := store.Change(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) {
		try := *rec
		if err := tx.SaveRecovery(ctx, &try); err != nil || fn == nil {
			return try, err
		}
		return try, fn(tx)
	})
	if err == nil {
		*rec = saved
	}
	return err
}

// Save swaps a row outside of another transaction.
func (r *Rows) Save(ctx context.Context, rec *store.Recovery) error {
	return r.Swap(ctx, rec, nil)
}

// Postpone sets when a node must look again.
func (r *Rows) Postpone(ctx context.Context, rec *store.Recovery, at time.Time) error {
	rec.DueAt = at
	return r.Save(ctx, rec)
}

// Owned returns the recovery if the session is its own.
func Owned(ctx context.Context, tx *store.Tx, env, id, session string) (store.Recovery, error) {
	if raw, err := base64.RawURLEncoding.DecodeString(id); err != nil || len(raw) != protocol.RandomPart {
		return store.Recovery{}, store.ErrNotFound
	}
	rec, err := tx.Recovery(ctx, env, id)
	if err == nil && subtle.ConstantTimeCompare([]byte(rec.Session), []byte(HashSecret(session))) != 1 {
		err = store.ErrNotFound
	}
	return rec, err
}

// Plain turns errors of the store into those that pages tell apart.
func Plain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnavailable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, store.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, store.ErrConflict): // somebody else was faster
		return ErrStep
	}
	return err
}

// NewSecret returns 256 random bits as text, for sessions and tokens.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// HashSecret is how a secret of 256 random bits stands in the store.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Cut bounds a text from outside and takes out what a database refuses.
func Cut(s string, n int) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), n)], ""), "\x00", "")
}
