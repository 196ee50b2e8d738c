package flow

import (
	"context"
	"slices"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
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
	if !r.Operations.Reachable(ctx, env, d.ID) {
		return recovery.ErrUnavailable
	}
	rec, err := r.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		if rec.State != recovery.Choosing || !rec.ExpiresAt.After(r.Now()) {
			return recovery.ErrStep
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
		rec, err := recovery.Owned(ctx, tx, env, id, session)
		if err != nil {
			return err
		}
		if rec.State != recovery.Choosing {
			return recovery.ErrStep
		}
		d, err = r.pick(ctx, tx, &rec, directory, action)
		return err
	})
	return d, recovery.Plain(err)
}

func (r *Recoveries) pick(ctx context.Context, tx *store.Tx, rec *store.Recovery, directory string, action protocol.Action) (store.Directory, error) {
	in, err := recovery.IntentOf(rec)
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
		return store.Directory{}, recovery.ErrNotAdmitted
	}
	i := slices.IndexFunc(dirs, func(d store.Directory) bool { return d.ID == fit[0].ID })
	return dirs[i], nil
}

// openVerification begins the second machine with what everybody who asks for this is
// offered, and a challenge that no answer meets. One method is asked for at once.
func (r *Recoveries) openVerification(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory) error {
	offered, err := r.offeredFirst(ctx, tx, rec, d)
	if err != nil {
		return err
	}
	v := store.Verification{Env: rec.Env, ID: store.NewID(), Recovery: rec.ID, State: store.VerificationOpen, Offered: offered, ExpiresAt: rec.ExpiresAt}
	if m := only(offered); m != "" {
		v.Shown = m
	}
	if err := tx.AddVerification(ctx, &v); err != nil {
		return err
	}
	return r.ask(ctx, tx, rec, &v)
}

// offeredFirst returns the methods that anybody may begin with, without those that are
// shut for this address: a stronger one stays open. If all are shut, the first is asked
// for, whose page says until when.
func (r *Recoveries) offeredFirst(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory) ([]string, error) {
	s, err := directory.Settings(d)
	if err != nil {
		return nil, err
	}
	in, err := recovery.IntentOf(rec)
	if err != nil {
		return nil, err
	}
	var known, open []string
	for _, m := range in.Held(s.Methods).First(protocol.Action(rec.Action)) {
		if r.verifiers[m] == nil || m == policy.AgentCode && !d.Traits.CanSendCode {
			continue
		}
		until, err := r.cooling(ctx, tx, rec.Env, addressSubject(rec), string(m))
		if err != nil {
			return nil, err
		}
		known = append(known, string(m))
		if until.IsZero() {
			open = append(open, string(m))
		}
	}
	switch {
	case len(open) > 0:
		return open, nil
	case len(known) > 0:
		return known[:1], nil
	}
	return []string{string(policy.MailCode)}, nil
}

// only returns the method of a list of one that can be asked for without anything from
// the browser, "" otherwise.
func only(offered []string) string {
	if len(offered) != 1 {
		return ""
	}
	if row, _ := policy.MethodByName(policy.Method(offered[0])); row.Bound {
		return ""
	}
	return offered[0]
}
