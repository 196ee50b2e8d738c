package store_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
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
		secrets, err := s.WebhookSecrets(ctx, env)
		if err != nil || secrets.Former != "" || !regexp.MustCompile(`^webhook-[0-9a-f]{64}$`).MatchString(secrets.Present) {
			t.Fatalf("secrets %+v, %v", secrets, err)
		}
		if again, err := s.WebhookSecrets(ctx, env); err != nil || again != secrets {
			t.Errorf("the second call gave %+v, %v", again, err)
		}
		renew(t, s, env, time.Hour)
		for _, q := range []string{`SELECT secret FROM webhook_secrets`, `SELECT former FROM webhook_secrets`, `SELECT authorization_header FROM webhooks`} {
			cells, err := store.Get(ctx, s, func(tx *store.Tx) ([]string, error) { return store.All(ctx, tx, store.Text, q) })
			if err != nil || len(cells) != 1 || cells[0] == "" {
				t.Fatal(cells, err)
			}
			if regexp.MustCompile(`canary|webhook-`).MatchString(cells[0]) {
				t.Errorf("%s shows %q", q, cells[0])
			}
		}
	})
}

func renew(t *testing.T, s *store.Store, env string, keep time.Duration) store.WebhookSecrets {
	t.Helper()
	w, err := store.Change(t.Context(), s, func(tx *store.Tx) (store.WebhookSecrets, error) { return tx.RenewWebhookSecret(t.Context(), env, keep) })
	if err != nil {
		t.Fatal(err)
	}
	if now, err := s.WebhookSecrets(t.Context(), env); err != nil || now.Present != w.Present || now.Former != w.Former {
		t.Errorf("renewed %+v, then %+v, %v", w, now, err)
	}
	return w
}

func TestTheFormerWebhookSecretLivesAsLongAsItWasSaid(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		now := time.Now()
		c.Now = func() time.Time { return now }
		s := storetest.Open(t, c)
		env := storetest.Seed(t, s).Env.ID
		first := renew(t, s, env, time.Hour)
		if first.Former != "" {
			t.Errorf("the first secret replaced %q", first.Former)
		}
		second := renew(t, s, env, time.Hour)
		if second.Former != first.Present || second.Present == first.Present || second.FormerUntil.Sub(now).Abs() > time.Hour+time.Second {
			t.Errorf("%+v after %+v", second, first)
		}
		now = now.Add(time.Hour + time.Millisecond)
		if w, err := s.WebhookSecrets(t.Context(), env); err != nil || w.Present != second.Present || w.Former != "" {
			t.Errorf("an hour later: %+v, %v", w, err)
		}
		if third := renew(t, s, env, 0); third.Former != "" {
			t.Errorf("nothing was to be kept: %+v", third)
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
				if err := tx.AddDelivery(ctx, store.Delivery{Env: env, Webhook: hook, Event: "directory_provider_err", Body: "{}"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		taken := claimAtOnce(ctx, t, s, hook, 8)
		if len(taken) != many {
			t.Errorf("%d claims of %d deliveries", len(taken), many)
		}
		d := taken[0]
		err = s.Tx(ctx, func(tx *store.Tx) error {
			return tx.FinishTry(ctx, d, store.Try{Attempt: store.Attempt{Status: 500}, Next: tx.Now().Add(time.Hour)})
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Tx(ctx, func(tx *store.Tx) error { return tx.FinishTry(ctx, d, store.Try{Attempt: store.Attempt{Status: 200}}) })
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("a try that another node finished: %v", err)
		}
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, env, hook) }); err != nil {
			t.Fatal(err)
		}
		left, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) {
			return tx.Deliveries(ctx, env, store.DeliveryFilter{}, 0, 100)
		})
		if err != nil || len(left) != 0 {
			t.Errorf("%d deliveries outlive their webhook, %v", len(left), err)
		}
	})
}

// claimAtOnce lets nodes claim until nothing is left and returns what they got.
func claimAtOnce(ctx context.Context, t *testing.T, s *store.Store, hook string, nodes int) []store.Delivery {
	t.Helper()
	var mu sync.Mutex
	var all []store.Delivery
	var wg sync.WaitGroup
	for range nodes {
		wg.Go(func() {
			for {
				due, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) { return tx.DueDeliveries(ctx, hook, 3) })
				if err != nil || len(due) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				got, err := store.Change(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) {
					return tx.ClaimDeliveries(ctx, due, tx.Now().Add(time.Minute))
				})
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
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

// due lists what may be tried of a webhook now, by its body.
func due(t *testing.T, s *store.Store, hook string) (bodies []string, all []store.Delivery) {
	t.Helper()
	all, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Delivery, error) { return tx.DueDeliveries(t.Context(), hook, 100) })
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		bodies = append(bodies, d.Body)
	}
	slices.Sort(bodies)
	return bodies, all
}

func finish(t *testing.T, s *store.Store, d store.Delivery, next time.Time) {
	t.Helper()
	err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.FinishTry(t.Context(), d, store.Try{Next: next}) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatTellsOfOnePersonOrTraceWaitsForWhatCameBefore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		hook, other := addWebhook(t, s, store.Webhook{Env: env, URL: "https://a.example"}), addWebhook(t, s, store.Webhook{Env: env, URL: "https://b.example"})
		err := s.Tx(ctx, func(tx *store.Tx) error {
			for _, d := range []store.Delivery{
				{Body: "1", Trace: "r1"}, {Body: "2", Trace: "r1", Person: "ada"}, {Body: "3", Trace: "r2", Person: "ada"}, {Body: "4", Trace: "r3", Person: "bob"}, {Body: "5"}, {Body: "6"},
				{Body: "7", Trace: "r1", Webhook: other},
			} {
				d.Env, d.Event = env, "request"
				if d.Webhook == "" {
					d.Webhook = hook
				}
				if err := tx.AddDelivery(ctx, d); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := func(when string, bodies ...string) []store.Delivery {
			t.Helper()
			got, all := due(t, s, hook)
			if !slices.Equal(got, bodies) {
				t.Fatalf("%s: due are %q, want %q", when, got, bodies)
			}
			return all
		}
		all := want("at first", "1", "4", "5", "6")
		i := slices.IndexFunc(all, func(d store.Delivery) bool { return d.Body == "1" })
		claimed, err := store.Change(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) {
			return tx.ClaimDeliveries(ctx, all[i:i+1], tx.Now().Add(time.Minute))
		})
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		want("while the first is under way", "4", "5", "6")
		finish(t, s, claimed[0], time.Now().Add(time.Hour))
		want("while the first is to be tried again", "4", "5", "6")
		d, err := store.Get(ctx, s, func(tx *store.Tx) (store.Delivery, error) { return tx.Delivery(ctx, env, claimed[0].ID) })
		if err != nil {
			t.Fatal(err)
		}
		finish(t, s, d, time.Time{})
		all = want("when it is finished", "2", "4", "5", "6")
		finish(t, s, all[slices.IndexFunc(all, func(d store.Delivery) bool { return d.Body == "2" })], time.Time{})
		want("when the next of the person is finished", "3", "4", "5", "6")
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.ReplayDelivery(ctx, env, d.ID) }); err != nil {
			t.Fatal(err)
		}
		want("a replay is the last of its trace", "1", "3", "4", "5", "6")
		if got, _ := due(t, s, other); !slices.Equal(got, []string{"7"}) {
			t.Errorf("another webhook waits too: %q", got)
		}
		err = s.Tx(ctx, func(tx *store.Tx) error { return tx.ReplayDelivery(ctx, env, d.ID) })
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("a second replay before the first: %v", err)
		}
	})
}

// It is finished like one that nobody took, keeps what it holds, and opens again when its
// key is back.
func TestADeliveryThatDoesNotOpenHoldsUpNoOtherAndMayBeReplayed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		hook := addWebhook(t, s, store.Webhook{Env: env, URL: "https://a.example"})
		err := s.Tx(ctx, func(tx *store.Tx) error {
			var errs []error
			for _, body := range []string{"changed", "keyless", "sound"} {
				errs = append(errs, tx.AddDelivery(ctx, store.Delivery{Env: env, Webhook: hook, Body: body}))
			}
			return errors.Join(errs...)
		})
		if err != nil {
			t.Fatal(err)
		}
		_, all := due(t, s, hook)
		ids := map[string]string{}
		for _, d := range all {
			ids[d.Body] = d.ID
		}
		spoil(t, s, "webhook_deliveries", "content", ids)
		bodies, all := due(t, s, hook)
		if !slices.Equal(bodies, []string{"", "", "sound"}) {
			t.Fatalf("due are %q", bodies)
		}
		for _, d := range all {
			if (d.Err == nil) != (d.Body == "sound") || errors.Is(d.Err, store.ErrMasterKey) != (d.ID == ids["keyless"]) {
				t.Errorf("%q: %v", d.Body, d.Err)
			}
			if d.Err != nil {
				finishWith(t, s, d, "unread")
			}
		}
		if bodies, _ := due(t, s, hook); !slices.Equal(bodies, []string{"sound"}) {
			t.Errorf("afterwards %q are due", bodies)
		}
		d := failedOnce(t, s, env, ids["keyless"])
		if err := s.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE webhook_deliveries SET content = substr(content, 2) WHERE id = $1", d.ID)
			return errors.Join(err, tx.ReplayDelivery(ctx, env, d.ID))
		}); err != nil {
			t.Fatal(err)
		}
		_, all = due(t, s, hook)
		d = all[slices.IndexFunc(all, func(d store.Delivery) bool { return d.ID == ids["keyless"] })]
		if d.Body != "keyless" || len(d.Attempts) != 1 {
			t.Errorf("with its key: %+v", d)
		}
	})
}

func finishWith(t *testing.T, s *store.Store, d store.Delivery, why string) {
	t.Helper()
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.FinishTry(t.Context(), d, store.Try{Attempt: store.Attempt{Error: why}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// failedOnce returns a delivery that stands among those that failed, with its reason.
func failedOnce(t *testing.T, s *store.Store, env, id string) store.Delivery {
	t.Helper()
	all, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Delivery, error) {
		return tx.Deliveries(t.Context(), env, store.DeliveryFilter{State: store.DeliveryFailed}, 0, 10)
	})
	i := slices.IndexFunc(all, func(d store.Delivery) bool { return d.ID == id })
	if err != nil || i < 0 || len(all[i].Attempts) != 1 || all[i].Attempts[0].Error != "unread" {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[i]
}

func TestErasingAPersonErasesWhatWebhooksWereTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		hook := addWebhook(t, s, store.Webhook{Env: env, URL: "https://a.example"})
		err := s.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.NeedPersonKey(ctx, env, "ada")
			return errors.Join(err, tx.AddDelivery(ctx, store.Delivery{Env: env, Webhook: hook, Person: "ada", Body: "canary of ada"}),
				tx.AddDelivered(ctx, store.Delivery{ID: "done", Env: env, Webhook: hook, Person: "ada", Body: "canary of ada"}, store.Try{Attempt: store.Attempt{Status: 200, Body: "canary of ada"}}),
				tx.AddDelivery(ctx, store.Delivery{Env: env, Webhook: hook, Person: "bob", Body: "of bob"}))
		})
		if err != nil {
			t.Fatal(err)
		}
		cells, err := store.Get(ctx, s, func(tx *store.Tx) ([]string, error) {
			return store.All(ctx, tx, store.Text, `SELECT body || attempts || content FROM webhook_deliveries`)
		})
		if err != nil || len(cells) != 3 || strings.Contains(strings.Join(cells, ""), "canary") {
			t.Errorf("stored: %q, %v", cells, err)
		}
		_, before := due(t, s, hook)
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.ErasePersonKey(ctx, env, "ada") }); err != nil {
			t.Fatal(err)
		}
		if got, _ := due(t, s, hook); !slices.Equal(got, []string{"of bob"}) {
			t.Errorf("due: %q", got)
		}
		all, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) {
			return tx.Deliveries(ctx, env, store.DeliveryFilter{}, 0, 10)
		})
		for _, d := range all {
			if gone := d.Person == "ada"; d.Erased != gone || gone != (d.Body == "") || gone && (len(d.Attempts) > 0 || !d.NextAt.IsZero()) {
				t.Errorf("%+v", d)
			}
		}
		if len(all) != 3 || err != nil {
			t.Error(len(all), err)
		}
		for _, d := range before { // a try that was under way does not bring it back
			if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.FinishTry(ctx, d, store.Try{}) }); (d.Person == "ada") != errors.Is(err, store.ErrConflict) {
				t.Errorf("%s: %v", d.Person, err)
			}
		}
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.ReplayDelivery(ctx, env, "done") }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("replay of what was erased: %v", err)
		}
	})
}

// The states that a list is narrowed by are those that a delivery says of itself.
func TestADeliveryIsListedUnderTheStateThatItSays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		hook := addWebhook(t, s, store.Webhook{Env: env, URL: "https://example.com"})
		err := s.Tx(ctx, func(tx *store.Tx) error {
			for i, status := range []int{0, 100, 200, 204, 299, 300, 404, 503} {
				for _, again := range []bool{false, true} {
					d := store.Delivery{ID: store.NewID(), Env: env, Webhook: hook, Event: "share", Body: "{}"}
					if i%2 == 1 {
						d.Person = "ada"
					}
					if err := tx.AddDelivered(ctx, d, store.Try{Attempt: store.Attempt{Status: status}}); err != nil {
						return err
					}
					if again {
						if err := tx.ReplayDelivery(ctx, env, d.ID); err != nil {
							return err
						}
					}
				}
			}
			return tx.AddDelivery(ctx, store.Delivery{Env: env, Webhook: hook, Event: "share", Body: "{}"})
		})
		if err != nil {
			t.Fatal(err)
		}
		_, all := due(t, s, hook)
		finish(t, s, all[0], time.Now().Add(time.Hour)) // retrying
		check := func() (seen map[store.DeliveryState]int) {
			seen = map[store.DeliveryState]int{}
			list := func(f store.DeliveryFilter) []store.Delivery {
				all, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Delivery, error) { return tx.Deliveries(ctx, env, f, 0, 100) })
				if err != nil {
					t.Fatal(err)
				}
				return all
			}
			total := 0
			for _, state := range store.DeliveryStates {
				for _, d := range list(store.DeliveryFilter{State: state}) {
					if d.State() != state {
						t.Errorf("%s is listed as %s", d.State(), state)
					}
					seen[state]++
					total++
				}
			}
			if n := len(list(store.DeliveryFilter{})); n != total || n != 17 {
				t.Errorf("%d of %d have a state", total, n)
			}
			return seen
		}
		for _, state := range store.DeliveryStates[:4] {
			if check()[state] == 0 {
				t.Errorf("none is %s", state)
			}
		}
		err = s.Tx(ctx, func(tx *store.Tx) error {
			if _, err := tx.NeedPersonKey(ctx, env, "ada"); err != nil {
				return err
			}
			return tx.ErasePersonKey(ctx, env, "ada")
		})
		if err != nil {
			t.Fatal(err)
		}
		if seen := check(); seen[store.DeliveryErased] != 8 {
			t.Errorf("erased: %v", seen)
		}
	})
}
