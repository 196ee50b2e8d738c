package flow

import "context"

// Upkeep deletes what nobody needs any more, as Run does now and then.
func (r *Recoveries) Upkeep(ctx context.Context) { r.purge(ctx) }
