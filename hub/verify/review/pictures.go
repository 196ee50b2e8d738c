package review

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/store"
)

// A Shelf gives back sealed pictures that lie in storage of the organisation's own.
type Shelf interface {
	// Object returns an object of a storage.
	Object(ctx context.Context, env, storage, name string) ([]byte, error)
}

// Picture returns a picture of a case, from wherever it lies. It must not be called
// within a transaction, which nothing outside may keep waiting.
func (r *Reviews) Picture(ctx context.Context, env, id, kind string) ([]byte, error) {
	body, err := store.Get(ctx, r.Store, func(tx *store.Tx) ([]byte, error) { return tx.ReviewImage(ctx, env, id, kind) })
	var away *store.Elsewhere
	if !errors.As(err, &away) {
		return body, err
	}
	if r.Shelf == nil {
		return nil, err
	}
	sealed, err := r.Shelf.Object(ctx, env, away.Storage, away.Object)
	if err != nil {
		return nil, err
	}
	return store.Get(ctx, r.Store, func(tx *store.Tx) ([]byte, error) { return tx.OpenReviewImage(ctx, env, id, kind, sealed) })
}
