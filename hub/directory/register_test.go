package directory_test

import (
	"context"
	"errors"
	"testing"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestRegisteredDirectoryHasAKeyOfItsOwnAndLearnsItsName(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		register := func(kind, name string) (d store.Directory, err error) {
			return store.Change(t.Context(), s, func(tx *store.Tx) (store.Directory, error) {
				return directory.Register(t.Context(), tx, f.Env.ID, kind, name)
			})
		}
		if _, err := register("okta", "x"); !errors.Is(err, directory.ErrKind) {
			t.Errorf("a cloud kind: %v", err)
		}
		a, errA := register("ad", "")
		b, errB := register("ldap", "Staff")
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		key := func(id string) string {
			k, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]byte, error) { return tx.BirthDateKey(t.Context(), f.Env.ID, id) })
			if err != nil || len(k) != 32 {
				t.Fatal(len(k), err)
			}
			return string(k)
		}
		if key(a.ID) == key(b.ID) {
			t.Error("two directories share a key")
		}
		bench := newBench(t, s, newCompany(1))
		for id, name := range map[string]string{a.ID: "People", b.ID: "Staff"} {
			if _, err := bench.Describe(context.WithoutCancel(t.Context()), f.Env.ID, id); err != nil {
				t.Fatal(err)
			}
			d, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(t.Context(), f.Env.ID, id) })
			if err != nil || d.Name != name || !d.Traits.CanUnlock {
				t.Errorf("%+v %v", d, err)
			}
		}
	})
}
