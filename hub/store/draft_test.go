package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestADraftHappensAsAWholeOrNotAtAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, boom := t.Context(), errors.New("boom")
		draft := func(value string, end error) error {
			return s.Draft(ctx, func(tx *store.Tx) error {
				return errors.Join(tx.SetSetting(ctx, "a", value), tx.SetSetting(ctx, "b", value), end)
			})
		}
		if err := draft("1", boom); !errors.Is(err, boom) || setting(t, s, "a")+setting(t, s, "b") != "" {
			t.Fatalf("error %v, rows %q, %q", err, setting(t, s, "a"), setting(t, s, "b"))
		}
		func() {
			defer func() { _ = recover() }()
			_ = s.Draft(ctx, func(tx *store.Tx) error { panic(tx.SetSetting(ctx, "a", "3")) })
		}()
		if err := draft("2", nil); err != nil || setting(t, s, "a")+setting(t, s, "b") != "22" {
			t.Fatalf("error %v, rows %q, %q", err, setting(t, s, "a"), setting(t, s, "b"))
		}
	})
}

// Drafts go with transactions of others, before and after them, and none is lost.
func TestDraftsAndTransactionsGoTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var wg sync.WaitGroup
		for i := range 8 {
			run := s.Tx
			if i%2 == 0 {
				run = s.Draft
			}
			wg.Go(func() {
				for n := range 20 {
					name := fmt.Sprint("drafted ", i, " ", n)
					err := run(t.Context(), func(tx *store.Tx) error { return tx.SetSetting(t.Context(), name, "yes") })
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
		wg.Wait()
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			var n int
			err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM settings WHERE name LIKE 'drafted %'")
			if n != 160 {
				t.Errorf("%d of 160 were kept", n)
			}
			return err
		})
	})
}
