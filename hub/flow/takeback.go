package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// wasSent reports whether an agent was told to carry the operation out, and may have.
func wasSent(rec *store.Recovery) bool {
	if rec.State == stateEnded {
		return Ending(rec.Ending) == EndAcknowledged && !rec.Trial
	}
	return slices.Contains([]string{stateSent, stateDone, stateUnknown}, rec.State)
}

// takeBack removes what a recovery enrolled by a method whose proof is taken back: here
// (T07, T17), and at the agents if performed says that they may have it (T03).
func (r *Recoveries) takeBack(ctx context.Context, tx *store.Tx, rec *store.Recovery, method string, performed bool) error {
	switch action := protocol.Action(rec.Action); {
	case r.Factors == nil:
		return nil
	case action == protocol.ActionOptions:
		return r.takeBackOptions(ctx, tx, rec, method)
	case action == protocol.ActionEnrollKey && performed:
		return takeBackKey(ctx, tx, rec)
	}
	return nil
}

func (r *Recoveries) takeBackOptions(ctx context.Context, tx *store.Tx, rec *store.Recovery, method string) error {
	a, err := tx.AccountOf(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	p, err := privateOf(rec)
	if err != nil {
		return err
	}
	o := afterwards(rec, a)
	if p.Contacts != nil {
		o.Contacts = *p.Contacts
	}
	return r.Factors.TakeBack(ctx, tx, o, method)
}

// takeBackKey has the agents forget the key of a recovery, now and, where it is under way,
// once more when it has come in.
func takeBackKey(ctx context.Context, tx *store.Tx, rec *store.Recovery) error {
	in, err := intentOf(rec)
	if err != nil {
		return err
	}
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err != nil {
		return err
	}
	v.State = verificationClosed
	if err := tx.FactorAtAgent(ctx, rec.Env, in.Factor, time.Time{}); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errors.Join(tx.SaveVerification(ctx, &v), keyUnwanted(ctx, tx, rec, in.Key))
}
