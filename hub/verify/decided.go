package verify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
)

// Stands reports whether a request is the one that its verification waits for: it was not
// told yet what people decided, if they have.
func Stands(row store.Approval, now time.Time) bool {
	return row.EndsAt.After(now) && row.SettledAt.IsZero()
}

// Decisions tell verifications what people decided about requests of one method, each
// once. What fails is tried again at the next Upkeep.
type Decisions struct {
	Store  *store.Store
	Flow   Settler
	Log    *slog.Logger
	Method policy.Method
	// Verdict returns what was decided about a request.
	Verdict func(ctx context.Context, tx *store.Tx, row store.Approval) (Verdict, error)
	// Kept writes what the method keeps of a request that is settled. nil: nothing.
	Kept func(ctx context.Context, tx *store.Tx, row store.Approval) error
}

// Upkeep closes the requests that are too old, and tells what could not be told at once.
func (d Decisions) Upkeep(ctx context.Context) error {
	due, err := store.Get(ctx, d.Store, func(tx *store.Tx) ([]store.Approval, error) { return tx.DueApprovals(ctx) })
	for _, row := range due {
		if row.Kind != string(d.Method) {
			continue
		}
		if row.State == store.ApprovalOpen {
			err := d.Store.Tx(ctx, func(tx *store.Tx) error {
				return tx.MoveApproval(ctx, row.Env, row.ID, store.ApprovalOpen, store.ApprovalClosed)
			})
			if err != nil {
				continue // decided meanwhile, or at the next look
			}
		}
		d.Settle(ctx, row.Env, row.ID)
	}
	return err
}

// mayWait reports whether a verification that does not wait for a request now may do so
// later: its person is at another method, or the page is not there yet.
func (d Decisions) mayWait(ctx context.Context, row store.Approval) bool {
	if !Stands(row, d.Store.Now()) {
		return false
	}
	v, err := store.Get(ctx, d.Store, func(tx *store.Tx) (store.Verification, error) { return tx.Verification(ctx, row.Env, row.Verification) })
	if err != nil {
		return !errors.Is(err, store.ErrNotFound)
	}
	return v.State == store.VerificationOpen && !slices.Contains(v.Proven, row.Kind) && !slices.Contains(v.Declined, row.Kind)
}

// Settle tells the verification of a request, if that is decided. What an open one does not
// wait for is kept for it.
func (d Decisions) Settle(ctx context.Context, env, id string) {
	var row store.Approval
	var v Verdict
	err := d.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if row, err = tx.Approval(ctx, env, id); err == nil {
			v, err = d.Verdict(ctx, tx, row)
		}
		return err
	})
	if err != nil || row.State == store.ApprovalOpen || !row.SettledAt.IsZero() {
		return
	}
	err = d.Flow.Settle(ctx, env, row.Verification, row.Kind, v)
	if errors.Is(err, ErrNobody) && d.mayWait(ctx, row) {
		return // told at another Upkeep
	}
	if err != nil && !errors.Is(err, ErrNobody) {
		d.Log.WarnContext(ctx, "a verification could not be told what people decided", "method", d.Method, "request", id, "error", err)
		return
	}
	err = d.Store.Tx(ctx, func(tx *store.Tx) error {
		err := tx.ApprovalSettled(ctx, env, id)
		if err == nil && d.Kept != nil {
			err = d.Kept(ctx, tx, row)
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		d.Log.WarnContext(ctx, "a settled request could not be kept", "method", d.Method, "request", id, "error", err)
	}
}
