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
)

// A lead is where one more decision about a method leads. It is worked out before the
// transaction that writes it, because verifiers read the store.
type lead struct {
	method   string
	verdict  verify.Verdict // Right: the method is proven; otherwise people said no
	proven   bool           // an accepted combination is proven
	offered  []string       // otherwise: what may be asked for next
	declined []string
}

// ahead works out where a verdict leads: the set of what is proven decides, not the
// order in which it was.
func (r *Recoveries) ahead(ctx context.Context, rec *store.Recovery, c *recovery.Case, method string, verdict verify.Verdict) (lead, error) {
	n := lead{method: method, verdict: verdict, declined: c.Verification.Declined}
	before := c.Verification.Proven
	if verdict.Right {
		c.Verification.Proven = append(slices.Clone(c.Verification.Proven), method)
		n.proven = recovery.Accepted(c.Decision, c.Verification.Proven)
	} else {
		n.declined = append(slices.Clone(n.declined), method)
	}
	var err error
	if !n.proven {
		n.offered, err = r.offeredNext(ctx, rec, c, n.declined)
	}
	c.Verification.Proven = before
	return n, err
}

// offeredNext lists, after the first proof, the next method of each accepted combination
// that this person can still prove.
func (r *Recoveries) offeredNext(ctx context.Context, rec *store.Recovery, c *recovery.Case, declined []string) ([]string, error) {
	s, err := r.subject(rec, c)
	if err != nil {
		return nil, err
	}
	var next []string
	for _, all := range c.Decision.Accept {
		rest := all.Without(recovery.MethodsNamed(c.Verification.Proven))
		if len(rest) == 0 || slices.Contains(next, string(rest[0])) || len(rest.Without(recovery.MethodsNamed(declined))) < len(rest) {
			continue
		}
		ok, err := r.usable(ctx, rec, s, rest)
		if err != nil {
			return nil, err
		}
		if ok {
			next = append(next, string(rest[0]))
		}
	}
	return next, nil
}

// lead writes a verdict down, with its evidence, and goes where it leads.
func (r *Recoveries) lead(ctx context.Context, tx *store.Tx, rec *store.Recovery, v store.Verification, n lead) error {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	v.Waiting = slices.DeleteFunc(slices.Clone(v.Waiting), func(m string) bool { return m == n.method })
	v.Declined = n.declined
	event := recovery.Event(rec, p, audit.RecoveryCodeWrong, wrongDetail(n.method, n.verdict.Reason))
	if n.verdict.Right {
		v.Proven = append(slices.Clone(v.Proven), n.method)
		roots, factors := basis(p, policy.Method(n.method), n.verdict)
		v.Roots, v.Factors = policy.RootsNamed(v.Roots).With(roots).Texts(), append(slices.Clone(v.Factors), factors...)
		event = recovery.Event(rec, p, audit.RecoveryVerified, map[string]any{"method": n.method, "all": n.proven})
		if err := keepEvidence(ctx, tx, v, n.verdict); err != nil {
			return err
		}
	}
	if err := errors.Join(audit.Append(ctx, tx, event), r.unread(ctx, tx, rec, p, n)); err != nil {
		return err
	}
	switch {
	case n.proven:
		v.State, v.Shown, v.Offered = store.VerificationProven, "", nil
		return errors.Join(tx.SaveVerification(ctx, &v), tx.CloseCode(ctx, rec.Env, v.ID), r.verified(ctx, tx, rec, p))
	case len(n.offered) == 0:
		return errors.Join(tx.SaveVerification(ctx, &v), r.rows.Refuse(ctx, tx, rec, p, exhausted(v)))
	}
	return r.askNext(ctx, tx, rec, v, n)
}

// rests works out anew what the proofs that remain rest on. What nobody knows any more of
// adds nothing to it.
func rests(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *store.Verification) error {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	own, err := tx.Factors(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil {
		return err
	}
	before := v.Factors
	var all policy.Roots
	v.Factors = nil
	for _, name := range v.Proven {
		m := policy.Method(name)
		if !policy.Kept(m) {
			roots, factors := basis(p, m, verify.Verdict{})
			all, v.Factors = all.With(roots), append(v.Factors, factors...)
			continue
		}
		for _, row := range own {
			if row.Kind == name && slices.Contains(before, row.ID) {
				all, v.Factors = all.With(policy.RootsNamed(row.Roots)), append(v.Factors, row.ID)
			}
		}
	}
	v.Roots = all.Texts()
	return nil
}

// unread records that a document counted of which nobody knows whether it was revoked.
func (r *Recoveries) unread(ctx context.Context, tx *store.Tx, rec *store.Recovery, p recovery.Private, n lead) error {
	if !n.verdict.Right || n.verdict.Unread == "" {
		return nil
	}
	return audit.Append(ctx, tx, recovery.Event(rec, p, audit.DocumentUnread, wrongDetail(n.method, n.verdict.Unread)))
}

// exhausted says why nothing is left to prove.
func exhausted(v store.Verification) recovery.Problem {
	if len(v.Declined) > 0 {
		return recovery.ProblemDeclined
	}
	return recovery.ProblemNoMethod
}

// askNext asks for what is left. A person who is at another method than the one decided
// about stays there, if it is still of use.
func (r *Recoveries) askNext(ctx context.Context, tx *store.Tx, rec *store.Recovery, v store.Verification, n lead) error {
	v.Offered = n.offered
	if v.Shown != n.method && slices.Contains(v.Offered, v.Shown) {
		return tx.SaveVerification(ctx, &v)
	}
	v.Shown = only(v.Offered)
	if row, _ := policy.MethodByName(policy.Method(n.offered[0])); v.Shown == "" && len(n.offered) == 1 && (len(rec.Recipient) > 0 || row.Bound && !r.secret(rec)) {
		v.Shown = n.offered[0] // the browser's key is here already, or none is needed
	}
	return errors.Join(r.ask(ctx, tx, rec, &v), tx.SaveVerification(ctx, &v))
}

// keepEvidence keeps what the agent will check itself.
func keepEvidence(ctx context.Context, tx *store.Tx, v store.Verification, verdict verify.Verdict) error {
	if len(verdict.Evidence) == 0 {
		return errors.New("flow: a method was proven without evidence")
	}
	for _, e := range verdict.Evidence {
		if err := tx.AddEvidence(ctx, v.Env, v.ID, store.Evidence{Type: e.Type, Raw: e.Raw}); err != nil {
			return err
		}
	}
	return nil
}

// settleTries is how often a decision is written when something else changes the
// recovery at the same moment.
const settleTries = 5

// Settle takes what other people decided about a method: right or not. ErrStep says that
// nobody waits for it any more.
func (r *Recoveries) Settle(ctx context.Context, env, verification, method string, verdict verify.Verdict) error {
	var err error
	for range settleTries {
		if err = r.decided(ctx, env, verification, method, verdict); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	return recovery.Plain(err)
}

func (r *Recoveries) decided(ctx context.Context, env, verification, method string, verdict verify.Verdict) error {
	v, rec, err := r.waiting(ctx, env, verification, method)
	if err != nil {
		return err
	}
	c, err := r.rows.LookUp(ctx, &rec)
	if err != nil {
		return err
	}
	if c.Account.ID == "" || c.Verification.Version != v.Version {
		return store.ErrConflict
	}
	if err := r.agreed(&rec, &c, verdict); err != nil {
		return err
	}
	if err := r.match(ctx, &rec, &c, method, &verdict); err != nil {
		return err
	}
	n, err := r.ahead(ctx, &rec, &c, method, verdict)
	if err != nil {
		return err
	}
	err = r.Store.Tx(ctx, func(tx *store.Tx) error {
		try := rec
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

// agreed returns ErrStep for an agreement to something else than what the recovery is about
// now: what people agreed to before another browser took it over is void.
func (r *Recoveries) agreed(rec *store.Recovery, c *recovery.Case, verdict verify.Verdict) error {
	if verdict.Context == nil {
		return nil
	}
	s, err := r.subject(rec, c)
	if err == nil && s.Context != *verdict.Context {
		err = recovery.ErrStep
	}
	return err
}

// waiting returns what a decision is about, if somebody waits for it.
func (r *Recoveries) waiting(ctx context.Context, env, verification, method string) (v store.Verification, rec store.Recovery, err error) {
	err = r.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if v, err = tx.Verification(ctx, env, verification); err != nil {
			return err
		}
		if rec, err = tx.Recovery(ctx, env, v.Recovery); err != nil {
			return err
		}
		if v.State != store.VerificationOpen || !slices.Contains(v.Waiting, method) || steps[rec.State] != StepProve || !rec.ExpiresAt.After(r.Now()) {
			return recovery.ErrStep
		}
		return nil
	})
	return v, rec, err
}

// secret reports whether the operation that an agent began has a secret result.
func (*Recoveries) secret(rec *store.Recovery) bool {
	tasks, err := protocol.ParseTasks(rec.Tasks)
	return err != nil || recovery.HasSecret(tasks)
}
