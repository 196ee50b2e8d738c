package store_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func addWebhook(t *testing.T, s *store.Store, w store.Webhook) string {
	t.Helper()
	id, err := store.Change(t.Context(), s, func(tx *store.Tx) (string, error) { return tx.AddWebhook(t.Context(), w) })
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWebhooksBelongToTheirEnvironment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env, other := t.Context(), storetest.Seed(t, s).Env.ID, storetest.Seed(t, s).Env.ID
		w := store.Webhook{Env: env, URL: "https://example.com/hook", Enabled: true, Events: []string{"recover"}, Authorization: "Bearer canary-5e1f"}
		w.ID = addWebhook(t, s, w)
		read := func(env string) []store.Webhook {
			t.Helper()
			all, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Webhook, error) { return tx.Webhooks(ctx, env) })
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		got := read(env)
		if len(got) != 1 || got[0].Authorization != w.Authorization || got[0].URL != w.URL || !slices.Equal(got[0].Events, w.Events) || !got[0].Enabled {
			t.Fatalf("webhooks = %+v", got)
		}
		if len(read(other)) != 0 {
			t.Error("another environment sees the webhook")
		}
		stranger := w
		stranger.Env = other
		err := s.Tx(ctx, func(tx *store.Tx) error { return tx.UpdateWebhook(ctx, stranger) })
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("update from another environment: %v", err)
		}
		err = s.Tx(ctx, func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, other, w.ID) })
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removal from another environment: %v", err)
		}
		w.Enabled, w.Authorization = false, ""
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.UpdateWebhook(ctx, w) }); err != nil {
			t.Fatal(err)
		}
		if got := read(env); got[0].Enabled || got[0].Authorization != "" {
			t.Errorf("after the update: %+v", got)
		}
	})
}

func TestT26_WebhookSecretsAreSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		addWebhook(t, s, store.Webhook{Env: env, URL: "https://example.com", Authorization: "Bearer canary-5e1f"})
		secret, err := s.WebhookSecret(ctx, env)
		if err != nil || !regexp.MustCompile(`^webhook-[0-9a-f]{64}$`).MatchString(secret) {
			t.Fatalf("secret %q, %v", secret, err)
		}
		if again, err := s.WebhookSecret(ctx, env); err != nil || again != secret {
			t.Errorf("the second call gave %q, %v", again, err)
		}
		for _, q := range []string{`SELECT secret FROM webhook_secrets`, `SELECT authorization_header FROM webhooks`} {
			cells, err := store.Get(ctx, s, func(tx *store.Tx) ([]string, error) { return store.All(ctx, tx, store.Text, q) })
			if err != nil || len(cells) != 1 {
				t.Fatal(cells, err)
			}
			if regexp.MustCompile(`canary|webhook-`).MatchString(cells[0]) {
				t.Errorf("%s shows %q", q, cells[0])
			}
		}
		renewed, err := store.Change(ctx, s, func(tx *store.Tx) (string, error) { return tx.RenewWebhookSecret(ctx, env) })
		if now, _ := s.WebhookSecret(ctx, env); err != nil || renewed == secret || now != renewed {
			t.Errorf("renewed %q, then %q, %v", renewed, now, err)
		}
	})
}

func TestADeliveryIsClaimedByOneNode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		hook := addWebhook(t, s, store.Webhook{Env: env, URL: "https://example.com"})
		const many = 20
		err := s.Tx(ctx, func(tx *store.Tx) error {
			for range many {
				if err := tx.AddDelivery(ctx, env, hook, "directory_provider_err", "{}"); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		taken := claimAtOnce(ctx, t, s, 8)
		if len(taken) != many {
			t.Errorf("%d claims of %d deliveries", len(taken), many)
		}
		d := taken[0]
		err = s.Tx(ctx, func(tx *store.Tx) error {
			return tx.FinishTry(ctx, d, store.Attempt{Status: 500}, tx.Now().Add(time.Hour))
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Tx(ctx, func(tx *store.Tx) error { return tx.FinishTry(ctx, d, store.Attempt{Status: 200}, time.Time{}) })
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("a try that another node finished: %v", err)
		}
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, env, hook) }); err != nil {
			t.Fatal(err)
		}
		left, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) { return tx.Deliveries(ctx, env, 100) })
		if err != nil || len(left) != 0 {
			t.Errorf("%d deliveries outlive their webhook, %v", len(left), err)
		}
	})
}

// claimAtOnce lets nodes claim until nothing is left and returns what they got.
func claimAtOnce(ctx context.Context, t *testing.T, s *store.Store, nodes int) []store.Delivery {
	t.Helper()
	var mu sync.Mutex
	var all []store.Delivery
	var wg sync.WaitGroup
	for range nodes {
		wg.Go(func() {
			for {
				got, err := store.Change(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) {
					return tx.ClaimDeliveries(ctx, 3, tx.Now().Add(time.Minute))
				})
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
				if err == nil && len(got) == 0 {
					return
				}
				mu.Lock()
				all = append(all, got...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}
