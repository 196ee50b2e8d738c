package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// ChooseMethod asks for one of the offered methods, in place of the one that is asked
// for now. recipient is the browser's key: methods whose evidence is bound to it need it
// before they ask, and it never changes after that. ErrRecipient says that it is missing
// or another one than before.
func (r *Recoveries) ChooseMethod(ctx context.Context, env, id, session, method string, recipient []byte) error {
	rec, err := r.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		v, err := r.asked(ctx, tx, rec)
		if err != nil {
			return err
		}
		row, known := policy.MethodByName(policy.Method(method))
		switch {
		case !known || !slices.Contains(v.Offered, method):
			return recovery.ErrStep
		case v.Shown == method && (row.Sends || slices.Contains(v.Waiting, method)):
			return nil // pressed twice: nothing is sent twice
		}
		if row.Bound {
			if err := r.bind(ctx, tx, rec, recipient); err != nil {
				return err
			}
		}
		v.Shown = method
		return errors.Join(r.ask(ctx, tx, rec, &v), tx.SaveVerification(ctx, &v))
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// asked returns the verification of a recovery whose person is asked for proofs.
func (r *Recoveries) asked(ctx context.Context, tx *store.Tx, rec *store.Recovery) (store.Verification, error) {
	if steps[rec.State] != StepProve || !rec.ExpiresAt.After(r.Now()) {
		return store.Verification{}, recovery.ErrStep
	}
	return tx.VerificationOf(ctx, rec.Env, rec.ID)
}

// bind keeps the browser's key where the operation has a secret. Whether it has one is
// the same for everybody who asks.
func (r *Recoveries) bind(ctx context.Context, tx *store.Tx, rec *store.Recovery, recipient []byte) error {
	d, err := tx.Directory(ctx, rec.Env, rec.Directory)
	if err != nil {
		return err
	}
	tasks, err := publicTasks(rec, d)
	if err != nil || !recovery.HasSecret(tasks) {
		return err
	}
	return recovery.SetRecipient(rec, recipient)
}

// publicTasks is what the action means for an account without groups.
func publicTasks(rec *store.Recovery, d store.Directory) ([]protocol.Task, error) {
	s, err := directory.Settings(d)
	if err != nil {
		return nil, err
	}
	in, err := recovery.IntentOf(rec)
	return policy.Decide(policy.Request{Action: protocol.Action(rec.Action), Settings: s, Traits: d.Traits, Key: in.Key}).Tasks, err
}

// ask makes the recovery due for the challenge of the method that v shows, or, while
// none is chosen, for what comes before every challenge. What was open before is void.
// Nothing is sent to an address that has had too much: the page says until when.
func (r *Recoveries) ask(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *store.Verification) error {
	if err := tx.OpenCode(ctx, rec.Env, v.ID, randomChallenge()); err != nil {
		return err
	}
	row, _ := policy.MethodByName(policy.Method(v.Shown))
	open, err := r.mayAsk(ctx, tx, rec, row)
	if err != nil {
		return err
	}
	if !open {
		rec.DueAt = rec.ExpiresAt
		return settleIn(rec, recovery.Proving)
	}
	if row.Slow() && rec.NotAfter > 0 { // people need their time
		recovery.Prolong(rec)
		v.ExpiresAt = rec.ExpiresAt
	}
	if row.Sends {
		if err := r.countAsked(ctx, tx, rec); err != nil {
			return err
		}
	}
	rec.DueAt, rec.Attempts = r.Now(), 0
	return settleIn(rec, recovery.Preparing)
}

// mayAsk reports whether the method may be asked for now, as far as the address decides.
func (r *Recoveries) mayAsk(ctx context.Context, tx *store.Tx, rec *store.Recovery, row policy.MethodRow) (bool, error) {
	if row.Method == "" {
		return true, nil
	}
	until, err := r.cooling(ctx, tx, rec.Env, addressSubject(rec), string(row.Method))
	if err != nil || !until.IsZero() || !row.Sends {
		return until.IsZero(), err
	}
	left, _, err := r.sends(ctx, tx, rec)
	return left > 0, err
}

// countAsked counts a send of address and client; the account's own is counted when it
// is known.
func (r *Recoveries) countAsked(ctx context.Context, tx *store.Tx, rec *store.Recovery) error {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	p.Counted = false
	rec.Private = []byte(store.JSON(p))
	client, err := r.clientSubject(rec)
	if err != nil {
		return err
	}
	return errors.Join(tx.AddCodeSend(ctx, rec.Env, client), tx.AddCodeSend(ctx, rec.Env, addressSubject(rec)))
}

// settleIn moves to a state in which the recovery may be already.
func settleIn(rec *store.Recovery, state string) error {
	if rec.State == state {
		return nil
	}
	return recovery.Move(rec, state)
}

// Resend asks for another code, which makes the former one void at once.
func (r *Recoveries) Resend(ctx context.Context, env, id, session string) error {
	rec, err := r.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		v, err := r.asked(ctx, tx, rec)
		if err != nil {
			return err
		}
		if row, _ := policy.MethodByName(policy.Method(v.Shown)); !row.Sends {
			return recovery.ErrStep
		}
		c, err := r.codeView(ctx, tx, rec, v)
		switch {
		case err != nil:
			return err
		case c.SendsLeft == 0 || !c.LockedTill.IsZero():
			return recovery.ErrTooMany
		case c.ResendAt.After(r.Now()):
			return recovery.ErrTooSoon
		}
		return r.ask(ctx, tx, rec, &v)
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// codeView is the state of code entry. It depends on the address alone.
func (r *Recoveries) codeView(ctx context.Context, tx *store.Tx, rec *store.Recovery, v store.Verification) (CodeView, error) {
	code, err := tx.Code(ctx, rec.Env, v.ID)
	if err != nil {
		return CodeView{}, err
	}
	left, at, err := r.sends(ctx, tx, rec)
	if err != nil {
		return CodeView{}, err
	}
	locked, err := r.cooling(ctx, tx, rec.Env, addressSubject(rec), v.Shown)
	return CodeView{TriesLeft: max(codeTries-code.Tries, 0), SendsLeft: left, ResendAt: later(at, code.SentAt.Add(sendGap)), LockedTill: locked}, err
}
