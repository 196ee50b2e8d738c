package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// usable lists the methods by which a stranger can prove any of the claims here, in the
// order in which they are offered.
func (q *Requests) usable(ctx context.Context, s verify.Subject, r store.Request) (all []verify.Verifier) {
	for _, v := range q.Verifiers {
		if gives(v.Method(), r) && v.Usable(ctx, s) {
			all = append(all, v)
		}
	}
	return all
}

// gives reports whether a method says anything of what is asked for: who signs in
// somewhere shows no document. Whoever waits may ask for no more than who it is.
func gives(m policy.Method, r store.Request) bool {
	names := Provable(r.Claims)
	if r.Selfie && m != policy.DocumentReview {
		return false
	}
	return r.Keeps && len(names) == 0 || asksBound(r) || slices.ContainsFunc(names, func(n string) bool {
		row, _ := claimByName(n)
		switch n {
		case store.PictureClaim:
			return m == policy.DocumentReview
		case Address: // what people read of a picture has none
			return m == policy.DigitalCredential
		}
		return !row.document || m != policy.IdentityProvider
	})
}

func methods(list []verify.Verifier) (names []policy.Method) {
	for _, v := range list {
		names = append(names, v.Method())
	}
	return names
}

// Agree is the consent to prove what is asked for. Where there is one way to prove it,
// its challenge is opened, and called again another one; otherwise the person chooses.
func (q *Requests) Agree(ctx context.Context, env, id, session string, by Client) error {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return err
	}
	if u.State == useProving {
		return q.choose(ctx, u, r, policy.Method(u.Method))
	}
	if u.State != useAsked {
		return ErrStep
	}
	if seen := q.seen(r.Claims, by); seen != nil { // not before: they were told what is asked, and said yes
		if u.Private, err = json.Marshal(found{Values: seen}); err != nil {
			return err
		}
	}
	if !needsProof(r) {
		return q.begin(ctx, u)
	}
	all := q.usable(ctx, q.subject(u, r), r)
	switch len(all) {
	case 0:
		return ErrMethods
	case 1:
		return q.challenge(ctx, u, r, all[0])
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		u.State = useChoosing
		return q.progress(ctx, tx, &u, appOpened, eventAppOpened)
	})
}

// begin goes on to what the person says by themselves.
func (q *Requests) begin(ctx context.Context, u store.RequestUse) error {
	return q.step(ctx, &u, func(tx *store.Tx) error {
		u.State = useFound
		if len(u.Private) == 0 {
			u.Private = []byte(`{"values":{}}`)
		}
		return q.progress(ctx, tx, &u, appOpened, eventAppOpened)
	})
}

// Choose opens the challenge of a method, in place of that of another one. ErrMethod says
// that it is not offered.
func (q *Requests) Choose(ctx context.Context, env, id, session, method string) error {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return err
	}
	if u.State != useChoosing && u.State != useProving {
		return ErrStep
	}
	return q.choose(ctx, u, r, policy.Method(method))
}

func (q *Requests) choose(ctx context.Context, u store.RequestUse, r store.Request, m policy.Method) error {
	for _, v := range q.usable(ctx, q.subject(u, r), r) {
		if v.Method() == m {
			return q.challenge(ctx, u, r, v)
		}
	}
	return ErrMethod
}

// challenge opens what a method asks. The tries that a person has are one number for all
// methods.
func (q *Requests) challenge(ctx context.Context, u store.RequestUse, r store.Request, v verify.Verifier) error {
	if row, _ := policy.MethodByName(v.Method()); row.Slow() {
		u.ExpiresAt = q.Now().Add(slowLife)
		if r.ExpiresAt.Before(u.ExpiresAt) {
			u.ExpiresAt = r.ExpiresAt
		}
	}
	c, err := v.Open(ctx, q.subject(u, r))
	if err != nil {
		return err
	}
	if len(c.Ask) > verify.MaxAsk {
		return fmt.Errorf("request: a challenge of %d bytes", len(c.Ask))
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		if u.Method == "" {
			if err := tx.OpenCode(ctx, u.Env, u.ID, ""); err != nil {
				return err
			}
		}
		if u.State == useAsked {
			if err := q.progress(ctx, tx, &u, appOpened, eventAppOpened); err != nil {
				return err
			}
		}
		if err := q.again(ctx, tx, u); err != nil {
			return err
		}
		u.State, u.Method = useProving, string(v.Method())
		return tx.SetChallenge(ctx, u.Env, u.ID, store.Code{Challenge: c.Text, Genuine: true, Ask: string(c.Ask), Case: c.Case})
	})
}

// again takes back that a request was rejected whose person tries another way.
func (q *Requests) again(ctx context.Context, tx *store.Tx, u store.RequestUse) error {
	r, err := tx.Request(ctx, u.Env, u.Request)
	if err != nil || !accept(&r) {
		return err
	}
	return tx.SaveRequest(ctx, &r)
}

// Answer judges what the person came with: their wallet, or another service, answered.
// ErrWrong counts a try; after the last the use has ended.
func (q *Requests) Answer(ctx context.Context, env, id, session, answer string) error {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return err
	}
	if u.State != useProving || len(answer) > verify.MaxAnswer {
		return ErrStep
	}
	c, err := store.Change(ctx, q.Store, func(tx *store.Tx) (store.Code, error) { return tx.TryCode(ctx, env, u.ID, tries) })
	if errors.Is(err, store.ErrConflict) {
		return ErrTooMany
	}
	if err != nil {
		return err
	}
	s := q.subject(u, r)
	for _, v := range q.Verifiers {
		if string(v.Method()) != u.Method {
			continue
		}
		verdict, err := v.Check(ctx, s, c.Challenge, answer)
		if err != nil {
			return err
		}
		return q.judged(ctx, u, r, verdict)
	}
	return ErrMethods
}

// judged takes a verdict. A proof that says nothing of what is asked for is none.
func (q *Requests) judged(ctx context.Context, u store.RequestUse, r store.Request, v verify.Verdict) error {
	if v.Pending {
		return q.step(ctx, &u, func(*store.Tx) error { u.State = useWaiting; return nil })
	}
	var f found
	if v.Right && v.Claims != nil {
		var err error
		if f, err = foundOf(u, r, *v.Claims, q.Now()); err != nil {
			return err
		}
		if asksBound(r) {
			if err := q.Store.Tx(ctx, func(tx *store.Tx) error { return f.bound(ctx, tx, r) }); err != nil {
				return err
			}
		}
	}
	if !f.answers(r) {
		return errors.Join(q.refused(ctx, u, r, v.Reason), ErrWrong)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		u.State, u.Private = useFound, b
		if err := errors.Join(tx.CloseCode(ctx, u.Env, u.ID), q.unread(ctx, tx, u, r, v.Unread)); err != nil {
			return err
		}
		return q.progress(ctx, tx, &u, idScanned, eventScanAccepted)
	})
}

// unread records that a document counted of which nobody knows whether it was revoked.
func (q *Requests) unread(ctx context.Context, tx *store.Tx, u store.RequestUse, r store.Request, why string) error {
	if why == "" {
		return nil
	}
	return audit.Append(ctx, tx, q.event(r, u, audit.DocumentUnread, Client{}, map[string]any{"method": u.Method, "reason": why}))
}

// refused records a proof that was not taken.
func (q *Requests) refused(ctx context.Context, u store.RequestUse, r store.Request, why string) error {
	e := q.event(r, u, audit.ScanUnusable, Client{}, map[string]any{"method": u.Method, "reason": why})
	return q.Store.Tx(ctx, func(tx *store.Tx) error {
		r, err := tx.Request(ctx, u.Env, u.Request)
		if err != nil {
			return err
		}
		if err := audit.Append(ctx, tx, e); err != nil {
			return err
		}
		return q.tell(ctx, tx, r, eventScanRejected)
	})
}
