package staff

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// Whoever was removed for cause must not have let a friend in a minute before.
func TestT18_AnInvitationEndsWithWhoeverMadeIt(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		tx := func(f func(tx *store.Tx) error) { t.Helper(); o.must(o.store.Tx(ctx, f)) }
		root, _ := o.come("root@example.com", Owner)
		system := audit.Principal{System: bySystem}
		change := func(to Change) func(string) {
			return func(id string) { o.must(o.Change(ctx, console, o.Org.ID, id, to, everywhere(Owner), system)) }
		}
		second := o.second()
		for name, c := range map[string]struct {
			after func(inviter string)
			want  error
		}{
			"nothing":          {func(string) {}, nil},
			"removed":          {func(id string) { o.must(o.Remove(ctx, o.Org.ID, id, everywhere(Owner), system)) }, ErrGone},
			"invites nobody":   {change(Change{Role: User}), ErrGone},
			"less, but enough": {change(Change{Role: Admin}), nil},
			"elsewhere":        {change(Change{Role: Admin, Envs: []string{second}}), ErrGone},
			"suspended":        {func(id string) { o.suspend(id) }, ErrGone},
			"somebody else is out": {func(string) {
				other, _ := o.come(store.NewID()+"@example.com", User)
				o.must(o.Remove(ctx, o.Org.ID, other.ID, everywhere(Owner), system))
			}, nil},
		} {
			ann, _ := o.come(store.NewID()+"@example.com", Owner)
			_, token := o.hire(store.NewID()+"@example.com", Admin, audit.Principal{OrgMember: ann.ID})
			c.after(ann.ID)
			if _, err := o.Invitation(ctx, console, token); !errors.Is(err, c.want) {
				t.Errorf("%s: the page: %v, want %v", name, err, c.want)
			}
			key := evidencetest.NewAuthenticator(console.Origin)
			if _, err := o.Join(ctx, console, token, key.Register(challengeOf(token))); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
		for name, c := range map[string]struct {
			key   store.APIKey
			after func(k store.APIKey) error
			want  error
		}{
			"a program":                          {store.APIKey{}, nil, nil},
			"a program that is off":              {store.APIKey{}, func(k store.APIKey) error { k.Enabled = false; return o.update(k) }, ErrGone},
			"a program that is removed":          {store.APIKey{}, o.drop, ErrGone},
			"a command line that was signed out": {store.APIKey{Staff: root.ID}, o.drop, nil},
		} {
			k := c.key
			k.Org, k.Name, k.Hash, k.Role, k.Envs, k.Enabled = o.Org.ID, name, store.NewID(), Owner, []string{store.AllEnvs}, true
			tx(func(tx *store.Tx) (err error) { k, err = tx.CreateAPIKey(ctx, k); return err })
			_, token := o.hire(store.NewID()+"@example.com", Admin, audit.Principal{APIKey: k.ID})
			if c.after != nil {
				o.must(c.after(k))
			}
			if _, err := o.Invitation(ctx, console, token); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	})
}

// Who vouches in two environments was invited by two people, each of whom reaches one.
func TestAnInvitationToVouchAsksForItsOwnEnvironmentAlone(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, there := Place{Env: o.Env.ID, Origin: "https://recover.example.com"}, Place{Env: o.second(), Origin: "https://other.example.com"}
		ann := o.worker("ann@example.com", Admin, here.Env)
		who := store.Staff{Org: o.Org.ID, Name: "bob", Mail: "bob@example.com", Role: Approver}
		_, link, err := o.Invite(t.Context(), who, here, Reach{Admin, ann.Envs}, audit.Principal{OrgMember: ann.ID})
		o.must(err)
		_, _, err = o.Invite(t.Context(), who, there, everywhere(Owner), audit.Principal{System: bySystem})
		o.must(err)
		token := link.Reveal()[len(here.Origin+here.path()+"#"):]
		if _, err := o.Invitation(t.Context(), here, token); err != nil {
			t.Error(err)
		}
		o.must(o.Remove(t.Context(), o.Org.ID, ann.ID, everywhere(Owner), audit.Principal{System: bySystem}))
		if _, err := o.Invitation(t.Context(), here, token); !errors.Is(err, ErrGone) {
			t.Error(err)
		}
	})
}

// suspend takes every right from somebody whose own account was recovered.
func (o *office) suspend(id string) {
	o.t.Helper()
	who := o.find(id)
	o.must(o.store.Tx(o.t.Context(), func(tx *store.Tx) error {
		_, err := tx.SuspendStaff(o.t.Context(), o.Env.ID, "d", "a", []string{who.Mail}, tx.Now().Add(time.Hour))
		return err
	}))
}

func (o *office) update(k store.APIKey) error {
	return o.store.Tx(context.Background(), func(tx *store.Tx) error { return tx.UpdateAPIKey(o.t.Context(), k.Org, k) })
}

func (o *office) drop(k store.APIKey) error {
	return o.store.Tx(context.Background(), func(tx *store.Tx) error { return tx.DeleteAPIKey(o.t.Context(), k.Org, k.ID) })
}
