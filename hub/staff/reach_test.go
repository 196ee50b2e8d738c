package staff

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// second adds another environment to the organisation.
func (o *office) second() (id string) {
	o.t.Helper()
	o.must(o.store.Tx(o.t.Context(), func(tx *store.Tx) error {
		e, err := tx.CreateEnvironment(o.t.Context(), store.Environment{Org: o.Org.ID, Name: "staging", PublicName: "Example"})
		id = e.ID
		return err
	}))
	return id
}

// worker adds somebody who works in some environments.
func (o *office) worker(mail, role string, envs ...string) store.Staff {
	o.t.Helper()
	who := store.Staff{Org: o.Org.ID, ID: store.NewID(), Name: mail, Mail: mail, Role: role, Envs: envs}
	o.must(o.store.Tx(o.t.Context(), func(tx *store.Tx) error { return tx.AddStaff(o.t.Context(), &who) }))
	return who
}

func TestT25_NobodyInvitesFurtherThanTheyReach(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, there := o.Env.ID, o.second()
		all, mine := []string{store.AllEnvs}, []string{here}
		for name, c := range map[string]struct {
			may  []string
			role string
			envs []string
			want error
			has  []string
		}{
			"all of all":                     {all, User, all, nil, all},
			"all, where none is named":       {all, User, nil, nil, all},
			"one of all":                     {all, Admin, []string{there}, nil, []string{there}},
			"one twice":                      {all, User, []string{there, there}, nil, []string{there}},
			"all and one":                    {all, User, []string{there, "*"}, nil, all},
			"their own one":                  {mine, Admin, mine, nil, mine},
			"another":                        {mine, User, []string{there}, ErrEnvs, nil},
			"their own and another":          {mine, User, []string{here, there}, ErrEnvs, nil},
			"all of one":                     {mine, User, all, ErrEnvs, nil},
			"one who reaches one names none": {mine, User, nil, ErrEnvs, nil},
			"an unknown one":                 {all, User, []string{"unknown"}, ErrEnvs, nil},
			"an owner of one":                {all, Owner, mine, ErrOwner, nil},
			"an owner of all":                {all, Owner, all, nil, all},
			"who reaches nothing":            {nil, User, nil, ErrEnvs, nil},
		} {
			mail := store.NewID() + "@example.com"
			who, _, err := o.Invite(t.Context(), store.Staff{Org: o.Org.ID, Name: "X", Mail: mail, Role: c.role, Envs: c.envs}, console, Reach{Owner, c.may}, audit.Principal{OrgMember: "x"})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if err == nil && !slices.Equal(o.find(who.ID).Envs, c.has) {
				t.Errorf("%s: works in %q", name, o.find(who.ID).Envs)
			}
		}
	})
}

func TestT25_NobodyChangesOrRemovesWhoReachesFurther(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, there := o.Env.ID, o.second()
		o.come("boss@example.com", Owner)
		mine, by := Reach{Admin, []string{here}}, audit.Principal{OrgMember: "x", Role: Admin}
		everything := everywhere(Owner)
		for name, c := range map[string]struct {
			role string
			envs []string
			to   Change
			may  Reach
			want error
		}{
			"a role within reach":           {User, []string{here}, Change{Role: Limited}, mine, nil},
			"further":                       {User, []string{here}, Change{Envs: []string{here, there}}, mine, ErrEnvs},
			"everywhere":                    {User, []string{here}, Change{Envs: []string{"*"}}, mine, ErrEnvs},
			"elsewhere":                     {User, []string{here}, Change{Envs: []string{there}}, mine, ErrEnvs},
			"a role above":                  {User, []string{here}, Change{Role: Owner}, mine, ErrRole},
			"who reaches further":           {User, []string{here, there}, Change{Role: Limited}, mine, store.ErrNotFound},
			"who reaches all":               {User, []string{"*"}, Change{Envs: []string{here}}, mine, store.ErrNotFound},
			"who is elsewhere":              {User, []string{there}, Change{Role: Limited}, mine, store.ErrNotFound},
			"an owner's list":               {Owner, []string{"*"}, Change{Envs: []string{here}}, everything, ErrOwner},
			"an owner no more, limited":     {Owner, []string{"*"}, Change{Role: User, Envs: []string{here}}, everything, nil},
			"limited, to an owner":          {Admin, []string{here}, Change{Role: Owner}, everything, ErrOwner},
			"limited, to an owner of all":   {Admin, []string{here}, Change{Role: Owner, Envs: []string{"*"}}, everything, nil},
			"an unknown environment":        {User, []string{here}, Change{Envs: []string{"unknown"}}, everything, ErrEnvs},
			"one whose environment is gone": {User, []string{}, Change{Role: Limited}, everything, nil},
			"that one, by whom it is not":   {User, []string{}, Change{Envs: []string{here}}, mine, store.ErrNotFound},
			"that one, by an administrator": {User, []string{}, Change{Envs: []string{here}}, everywhere(Admin), nil},
			"that one, by one like them":    {User, []string{}, Change{Role: Limited}, Reach{Admin, []string{}}, store.ErrNotFound},
		} {
			who := o.worker(store.NewID()+"@example.com", c.role, c.envs...)
			if err := o.Change(t.Context(), console, o.Org.ID, who.ID, c.to, c.may, by); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if got := o.find(who.ID); c.want != nil && (got.Role != c.role || !slices.Equal(got.Envs, c.envs)) {
				t.Errorf("%s: is %s in %q", name, got.Role, got.Envs)
			}
			far := store.Within(o.find(who.ID).Envs, mine.Envs) && o.find(who.ID).Role != Owner
			if err := o.Remove(t.Context(), o.Org.ID, who.ID, mine, by); (err == nil) != far {
				t.Errorf("%s: removed by who reaches one: %v", name, err)
			}
		}
	})
}

// Whoever works in what is left is as before somebody whom its administrator may change.
func TestARemovedEnvironmentStandsInNobodysWay(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, gone := o.Env.ID, o.second()
		ann := o.worker("ann@example.com", User, here, gone)
		o.must(o.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.DeleteEnvironment(t.Context(), gone) }))
		by := audit.Principal{OrgMember: "x", Role: Admin}
		o.must(o.Change(t.Context(), console, o.Org.ID, ann.ID, Change{Role: Limited}, Reach{Admin, []string{here}}, by))
		if got := o.find(ann.ID); got.Role != Limited || !slices.Equal(got.Envs, []string{here}) {
			t.Errorf("%s in %q", got.Role, got.Envs)
		}
	})
}

// T18: who reaches more decides about more people: that waits, and the owners hear of it.
func TestT18_WhoIsGivenAnEnvironmentDecidesAfterADay(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, there := o.Env.ID, o.second()
		boss, _ := o.come("boss@example.com", Owner)
		by := audit.Principal{OrgMember: boss.ID, Role: Owner}
		for _, c := range []struct {
			from, to []string
			by       audit.Principal
			waits    bool
		}{
			{[]string{here}, []string{here, there}, by, true}, {[]string{here}, []string{there}, by, true}, {[]string{here}, []string{"*"}, by, true},
			{[]string{here, there}, []string{there}, by, false}, {[]string{"*"}, []string{here}, by, false}, {[]string{here}, []string{"*"}, audit.Principal{System: bySystem}, false},
		} {
			who := o.worker(store.NewID()+"@example.com", User, c.from...)
			o.mails = nil
			o.must(o.Change(t.Context(), console, o.Org.ID, who.ID, Change{Envs: c.to}, everywhere(Owner), c.by))
			told := slices.ContainsFunc(o.mails, func(m Message) bool { return m.Kind == NewMember && m.To == boss.Mail && m.Who == who.Name })
			if got := o.find(who.ID); got.Decides(o.store.Now().Add(Trial-time.Minute)) == c.waits || told != c.waits {
				t.Errorf("%q to %q by %+v: counts at %s, told %v", c.from, c.to, c.by, got.CountsAt, told)
			}
		}
	})
}

// Administrators hear of those whom they could remove, and of nobody else.
func TestNewsOfStaffGoToWhoReachesThem(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, there := o.Env.ID, o.second()
		o.worker("all@example.com", Admin, "*")
		o.worker("here@example.com", Admin, here)
		o.worker("there@example.com", Admin, there)
		heard := func(what string, want ...string) {
			t.Helper()
			var got []string
			for _, m := range o.mails {
				if m.Kind == NewMember || m.Kind == NewKey {
					got = append(got, m.To)
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s: %q heard, want %q", what, got, want)
			}
			o.mails = nil
		}
		invite := func(mail string, envs ...string) {
			t.Helper()
			_, _, err := o.Invite(t.Context(), store.Staff{Org: o.Org.ID, Name: mail, Mail: mail, Role: User, Envs: envs}, console, everywhere(Owner), audit.Principal{OrgMember: "x"})
			o.must(err)
		}
		invite("one@example.com", here)
		heard("of one environment", "all@example.com", "here@example.com")
		invite("two@example.com", here, there)
		heard("of both", "all@example.com")
	})
}

// Who vouches does so where they were invited to; one more invitation adds a place, by
// whoever reaches both, and never to what a role of the console reaches.
func TestWhoVouchesDoesSoInTheEnvironmentsOfTheirInvitations(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		here, there := Place{Env: o.Env.ID, Origin: "https://a.example.com"}, Place{Env: o.second(), Origin: "https://b.example.com"}
		vouch := func(mail, role string, at Place, may Reach) (store.Staff, error) {
			who, _, err := o.Invite(t.Context(), store.Staff{Org: o.Org.ID, Name: mail, Mail: mail, Role: role}, at, may, audit.Principal{OrgMember: "x"})
			return who, err
		}
		only := func(p Place) Reach { return Reach{Admin, []string{p.Env}} }
		max, err := vouch("max@example.com", Approver, here, only(here))
		o.must(err)
		if got := o.find(max.ID); !got.Reaches(here.Env) || got.Reaches(there.Env) {
			t.Errorf("vouches in %q", got.Envs)
		}
		if _, err := vouch("max@example.com", Approver, there, only(there)); !errors.Is(err, ErrTaken) {
			t.Errorf("by somebody who does not reach them: %v", err)
		}
		if _, err := vouch("eve@example.com", Approver, there, only(here)); !errors.Is(err, ErrEnvs) {
			t.Errorf("elsewhere than who invites: %v", err)
		}
		_, err = vouch("max@example.com", Approver, there, everywhere(Admin))
		o.must(err)
		if got := o.find(max.ID); !got.Reaches(here.Env) || !got.Reaches(there.Env) || got.Reaches(store.AllEnvs) {
			t.Errorf("vouches in %q", got.Envs)
		}
		desk := o.worker("desk@example.com", User, here.Env)
		if _, err := vouch("desk@example.com", Approver, there, everywhere(Owner)); !errors.Is(err, ErrTaken) || o.find(desk.ID).Reaches(there.Env) {
			t.Errorf("a help desk of one environment vouches in another: %v, %q", err, o.find(desk.ID).Envs)
		}
	})
}

func TestT25_WhoIsLimitedIsSignedOutOfTheirCommandLines(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann := o.worker("ann@example.com", Admin, "*")
		o.must(o.store.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.CreateAPIKey(t.Context(), store.APIKey{Org: o.Org.ID, Hash: "line", Role: Admin, Envs: []string{"*"}, Enabled: true, Staff: ann.ID, CreatedBy: ann.ID})
			return err
		}))
		o.must(o.Change(t.Context(), console, o.Org.ID, ann.ID, Change{Envs: []string{o.Env.ID}}, everywhere(Owner), audit.Principal{System: bySystem}))
		_, err := store.Get(t.Context(), o.store, func(tx *store.Tx) (store.APIKey, error) {
			return tx.APIKeyByHash(context.WithoutCancel(t.Context()), "line")
		})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("their command line works on: %v", err)
		}
	})
}
