package store_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestT04_OfSeveralNodesOneRecordsTheBundle(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		for _, hash := range []string{"one", "one again", "one"} {
			var changes atomic.Int32
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					var changed bool
					err := s.Tx(t.Context(), func(tx *store.Tx) (err error) {
						changed, err = tx.RecordBundle(t.Context(), f.Env.ID, hash)
						return err
					})
					if err != nil {
						t.Error(err)
					}
					if changed {
						changes.Add(1)
					}
				})
			}
			wg.Wait()
			if n := changes.Load(); n != 1 {
				t.Errorf("%s: %d nodes recorded it", hash, n)
			}
			if err := s.Read(t.Context(), func(tx *store.Tx) error {
				b, err := tx.Bundle(t.Context(), f.Env.ID)
				if b.Hash != hash || b.Since.IsZero() {
					t.Errorf("recorded: %+v", b)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
