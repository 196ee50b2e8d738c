package store_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestT25_NobodyReachesMoreThanTheirList(t *testing.T) {
	for _, c := range []struct {
		envs, list []string
		within     bool
		common     []string
	}{
		{[]string{"a"}, []string{"a", "b"}, true, []string{"a"}},
		{[]string{"a", "b"}, []string{"a"}, false, []string{"a"}},
		{[]string{"a"}, []string{"*"}, true, []string{"a"}},
		{[]string{"*"}, []string{"*"}, true, []string{"*"}},
		{[]string{"*"}, []string{"a"}, false, []string{"a"}},
		{[]string{"b", "*"}, []string{"a"}, false, []string{"a"}},
		{[]string{"b"}, []string{"a"}, false, nil},
		{[]string{"a"}, nil, false, nil},
		{nil, []string{"*"}, true, nil},
		{nil, nil, false, nil},
	} {
		if within, common := store.Within(c.envs, c.list), store.Common(c.envs, c.list); within != c.within || !slices.Equal(common, c.common) {
			t.Errorf("%q in %q: %v, common %q", c.envs, c.list, within, common)
		}
	}
	if store.Reaches(nil, "a") || store.Reaches([]string{"a"}, "*") || !store.Reaches([]string{"*"}, "a") {
		t.Error("Reaches")
	}
}

// Whoever made a key knows it: it must not stay their way to what they no longer reach.
func TestT25_WhoLosesAnEnvironmentLosesItByTheirKeysToo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		who := store.Staff{Org: f.Org.ID, ID: store.NewID(), Name: "Ann", Mail: "ann@example.com", Role: store.RoleAdmin}
		key := func(ctx context.Context, tx *store.Tx, name, staff, by string, envs ...string) (store.APIKey, error) {
			return tx.CreateAPIKey(ctx, store.APIKey{Org: f.Org.ID, Name: name, Hash: name, Role: store.RoleUser, Envs: envs, Enabled: true, Staff: staff, CreatedBy: by})
		}
		ids := map[string]string{}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AddStaff(ctx, &who); err != nil {
				return err
			}
			for name, k := range map[string]struct {
				staff, by string
				envs      []string
			}{"terminal": {who.ID, who.ID, []string{"*"}}, "all": {"", who.ID, []string{"*"}}, "two": {"", who.ID, []string{"kept", "lost"}},
				"lost": {"", who.ID, []string{"lost"}}, "kept": {"", who.ID, []string{"kept"}}, "another's": {"", "ben", []string{"*"}}} {
				made, err := key(ctx, tx, name, k.staff, k.by, k.envs...)
				if err != nil {
					return err
				}
				ids[name] = made.ID
			}
			return nil
		})
		var less []string
		do(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			less, err = tx.SetStaffEnvs(ctx, f.Org.ID, who.ID, []string{"kept"})
			return err
		})
		if want := []string{ids["all"], ids["two"], ids["lost"]}; !sameSet(less, want) {
			t.Errorf("these reach less: %q, want %q", less, want)
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.Staff(ctx, f.Org.ID, who.ID)
			if !got.Reaches("kept") || got.Reaches("lost") {
				t.Errorf("reaches %q", got.Envs)
			}
			for name, want := range map[string][]string{"all": {"kept"}, "two": {"kept"}, "kept": {"kept"}, "another's": {"*"}} {
				k, keyErr := tx.APIKeyByHash(ctx, name)
				if keyErr != nil || !slices.Equal(k.Envs, want) {
					t.Errorf("%s: %q, %v", name, k.Envs, keyErr)
				}
			}
			for _, name := range []string{"terminal", "lost"} {
				if _, keyErr := tx.APIKeyByHash(ctx, name); !errors.Is(keyErr, store.ErrNotFound) {
					t.Errorf("%s still works: %v", name, keyErr)
				}
			}
			return err
		})
	})
}

// An environment that was removed stands in nobody's list, so that whoever reaches the rest
// of a list may change it; and a list of which nothing is left is not one of everything.
func TestT25_ARemovedEnvironmentStandsInNobodysList(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, other := storetest.Seed(t, s), storetest.Seed(t, s)
		gone := f.Env.ID
		lists := map[string][2][]string{"all": {{"*"}, {"*"}}, "both": {{"a", gone, "b"}, {"a", "b"}}, "it": {{gone}, {}}, "another": {{"a"}, {"a"}}, "all and it": {{"*", gone}, {"*"}}}
		ids := map[string]string{}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			for name, l := range lists {
				who := store.Staff{Org: f.Org.ID, ID: name + f.Org.ID, Name: name, Mail: name, Role: store.RoleAdmin, Envs: l[0]}
				k, err := tx.CreateAPIKey(ctx, store.APIKey{Org: f.Org.ID, Name: name, Hash: name, Role: store.RoleUser, Envs: l[0], Enabled: true})
				if err := errors.Join(err, tx.AddStaff(ctx, &who)); err != nil {
					return err
				}
				ids[name] = k.ID
			}
			who := store.Staff{Org: other.Org.ID, ID: "foreign", Name: "foreign", Mail: "foreign", Role: store.RoleAdmin, Envs: []string{gone}}
			return errors.Join(tx.AddStaff(ctx, &who), tx.DeleteEnvironment(ctx, gone))
		})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			for name, l := range lists {
				who, err := tx.Staff(ctx, f.Org.ID, name+f.Org.ID)
				k, keyErr := tx.APIKey(ctx, f.Org.ID, ids[name])
				if err != nil || keyErr != nil || !slices.Equal(who.Envs, l[1]) || !slices.Equal(k.Envs, l[1]) || k.Enabled != (len(l[1]) > 0) {
					t.Errorf("%s: works in %q; key for %q, %v (%v, %v)", name, who.Envs, k.Envs, k.Enabled, err, keyErr)
				}
				if len(l[1]) == 0 && (who.Envs == nil || who.Reaches(gone) || who.Reaches("a") || who.Reaches(store.AllEnvs) || k.Admits("a") || k.Admits(store.AllEnvs)) {
					t.Errorf("%s reaches something: %#v %#v", name, who.Envs, k.Envs)
				}
			}
			foreign, err := tx.Staff(ctx, other.Org.ID, "foreign")
			if !slices.Equal(foreign.Envs, []string{gone}) {
				t.Errorf("another organisation's: %q", foreign.Envs)
			}
			return err
		})
	})
}

// Nor may a key that somebody made do more than they may.
func TestT25_WhoIsGivenALesserRoleHasNoGreaterOneByTheirKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		who := store.Staff{Org: f.Org.ID, ID: store.NewID(), Name: "Ann", Mail: "ann@example.com", Role: store.RoleOwner}
		ids := map[string]string{}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AddStaff(ctx, &who); err != nil {
				return err
			}
			for name, by := range map[string]string{"owner": who.ID, "admin": who.ID, "limited": who.ID, "another's": "ben"} {
				role := map[string]string{"another's": store.RoleOwner}[name]
				made, err := tx.CreateAPIKey(ctx, store.APIKey{Org: f.Org.ID, Name: name, Hash: name, Role: cmp.Or(role, name), Envs: []string{"*"}, Enabled: true, CreatedBy: by})
				if err != nil {
					return err
				}
				ids[name] = made.ID
			}
			return nil
		})
		var less []string
		do(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			less, err = tx.SetStaffRole(ctx, f.Org.ID, who.ID, store.RoleUser, time.Time{})
			return err
		})
		if want := []string{ids["owner"], ids["admin"]}; !sameSet(less, want) {
			t.Errorf("these may do less: %q, want %q", less, want)
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			for name, want := range map[string]string{"owner": store.RoleUser, "admin": store.RoleUser, "limited": store.RoleLimited, "another's": store.RoleOwner} {
				if k, err := tx.APIKeyByHash(ctx, name); err != nil || k.Role != want {
					t.Errorf("%s: %q, %v", name, k.Role, err)
				}
			}
			return nil
		})
	})
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
