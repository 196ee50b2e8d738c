package recovery

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Stop ends an open recovery, takes back what it had counted, and logs it.
func (r *Rows) Stop(ctx context.Context, tx *store.Tx, rec *store.Recovery, how Ending, kind audit.Kind, reason string) error {
	p, err := PrivateOf(rec)
	if err != nil {
		return err
	}
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	switch {
	case errors.Is(err, store.ErrNotFound): // nothing was chosen
		err = nil
	case err != nil:
		return err
	default:
		v.State = store.VerificationClosed
		err = errors.Join(tx.SaveVerification(ctx, &v), tx.CloseCode(ctx, rec.Env, v.ID), tx.DropEvidence(ctx, rec.Env, rec.ID),
			tx.CloseWaiting(ctx, rec.Env, v.ID),
			tx.DropOperationUse(ctx, rec.Env, rec.Directory, rec.Account, rec.ID))
	}
	if err == nil {
		err = errors.Join(r.Close(rec, how), audit.Append(ctx, tx, Event(rec, p, kind, map[string]any{"reason": reason, "directory": rec.Directory, "action": rec.Action})))
	}
	return err
}

// Close ends a row: nothing personal stays in it. One that an agent began is due once
// more, to tell the agent.
func (r *Rows) Close(rec *store.Recovery, how Ending) error {
	wasOpen := IsOpen(rec.State)
	if err := Move(rec, Ended); err != nil {
		return err
	}
	rec.Ending, rec.Private, rec.Result, rec.ResultUntil, rec.DueAt = string(how), nil, nil, time.Time{}, time.Time{}
	if wasOpen && rec.AgentPart != "" {
		rec.DueAt, rec.Attempts = r.Now(), 0
	}
	return nil
}

// Void ends every other open recovery of the account (P8, T31).
func (r *Rows) Void(ctx context.Context, tx *store.Tx, of *store.Recovery, reason string) error {
	list, err := tx.RecoveriesOf(ctx, of.Env, of.Directory, of.Account, open)
	if err != nil {
		return err
	}
	for _, rec := range list {
		if rec.ID == of.ID {
			continue
		}
		if err := r.Stop(ctx, tx, &rec, EndVoided, audit.RecoveryCanceled, reason); err != nil {
			return err
		}
		if err := tx.SaveRecovery(ctx, &rec); err != nil {
			return err
		}
	}
	return nil
}

// Refuse ends a proven recovery with a reason.
func (r *Rows) Refuse(ctx context.Context, tx *store.Tx, rec *store.Recovery, p Private, why Problem) error {
	rec.Problem, rec.DueAt = string(why), rec.ExpiresAt
	if err := Move(rec, Refused); err != nil {
		return err
	}
	return audit.Append(ctx, tx, Event(rec, p, audit.RecoveryRefused, map[string]any{"reason": why}))
}
