package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestALookSeesWhatWasCommittedBeforeIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		look := func() (store.Directory, error) {
			return store.Look(t.Context(), s, func(tx *store.Tx) (store.Directory, error) {
				return tx.Directory(t.Context(), f.Env.ID, f.Directory.ID)
			})
		}
		for _, name := range []string{"one", "two", "three"} {
			f.Directory.Name = name
			if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.UpdateDirectory(t.Context(), f.Directory) }); err != nil {
				t.Fatal(err)
			}
			if d, err := look(); err != nil || d.Name != name {
				t.Errorf("%q, %v; want %q", d.Name, err, name)
			}
		}
		f.Directory.ID = store.NewID()
		if _, err := look(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("nothing there: %v", err)
		}
	})
}

func TestALookIsOneQueryAndChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		_, err := store.Look(t.Context(), s, func(tx *store.Tx) (store.Directory, error) {
			if _, err := tx.Directory(t.Context(), f.Env.ID, f.Directory.ID); err != nil {
				t.Error(err)
			}
			return tx.Directory(t.Context(), f.Env.ID, f.Directory.ID)
		})
		if err == nil {
			t.Error("a second query saw another state, and nobody said so")
		}
		_, err = store.Look(t.Context(), s, func(tx *store.Tx) (d store.Directory, err error) {
			return d, tx.UpdateDirectory(t.Context(), f.Directory)
		})
		if err == nil {
			t.Error("it wrote")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = store.Look(ctx, s, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(ctx, f.Env.ID, f.Directory.ID) })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("whose caller has left: %v", err)
		}
	})
}
