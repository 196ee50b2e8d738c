package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// TestThePublishedExamplesWork sends the requests of the public reference as curl does:
// the key as the password of nobody, and a body that calls itself a form.
func TestThePublishedExamplesWork(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	st.tx(t, st.sharedWebhook())
	for _, e := range []struct {
		method, path, body string
		status             int
		members            string // of the answer, as the published one has them
	}{
		{"GET", "/api/envs", "", 200, "envs"},
		{"GET", "/api/envs/{env}", "", 200, "id name public_name logo_url callback_urls webhooks templates"},
		{"PATCH", "/api/envs/{env}", `{"name":"Example app","remove_webhook":["https://example.com/webhook"],"add_webhook":[{"url":"https://example.com/webhook2","enabled":true,"events":["share","reject"]}]}`, 204, ""},
		{"POST", "/api/envs", "", 201, "id"},
		{"POST", "/api/envs/{env}/templates", `{"name": "Transaction Authorization"}`, 200, "id"},
		{"PATCH", "/api/envs/{env}/templates/{template}", `{"headline": "ACME needs to know who you are"}`, 204, ""},
		{"DELETE", "/api/envs/{env}/templates/{template}", "", 204, ""},
		{"POST", "/api/requests", `{"env":"{env}","claims":["birth_date","name"],"label":"Ref Customer #41471"}`, 201, "id status claims label link"},
		{"GET", "/api/requests/{request}", "", 200, "id status claims label link env scopes properties created_at expires_at"},
		{"PATCH", "/api/requests/{request}", `{"label": "updated label text"}`, 204, ""},
		{"DELETE", "/api/requests/{request}", "", 204, ""},
		{"GET", "/people/{subject}/properties/name,birth_date", "", 200, "subject requests properties"},
		{"POST", "/people/bulk", `{"requests":[{"subject":"{subject}","claims":["govtid_expired","name"]}]}`, 200, "data"},
		{"POST", "/people/{subject}/compare", `{"expectations":[{"claim":"name","value":"Alice Smith"}]}`, 200, "confidence comparisons"},
		{"PUT", "/api/accounts/{account}/photo", "{photo}", 204, ""},
		{"DELETE", "/api/accounts/{account}/photo", "", 204, ""},
		{"GET", "/api/accounts", "", 200, "accounts"},
		{"GET", "/api/org", "", 200, "name role envs"},
		{"GET", "/api/org/members", "", 200, "members"},
		{"GET", "/api/directories", "", 200, "directories"},
		{"POST", "/api/directories/{directory}/sync", "", 204, ""},
		{"POST", "/api/apikeys", `{"name":"Staging API Key","role":"admin","enabled":true}`, 201, "id key"},
		{"POST", "/api/apikeys", `{"name":"Staging API Key","envs":["{env}"],"role":"user","enabled":true}`, 201, "id key"},
		{"GET", "/api/apikeys", "", 200, "apikeys"},
		{"GET", "/api/apikeys/{apikey}", "", 200, "id name created_at enabled envs role"},
		{"GET", "/api/audit", "", 200, "events"},
		{"POST", "/api/env/{env}/recovery/presign?email=alice%40example.com&ttl=1h", "", 200, "url"},
	} {
		got := st.do(t, "", e.method, st.mine.fill(e.path), st.mine.fill(e.body), func(r *http.Request) {
			r.SetBasicAuth("", st.owner)
			if e.body != "" && e.body[0] == '{' && e.body != "{photo}" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
		})
		if got.status != e.status {
			t.Errorf("%s %s %s = %d %s", e.method, e.path, e.body, got.status, got.body)
			continue
		}
		var m map[string]any
		if e.members != "" {
			if err := json.Unmarshal([]byte(got.body), &m); err != nil {
				t.Errorf("%s %s: %q", e.method, e.path, got.body)
			}
		}
		for _, name := range strings.Fields(e.members) {
			if m[name] == nil {
				t.Errorf("%s %s: no %s in %s", e.method, e.path, name, got.body)
			}
		}
	}
}

// The published example of giving back what a person shared shows a client's id and secret.
func TestThePublishedExampleWithAClientsSecretWorks(t *testing.T) {
	st := lite(t)
	path := "/people/" + st.mine.subject + "/properties/name"
	for client, want := range map[string]int{st.other.Env.ID: http.StatusUnauthorized, st.mine.Env.ID: http.StatusNoContent} {
		got := st.do(t, "", "DELETE", path, "", func(r *http.Request) { r.SetBasicAuth(client, st.mine.key) })
		if got.status != want {
			t.Errorf("%d %s; want %d", got.status, got.body, want)
		}
	}
	if got := st.want(t, http.StatusOK, "GET", path, ""); !strings.Contains(got.body, `"claim":"name","status":403`) {
		t.Errorf("still shared: %s", got.body)
	}
}

// sharedWebhook adds the webhook that a published example removes by its address.
func (st *stack) sharedWebhook() func(ctx context.Context, tx *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.AddWebhook(ctx, store.Webhook{Env: st.mine.Env.ID, URL: "https://example.com/webhook", Enabled: true, Events: []string{"share"}})
		return err
	}
}

func TestKeysThatAreSwitchedOffOrOverOpenNothing(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	off, over, ended := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{store.AllEnvs}}), "", ""
	over = st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{store.AllEnvs}, Expires: time.Now().Add(-time.Second)})
	ended = st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{store.AllEnvs}})
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		k, err := tx.APIKeyByHash(ctx, store.HashToken(off))
		if err != nil {
			return err
		}
		k.Enabled = false
		if err := tx.UpdateAPIKey(ctx, k.Org, k); err != nil {
			return err
		}
		k, err = tx.APIKeyByHash(ctx, store.HashToken(ended))
		if err != nil {
			return err
		}
		return tx.DeleteAPIKey(ctx, k.Org, k.ID)
	})
	for _, r := range routes() {
		for what, key := range map[string]string{"switched off": off, "expired": over, "removed": ended, "of another case": strings.ToUpper(st.owner), "with a space": st.owner + " x"} {
			got := st.do(t, key, r.method(), st.mine.path(r.pattern), st.mine.body(r.pattern))
			if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" || got.header.Get("X-RateLimit-Limit") == "" {
				t.Errorf("%s with a key %s: %d %v", r.pattern, what, got.status, got.header)
			}
		}
	}
}

func TestAPathNamesTheMethodsThatItHas(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	for _, r := range routes() {
		want := methodsOf(r.path())
		if r.path() == "/people/bulk" { // by its form a subject, too
			continue
		}
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			has := false
			for _, w := range want {
				has = has || w == m
			}
			if has {
				continue
			}
			req, err := http.NewRequestWithContext(t.Context(), m, st.server.URL+st.mine.path(r.pattern), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+st.owner)
			got := send(t, req)
			allowed := strings.Split(got.header.Get("Allow"), ", ")
			if got.status != http.StatusMethodNotAllowed || len(allowed) != len(want) {
				t.Errorf("%s %s: %d, Allow %q; want %q", m, r.path(), got.status, allowed, want)
			}
		}
	}
}
