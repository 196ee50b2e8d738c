package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// A Matcher compares what a document says of its holder with an account.
type Matcher interface {
	// Match reports whether the claims are the account's, beyond doubt, and else why not,
	// for the log alone.
	Match(ctx context.Context, q MatchRequest) (ok bool, reason string, err error)
}

// A MatchRequest is one comparison.
type MatchRequest struct {
	Env      string
	Account  store.Account
	Strength policy.Strength
	Claims   evidence.Claims
}

// An attempt is one answer, already counted as wrong.
type attempt struct {
	rec       store.Recovery
	v         store.Verification
	challenge string
	judged    bool // whether a right answer counts: somebody can be right, and the account's own counter was open
}

// Answer judges an answer to the open challenge. ErrWrongCode and ErrTooMany are the same
// for every address; ErrUnavailable says that the answer could not be judged.
func (r *Recoveries) Answer(ctx context.Context, env, id, session, answer string) error {
	a, err := r.take(ctx, env, id, session)
	if err != nil {
		return err
	}
	if len(a.v.Proven) == 0 && policy.Method(a.v.Shown) == policy.AgentCode && !r.Operations.Reachable(ctx, env, a.rec.Directory) {
		return recovery.ErrUnavailable // for every address: nobody could judge an answer now
	}
	c, err := r.rows.LookUp(ctx, &a.rec)
	if err != nil {
		return recovery.Plain(err)
	}
	verdict, err := r.judge(ctx, a, &c, answer)
	switch {
	case err != nil:
		return recovery.Plain(err)
	case verdict.Pending:
		return r.await(ctx, a, session)
	case !verdict.Right:
		return r.wrong(ctx, a, verdict.Reason)
	}
	return r.prove(ctx, a, &c, session, verdict)
}

// take counts the try before anybody judges it: for the challenge, for the address, and
// for the account where there is one.
func (r *Recoveries) take(ctx context.Context, env, id, session string) (a attempt, err error) {
	err = r.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		a = attempt{}
		if a.rec, err = recovery.Owned(ctx, tx, env, id, session); err != nil {
			return err
		}
		if a.v, err = r.asked(ctx, tx, &a.rec); err != nil {
			return err
		}
		if a.v.Shown == "" || slices.Contains(a.v.Waiting, a.v.Shown) {
			return recovery.ErrStep
		}
		code, err := tx.TryCode(ctx, env, a.v.ID, codeTries)
		if errors.Is(err, store.ErrConflict) {
			return recovery.ErrTooMany
		} else if err != nil {
			return err
		}
		a.challenge = code.Challenge
		isOpen, err := r.charge(ctx, tx, env, addressSubject(&a.rec), a.v.Shown)
		if err == nil && !isOpen {
			err = recovery.ErrTooMany
		}
		if err != nil || a.rec.Account == "" {
			return err
		}
		isOpen, err = r.charge(ctx, tx, env, accountSubject(a.rec.Directory, a.rec.Account), a.v.Shown)
		a.judged = isOpen && code.Genuine
		return err
	})
	return a, recovery.Plain(err)
}

// judge asks the verifier. A decoy's challenge is judged like any other, and nobody can
// fail to judge it: so before the first proof an answer that could not be judged is wrong.
func (r *Recoveries) judge(ctx context.Context, a attempt, c *recovery.Case, answer string) (verify.Verdict, error) {
	v := r.verifiers[policy.Method(a.v.Shown)]
	if v == nil || len(answer) > verify.MaxAnswer {
		return verify.Verdict{}, nil
	}
	who := r.decoy
	if a.judged && c.Account.ID != "" {
		who = r.subject
	}
	s, err := who(&a.rec, c)
	if err != nil {
		return verify.Verdict{}, err
	}
	verdict, err := v.Check(ctx, s, a.challenge, answer)
	if err == nil && a.judged && c.Account.ID != "" {
		err = r.match(ctx, &a.rec, c, a.v.Shown, &verdict)
	} else {
		verdict.Right, verdict.Pending = false, false
	}
	switch protocol.CodeOf(err) {
	case "":
		return verdict, nil
	case protocol.CodeUnavailable, protocol.CodeInternal:
		r.Log.WarnContext(ctx, "answer cannot be judged", "recovery", a.rec.ID, "method", a.v.Shown, "error", err)
		if len(a.v.Proven) > 0 {
			return verify.Verdict{}, recovery.ErrUnavailable
		}
	}
	return verify.Verdict{}, nil // the agent's own limits, or a code that is too old
}

// match holds a proof that bears a name against the account. One that should bear a name
// and does not is wrong.
func (r *Recoveries) match(ctx context.Context, rec *store.Recovery, c *recovery.Case, method string, v *verify.Verdict) error {
	row, _ := policy.MethodByName(policy.Method(method))
	if !v.Right || v.Claims == nil && !row.Names {
		return nil
	}
	v.Right = false
	if v.Claims == nil || r.Matcher == nil {
		v.Reason = "no name to compare"
		return nil
	}
	ok, reason, err := r.Matcher.Match(ctx, MatchRequest{Env: rec.Env, Account: c.Account, Strength: policy.Strength(rec.Strength), Claims: *v.Claims})
	if v.Right = ok && err == nil; !v.Right {
		v.Reason = reason
	}
	return err
}

func (r *Recoveries) wrong(ctx context.Context, a attempt, reason string) error {
	p, err := recovery.PrivateOf(&a.rec)
	if err != nil {
		return err
	}
	if err := audit.Write(ctx, r.Store, recovery.Event(&a.rec, p, audit.RecoveryCodeWrong, wrongDetail(a.v.Shown, reason))); err != nil {
		return recovery.Plain(err)
	}
	return recovery.ErrWrongCode
}

func wrongDetail(method, reason string) map[string]any {
	d := map[string]any{"method": method}
	if reason != "" {
		d["reason"] = reason
	}
	return d
}

// await writes that other people now decide about an answer, which was not a wrong one.
func (r *Recoveries) await(ctx context.Context, a attempt, session string) error {
	_, err := r.rows.Change(ctx, a.rec.Env, a.rec.ID, session, func(tx *store.Tx, rec *store.Recovery) error {
		if steps[rec.State] != StepProve || len(a.v.Proven) == 0 {
			return recovery.ErrStep
		}
		v := a.v
		v.Waiting = append(slices.Clone(v.Waiting), v.Shown)
		return errors.Join(tx.SaveVerification(ctx, &v), r.forgive(ctx, tx, rec, v.Shown))
	})
	return err
}

// prove writes that the method is proven, gives back what was counted, and leads on: to
// the next method, or to the button, or to why there is none.
func (r *Recoveries) prove(ctx context.Context, a attempt, c *recovery.Case, session string, verdict verify.Verdict) error {
	n, err := r.ahead(ctx, &a.rec, c, a.v.Shown, verdict)
	if err != nil {
		return recovery.Plain(err)
	}
	rec, err := r.rows.Change(ctx, a.rec.Env, a.rec.ID, session, func(tx *store.Tx, rec *store.Recovery) error {
		if steps[rec.State] != StepProve || rec.Account != a.rec.Account {
			return recovery.ErrStep
		}
		if err := r.forgive(ctx, tx, rec, a.v.Shown); err != nil {
			return err
		}
		return r.lead(ctx, tx, rec, a.v, n)
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// forgive makes the counters of a person who is there begin anew.
func (r *Recoveries) forgive(ctx context.Context, tx *store.Tx, rec *store.Recovery, method string) error {
	address, account := addressSubject(rec), accountSubject(rec.Directory, rec.Account)
	client, err := r.clientSubject(rec)
	return errors.Join(err, tx.ForgetCodeSends(ctx, rec.Env, client),
		tx.ForgetProofCounter(ctx, rec.Env, address, method, purposeRecovery), tx.ForgetProofCounter(ctx, rec.Env, account, method, purposeRecovery),
		tx.ForgetCodeSends(ctx, rec.Env, address), tx.ForgetCodeSends(ctx, rec.Env, account))
}

// verified leads to the button, or to what stands in its way.
func (r *Recoveries) verified(ctx context.Context, tx *store.Tx, rec *store.Recovery, p recovery.Private) error {
	until, err := tx.RecoveryBlock(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil {
		return err
	}
	if !until.IsZero() {
		rec.Problem = string(recovery.ProblemBlocked)
	}
	if protocol.Action(rec.Action) == protocol.ActionOptions {
		rec.ExpiresAt = r.Now().Add(optionsLife)
	}
	rec.DueAt, rec.Attempts = rec.ExpiresAt, 0
	if rec.Problem == "" {
		return recovery.Move(rec, recovery.Ready)
	}
	return r.rows.Refuse(ctx, tx, rec, p, recovery.Problem(rec.Problem))
}
