package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// An attempt is one answer, already counted as wrong.
type attempt struct {
	rec       store.Recovery
	v         store.Verification
	method    string
	challenge string
	judged    bool // whether a right answer counts: the account's own counter was open
}

// SubmitCode judges an answer to the open challenge. ErrWrongCode and ErrTooMany are
// the same for every address; ErrUnavailable says that the answer could not be judged.
func (r *Recoveries) SubmitCode(ctx context.Context, env, id, session, code string) error {
	a, err := r.take(ctx, env, id, session)
	if err != nil {
		return err
	}
	if len(a.v.Proven) == 0 && policy.Method(a.v.Shown) == policy.AgentCode && !r.Agents.Reachable(ctx, env, a.rec.Directory) {
		return ErrUnavailable // for every address: nobody could judge an answer now
	}
	right, err := r.judge(ctx, a, code)
	if err != nil {
		return err
	}
	if !right {
		return r.wrong(ctx, a)
	}
	return r.prove(ctx, a, session)
}

// take counts the try before anybody judges it: for the challenge, for the address, and
// for the account where there is one.
func (r *Recoveries) take(ctx context.Context, env, id, session string) (a attempt, err error) {
	err = r.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		a = attempt{}
		if a.rec, err = owned(ctx, tx, env, id, session); err != nil {
			return err
		}
		if steps[a.rec.State] != StepProve || !a.rec.ExpiresAt.After(r.Now()) {
			return ErrStep
		}
		if a.v, err = tx.VerificationOf(ctx, env, id); err != nil {
			return err
		}
		a.method = a.v.Methods[len(a.v.Proven)]
		code, err := tx.TryCode(ctx, env, a.v.ID, codeTries)
		if errors.Is(err, store.ErrConflict) {
			return ErrTooMany
		} else if err != nil {
			return err
		}
		a.challenge = code.Challenge
		isOpen, err := r.charge(ctx, tx, env, addressSubject(&a.rec), a.v.Shown)
		if err == nil && !isOpen {
			err = ErrTooMany
		}
		if err != nil || a.rec.Account == "" {
			return err
		}
		a.judged, err = r.charge(ctx, tx, env, accountSubject(a.rec.Directory, a.rec.Account), a.method)
		return err
	})
	return a, r.plain(ctx, err)
}

// judge asks the verifier. A decoy's challenge is judged like any other, and nobody can
// fail to judge it: so before the first proof an answer that could not be judged is wrong.
func (r *Recoveries) judge(ctx context.Context, a attempt, code string) (bool, error) {
	v := r.verifiers[policy.Method(a.method)]
	if v == nil {
		return false, nil
	}
	c := personCase{v: a.v}
	s, err := r.subject(&a.rec, &c)
	if err != nil {
		return false, err
	}
	verdict, err := v.Check(ctx, s, a.challenge, code)
	switch protocol.CodeOf(err) {
	case "":
		return verdict.Right && a.judged, nil
	case protocol.CodeUnavailable, protocol.CodeInternal:
		r.Log.WarnContext(ctx, "answer cannot be judged", "recovery", a.rec.ID, "method", a.method, "error", err)
		if len(a.v.Proven) > 0 {
			return false, ErrUnavailable
		}
	}
	return false, nil // the agent's own limits, or a code that is too old
}

func (r *Recoveries) wrong(ctx context.Context, a attempt) error {
	p, err := privateOf(&a.rec)
	if err != nil {
		return err
	}
	err = r.Store.Tx(ctx, func(tx *store.Tx) error {
		return audit.Append(ctx, tx, r.event(&a.rec, p, audit.RecoveryCodeWrong, map[string]any{"method": a.method}))
	})
	if err != nil {
		return r.plain(ctx, err)
	}
	return ErrWrongCode
}

// prove writes that a method is proven, gives back what was counted, and leads on: to
// the next method, or to the button, or to why there is none.
func (r *Recoveries) prove(ctx context.Context, a attempt, session string) error {
	rec, err := r.change(ctx, a.rec.Env, a.rec.ID, session, func(tx *store.Tx, rec *store.Recovery) error {
		if steps[rec.State] != StepProve || rec.Account != a.rec.Account {
			return ErrStep
		}
		v := a.v
		v.Proven = append(slices.Clone(v.Proven), a.method)
		all := len(v.Proven) == len(v.Methods)
		if all {
			v.State = verificationProven
		}
		p, err := privateOf(rec)
		if err != nil {
			return err
		}
		if err := errors.Join(tx.SaveVerification(ctx, &v), r.forgive(ctx, tx, rec, a),
			audit.Append(ctx, tx, r.event(rec, p, audit.RecoveryVerified, map[string]any{"method": a.method, "all": all}))); err != nil {
			return err
		}
		if !all {
			return errors.Join(tx.OpenCode(ctx, rec.Env, v.ID, randomChallenge()), r.ask(ctx, tx, rec))
		}
		return errors.Join(tx.CloseCode(ctx, rec.Env, v.ID), r.verified(ctx, tx, rec, p))
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// forgive makes the counters of a person who is there begin anew.
func (r *Recoveries) forgive(ctx context.Context, tx *store.Tx, rec *store.Recovery, a attempt) error {
	address, account := addressSubject(rec), accountSubject(rec.Directory, rec.Account)
	client, err := r.clientSubject(rec)
	return errors.Join(err, tx.ForgetCodeSends(ctx, rec.Env, client),
		tx.ForgetProofCounter(ctx, rec.Env, address, a.v.Shown, purposeRecovery), tx.ForgetProofCounter(ctx, rec.Env, account, a.method, purposeRecovery),
		tx.ForgetCodeSends(ctx, rec.Env, address), tx.ForgetCodeSends(ctx, rec.Env, account))
}

// verified leads to the button, or to what stands in its way.
func (r *Recoveries) verified(ctx context.Context, tx *store.Tx, rec *store.Recovery, p private) error {
	until, err := tx.RecoveryBlock(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil {
		return err
	}
	if !until.IsZero() {
		rec.Problem = string(ProblemBlocked)
	}
	rec.DueAt, rec.Attempts = rec.ExpiresAt, 0
	if rec.Problem == "" {
		return move(rec, stateReady)
	}
	return r.refuse(ctx, tx, rec, p, Problem(rec.Problem))
}

// refuse ends a proven recovery with a reason.
func (r *Recoveries) refuse(ctx context.Context, tx *store.Tx, rec *store.Recovery, p private, why Problem) error {
	rec.Problem, rec.DueAt = string(why), rec.ExpiresAt
	if err := move(rec, stateRefused); err != nil {
		return err
	}
	return audit.Append(ctx, tx, r.event(rec, p, audit.RecoveryRefused, map[string]any{"reason": why}))
}
