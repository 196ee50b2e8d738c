package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/postern-id/postern/hub/store"
)

// A Shelf holds what was moved out of a store, by name. It is store.Shelf; nil is one that
// does not answer.
type Shelf map[string][]byte

// Object implements store.Shelf.
func (s Shelf) Object(_ context.Context, _, _, name string) ([]byte, error) {
	if s == nil {
		return nil, errors.New("storetest: the storage does not answer")
	}
	return s[name], nil
}

// Moved puts the pictures of an environment into a storage of its organisation's.
func Moved(t testing.TB, s *store.Store, env string) Shelf {
	t.Helper()
	kept := Shelf{}
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		if err := tx.SetStorage(t.Context(), env, []byte("{}")); err != nil {
			return err
		}
		for {
			due, _, err := tx.ImagesToMove(t.Context(), store.MoveFrom{})
			if err != nil || len(due) == 0 {
				return err
			}
			for _, image := range due {
				to, err := tx.PlanMove(t.Context(), image)
				if err != nil {
					return err
				}
				kept[to.Object] = to.Body
				if err := tx.ImageMoved(t.Context(), to); err != nil {
					return err
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}
