package flow

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Acknowledge says that the person has seen the result, which is then deleted.
func (r *Recoveries) Acknowledge(ctx context.Context, env, id, session string) error {
	_, err := r.change(ctx, env, id, session, func(_ *store.Tx, rec *store.Recovery) error {
		if rec.State != stateDone && rec.State != stateEvaluated {
			return ErrStep
		}
		return r.close(rec, EndAcknowledged)
	})
	return err
}

// Cancel ends a recovery that was not sent to the agent.
func (r *Recoveries) Cancel(ctx context.Context, env, id, session string) error {
	rec, err := r.change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		if !isOpen(rec.State) {
			return ErrStep
		}
		return r.stop(ctx, tx, rec, EndCancelled, audit.RecoveryCanceled, "by the session")
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// stop ends an open recovery, takes back what it had counted, and logs it.
func (r *Recoveries) stop(ctx context.Context, tx *store.Tx, rec *store.Recovery, how Ending, kind audit.Kind, reason string) error {
	p, err := privateOf(rec)
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
		v.State = verificationClosed
		err = errors.Join(tx.SaveVerification(ctx, &v), tx.CloseCode(ctx, rec.Env, v.ID), tx.DropEvidence(ctx, rec.Env, rec.ID),
			tx.CloseWaiting(ctx, rec.Env, v.ID),
			tx.DropOperationUse(ctx, rec.Env, rec.Directory, rec.Account, rec.ID))
	}
	if err == nil {
		err = errors.Join(r.close(rec, how), audit.Append(ctx, tx, r.event(rec, p, kind, map[string]any{"reason": reason, "directory": rec.Directory, "action": rec.Action})))
	}
	return err
}

// close ends a row: nothing personal stays in it. One that an agent began is due once
// more, to tell the agent.
func (r *Recoveries) close(rec *store.Recovery, how Ending) error {
	wasOpen := isOpen(rec.State)
	if err := move(rec, stateEnded); err != nil {
		return err
	}
	rec.Ending, rec.Private, rec.Result, rec.ResultUntil, rec.DueAt = string(how), nil, nil, time.Time{}, time.Time{}
	if wasOpen && rec.AgentPart != "" {
		rec.DueAt, rec.Attempts = r.Now(), 0
	}
	return nil
}

func (r *Recoveries) expire(ctx context.Context, rec *store.Recovery) error {
	row := *rec
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		try := row
		if err := r.stop(ctx, tx, &try, EndExpired, audit.RecoveryExpired, "time"); err != nil {
			return err
		}
		return tx.SaveRecovery(ctx, &try)
	})
}

// void ends every other open recovery of the account (P8, T31).
func (r *Recoveries) void(ctx context.Context, tx *store.Tx, of *store.Recovery, reason string) error {
	list, err := tx.RecoveriesOf(ctx, of.Env, of.Directory, of.Account, open)
	if err != nil {
		return err
	}
	for _, rec := range list {
		if rec.ID == of.ID {
			continue
		}
		if err := r.stop(ctx, tx, &rec, EndVoided, audit.RecoveryCanceled, reason); err != nil {
			return err
		}
		if err := tx.SaveRecovery(ctx, &rec); err != nil {
			return err
		}
	}
	return nil
}

// forgetResult deletes a result that nobody acknowledged (T27).
func (r *Recoveries) forgetResult(ctx context.Context, rec *store.Recovery) error {
	rec.Result, rec.ResultUntil, rec.Private = nil, time.Time{}, nil
	return r.postpone(ctx, rec, time.Time{})
}

// drop tells the agent that a recovery it began has ended, until it hears it or forgets
// the recovery anyway: the row stays due, so any node goes on after a restart.
func (r *Recoveries) drop(ctx context.Context, rec *store.Recovery) error {
	id, err := joined(rec)
	if err != nil {
		return err
	}
	err = r.askAgent(ctx, toAgent(rec), protocol.MethodDrop, protocol.RecoveryRef{Recovery: id}, &protocol.Empty{})
	if err == nil {
		return r.postpone(ctx, rec, time.Time{})
	}
	again := time.Time{}
	if mayPass(err) && unixTime(rec.NotAfter).After(r.Now()) {
		rec.Attempts++
		again = r.Now().Add(min(time.Duration(rec.Attempts)*attemptAfter, dropMax))
	}
	r.Log.InfoContext(ctx, "agent was not told that a recovery ended", "recovery", rec.ID, "again", !again.IsZero(), "error", err)
	return r.postpone(ctx, rec, again)
}

// dropMax is how long an agent that is away is not asked to forget a recovery.
const dropMax = time.Minute
