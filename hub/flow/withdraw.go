package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// Withdraw takes a method away from a recovery whose proof people take back: one that has
// not been sent to its agent is led back to proving, without that method. fn writes down,
// in the same transaction, that it was taken back. performed says that it was too late:
// the operation had been sent. What a recovery enrolled by the method is taken back with it,
// when it has ended, too; otherwise one that has ended, or is not known, is only written
// down.
func (r *Recoveries) Withdraw(ctx context.Context, env, recovery, method string, fn func(tx *store.Tx, performed bool) error) (performed bool, err error) {
	for range settleTries {
		if performed, err = r.withdraw(ctx, env, recovery, method, fn); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if err == nil {
		r.wakeOthers()
	}
	return performed, r.plain(ctx, err)
}

func (r *Recoveries) withdraw(ctx context.Context, env, recovery, method string, fn func(tx *store.Tx, performed bool) error) (bool, error) {
	rec, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) { return tx.Recovery(ctx, env, recovery) })
	if errors.Is(err, store.ErrNotFound) {
		return false, r.Store.Tx(ctx, func(tx *store.Tx) error { return fn(tx, false) })
	}
	if err != nil {
		return false, err
	}
	c, err := r.lookUp(ctx, &rec)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	concerned := slices.Contains(c.v.Proven, method) || slices.Contains(c.v.Waiting, method)
	if !isOpen(rec.State) || rec.State == stateRefused || !concerned {
		performed := wasSent(&rec) && concerned
		return performed, r.Store.Tx(ctx, func(tx *store.Tx) error {
			if err := r.asItWas(ctx, tx, &rec, performed, fn); err != nil {
				return err
			}
			return r.takeBack(ctx, tx, &rec, method, performed)
		})
	}
	proven := slices.Contains(c.v.Proven, method)
	n, err := r.without(ctx, &rec, &c, method)
	if err != nil {
		return false, err
	}
	err = r.Store.Tx(ctx, func(tx *store.Tx) error {
		try, v := rec, c.v
		if err := fn(tx, false); err != nil {
			return err
		}
		if err := r.takeBack(ctx, tx, &try, method, false); err != nil {
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
	return false, err
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
func (r *Recoveries) without(ctx context.Context, rec *store.Recovery, c *personCase, method string) (n lead, err error) {
	before := c.v.Proven
	c.v.Proven = slices.DeleteFunc(slices.Clone(before), func(m string) bool { return m == method })
	n = lead{method: method, verdict: verify.Verdict{Reason: "taken back"}, declined: c.v.Declined}
	n.offered, err = r.offeredNext(ctx, rec, c, c.v.Declined)
	c.v.Proven = before
	return n, err
}

// unprove leads a recovery back to where its person proves something, whatever button
// was pressed meanwhile: nothing was sent, and whoever would send it now finds another
// version.
func (r *Recoveries) unprove(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *store.Verification, method string) error {
	row, _ := policy.MethodByName(policy.Method(method))
	v.State = verificationOpen
	v.Proven = slices.DeleteFunc(slices.Clone(v.Proven), func(m string) bool { return m == method })
	if err := rests(ctx, tx, rec, v); err != nil {
		return err
	}
	for _, kind := range row.Evidence {
		if err := tx.DropEvidenceOf(ctx, rec.Env, v.ID, kind); err != nil {
			return err
		}
	}
	if rec.State == stateAsking || rec.State == stateCleared {
		if err := tx.DropOperationUse(ctx, rec.Env, rec.Directory, rec.Account, rec.ID); err != nil {
			return err
		}
	}
	rec.Problem, rec.Message, rec.Context, rec.DueAt = "", "", "", rec.ExpiresAt
	if steps[rec.State] == StepProve {
		return nil
	}
	return move(rec, stateProving)
}
