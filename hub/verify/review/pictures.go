package review

import (
	"context"

	"github.com/postern-id/postern/hub/store"
)

// Picture returns a picture of a case, from wherever it lies. It must not be called
// within a transaction, which nothing outside may keep waiting.
func (r *Reviews) Picture(ctx context.Context, env, id, kind string) ([]byte, error) {
	return store.Fetch(ctx, r.Store, r.Shelf, func(tx *store.Tx) ([]byte, error) { return tx.ReviewImage(ctx, env, id, kind) })
}
