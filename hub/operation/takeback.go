package operation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// WasSent reports whether an agent was told to carry the operation out, and may have.
func WasSent(rec *store.Recovery) bool {
	if rec.State == recovery.Ended {
		return recovery.Ending(rec.Ending) == recovery.EndAcknowledged && !rec.Trial
	}
	return slices.Contains([]string{recovery.Sent, recovery.Done, recovery.Unknown}, rec.State)
}

// TakeBack removes what a recovery enrolled by a method whose proof is taken back: here
// (T07, T17), and at the agents if performed says that they may have it (T03).
func (o *Operations) TakeBack(ctx context.Context, tx *store.Tx, rec *store.Recovery, method string, performed bool) error {
	switch action := protocol.Action(rec.Action); {
	case o.Factors == nil:
		return nil
	case action == protocol.ActionOptions:
		return o.takeBackOptions(ctx, tx, rec, method)
	case action == protocol.ActionEnrollKey && performed:
		return takeBackKey(ctx, tx, rec)
	}
	return nil
}

func (o *Operations) takeBackOptions(ctx context.Context, tx *store.Tx, rec *store.Recovery, method string) error {
	a, err := tx.AccountOf(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	owner := afterwards(rec, a)
	if p.Contacts != nil {
		owner.Contacts = *p.Contacts
	}
	return o.Factors.TakeBack(ctx, tx, owner, method)
}

// takeBackKey has the agents forget the key of a recovery, now and, where it is under way,
// once more when it has come in.
func takeBackKey(ctx context.Context, tx *store.Tx, rec *store.Recovery) error {
	in, err := recovery.IntentOf(rec)
	if err != nil {
		return err
	}
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err != nil {
		return err
	}
	v.State = store.VerificationClosed
	if err := tx.FactorAtAgent(ctx, rec.Env, in.Factor, time.Time{}); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errors.Join(tx.SaveVerification(ctx, &v), keyUnwanted(ctx, tx, rec, in.Key))
}
