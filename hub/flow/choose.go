package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Choose fixes the directory and what is asked for; an empty directory is the only one
// that offers it. The answer comes before anybody looks whether there is an account:
// the rest is done behind it, by Run. ErrUnavailable says that nobody could do it now.
func (r *Recoveries) Choose(ctx context.Context, env, id, session, directory string, action protocol.Action) error {
	d, err := r.chosen(ctx, env, id, session, directory, action)
	if err != nil {
		return err
	}
	if !r.Agents.Reachable(ctx, env, d.ID) {
		return ErrUnavailable
	}
	rec, err := r.change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		if rec.State != stateChoosing || !rec.ExpiresAt.After(r.Now()) {
			return ErrStep
		}
		rec.Directory, rec.Action, rec.ExpiresAt = d.ID, string(action), r.Now().Add(proveLife)
		return r.openVerification(ctx, tx, rec, d)
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// chosen returns the directory that the choice is about, within hints and restrictions.
func (r *Recoveries) chosen(ctx context.Context, env, id, session, directory string, action protocol.Action) (d store.Directory, err error) {
	err = r.Store.Read(ctx, func(tx *store.Tx) error {
		rec, err := owned(ctx, tx, env, id, session)
		if err != nil {
			return err
		}
		if rec.State != stateChoosing {
			return ErrStep
		}
		d, err = r.pick(ctx, tx, &rec, directory, action)
		return err
	})
	return d, r.plain(ctx, err)
}

func (r *Recoveries) pick(ctx context.Context, tx *store.Tx, rec *store.Recovery, directory string, action protocol.Action) (store.Directory, error) {
	in, err := intentOf(rec)
	if err != nil {
		return store.Directory{}, err
	}
	dirs, err := tx.Directories(ctx, rec.Env)
	if err != nil {
		return store.Directory{}, err
	}
	fit := slices.DeleteFunc(r.choices(ctx, dirs, in), func(c DirectoryChoice) bool {
		return directory != "" && c.ID != directory || !slices.Contains(c.Actions, action)
	})
	if len(fit) != 1 {
		return store.Directory{}, ErrNotAdmitted
	}
	i := slices.IndexFunc(dirs, func(d store.Directory) bool { return d.ID == fit[0].ID })
	return dirs[i], nil
}

// openVerification begins the second machine with what every account of the directory
// is asked for, and a challenge that no answer meets. A code is asked for unless the
// address has had too many.
func (r *Recoveries) openVerification(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory) error {
	methods, locked, err := r.publicMethods(ctx, tx, rec, d)
	if err != nil {
		return err
	}
	v := store.Verification{Env: rec.Env, ID: store.NewID(), Recovery: rec.ID, State: verificationOpen,
		Methods: methods, Shown: methods[0], ExpiresAt: rec.ExpiresAt}
	if err := tx.AddVerification(ctx, &v); err != nil {
		return err
	}
	if err := tx.OpenCode(ctx, rec.Env, v.ID, randomChallenge()); err != nil {
		return err
	}
	left, _, err := r.sends(ctx, tx, rec)
	if err != nil {
		return err
	}
	if left == 0 || !locked.IsZero() { // nothing is sent: the page says until when
		rec.DueAt = rec.ExpiresAt
		return move(rec, stateProving)
	}
	return r.ask(ctx, tx, rec)
}

// ask counts a send of address and client and makes the recovery due for a code.
func (r *Recoveries) ask(ctx context.Context, tx *store.Tx, rec *store.Recovery) error {
	p, err := privateOf(rec)
	if err != nil {
		return err
	}
	p.Counted = false
	rec.Private, rec.DueAt, rec.Attempts = []byte(store.JSON(p)), r.Now(), 0
	if rec.State != statePreparing {
		if err := move(rec, statePreparing); err != nil {
			return err
		}
	}
	client, err := r.clientSubject(rec)
	if err != nil {
		return err
	}
	return errors.Join(tx.AddCodeSend(ctx, rec.Env, client), tx.AddCodeSend(ctx, rec.Env, addressSubject(rec)))
}

// publicMethods returns what an account without groups is asked for: the first
// combination whose first method is not shut for this address, so that a stronger
// method stays open. If all are, it says until when.
func (r *Recoveries) publicMethods(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory) (methods []string, locked time.Time, err error) {
	s, err := directory.Settings(d)
	if err != nil {
		return nil, locked, err
	}
	decision := policy.Decide(policy.Request{Action: protocol.Action(rec.Action), Settings: s, Traits: d.Traits})
	for _, c := range decision.Accept {
		until, err := r.cooling(ctx, tx, rec.Env, addressSubject(rec), string(c[0]))
		if err != nil {
			return nil, locked, err
		}
		if until.IsZero() {
			return names(c), time.Time{}, nil
		}
		locked = later(locked, until)
	}
	if len(decision.Accept) == 0 { // only groups have methods: what others see must not say so
		return []string{string(policy.MailCode)}, locked, nil
	}
	return names(decision.Accept[0]), locked, nil
}

func names(c policy.Combination) []string {
	list := make([]string, len(c))
	for i, m := range c {
		list[i] = string(m)
	}
	return list
}

// Resend asks for another code, which makes the former one void at once.
func (r *Recoveries) Resend(ctx context.Context, env, id, session string) error {
	rec, err := r.change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		if steps[rec.State] != StepProve || !rec.ExpiresAt.After(r.Now()) {
			return ErrStep
		}
		v, err := tx.VerificationOf(ctx, env, id)
		if err != nil {
			return err
		}
		c, err := r.codeView(ctx, tx, rec, v)
		switch {
		case err != nil:
			return err
		case c.SendsLeft == 0 || !c.LockedTill.IsZero():
			return ErrTooMany
		case c.ResendAt.After(r.Now()):
			return ErrTooSoon
		}
		if err := tx.OpenCode(ctx, env, v.ID, randomChallenge()); err != nil {
			return err
		}
		return r.ask(ctx, tx, rec)
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
