package factor

import (
	"context"

	"github.com/postern-id/postern/hub/store"
)

// removeAtAgents queues that the agents forget a passkey, whether or not it is known to
// be there: an answer may have been lost (T3).
func removeAtAgents(ctx context.Context, tx *store.Tx, row store.Factor) error {
	if row.Kind != Passkey || row.ActiveAt.IsZero() {
		return nil
	}
	c, err := credentialOf(row)
	if err != nil {
		return err
	}
	hash := c.Hash()
	return tx.RemoveKeyAtAgents(ctx, row.Env, row.Directory, row.Account, hash[:])
}
