package directory_test

import (
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestADirectoryWithoutANameLearnsItFromItsAgent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		bench := newBench(t, s, newCompany(1))
		for given, want := range map[string]string{"": "People", "Staff": "Staff"} {
			made, err := store.Change(t.Context(), s, func(tx *store.Tx) (store.Directory, error) {
				return tx.CreateDirectory(t.Context(), store.Directory{Env: f.Env.ID, Kind: "ldap", Name: given})
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bench.Describe(t.Context(), f.Env.ID, made.ID); err != nil {
				t.Fatal(err)
			}
			d, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(t.Context(), f.Env.ID, made.ID) })
			if err != nil || d.Name != want || !d.Traits.CanUnlock {
				t.Errorf("%q: %+v %v", given, d, err)
			}
		}
	})
}
