package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// factor adds one factor of an account of f.
func factor(t *testing.T, s *store.Store, f storetest.Fixture, kind string) store.Factor {
	t.Helper()
	row := store.Factor{Env: f.Env.ID, ID: store.NewID(), Directory: f.Directory.ID, Account: "1", Kind: kind, Label: "mine",
		Secret: []byte("canary-seed-" + kind), EnrolledBy: []string{"mail_code"}}
	do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddFactor(ctx, &row) })
	return row
}

func TestAFactorIsKeptAsItWasMadeAndCountsOnceConfirmedAndDue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		row := factor(t, s, f, "totp")
		now := s.Now()
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.Factor(ctx, row.Env, row.ID)
			if err != nil || string(got.Secret) != "canary-seed-totp" || !slices.Equal(got.EnrolledBy, row.EnrolledBy) || got.Counts(now.Add(time.Hour)) {
				t.Errorf("%+v %v", got, err)
			}
			got.ActiveAt = now.Add(72 * time.Hour)
			if err := tx.ConfirmFactor(ctx, got); err != nil {
				return err
			}
			if err := tx.ConfirmFactor(ctx, got); !errors.Is(err, store.ErrConflict) {
				t.Errorf("confirmed twice: %v", err)
			}
			if got.Counts(now.Add(72*time.Hour-time.Second)) || !got.Counts(now.Add(72*time.Hour)) {
				t.Error("T17: it does not wait 72 hours")
			}
			return nil
		})
	})
}

// P7: of 200 parallel uses of one saved code, or of one step of a totp, one succeeds.
func TestP07_OfTwoHundredUsesAtOnceOneSucceeds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		row := factor(t, s, f, "saved_code")
		var code store.SavedCode
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AddSavedCode(ctx, row.Env, row.ID, "hash"); err != nil {
				return err
			}
			codes, err := tx.SavedCodes(ctx, row.Env, row.ID)
			if err == nil {
				code = codes[0]
			}
			return err
		})
		for _, x := range []struct {
			name string
			use  func(tx *store.Tx) error
		}{
			{"code", func(tx *store.Tx) error { return tx.UseSavedCode(t.Context(), row.Env, code.ID, "v") }},
			{"replacement", func(tx *store.Tx) error { return tx.ReplaceSavedCode(t.Context(), row.Env, code.ID, "v", "new") }},
			{"step", func(tx *store.Tx) error { return tx.UseStep(t.Context(), row.Env, row.ID, 57) }},
		} {
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() {
					switch err := s.Tx(t.Context(), x.use); {
					case err == nil:
						won.Add(1)
					case !errors.Is(err, store.ErrConflict):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%s: %d of 200 succeeded", x.name, won.Load())
			}
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.UseStep(ctx, row.Env, row.ID, 56); !errors.Is(err, store.ErrConflict) {
				t.Errorf("an earlier step: %v", err)
			}
			return nil
		})
	})
}

func TestConfirmationsAreCountedAndForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		waiting, kept := factor(t, s, f, "mail"), factor(t, s, f, "totp")
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range 6 {
				if err := tx.TryFactor(ctx, waiting.Env, waiting.ID, 5); (err == nil) != (i < 5) {
					t.Errorf("try %d: %v", i, err)
				}
			}
			kept.ActiveAt = tx.Now()
			if err := errors.Join(tx.ConfirmFactor(ctx, kept), tx.PurgeFactors(ctx, tx.Now().Add(time.Hour))); err != nil {
				return err
			}
			all, err := tx.Factors(ctx, f.Env.ID, f.Directory.ID, "1")
			if len(all) != 1 || all[0].ID != kept.ID {
				t.Errorf("%+v", all)
			}
			return err
		})
	})
}

func TestACredentialBelongsToOneFactorOfAnEnvironment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, other := storetest.Seed(t, s), storetest.Seed(t, s)
		for i, fixture := range []storetest.Fixture{f, f, other} {
			row := factor(t, s, fixture, "passkey")
			row.Credential, row.ActiveAt = "one credential", s.Now()
			err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.ConfirmFactor(t.Context(), row) })
			if want := i == 1; errors.Is(err, store.ErrConflict) != want || (err != nil) != want {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

// T26: a seed copied to another row does not open, and stands nowhere in clear.
func TestT26_SeedsOfFactorsOpenOnlyInTheirRow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		a, b := factor(t, s, f, "totp"), factor(t, s, f, "totp")
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			var sealed string
			if err := tx.Row(ctx, []any{&sealed}, `SELECT secret FROM factors WHERE env = $1 AND id = $2`, a.Env, a.ID); err != nil {
				return err
			}
			if strings.Contains(sealed, "canary") {
				t.Error("in clear")
			}
			if _, err := tx.Exec(ctx, `UPDATE factors SET secret = $3 WHERE env = $1 AND id = $2`, b.Env, b.ID, sealed); err != nil {
				return err
			}
			if _, err := tx.Factor(ctx, b.Env, b.ID); err == nil {
				t.Error("opens in another row")
			}
			return nil
		})
	})
}
