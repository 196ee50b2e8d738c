package webhook

import (
	"context"
	"encoding/json"
	"net/http"
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
			Directory: "dir", DirectoryKind: "custom", Action: ProviderAction(protocol.ActionUnlock), ExternalID: "acc", Trace: "op1", Error: text,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) history(t *testing.T) []store.Delivery {
	t.Helper()
	all, err := store.Get(t.Context(), b.store, func(tx *store.Tx) ([]store.Delivery, error) { return tx.Deliveries(t.Context(), b.env, 100) })
	if err != nil {
		t.Fatal(err)
	}
	return all
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
			if err := h.deliverDue(t.Context()); err != nil {
				t.Fatal(err)
			}
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
			body.OrgName != "Example" || body.EnvName != "production" || body.Context.ProviderRequestID != "op1" || body.Error != "agent: failed to list users" {
			t.Errorf("body = %s, %v", got[0].body, err)
		}
		if all := b.history(t); len(all) != 1 || all[0].Tries != 6 || len(all[0].Attempts) != 6 || all[0].Attempts[5].Status != 500 || !all[0].NextAt.IsZero() {
			t.Errorf("history = %+v", all)
		}
	})
}

func TestADeliverySurvivesTheNodeThatTriedIt(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c)
		r := b.listen(t, allowed+":0")
		b.subscribe(t, r.url, DirectoryProviderErr)
		h := b.hooks(t)
		b.fail(t, h, "x")
		_, err := store.Change(t.Context(), b.store, func(tx *store.Tx) ([]store.Delivery, error) { // a node that dies now
			return tx.ClaimDeliveries(t.Context(), 1, b.clock().Add(claimFor))
		})
		if err != nil {
			t.Fatal(err)
		}
		other := b.hooks(t)
		if err := other.deliverDue(t.Context()); err != nil || len(r.requests()) != 0 {
			t.Errorf("%d requests while the claim holds, %v", len(r.requests()), err)
		}
		b.now.Add(claimFor.Milliseconds() + 1000)
		if err := other.deliverDue(t.Context()); err != nil || len(r.requests()) != 1 {
			t.Errorf("%d requests after it lapsed, %v", len(r.requests()), err)
		}
		if err := other.deliverDue(t.Context()); err != nil || len(r.requests()) != 1 {
			t.Errorf("%d requests in all, %v", len(r.requests()), err)
		}
	})
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
