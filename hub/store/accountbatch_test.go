package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// crowd are writes of new accounts.
func crowd(from, n int) (all []store.AccountWrite) {
	for i := from; i < from+n; i++ {
		a := protocol.Account{ID: fmt.Sprint(i), Name: fmt.Sprint("P", i), Identifiers: []string{fmt.Sprintf("p%d@corp.example", i)},
			Groups: []protocol.Group{{ID: "g", Name: "G"}}}
		all = append(all, store.AccountWrite{Account: a, Digest: store.AccountDigest(a)})
	}
	return all
}

// Whether the guess was right shows in the time alone.
func TestPreparedAccountsAreWrittenWhateverWasGuessed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, ctx := storetest.Seed(t, s), t.Context()
		next, err := store.Get(ctx, s, func(tx *store.Tx) (int64, error) { return tx.NextAccount(ctx) })
		if err != nil {
			t.Fatal(err)
		}
		one, after := s.PrepareAccounts(f.Env.ID, f.Directory.ID, 1, next, crowd(0, 30))
		two, after := s.PrepareAccounts(f.Env.ID, f.Directory.ID, 1, after, crowd(30, 30))
		late, _ := s.PrepareAccounts(f.Env.ID, f.Directory.ID, 1, after, crowd(60, 30)) // somebody comes between
		wrong, _ := s.PrepareAccounts(f.Env.ID, f.Directory.ID, 1, 1_000_000, crowd(90, 30))
		none, _ := s.PrepareAccounts(f.Env.ID, f.Directory.ID, 1, 0, crowd(120, store.MaxPrepared+1))
		for i, b := range []*store.AccountBatch{one, two, nil, late, wrong, none} {
			err := s.Tx(ctx, func(tx *store.Tx) error {
				if b == nil {
					return tx.PutAccounts(ctx, f.Env.ID, f.Directory.ID, 1, crowd(5000, 1))
				}
				return tx.PutPrepared(ctx, b)
			})
			if err != nil {
				t.Fatalf("batch %d: %v", i, err)
			}
		}
		err = s.Read(ctx, func(tx *store.Tx) error {
			d, err := tx.Directory(ctx, f.Env.ID, f.Directory.ID)
			n, errCount := tx.CountAccounts(ctx, f.Env.ID, f.Directory.ID)
			if want := 120 + store.MaxPrepared + 2; n != want || d.Sync.Count != want {
				t.Errorf("%d accounts, %d counted, want %d", n, d.Sync.Count, want)
			}
			for _, i := range []int{0, 45, 75, 105, 120, 5000} {
				found, err := tx.FindAccounts(ctx, f.Env.ID, fmt.Sprintf("P%d@corp.example", i))
				if err != nil || len(found) != 1 || found[0].ImmutableID != fmt.Sprint(i) {
					t.Errorf("%d: %v, %v", i, found, err)
				}
			}
			return errors.Join(err, errCount)
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestT25_PreparedAccountsGoToNobodyElsesDirectory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		mine, theirs, ctx := storetest.Seed(t, s), storetest.Seed(t, s), t.Context()
		for _, next := range []int64{0, 1} {
			b, _ := s.PrepareAccounts(mine.Env.ID, theirs.Directory.ID, 1, next, crowd(0, 3))
			if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.PutPrepared(ctx, b) }); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("guessed %d: %v", next, err)
			}
		}
	})
}
