package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/provider"
)

// delegates reads what the environment shows.
func (st *stack) delegates(t *testing.T) (list []delegate) {
	t.Helper()
	var e struct {
		OIDCDelegates []delegate `json:"oidc_delegates"`
	}
	if err := json.Unmarshal([]byte(st.want(t, 200, "GET", "/api/envs/"+st.mine.Env.ID, "").body), &e); err != nil {
		t.Fatal(err)
	}
	return e.OIDCDelegates
}

// settingsOf reads what is kept of a delegate.
func (st *stack) settingsOf(t *testing.T, id string) (s provider.Settings) {
	t.Helper()
	p, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.IdentityProvider, error) {
		return tx.IdentityProvider(t.Context(), st.mine.Env.ID, id)
	})
	if err == nil {
		err = json.Unmarshal(p.Body, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDelegatesAreIdentityProvidersOfRequests(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID
	st.want(t, 204, "PATCH", env, `{"remove_oidc_delegates":["`+st.mine.provider+`"],"add_oidc_delegates":[{"name":"Acme ID","issuer":"https://login.acme.test","client_id":"c1","client_secret":"postern_canary"}]}`)
	list := st.delegates(t)
	if len(list) != 1 || list[0].Name != "Acme ID" || list[0].Issuer != "https://login.acme.test" || list[0].ClientID != "c1" || list[0].ClientSecret != "" {
		t.Fatalf("delegates %+v", list)
	}
	id := list[0].ID
	if s := st.settingsOf(t, id); s.ClientSecret != "postern_canary" || !s.Requests || len(s.Directories) != 0 {
		t.Errorf("kept %+v: a delegate serves requests, and opens no account", s)
	}
	st.want(t, 204, "PATCH", env, `{"update_oidc_delegate":{"id":"`+id+`","name":"Acme"}}`)
	if s := st.settingsOf(t, id); s.Name != "Acme" || s.ClientSecret != "postern_canary" {
		t.Errorf("after a new name: %+v", s)
	}
	st.want(t, 400, "PATCH", env, `{"update_oidc_delegate":{"id":"`+id+`","issuer":"https://evil.test"}}`)
	st.want(t, 204, "PATCH", env, `{"update_oidc_delegate":{"id":"`+id+`","issuer":"https://login2.acme.test","client_secret":"postern_canary2"}}`)
	for _, body := range []string{
		`{"add_oidc_delegates":[{"name":"x","issuer":"https://x.test"}]}`, `{"add_oidc_delegates":[{"name":"","issuer":"https://x.test","client_id":"c"}]}`,
		`{"add_oidc_delegates":[{"name":"x","issuer":"ftp://x.test","client_id":"c"}]}`, `{"add_oidc_delegates":[{"name":"x","issuer":"https://id.vendor.test","client_id":"c"}]}`,
		`{"remove_oidc_delegates":["` + st.other.provider + `"]}`, `{"update_oidc_delegate":{"id":"` + st.other.provider + `","name":"mine"}}`,
	} {
		if got := st.want(t, 400, "PATCH", env, body); !strings.Contains(got.body, "oidc_delegate") {
			t.Errorf("%s: %s", body, got.body)
		}
	}
	st.want(t, 204, "PATCH", env, `{"add_oidc_delegate":[{"name":"Public","issuer":"https://p.test","client_id":"c"}]}`)
	if list := st.delegates(t); len(list) != 2 || st.settingsOf(t, list[1].ID).Auth != provider.AuthNone {
		t.Errorf("a public client: %+v", list)
	}
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE env = $1", st.mine.Env.ID)
	})
	if all := strings.Join(rows, "\n"); err != nil || strings.Contains(all, "postern_canary") || !strings.Contains(all, "Acme ID") {
		t.Errorf("records %s, %v", all, err)
	}
}

func TestEncryptedSecretsOpenInTheirEnvironmentAlone(t *testing.T) {
	st := lite(t)
	seal := func(p place, plain string) string {
		t.Helper()
		body, _ := json.Marshal(encryptSecretRequest{plain})
		got := st.want(t, 200, "POST", "/api/envs/"+p.Env.ID+"/encrypt-secret", string(body))
		text, _ := got.member(t, "ciphertext").(string)
		if !strings.HasPrefix(text, store.SecretPrefix) || strings.Contains(text, plain) {
			t.Fatalf("ciphertext %q", text)
		}
		return text
	}
	mine, theirs := seal(st.mine, "Bearer postern_canary\n"), seal(st.other, "Bearer theirs")
	if again := seal(st.mine, "Bearer postern_canary\n"); again == mine {
		t.Error("the same secret gives the same text: whoever reads two learns that they are equal")
	}
	header := seal(st.mine, "Bearer postern_canary")
	env := "/api/envs/" + st.mine.Env.ID
	st.want(t, 204, "PATCH", env, `{"add_webhooks":[{"url":"https://hook.test","events":["share"],"authorization_header":"`+header+`"}]}`)
	hooks, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]store.Webhook, error) { return tx.Webhooks(t.Context(), st.mine.Env.ID) })
	if err != nil || hooks[len(hooks)-1].Authorization != "Bearer postern_canary" {
		t.Errorf("webhooks %v, %v", hooks, err)
	}
	st.want(t, 204, "PATCH", env, `{"add_oidc_delegates":[{"name":"Acme ID","issuer":"https://login.acme.test","client_id":"c1","client_secret":"`+header+`"}]}`)
	list := st.delegates(t)
	if s := st.settingsOf(t, list[len(list)-1].ID); s.ClientSecret != "Bearer postern_canary" {
		t.Errorf("kept %+v", s)
	}
	end := "AA"
	if strings.HasSuffix(header, end) { // by chance
		end = "BA"
	}
	for what, text := range map[string]string{
		"another environment's": theirs, "changed": header[:len(header)-2] + end, "cut": header[:40], "only a beginning": store.SecretPrefix, "not base64": store.SecretPrefix + "!!",
	} {
		if got := st.want(t, 400, "PATCH", env, `{"add_webhooks":[{"url":"https://hook.test","events":["share"],"authorization_header":"`+text+`"}]}`); !strings.Contains(got.body, "authorization_header") {
			t.Errorf("%s: %s", what, got.body)
		}
	}
	st.want(t, 400, "POST", env+"/encrypt-secret", `{"plaintext":""}`)
	st.want(t, 400, "POST", env+"/encrypt-secret", `{"plaintext":"`+strings.Repeat("x", maxSecret+1)+`"}`)
}

func TestDirectoriesOfAgentsHaveNothingToAuthorize(t *testing.T) {
	st := lite(t)
	dir := "/api/directories/" + st.mine.Directory.ID + "/authorize"
	for _, got := range []reply{st.want(t, 400, "GET", dir, ""), st.want(t, 400, "POST", dir, `{"partition":"example.okta.com","account":"a","secret":"s"}`)} {
		if !strings.Contains(got.body, "agent-tickets") {
			t.Errorf("%s", got.body)
		}
	}
	for _, kind := range []string{"auth0", "authentik", "azure-ad", "beyond-identity", "clerk", "duo", "gusto", "okta", "onelogin", "workos", "", "x"} {
		got := st.want(t, 400, "POST", "/api/directories", `{"env":"`+st.mine.Env.ID+`","kind":"`+kind+`"}`)
		if !strings.Contains(got.body, "custom, agent, ad, ldap") {
			t.Errorf("%s: %s", kind, got.body)
		}
	}
}

func TestTemplatesKeepTheSupersetAndNeedNoName(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.foreign.Env.ID + "/templates"
	key := st.foreign.key
	for _, name := range []string{"Template", "Template 2"} {
		got := st.do(t, key, "POST", path, `{"qr_headline":"Scan","qr_custom_text":"with a phone","expiration_text":"Ends in {{.TTL}}","headline":"H","accept_text":"A","accepted_text":"D"}`)
		if got.status != 200 {
			t.Fatal(got.body)
		}
		shown := st.do(t, key, "GET", "/api/envs/"+st.foreign.Env.ID, "")
		for _, want := range []string{`"name":"` + name + `"`, `"qr_headline":"Scan"`, `"qr_custom_text":"with a phone"`, `"expiration_text":"Ends in {{.TTL}}"`, `"headline":"H"`, `"accept_text":"A"`, `"accepted_text":"D"`} {
			if !strings.Contains(shown.body, want) {
				t.Errorf("%s is missing in %s", want, shown.body)
			}
		}
	}
}
