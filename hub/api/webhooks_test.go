package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	hooks "github.com/postern-id/postern/hub/webhook"
)

// Every event that is sent can be subscribed to, by its name in the one vocabulary, and is
// queued for whoever did.
func TestEveryEventCanBeSubscribedToAndIsQueuedForWhoeverDid(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID
	for _, e := range hooks.Events {
		st.want(t, 204, "PATCH", path, `{"add_webhooks":[{"url":"https://hooks.test/`+string(e)+`","events":["`+string(e)+`"]}]}`)
	}
	bells, err := hooks.New(hooks.Config{Store: st.store})
	if err != nil {
		t.Fatal(err)
	}
	var queued []store.Delivery
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		err := bells.ManualVerificationRevoked(ctx, tx, st.mine.Env.ID, hooks.Revocation{ID: "m1", ExternalID: "a1", Reason: "a voice like hers"})
		if err == nil {
			queued, err = tx.Deliveries(ctx, st.mine.Env.ID, store.DeliveryFilter{}, 0, 1)
		}
		return err
	})
	if len(queued) != 1 || queued[0].Event != "manual_verification_revoked" || !strings.Contains(queued[0].Body, "a voice like hers") {
		t.Errorf("queued: %+v", queued)
	}
}

// addDelivered writes a finished delivery to a webhook that hears of nothing.
func addDelivered(ctx context.Context, tx *store.Tx, env string) (string, error) {
	hook, err := tx.AddWebhook(ctx, store.Webhook{Env: env, URL: "https://hooks.test/", Enabled: true})
	if err != nil {
		return "", err
	}
	d := store.Delivery{ID: store.NewID(), Env: env, Webhook: hook, Event: "share", Person: "ada", Body: `{"event_type":"share"}`}
	return d.ID, tx.AddDelivered(ctx, d, store.Try{Header: []store.Header{{Name: "X-Nametag-Id", Value: d.ID}}, Attempt: store.Attempt{Status: 500, Error: "status 500", Body: "no"}})
}

func TestTheHistoryOfWebhooksShowsEveryAttemptAndReplaysUnderTheSameID(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID + "/webhooks"
	read := func() (list deliveryList) {
		t.Helper()
		got := st.want(t, 200, "GET", path+"?count=1", "")
		if err := json.Unmarshal([]byte(got.body), &list); err != nil || len(list.Webhooks) != 1 {
			t.Fatalf("%v: %s", err, got.body)
		}
		return list
	}
	d := read().Webhooks[0]
	if d.ID != st.mine.delivery || d.Status != 500 || d.URL != "https://hooks.test/" || d.Body != `{"event_type":"share"}` || len(d.RequestHeader) != 1 ||
		len(d.Attempts) != 1 || d.Attempts[0].Error != "status 500" || d.Attempts[0].Body != "no" || d.NextTry != nil {
		t.Errorf("%+v", d)
	}
	st.want(t, 200, "POST", path+"/"+d.ID+"/replay", "")
	if again := read().Webhooks[0]; again.ID != d.ID || again.NextTry == nil || len(again.Attempts) != 1 {
		t.Errorf("after the replay: %+v", again)
	}
	st.want(t, 409, "POST", path+"/"+d.ID+"/replay", "") // it is under way
	st.want(t, 404, "POST", path+"/"+st.other.delivery+"/replay", "")
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NeedPersonKey(ctx, st.mine.Env.ID, "ada"); err != nil {
			return err
		}
		return tx.ErasePersonKey(ctx, st.mine.Env.ID, "ada")
	})
	if gone := read().Webhooks[0]; !gone.PIIErased || gone.Body != "" || len(gone.Attempts) != 0 {
		t.Errorf("after erasing: %+v", gone)
	}
	st.want(t, 409, "POST", path+"/"+d.ID+"/replay", "")
	st.want(t, 400, "GET", path+"?count=0", "")
}

func TestTheFormerWebhookSecretIsKeptAsLongAsItIsWanted(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID + "/refresh-webhook-secret"
	if first := st.want(t, 200, "POST", path, `{}`); strings.Contains(first.body, "former_valid_until") {
		t.Errorf("the first one replaces something: %s", first.body)
	}
	for body, want := range map[string]time.Duration{`{}`: 24 * time.Hour, `{"keep_former":"90m"}`: 90 * time.Minute} {
		until, err := time.Parse(time.RFC3339, st.want(t, 200, "POST", path, body).member(t, "former_valid_until").(string))
		if err != nil || time.Until(until.Add(-want)).Abs() > time.Minute {
			t.Errorf("%s: until %s, %v", body, until, err)
		}
	}
	if now := st.want(t, 200, "POST", path, `{"keep_former":"0s"}`); strings.Contains(now.body, "former_valid_until") {
		t.Errorf("a leaked one lives on: %s", now.body)
	}
	former := "/api/envs/" + st.mine.Env.ID + "/former-webhook-secret"
	st.want(t, 404, "DELETE", former, "")
	st.want(t, 200, "POST", path, `{}`)
	st.want(t, 204, "DELETE", former, "")
	if w, err := st.store.WebhookSecrets(t.Context(), st.mine.Env.ID); err != nil || w.Former != "" {
		t.Errorf("it lives on: %v, %v", w.FormerUntil, err)
	}
	for _, body := range []string{`{"keep_former":"-1s"}`, `{"keep_former":"721h"}`, `{"keep_former":"soon"}`} {
		st.want(t, 400, "POST", path, body)
	}
}

func TestTheHistoryOfWebhooksIsNarrowedAndWhatTheAuditLogSaysIsForOwners(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID + "/webhooks"
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		d, err := tx.Delivery(ctx, st.mine.Env.ID, st.mine.delivery)
		if err != nil {
			return err
		}
		return tx.AddDelivered(ctx, store.Delivery{ID: "entry", Env: d.Env, Webhook: d.Webhook, Event: "audit", Body: `{"kind":"canary"}`}, store.Try{Attempt: store.Attempt{Status: 200, Body: "canary"}})
	})
	for query, want := range map[string]int{"": 2, "?state=failed": 1, "?state=delivered": 1, "?state=waiting": 0, "?event=audit": 1, "?event=share&state=delivered": 0, "?webhook=other": 0} {
		var list deliveryList
		if got := st.want(t, 200, "GET", path+query, ""); json.Unmarshal([]byte(got.body), &list) != nil || len(list.Webhooks) != want {
			t.Errorf("%s: %s", query, got.body)
		}
	}
	st.want(t, 400, "GET", path+"?state=gone", "")
	st.want(t, 400, "GET", path+"?event=gone", "")
	entry := func(role string) string {
		key := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: role, Envs: []string{store.AllEnvs}})
		got := st.do(t, key, "GET", path+"?event=audit", "")
		if got.status != 200 || !strings.Contains(got.body, `"id":"entry"`) {
			t.Fatalf("%s: %d %s", role, got.status, got.body)
		}
		return got.body
	}
	if body := entry(RoleOwner); !strings.Contains(body, "canary") || strings.Contains(body, "withheld") {
		t.Errorf("an owner reads %s", body)
	}
	if body := entry(RoleAdmin); strings.Contains(body, "canary") || !strings.Contains(body, `"withheld":true`) {
		t.Errorf("an administrator reads %s", body)
	}
}

// The log is for owners: nobody else has a webhook follow it, or sends it elsewhere.
func TestT18_OnlyOwnersHaveAWebhookFollowTheLog(t *testing.T) {
	st := lite(t)
	admin := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{store.AllEnvs}})
	path := "/api/envs/" + st.mine.Env.ID
	change := func(key, body string) int { return st.do(t, key, "PATCH", path, body).status }
	if got := change(admin, `{"add_webhooks":[{"url":"https://thief.example/","events":["share","audit"]}]}`); got != http.StatusForbidden {
		t.Errorf("an administrator adds one that follows the log: %d", got)
	}
	st.want(t, 204, "PATCH", path, `{"add_webhooks":[{"url":"https://siem.example/log","events":["audit"]}]}`)
	all, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]store.Webhook, error) { return tx.Webhooks(t.Context(), st.mine.Env.ID) })
	if err != nil {
		t.Fatal(err)
	}
	log, other := "", ""
	for _, w := range all {
		if w.URL == "https://siem.example/log" {
			log = w.ID
		} else {
			other = w.ID
		}
	}
	for body, want := range map[string]int{
		`{"update_webhook":{"id":"` + log + `","url":"https://thief.example/"}}`:                          http.StatusForbidden,
		`{"update_webhook":{"id":"` + log + `","enabled":false}}`:                                         http.StatusForbidden,
		`{"update_webhook":{"id":"` + log + `","events":["share"]}}`:                                      http.StatusForbidden,
		`{"update_webhook":{"id":"` + log + `","authorization_header":"Bearer mine"}}`:                    http.StatusForbidden,
		`{"remove_webhooks":["` + log + `"]}`:                                                             http.StatusForbidden,
		`{"remove_webhook":["https://siem.example/log"]}`:                                                 http.StatusForbidden,
		`{"update_webhook":{"id":"` + other + `","events":["share","audit"]}}`:                            http.StatusForbidden,
		`{"update_webhook":{"id":"` + other + `","url":"https://elsewhere.example/","events":["share"]}}`: http.StatusNoContent,
	} {
		if got := change(admin, body); got != want {
			t.Errorf("an administrator: %s: %d, want %d", body, got, want)
		}
	}
	st.want(t, 204, "PATCH", path, `{"update_webhook":{"id":"`+log+`","url":"https://siem.example/new"}}`)
	st.want(t, 204, "PATCH", path, `{"remove_webhooks":["`+log+`"]}`)
}

// Another secret makes a receiver refuse what it is told, as if the webhook were switched off.
func TestT18_OnlyOwnersChangeTheSecretUnderWhichTheLogIsTold(t *testing.T) {
	st := lite(t)
	admin := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{store.AllEnvs}})
	path := "/api/envs/" + st.mine.Env.ID
	renew := func(key string, want int) {
		t.Helper()
		if got := st.do(t, key, "POST", path+"/refresh-webhook-secret", `{}`); got.status != want {
			t.Errorf("renew: %d %s, want %d", got.status, got.body, want)
		}
	}
	end := func(key string, want int) {
		t.Helper()
		if got := st.do(t, key, "DELETE", path+"/former-webhook-secret", ""); got.status != want {
			t.Errorf("end: %d %s, want %d", got.status, got.body, want)
		}
	}
	renew(st.owner, 200)
	renew(admin, 200) // while nothing tells the log
	end(admin, 204)
	renew(admin, 200)
	st.want(t, 204, "PATCH", path, `{"add_webhooks":[{"url":"https://siem.example/log","events":["audit"],"enabled":false}]}`)
	before, err := st.store.WebhookSecrets(t.Context(), st.mine.Env.ID)
	if err != nil {
		t.Fatal(err)
	}
	renew(admin, http.StatusForbidden) // nor where it is switched off for now
	end(admin, http.StatusForbidden)
	if after, err := st.store.WebhookSecrets(t.Context(), st.mine.Env.ID); err != nil || after != before {
		t.Errorf("the secrets changed: %v", err)
	}
	end(st.owner, 204)
	renew(st.owner, 200)
	st.want(t, 204, "PATCH", path, `{"remove_webhooks":["https://siem.example/log"]}`)
	renew(admin, 200)
}

// Who may change an address need not know what is sent there.
func TestTheHeaderOfAWebhookGoesToNoHostThatItWasNotGivenFor(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID
	st.want(t, 204, "PATCH", path, `{"add_webhooks":[{"url":"https://in.example/hook","events":["share"],"authorization_header":"Bearer canary"}]}`)
	kept := func() store.Webhook {
		all, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]store.Webhook, error) { return tx.Webhooks(t.Context(), st.mine.Env.ID) })
		i := slices.IndexFunc(all, func(w store.Webhook) bool {
			return strings.HasSuffix(strings.Split(strings.ToLower(w.URL), "/")[2], "in.example")
		})
		if err != nil || i < 0 {
			t.Fatal(all, err)
		}
		return all[i]
	}
	update := func(members string) string { return `{"update_webhook":{"id":"` + kept().ID + `",` + members + `}}` }
	for _, to := range []string{"https://thief.example/hook", "http://in.example/hook", "https://in.example:8443/hook"} {
		if got := st.want(t, 400, "PATCH", path, update(`"url":"`+to+`"`)); !strings.Contains(got.body, "authorization_header") || strings.Contains(got.body, "canary") {
			t.Errorf("%s: %s", to, got.body)
		}
	}
	st.want(t, 204, "PATCH", path, update(`"url":"https://IN.example/other"`))
	if w := kept(); w.URL != "https://IN.example/other" || w.Authorization != "Bearer canary" {
		t.Errorf("%s %q", w.URL, w.Authorization)
	}
	st.want(t, 204, "PATCH", path, update(`"url":"https://new.in.example/","authorization_header":"Bearer new"`))
	st.want(t, 204, "PATCH", path, update(`"url":"https://newer.in.example/","authorization_header":""`))
	if w := kept(); w.URL != "https://newer.in.example/" || w.Authorization != "" {
		t.Errorf("%s %q", w.URL, w.Authorization)
	}
}

// The log that a webhook was told while it followed it is not had by moving the webhook once
// it does not, and sending that again.
func TestT18_WhatAWebhookWasToldOfTheLogIsNotSentElsewhereByWhoMayNotReadIt(t *testing.T) {
	st := lite(t)
	admin := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{store.AllEnvs}})
	path, hook, told := "/api/envs/"+st.mine.Env.ID, "", store.NewID()
	st.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		if hook, err = tx.AddWebhook(ctx, store.Webhook{Env: st.mine.Env.ID, URL: "https://siem.example/log", Enabled: true, Events: []string{"audit"}}); err != nil {
			return err
		}
		return tx.AddDelivered(ctx, store.Delivery{ID: told, Env: st.mine.Env.ID, Webhook: hook, Event: "audit", Body: `{"kind":"canary"}`}, store.Try{Attempt: store.Attempt{Status: 200}})
	})
	st.want(t, 200, "POST", path+"/webhooks/"+told+"/replay", "") // to whom it was told
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		d, err := tx.Delivery(ctx, st.mine.Env.ID, told)
		if err != nil {
			return err
		}
		return tx.FinishTry(ctx, d, store.Try{Attempt: store.Attempt{Status: 200}})
	})
	st.want(t, 204, "PATCH", path, `{"update_webhook":{"id":"`+hook+`","events":["share"]}}`)
	if got := st.do(t, admin, "PATCH", path, `{"update_webhook":{"id":"`+hook+`","url":"https://thief.example/"}}`); got.status != 204 {
		t.Fatalf("an administrator moves it: %d %s", got.status, got.body)
	}
	if got := st.do(t, admin, "POST", path+"/webhooks/"+told+"/replay", ""); got.status != 400 || !strings.Contains(got.body, "does not follow the audit log any more") {
		t.Errorf("an administrator has it sent again: %d %s", got.status, got.body)
	}
}

// An address that nothing is ever delivered to would stop every recovery that it is asked about.
func TestAnAddressThatCannotBeCalledIsNotKept(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID
	for _, url := range []string{"https://hooks.test/#room", "https://:443/", "https:hooks.test", "https://user:pw@hooks.test/", "ftp://hooks.test/"} {
		if got := st.want(t, 400, "PATCH", path, `{"add_webhooks":[{"url":"`+url+`","events":["recover"]}]}`); !strings.Contains(got.body, "add_webhooks: url: ") {
			t.Errorf("%s: %s", url, got.body)
		}
	}
}
