package recovery

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Case is what hub and policy know of the person of one recovery.
type Case struct {
	Directory    store.Directory
	Account      store.Account // of a decoy: none
	Groups       []policy.Group
	Decision     policy.Decision
	Verification store.Verification
	Private      Private
	Blocked      bool // the owner said "this was not me" of late
}

// LookUp reads, in one view of the store, all that hub and policy know.
func (r *Rows) LookUp(ctx context.Context, rec *store.Recovery) (c Case, err error) {
	if c.Private, err = PrivateOf(rec); err != nil {
		return c, err
	}
	err = r.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if c.Directory, err = tx.Directory(ctx, rec.Env, rec.Directory); err != nil {
			return err
		}
		if c.Verification, err = tx.VerificationOf(ctx, rec.Env, rec.ID); err != nil {
			return err
		}
		if c.Account, err = accountOf(ctx, tx, rec, c.Private.Address); err != nil || c.Account.ID == "" {
			return err
		}
		if c.Decision, c.Groups, err = Decide(ctx, tx, rec, c.Directory, c.Account); err != nil {
			return err
		}
		until, err := tx.RecoveryBlock(ctx, rec.Env, rec.Directory, c.Account.ImmutableID)
		c.Blocked = !until.IsZero()
		return err
	})
	return c, err
}

// accountOf returns the one enabled account of the directory that bears the address, or
// none: unknown, ambiguous, disabled and swept ones are all the same.
func accountOf(ctx context.Context, tx *store.Tx, rec *store.Recovery, address string) (store.Account, error) {
	if in, err := IntentOf(rec); err != nil || in.SignIn != nil {
		if err != nil {
			return store.Account{}, err
		}
		return SignInAccount(ctx, tx, rec.Env, rec.Directory, in.SignIn.Account)
	}
	found := map[string]store.Account{}
	for _, form := range spellings(address) {
		list, err := tx.FindAccounts(ctx, rec.Env, form)
		if err != nil {
			return store.Account{}, err
		}
		for _, a := range list {
			if a.Directory == rec.Directory && !a.Disabled && (rec.Account == "" || rec.Account == a.ImmutableID) {
				found[a.ID] = a
			}
		}
	}
	if len(found) != 1 {
		return store.Account{}, nil
	}
	for _, a := range found {
		return a, nil
	}
	return store.Account{}, nil
}

// SignInAccount returns the enabled account that a provider means, or none.
func SignInAccount(ctx context.Context, tx *store.Tx, env, directory, id string) (store.Account, error) {
	if id == "" {
		return store.Account{}, nil
	}
	a, err := tx.AccountOf(ctx, env, directory, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && a.Disabled {
		return store.Account{}, nil
	}
	return a, err
}

// Decide applies the directory's policy to the account as it is now, and what the agent
// asks for besides it.
func Decide(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory, a store.Account) (policy.Decision, []policy.Group, error) {
	s, err := directory.Settings(d)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	in, err := IntentOf(rec)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	s.Methods = in.Held(s.Methods)
	list, err := tx.AccountGroups(ctx, rec.Env, a.ID)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	groups := make([]policy.Group, len(list))
	for i, g := range list {
		groups[i] = policy.Group{ID: g.ID, Name: g.Name}
	}
	p, err := PrivateOf(rec)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	groups = append(groups, policy.GroupsNamed(p.Groups)...)
	action := protocol.Action(rec.Action)
	decision := policy.Decide(policy.Request{Action: action, Settings: s, Traits: d.Traits, Groups: groups, Wish: in.Wishes[action], Key: in.Key, Photo: a.Photo.Given(), Lent: a.Photo.Lent()})
	if p.Terms != nil {
		decision.Accept = policy.Both(decision.Accept, p.Terms.Methods)
	}
	return decision, groups, nil
}

// Held returns the directory's methods as far as the one who asks takes them.
func (in Intent) Held(m policy.Methods) policy.Methods {
	if in.SignIn == nil {
		return m
	}
	return m.Holding(in.SignIn.Methods)
}

// StrictHere reports whether the account is one for which the word of a hub is not
// enough, and nobody allowed that it is given nevertheless (T11).
func (in Intent) StrictHere(t *protocol.Terms) bool {
	return in.SignIn != nil && !in.SignIn.Strict && t != nil && len(t.Methods) > 0
}

// Accepted reports whether the set of proven methods holds an accepted combination.
func Accepted(d policy.Decision, proven []string) bool {
	return slices.ContainsFunc(d.Accept, func(c policy.Combination) bool { return len(c.Without(MethodsNamed(proven))) == 0 })
}

// MethodsNamed returns the methods of a row's list.
func MethodsNamed(names []string) []policy.Method {
	list := make([]policy.Method, len(names))
	for i, n := range names {
		list[i] = policy.Method(n)
	}
	return list
}

// Legacy reports whether a directory is served by the public agent protocol, which
// cannot seal.
func Legacy(d store.Directory) bool { return d.NativeSince.IsZero() && d.HasLegacyToken }
