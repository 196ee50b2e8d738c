package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestAnEnvironmentKeepsWhomItTrustsAndWhoItIs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if all, err := tx.TrustSources(ctx, f.Env.ID); err != nil || len(all) != 0 {
				t.Errorf("trust list ships with %d sources (%v)", len(all), err)
			}
			source := store.TrustSource{Env: f.Env.ID, Kind: store.TrustVICAL, Name: "list", Body: []byte{0xd2, 0}, Root: []byte("root"), DocTypes: []string{"a", "b"}}
			if err := tx.AddTrustSource(ctx, &source); err != nil {
				return err
			}
			got, err := tx.TrustSource(ctx, f.Env.ID, source.ID)
			if err != nil || got.Kind != source.Kind || !slices.Equal(got.Body, source.Body) || string(got.Root) != "root" || !slices.Equal(got.DocTypes, source.DocTypes) {
				t.Errorf("%+v %v", got, err)
			}
			w := store.WalletSigner{Env: f.Env.ID, Host: "recover.example.com", Chain: []byte("chain"), Private: []byte("canary-signer"), EndsAt: s.Now().Add(time.Hour).Truncate(time.Millisecond)}
			if err := tx.SetWalletSigner(ctx, w); err != nil {
				return err
			}
			w.Given, w.Private = true, []byte("another")
			if err := tx.SetWalletSigner(ctx, w); err != nil {
				return err
			}
			signer, err := tx.WalletSigner(ctx, f.Env.ID, w.Host)
			if err != nil || !signer.Given || string(signer.Private) != "another" || !signer.EndsAt.Equal(w.EndsAt) {
				t.Errorf("%+v %v", signer, err)
			}
			return nil
		})
	})
}

// T13: a question is fetched once, answered once and redeemed once, in that order.
func TestT13_AQuestionToAWalletIsFetchedAnsweredAndRedeemedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		e := store.WalletExchange{Env: f.Env.ID, ID: "answer", Request: "request", Verification: "v", Private: []byte("key"), ExpiresAt: s.Now().Add(time.Minute)}
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.OpenWalletExchange(ctx, e) })
		conflict := func(what string, fn func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			if err := s.Tx(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) }); !errors.Is(err, store.ErrConflict) {
				t.Errorf("%s: %v", what, err)
			}
		}
		answer := func(ctx context.Context, tx *store.Tx) error {
			return tx.AnswerWallet(ctx, e.Env, e.ID, []byte("answer"))
		}
		fetch := func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.FetchWalletRequest(ctx, e.Env, e.Request)
			return err
		}
		redeem := func(ctx context.Context, tx *store.Tx) error { return tx.RedeemWallet(ctx, e.Env, e.ID) }
		conflict("answered before it was fetched", answer)
		conflict("redeemed before it was answered", redeem)
		do(t, s, fetch)
		conflict("fetched twice", fetch)
		do(t, s, answer)
		conflict("answered twice", answer)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.WalletExchange(ctx, e.Env, e.ID)
			if string(got.Answer) != "answer" || string(got.Private) != "key" {
				t.Errorf("%+v", got)
			}
			return err
		})
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if s.Tx(t.Context(), func(tx *store.Tx) error { return redeem(t.Context(), tx) }) == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 200 redemptions succeeded", won.Load())
		}
	})
}

func TestAQuestionThatHasEndedIsNeitherFetchedNorKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			e := store.WalletExchange{Env: f.Env.ID, ID: "a", Request: "r", Verification: "v", ExpiresAt: s.Now().Add(-time.Second)}
			if err := tx.OpenWalletExchange(ctx, e); err != nil {
				return err
			}
			if _, err := tx.FetchWalletRequest(ctx, e.Env, e.Request); !errors.Is(err, store.ErrConflict) {
				t.Errorf("fetched: %v", err)
			}
			if err := tx.PurgeWalletExchanges(ctx); err != nil {
				return err
			}
			e.ExpiresAt = s.Now().Add(time.Hour)
			return errors.Join(tx.OpenWalletExchange(ctx, e), tx.OpenWalletExchange(ctx, e)) // the second takes the first's place
		})
	})
}
