package store

import (
	"context"
	"errors"
	"time"
)

// upkeepEvery is how often what has ended is removed. Any node may do it.
const upkeepEvery = time.Hour

// confirmLife is how long a factor may wait for its confirmation: longer than the
// verification in which it was begun.
const confirmLife = 24 * time.Hour

// Run removes tickets, console links, sessions, unconfirmed factors, sign-ins of terminals,
// questions to wallets that have ended and former storages, each hour until ctx ends. What
// other packages keep they remove themselves.
func (s *Store) Run(ctx context.Context) error {
	for {
		err := s.Tx(ctx, func(tx *Tx) error {
			_, err := tx.PurgeTickets(ctx)
			return errors.Join(err, tx.PurgeConsole(ctx), tx.PurgeFactors(ctx, s.now().Add(-confirmLife)), tx.PurgeWalletExchanges(ctx), tx.purgeKeyRemovals(ctx), tx.purgeTerminals(ctx), tx.purgeActs(ctx), tx.purgeActOrders(ctx), tx.PurgeStorages(ctx))
		})
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "upkeep of the store failed", "error", err)
		}
		if s.unscrubbed.Load() {
			s.scrub(ctx)
		}
		if wait(ctx, upkeepEvery) != nil {
			return nil
		}
	}
}
