package store

import (
	"context"
	"encoding/base64"
	"time"
)

// A Storage is a place of an environment's own for pictures.
type Storage struct {
	Env, ID  string
	Settings []byte // JSON of hub/storage; sealed in the store
	Active   bool
	OK       time.Time // when it last did what it was asked
	Failed   time.Time // when it last did not
	Error    string    // why; empty: it did
}

func storageCell(env, id string) Cell {
	return Cell{Env: env, Table: "storages", Column: "secret", Row: id}
}

const storageColumns = "env, id, secret, active, ok_at, failed_at, error"

func (tx *Tx) scanStorage(scan Scan) (s Storage, err error) {
	var secret string
	var ok, failed int64
	if err = scan(&s.Env, &s.ID, &secret, &s.Active, &ok, &failed, &s.Error); err != nil {
		return s, err
	}
	s.OK, s.Failed = Time(ok), Time(failed)
	s.Settings, err = tx.Unseal(storageCell(s.Env, s.ID), secret)
	return s, err
}

// ActiveStorage returns where the environment keeps pictures; ErrNotFound if it
// keeps them here.
func (tx *Tx) ActiveStorage(ctx context.Context, env string) (Storage, error) {
	return One(ctx, tx, tx.scanStorage, "SELECT "+storageColumns+" FROM storages WHERE env = $1 AND active = 1", env)
}

// StorageOf returns one, active or former.
func (tx *Tx) StorageOf(ctx context.Context, env, id string) (Storage, error) {
	return One(ctx, tx, tx.scanStorage, "SELECT "+storageColumns+" FROM storages WHERE env = $1 AND id = $2", env, id)
}

// SetStorage makes settings the active ones, sealed; nil: pictures stay here.
// What lies at a former place stays readable there.
func (tx *Tx) SetStorage(ctx context.Context, env string, settings []byte) error {
	if _, err := tx.Exec(ctx, "UPDATE storages SET active = 0 WHERE env = $1", env); err != nil || settings == nil {
		return err
	}
	id := NewID()
	secret, err := tx.Seal(storageCell(env, id), settings)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO storages (env, id, secret, active, created_at) VALUES ($1, $2, $3, 1, $4)", env, id, secret, Millis(tx.Now()))
	return err
}

// Waits between tries of a storage that fails.
const (
	storageRetry   = 10 * time.Second
	maxStorageWait = 10 * time.Minute
)

// maxStorageError bounds what is kept of why a storage fails, in bytes.
const maxStorageError = 500

// StorageResult notes that a storage did what it was asked, or why not: then nothing
// more is moved there or removed from there for a while.
func (tx *Tx) StorageResult(ctx context.Context, env, id, failure string) error {
	now := tx.Now()
	if failure == "" {
		return tx.Must(ctx, "UPDATE storages SET ok_at = $3, next_at = 0, tries = 0, error = '' WHERE env = $1 AND id = $2", env, id, Millis(now))
	}
	var tries int64
	if err := tx.Row(ctx, []any{&tries}, "SELECT tries FROM storages WHERE env = $1 AND id = $2", env, id); err != nil {
		return err
	}
	wait := min(storageRetry<<min(tries, 10), maxStorageWait)
	return tx.Must(ctx, "UPDATE storages SET failed_at = $3, next_at = $4, tries = tries + 1, error = $5 WHERE env = $1 AND id = $2",
		env, id, Millis(now), Millis(now.Add(wait)), failure[:min(len(failure), maxStorageError)])
}

// StorageWaiting counts what an environment's storage was not yet given, and what was
// deleted and not yet removed from one.
func (tx *Tx) StorageWaiting(ctx context.Context, env string) (moves, removals int, err error) {
	err = tx.Row(ctx, []any{&moves, &removals}, `SELECT (SELECT (SELECT COUNT(*) FROM review_images WHERE env = $1 AND storage = '')
			+ (SELECT COUNT(*) FROM person_pictures WHERE env = $1 AND storage = '' AND kind IN ('selfie', 'picture'))
			+ (SELECT COUNT(*) FROM account_photos WHERE env = $1 AND storage = '' AND expires_at = 0)) * (SELECT COUNT(*) FROM storages WHERE env = $1 AND active = 1),
		(SELECT COUNT(*) FROM storage_removals WHERE env = $1 AND due_at <= $2)`, env, Millis(tx.Now()))
	return moves, removals, err
}

// A Removal is an object that must be removed from a storage.
type Removal struct{ Env, Storage, Object string }

// maxRemovals bounds what one round of removing reads.
const maxRemovals = 100

// DueRemovals lists what must be removed from storages that do not fail.
func (tx *Tx) DueRemovals(ctx context.Context) ([]Removal, error) {
	return All(ctx, tx, func(scan Scan) (r Removal, err error) {
		err = scan(&r.Env, &r.Storage, &r.Object)
		return r, err
	}, `SELECT r.env, r.storage, r.object FROM storage_removals r JOIN storages s ON s.env = r.env AND s.id = r.storage AND s.next_at <= $1
		WHERE r.due_at <= $1 ORDER BY r.env, r.storage, r.object LIMIT $2`, Millis(tx.Now()), maxRemovals)
}

// Removed notes that an object is gone.
func (tx *Tx) Removed(ctx context.Context, r Removal) error {
	_, err := tx.Exec(ctx, "DELETE FROM storage_removals WHERE env = $1 AND storage = $2 AND object = $3", r.Env, r.Storage, r.Object)
	return err
}

// PurgeStorages forgets former storages in which nothing lies any more, with their keys.
func (tx *Tx) PurgeStorages(ctx context.Context) error {
	_, err := tx.Exec(ctx, `DELETE FROM storages WHERE active = 0
		AND NOT EXISTS (SELECT 1 FROM review_images i WHERE i.env = storages.env AND i.storage = storages.id)
		AND NOT EXISTS (SELECT 1 FROM person_pictures p WHERE p.env = storages.env AND p.storage = storages.id AND p.storage <> '')
		AND NOT EXISTS (SELECT 1 FROM account_photos a WHERE a.env = storages.env AND a.storage = storages.id AND a.storage <> '')
		AND NOT EXISTS (SELECT 1 FROM storage_removals r WHERE r.env = storages.env AND r.storage = storages.id)`)
	return err
}

// OpenReviewImage opens what a storage gave back for a picture; ErrNotFound once the case
// was erased, or if the object is that of the picture no more.
func (tx *Tx) OpenReviewImage(ctx context.Context, env, id, kind, object string, sealed []byte) ([]byte, error) {
	if _, err := One(ctx, tx, Text, "SELECT kind FROM review_images WHERE env = $1 AND review = $2 AND kind = $3 AND storage <> '' AND body = $4", env, id, kind, object); err != nil {
		return nil, err
	}
	secret, err := tx.caseSecret(ctx, env, id)
	if err != nil {
		return nil, err
	}
	return tx.openInCase(env, id, secret, boundTo(kind, object), base64.RawStdEncoding.EncodeToString(sealed))
}

// caseSecret returns the sealed key of a case; ErrNotFound once it was erased.
func (tx *Tx) caseSecret(ctx context.Context, env, id string) (string, error) {
	return One(ctx, tx, Text, "SELECT secret FROM reviews WHERE env = $1 AND id = $2 AND secret <> ''", env, id)
}
