package flow

import "context"

// Upkeep deletes what nobody needs any more, as Run does now and then.
func (r *Recoveries) Upkeep(ctx context.Context) { r.purge(ctx) }

// HashSecret is how a token stands in the store.
func HashSecret(secret string) string { return hashSecret(secret) }
