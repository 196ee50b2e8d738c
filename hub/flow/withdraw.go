package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// Withdraw takes a method away from a recovery whose proof people take back: one that has
// not been sent to its agent is led back to proving, without that method. fn writes down,
// in the same transaction, that it was taken back. performed says that it was too late:
// the operation had been sent. What a recovery enrolled by the method is taken back with it,
// when it has ended, too; otherwise one that has ended, or is not known, is only written
// down.
func (r *Recoveries) Withdraw(ctx context.Context, env, id, method string, fn func(tx *store.Tx, performed bool) error) (performed bool, err error) {
	for range settleTries {
		if performed, err = r.withdraw(ctx, env, id, method, fn); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if err == nil {
		r.Operations.Wake()
	}
	return performed, recovery.Plain(err)
}

func (r *Recoveries) withdraw(ctx context.Context, env, id, method string, fn func(tx *store.Tx, performed bool) error) (bool, error) {
	rec, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) { return tx.Recovery(ctx, env, id) })
	if errors.Is(err, store.ErrNotFound) {
		return false, r.Store.Tx(ctx, func(tx *store.Tx) error { return fn(tx, false) })
	}
	if err != nil {
		return false, err
	}
	c, err := r.rows.LookUp(ctx, &rec)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	concerned := slices.Contains(c.Verification.Proven, method) || slices.Contains(c.Verification.Waiting, method)
	if !recovery.IsOpen(rec.State) || rec.State == recovery.Refused || !concerned {
		performed := operation.WasSent(&rec) && concerned
		return performed, r.withdrawLate(ctx, &rec, method, performed, fn)
	}
	return false, r.withdrawOpen(ctx, &rec, &c, method, fn)
}

// withdrawLate takes back what a recovery enrolled that goes nowhere any more.
func (r *Recoveries) withdrawLate(ctx context.Context, rec *store.Recovery, method string, performed bool, fn func(tx *store.Tx, performed bool) error) error {
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := r.asItWas(ctx, tx, rec, performed, fn); err != nil {
			return err
		}
		return r.Operations.TakeBack(ctx, tx, rec, method, performed)
	})
}

// withdrawOpen leads a recovery on without the method.
func (r *Recoveries) withdrawOpen(ctx context.Context, rec *store.Recovery, c *recovery.Case, method string, fn func(tx *store.Tx, performed bool) error) error {
	proven := slices.Contains(c.Verification.Proven, method)
	n, err := r.without(ctx, rec, c, method)
	if err != nil {
		return err
	}
	err = r.Store.Tx(ctx, func(tx *store.Tx) error {
		try, v := *rec, c.Verification
		if err := fn(tx, false); err != nil {
			return err
		}
		if err := r.Operations.TakeBack(ctx, tx, &try, method, false); err != nil {
			return err
		}
		if proven {
			if err := r.unprove(ctx, tx, &try, &v, method); err != nil {
				return err
			}
		}
		if err := r.lead(ctx, tx, &try, v, n); err != nil {
			return err
		}
		return tx.SaveRecovery(ctx, &try)
	})
	if err == nil {
		r.poke(&store.Recovery{Env: rec.Env, ID: rec.ID})
	}
	return err
}

// asItWas runs fn if the recovery is still as it was looked at.
func (r *Recoveries) asItWas(ctx context.Context, tx *store.Tx, rec *store.Recovery, performed bool, fn func(tx *store.Tx, performed bool) error) error {
	now, err := tx.Recovery(ctx, rec.Env, rec.ID)
	if err != nil {
		return err
	}
	if now.Version != rec.Version {
		return store.ErrConflict
	}
	return fn(tx, performed)
}

// without works out where a recovery goes on without the proof of a method, which may be
// asked for anew: whoever took it back can say no then.
func (r *Recoveries) without(ctx context.Context, rec *store.Recovery, c *recovery.Case, method string) (n lead, err error) {
	before := c.Verification.Proven
	c.Verification.Proven = slices.DeleteFunc(slices.Clone(before), func(m string) bool { return m == method })
	n = lead{method: method, verdict: verify.Verdict{Reason: "taken back"}, declined: c.Verification.Declined}
	n.offered, err = r.offeredNext(ctx, rec, c, c.Verification.Declined)
	c.Verification.Proven = before
	return n, err
}

// unprove leads a recovery back to where its person proves something, whatever button
// was pressed meanwhile: nothing was sent, and whoever would send it now finds another
// version.
func (r *Recoveries) unprove(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *store.Verification, method string) error {
	row, _ := policy.MethodByName(policy.Method(method))
	v.State = store.VerificationOpen
	v.Proven = slices.DeleteFunc(slices.Clone(v.Proven), func(m string) bool { return m == method })
	if err := rests(ctx, tx, rec, v); err != nil {
		return err
	}
	for _, kind := range row.Evidence {
		if err := tx.DropEvidenceOf(ctx, rec.Env, v.ID, kind); err != nil {
			return err
		}
	}
	if rec.State == recovery.Asking || rec.State == recovery.Cleared {
		if err := tx.DropOperationUse(ctx, rec.Env, rec.Directory, rec.Account, rec.ID); err != nil {
			return err
		}
	}
	rec.Problem, rec.Message, rec.Context, rec.DueAt = "", "", "", rec.ExpiresAt
	if steps[rec.State] == StepProve {
		return nil
	}
	return recovery.Move(rec, recovery.Proving)
}
