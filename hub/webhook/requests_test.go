package webhook

import (
	"encoding/json"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestRequestsAndWhatIsSharedAreToldInThePublicWords(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	h, err := New(Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	sharing := Sharing{Subject: "a@b", Request: "r", Label: "Ref 1", Claims: []string{"name"}}
	back := sharing
	back.Revoked = true
	err = s.Tx(t.Context(), func(tx *store.Tx) error {
		ctx := t.Context()
		if _, err := tx.AddWebhook(ctx, store.Webhook{Env: f.Env.ID, URL: "https://example.com", Enabled: true, Events: []string{"share", "reject", "request"}}); err != nil {
			return err
		}
		if err := h.RequestChanged(ctx, tx, f.Env.ID, RequestChange{Event: "request_accepted", Request: map[string]string{"id": "r"}}); err != nil {
			return err
		}
		if err := h.SharingChanged(ctx, tx, f.Env.ID, sharing); err != nil {
			return err
		}
		return h.SharingChanged(ctx, tx, f.Env.ID, back)
	})
	if err != nil {
		t.Fatal(err)
	}
	told, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Delivery, error) {
		return tx.Deliveries(t.Context(), f.Env.ID, store.DeliveryFilter{}, 0, 10)
	})
	if err != nil || len(told) != 3 {
		t.Fatalf("%+v %v", told, err)
	}
	seen := map[string]map[string]any{}
	for _, d := range told {
		var m map[string]any
		if err := json.Unmarshal([]byte(d.Body), &m); err != nil {
			t.Fatal(err)
		}
		seen[m["event_type"].(string)] = m
	}
	for _, e := range []string{"share", "reject"} {
		if m := seen[e]; m["subject"] != "a@b" || m["request"] != "r" || m["label"] != "Ref 1" || m["env_name"] != "production" || m["org_name"] != "Example" || len(m["claims"].([]any)) != 1 {
			t.Errorf("%s %v", e, m)
		}
	}
	if m := seen["request"]; m["event"] != "request_accepted" || m["request"].(map[string]any)["id"] != "r" {
		t.Errorf("request %v", m)
	}
}

func TestPicturesAreToldInThePublicWords(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.subscribe(t, "https://hooks.test/", Picture)
	h := b.hooks(t)
	p := GivenPicture{Person: "a", Subject: "a@b", Request: "r", Name: "Ada", URL: "https://id.example.com/pictures/x", SHA256: "2jKz=", Error: "too dark"}
	if err := b.store.Tx(t.Context(), func(tx *store.Tx) error { return h.PictureGiven(t.Context(), tx, b.env, p) }); err != nil {
		t.Fatal(err)
	}
	const want = `{"event_type":"picture","kind":"badge","subject":"a@b","request":"r","name":"Ada","url":"https://id.example.com/pictures/x","sha256":"2jKz=","error":"too dark"}`
	if all := b.history(t); len(all) != 1 || all[0].Body != want || all[0].Person != "a" || all[0].Trace != "r" {
		t.Errorf("told %+v", all)
	}
}
