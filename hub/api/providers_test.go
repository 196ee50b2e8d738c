package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestT01_ADirectoryIsNeverItsOwnVerifier(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/envs/" + st.mine.Env.ID + "/identity-providers"
	good := st.mine.providerBody()
	got := st.do(t, st.owner, "POST", path, good)
	if got.status != http.StatusCreated || strings.Contains(got.body, "canary") || !strings.Contains(got.body, st.mine.domain+"/provider/return") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if err := st.store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE directories SET kind = 'okta' WHERE id = $1", st.mine.Directory.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	issuer := func(host string) string { return strings.Replace(good, "login.example.com", host, 1) }
	for name, body := range map[string]string{
		"the directory itself":  issuer("acme.okta.com"),
		"this hub":              issuer("ID.vendor.test"),
		"a recovery domain":     issuer(st.mine.domain),
		"another's directory":   strings.Replace(good, st.mine.Directory.ID, st.other.Directory.ID, 1),
		"no directory":          strings.Replace(good, `"`+st.mine.Directory.ID+`"`, "", 1),
		"no secret":             strings.Replace(good, "postern_canary", "", 1),
		"no issuer":             strings.Replace(good, "https://", "", 1),
		"a password in it":      issuer("u:p@login.example.com"),
		"another word for auth": strings.Replace(good, `"name"`, `"client_auth":"tls","name"`, 1),
		"a key that is none":    strings.Replace(good, `"client_secret":"postern_canary"`, `"client_auth":"private_key_jwt","private_key":"x"`, 1),
		"scopes without openid": strings.Replace(good, `"name"`, `"scopes":["profile"],"name"`, 1),
	} {
		if got := st.do(t, st.owner, "POST", path, body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := st.do(t, st.owner, "POST", path, strings.Replace(issuer("other.okta.com"), `"name"`, `"other_tenant":true,"name"`, 1)); got.status != http.StatusCreated {
		t.Errorf("another tenant: %d %s", got.status, got.body)
	}
}
