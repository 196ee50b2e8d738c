package flow

import (
	"context"

	"github.com/postern-id/postern/hub/store"
)

// Upkeep deletes what nobody needs any more, as Run does now and then.
func (r *Recoveries) Upkeep(ctx context.Context) { r.purge(ctx) }

// Prepare does the work behind a choice for a row that was leased, as Run does.
func (r *Recoveries) Prepare(ctx context.Context, rec *store.Recovery) error {
	return r.prepare(ctx, rec)
}
