package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// What people recovered with goes when their account does: whoever gets the same
// immutable id later does not inherit it.
func TestFactorsGoWithTheAccountThatLeftTheDirectory(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		at := time.Now()
		c.Now = func() time.Time { return at }
		s := storetest.Open(t, c)
		f := storetest.Seed(t, s)
		f.Accounts(t, s, protocol.Account{ID: "1", Name: "Ada"}, protocol.Account{ID: "2", Name: "Bob"})
		leaver := factor(t, s, f, "totp")
		stays := store.Factor{Env: f.Env.ID, ID: store.NewID(), Directory: f.Directory.ID, Account: "2", Kind: "totp"}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AddFactor(ctx, &stays); err != nil {
				return err
			}
			return tx.SweepAccounts(ctx, f.Env.ID, f.Directory.ID, []string{"1"})
		})
		left := func() (ids []string) {
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.PurgeAccounts(ctx); err != nil {
					return err
				}
				for _, account := range []string{"1", "2"} {
					all, err := tx.Factors(ctx, f.Env.ID, f.Directory.ID, account)
					if err != nil {
						return err
					}
					for _, row := range all {
						ids = append(ids, row.ID)
					}
				}
				return nil
			})
			return ids
		}
		if got := left(); len(got) != 2 {
			t.Errorf("while the account may come back: %v", got)
		}
		at = at.Add(31 * 24 * time.Hour)
		if got := left(); len(got) != 1 || got[0] != stays.ID {
			t.Errorf("%v, %s is gone", got, leaver.ID)
		}
	})
}
