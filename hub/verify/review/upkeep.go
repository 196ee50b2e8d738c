package review

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Run tells the flow what it has not heard, closes cases that nobody waits for, and
// destroys the keys of those decided a day ago, until ctx ends.
func (r *Reviews) Run(ctx context.Context) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		if err := r.Upkeep(ctx); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "upkeep of reviews failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Upkeep is one round of Run.
func (r *Reviews) Upkeep(ctx context.Context) error {
	due, err := store.Get(ctx, r.Store, func(tx *store.Tx) ([]store.Review, error) {
		return tx.DueReviews(ctx, tx.Now().Add(-retention))
	})
	if err != nil {
		return err
	}
	now := r.Store.Now()
	for _, c := range due {
		switch {
		case c.State != store.ReviewClosed && ofBadge(c):
			err = r.lapse(ctx, c)
		case c.State != store.ReviewClosed:
			err = r.change(ctx, c.Env, c.ID, func(tx *store.Tx, c *store.Review) error {
				if c.State != store.ReviewRejected { // a decision keeps its outcome
					c.Outcome = Expired
				}
				c.State, c.SettledAt = store.ReviewClosed, tx.Now() // its verification has ended too
				if c.DecidedAt.IsZero() {
					c.DecidedAt = tx.Now()
				}
				return nil
			})
		case !c.Erased && c.DecidedAt.Before(now.Add(-retention)):
			err = r.erase(ctx, c)
		default:
			r.settle(ctx, c.Env, c.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// erase destroys what was captured, for good.
func (r *Reviews) erase(ctx context.Context, c store.Review) error {
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.EraseReview(ctx, c.Env, c.ID); err != nil {
			return err
		}
		return r.record(ctx, tx, &c, audit.ScanErased, audit.Principal{System: "schedule"}, nil)
	})
}
