package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

var testNow = time.Unix(1800000000, 0)

func (b *bench) fail(t *testing.T, h *Hooks, text string) {
	t.Helper()
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		return h.DirectoryFailed(t.Context(), tx, b.env, DirectoryError{
			Directory: "dir", DirectoryKind: "custom", Action: protocol.ProviderAction(protocol.ActionUnlock, nil), Language: "de-CH,de;q=0.9", ExternalID: "acc", Trace: "op1", Error: text,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// failAt tells of an operation of its own.
func (b *bench) failAt(t *testing.T, h *Hooks, trace string) {
	t.Helper()
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		return h.DirectoryFailed(t.Context(), tx, b.env, DirectoryError{Directory: "dir", Trace: trace})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) history(t *testing.T) []store.Delivery {
	t.Helper()
	all, err := store.Get(t.Context(), b.store, func(tx *store.Tx) ([]store.Delivery, error) {
		return tx.Deliveries(t.Context(), b.env, store.DeliveryFilter{}, 0, 100)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// pass starts what is due and waits for it.
func pass(t *testing.T, h *Hooks) {
	t.Helper()
	r := newReceivers()
	if err := h.deliverDue(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.wg.Wait()
}

func TestDirectoryErrorsAreDeliveredAndRetriedFiveTimes(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c)
		r := b.listen(t, allowed+":0")
		r.answers(status(http.StatusInternalServerError))
		b.subscribe(t, r.url, DirectoryProviderErr)
		b.subscribe(t, r.url, Recover) // hears nothing of it
		h := b.hooks(t)
		b.fail(t, h, "agent: failed to list users")
		for range 12 {
			pass(t, h)
			b.now.Add(15_000) // every second look comes before the retry is due
		}
		got := r.requests()
		if len(got) != 1+retries {
			t.Fatalf("%d tries, want %d", len(got), 1+retries)
		}
		for _, q := range got {
			if q.header.Get("X-Nametag-ID") != got[0].header.Get("X-Nametag-ID") || string(q.body) != string(got[0].body) {
				t.Error("a retry differs from the first try")
			}
		}
		var body providerErr
		if err := json.Unmarshal(got[0].body, &body); err != nil || body.Action != "user_unlock" || body.EventType != DirectoryProviderErr ||
			body.OrgName != "Example" || body.EnvName != "production" || body.Context.ProviderRequestID != "op1" || body.Language != "de-CH,de;q=0.9" || body.Error != "agent: failed to list users" {
			t.Errorf("body = %s, %v", got[0].body, err)
		}
		if all := b.history(t); len(all) != 1 || all[0].Tries != 6 || len(all[0].Attempts) != 6 || all[0].Attempts[5].Status != 500 || all[0].Status != 500 || !all[0].NextAt.IsZero() {
			t.Errorf("history = %+v", all)
		}
	})
}

// Somebody changed one of two deliveries in the database: it failed, its history says why,
// and what waited for it goes.
func TestADeliveryThatWasChangedInTheDatabaseIsSetAside(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c)
		r := b.listen(t, allowed+":0")
		b.subscribe(t, r.url, DirectoryProviderErr)
		h := b.hooks(t)
		b.fail(t, h, "the first")
		err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.Must(t.Context(), "UPDATE webhook_deliveries SET content = content || 'AAAA'")
		})
		if err != nil {
			t.Fatal(err)
		}
		b.fail(t, h, "the second")
		pass(t, h)
		pass(t, h)
		all := b.history(t)
		if len(all) != 2 || all[0].State() != store.DeliveryDelivered || all[1].State() != store.DeliveryFailed || len(r.requests()) != 1 {
			t.Fatalf("%d requests, %+v", len(r.requests()), all)
		}
		if a := all[1].Attempts; len(a) != 1 || !strings.Contains(a[0].Error, "does not open in its place") {
			t.Errorf("its history %+v", a)
		}
	})
}

// The public reference goes by the status alone: a page of any length is a yes as well.
func TestTheStatusSaysThatADeliveryWasTaken(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"a long page": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2*maxAnswer)) },
		"one that breaks": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = w.Write([]byte("OK"))
		},
	} {
		b := newBench(t, storetest.SQLite(t))
		r := b.listen(t, allowed+":0")
		r.answers(answer)
		b.subscribe(t, r.url, DirectoryProviderErr)
		h := b.hooks(t)
		b.fail(t, h, "x")
		for range 3 {
			pass(t, h)
			b.now.Add(30_000)
		}
		if all := b.history(t); len(r.requests()) != 1 || len(all) != 1 || all[0].State() != store.DeliveryDelivered || all[0].Attempts[0].Error != "" {
			t.Errorf("%s: %d requests, %+v", name, len(r.requests()), all)
		}
	}
}

func TestADeliverySurvivesTheNodeThatTriedIt(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c)
		r := b.listen(t, allowed+":0")
		hook := b.subscribe(t, r.url, DirectoryProviderErr)
		h := b.hooks(t)
		b.fail(t, h, "x")
		_, err := store.Change(t.Context(), b.store, func(tx *store.Tx) ([]store.Delivery, error) { // a node that dies now
			due, err := tx.DueDeliveries(t.Context(), hook, 1)
			if err != nil {
				return nil, err
			}
			return tx.ClaimDeliveries(t.Context(), due, b.clock().Add(claimFor))
		})
		if err != nil {
			t.Fatal(err)
		}
		other := b.hooks(t)
		if pass(t, other); len(r.requests()) != 0 {
			t.Errorf("%d requests while the claim holds", len(r.requests()))
		}
		b.now.Add(claimFor.Milliseconds() + 1000)
		if pass(t, other); len(r.requests()) != 1 {
			t.Errorf("%d requests after it lapsed", len(r.requests()))
		}
		if pass(t, other); len(r.requests()) != 1 {
			t.Errorf("%d requests in all", len(r.requests()))
		}
	})
}

// What the history shows: what was sent and what came back, cut, and no secret.
func TestTheHistoryHoldsWhatWasSentAndAnsweredWithoutSecrets(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	r.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "canary")
		w.Header().Set("X-Reason", strings.Repeat("r", 2*keepValue))
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(strings.Repeat("é", keepBody)))
	})
	b.subscribe(t, r.url, DirectoryProviderErr, Recover)
	h := b.hooks(t)
	b.fail(t, h, "x")
	pass(t, h)
	if _, err := h.Ask(t.Context(), b.env, question); err != nil {
		t.Fatal(err)
	}
	all := b.history(t)
	if len(all) != 2 {
		t.Fatalf("%d deliveries", len(all))
	}
	for _, d := range all {
		text := store.JSON(d)
		if len(d.Attempts) != 1 || d.Status != http.StatusTeapot || d.Attempts[0].Error != "status 418" || len(d.Attempts[0].Body) != keepBody || len(text) > 3*keepBody {
			t.Errorf("%s: %.2000s", d.Event, text)
		}
		for _, secret := range []string{"canary", "Bearer of the receiver"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", d.Event, secret)
			}
		}
		for _, shown := range []string{headerSigned, `"X-Nametag-Id","value":"` + d.ID, "X-Reason", blanked} {
			if !strings.Contains(text, shown) {
				t.Errorf("%s lacks %s: %s", d.Event, shown, text)
			}
		}
	}
}

func TestASlowReceiverDelaysNobodyElse(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	slow, quick := b.listen(t, allowed+":0"), b.listen(t, allowed+":0")
	release := make(chan struct{})
	slow.answers(func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	b.subscribe(t, slow.url, DirectoryProviderErr)
	b.subscribe(t, quick.url, DirectoryProviderErr)
	h := b.hooks(t)
	const many = 3 * atOnce
	for i := range many {
		b.failAt(t, h, fmt.Sprint("operation ", i))
	}
	r := newReceivers()
	for len(quick.requests()) < many {
		if err := h.deliverDue(t.Context(), r); err != nil || t.Context().Err() != nil {
			t.Fatal(err, t.Context().Err())
		}
		select {
		case <-h.wake:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d came while another receiver hangs", len(quick.requests()), many)
		}
	}
	if n := len(slow.requests()); n > atOnce {
		t.Errorf("the slow receiver has %d at once, at most %d", n, atOnce)
	}
}

func TestAReceiverThatFailedIsTriedOneAtATime(t *testing.T) {
	r := newReceivers()
	if n := r.room("w"); n != atOnce {
		t.Errorf("room %d", n)
	}
	r.start("w", func() bool { return false })
	r.wg.Wait()
	if n := r.room("w"); n != atOnceIll {
		t.Errorf("room after a failure %d", n)
	}
	r.start("w", func() bool { return true })
	r.wg.Wait()
	if n := r.room("w"); n != atOnce || len(r.busy)+len(r.ill)+r.total != 0 {
		t.Errorf("room when well again %d, %+v", n, r.busy)
	}
}

func TestAWebhookThatIsSwitchedOffIsNotCalled(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	hook := b.subscribe(t, r.url, DirectoryProviderErr)
	h := b.hooks(t)
	b.fail(t, h, "queued before")
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		w, err := tx.Webhook(t.Context(), b.env, hook)
		if err != nil {
			return err
		}
		w.Enabled = false
		return tx.UpdateWebhook(t.Context(), w)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.fail(t, h, "after")
	pass(t, h)
	pass(t, h)
	if all := b.history(t); len(r.requests()) != 0 || len(all) != 1 || !all[0].NextAt.IsZero() || all[0].Attempts[0].Error != "the webhook was switched off" {
		t.Errorf("%d requests, %+v", len(r.requests()), all)
	}
}

func TestP18_BothSecretsSignWhileTheFormerOneLives(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	b.subscribe(t, r.url, DirectoryProviderErr)
	h := b.hooks(t)
	before, err := b.store.WebhookSecrets(t.Context(), b.env)
	if err != nil {
		t.Fatal(err)
	}
	now, err := store.Change(t.Context(), b.store, func(tx *store.Tx) (store.WebhookSecrets, error) {
		return tx.RenewWebhookSecret(t.Context(), b.env, time.Hour)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.fail(t, h, "x")
	pass(t, h)
	b.now.Add(time.Hour.Milliseconds() + 1)
	b.fail(t, h, "y")
	pass(t, h)
	got := r.requests()
	if len(got) != 2 {
		t.Fatalf("%d requests", len(got))
	}
	for i, former := range []bool{true, false} {
		q := got[i]
		stamp, _, _ := strings.Cut(strings.TrimPrefix(q.header.Get(headerSigned), "t="), ",")
		dated := []byte(stamp + "." + q.header.Get(headerID) + "." + string(q.body))
		want := "t=" + stamp + ",v1=" + sign(now.Present, dated)
		if former {
			want += ",v1=" + sign(before.Present, dated)
		}
		if q.header.Get(headerSigned) != want || q.header.Get(headerSignature) != sign(now.Present, q.body) {
			t.Errorf("request %d: %v, want %s", i, q.header, want)
		}
	}
}

func TestRunDeliversWhatIsQueuedAndEndsWithItsContext(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	came := make(chan struct{}, 1)
	r.answers(func(http.ResponseWriter, *http.Request) { came <- struct{}{} })
	b.subscribe(t, r.url, DirectoryProviderErr)
	h := b.hooks(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	b.fail(t, h, "x")
	h.Wake()
	select {
	case <-came:
	case <-time.After(10 * time.Second):
		t.Error("nothing was delivered")
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run goes on")
	}
}
