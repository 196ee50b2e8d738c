package api

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// Recoveries knows who is shut out of recovery after failed proofs.
type Recoveries interface {
	// Closed returns until when some method of an account is shut, and whether only an
	// administrator ends it.
	Closed(ctx context.Context, tx *store.Tx, a store.Account) (until time.Time, stopped bool, err error)
	// Reopen opens the methods of an account again.
	Reopen(ctx context.Context, tx *store.Tx, a store.Account) error
}

// shutOut says what keeps an account from being recovered.
type shutOut struct {
	Stopped bool       `json:"stopped"`                 // too many failed proofs: only an administrator opens it
	Closed  *time.Time `json:"closed_until,omitempty"`  // a method is shut after failed proofs; absent when stopped
	Blocked *time.Time `json:"blocked_until,omitempty"` // the owner said "this was not me"
}

// getShutOut says what keeps an account from being recovered.
func getShutOut(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	blocked, err := tx.RecoveryBlock(ctx, c.env.ID, c.account.Directory, c.account.ImmutableID)
	if err != nil {
		return nil, err
	}
	until, stopped, err := c.api.Recoveries.Closed(ctx, tx, c.account)
	if stopped {
		until = time.Time{}
	}
	return shutOut{Stopped: stopped, Closed: at(until), Blocked: at(blocked)}, err
}

// reopen forgets the failed proofs of an account.
func reopen(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return nil, c.api.Recoveries.Reopen(ctx, tx, c.account)
}

// unblock ends the block that the owner asked for.
func unblock(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return nil, tx.LiftRecoveryBlock(ctx, c.env.ID, c.account.Directory, c.account.ImmutableID)
}
