package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
)

// portOf returns the port of an address.
func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// enrolApp makes an authenticator app under my recovery options, and returns its key.
func (j *journey) enrolApp(v *environment, who person) string {
	j.t.Helper()
	before := v.codes(who.private)
	j.b.Open(j.site + "/options")
	j.b.Type("#email", who.mail)
	j.b.Click("main button")
	j.b.Wait(`document.querySelector('#code, #method')`)
	if j.b.Eval(`document.querySelector('#method') !== null`) == "true" {
		j.choose("mail_code", asksForACode)
	}
	j.b.Type("#code", v.code(who.private, before))
	j.b.Click("main form button")
	j.b.WaitText("Add another way")
	j.b.Wait(ready)
	j.b.Click("form:has([value=totp]) button")
	j.b.Wait(`document.querySelector('.key')`)
	key := j.b.Eval(`[...document.querySelectorAll('.key span')].map(e => e.textContent).join('')`)
	j.b.Type("#code", appCode(j.t, key, time.Now()))
	j.b.Click("main form button")
	j.b.WaitText("Authenticator app")
	return key
}

// immutableID is by what the directory knows a person.
func (v *environment) immutableID(who person) string {
	v.t.Helper()
	var found struct {
		Accounts []struct {
			ID  string   `json:"directory_immutable_identifier"`
			IDs []string `json:"directory_identifiers"`
		}
	}
	v.do(http.MethodGet, "/api/accounts?directory="+v.directory+"&q="+who.uid, nil, &found)
	if len(found.Accounts) != 1 {
		v.t.Fatalf("%s: %+v", who.uid, found)
	}
	return found.Accounts[0].ID
}

func appCode(t *testing.T, key string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(key, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// proveByApp goes from the first page of a sign-in to the button that leads back. at says
// of when the code is that is typed: each is good once, and for a minute.
func (j *journey) proveByApp(key string, at func() time.Time) {
	j.t.Helper()
	j.b.WaitText("Prove that it is you")
	j.looked("signin-link")
	j.b.Click("main form button")
	j.b.Wait(asksForACode)
	j.b.Type("#code", appCode(j.t, key, at()))
	j.b.Click("main form button")
	j.b.WaitText("Nothing was changed in your account")
	j.looked("signin-ready")
}

// Entra ID and Okta ask about an employee of a real directory, in a real browser, through
// a Caddy that compresses.
func TestEmployeesSignInAtEntraAndOktaByAProofHere(t *testing.T) {
	t.Parallel()
	tenant, org := openid.NewTenant(t, "https://login.microsoftonline.com"), openid.NewOrg(t, "example.okta.com")
	s := corp(t)
	nora, omar := hire(t, s, "nora", ""), hire(t, s, "omar", "")
	e := startEdge(t, edgeConfig{TLS: true, Site: "encode gzip zstd",
		Postern: "recovery_option_wait 0s\nallow_private_webhooks 127.0.0.0/8\nentra_authority " + tenant.URL})
	v := e.environment(t, "signin", "ldap")
	file := slapdAgent(s)
	file.Hub = `ca_file = "` + e.caFile() + `"`
	v.startAgent(file)
	v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code"}}, "rules": []any{
		map[string]any{"action": "sign-in", "accept": [][]string{{"totp"}}}, map[string]any{"action": "options", "accept": [][]string{{"mail_code"}}}}}})
	tenant.Object, tenant.AMR = v.immutableID(nora), []string{"fido", "otp"}

	add := func(body map[string]any) (id, secret string) {
		var made struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		body["directory"] = v.directory
		v.do(http.MethodPost, "/api/envs/"+v.id+"/oidc-clients", body, &made)
		return made.ID, made.Secret
	}
	tenant.ClientID, _ = add(map[string]any{"contract": "entra_eam", "name": "Entra ID", "tenants": []string{tenant.ID}, "app_id": tenant.AppID})
	tenant.Discovery, tenant.Client = e.url+"/entra/eam/.well-known/openid-configuration", e.client()
	org.Client, org.Secret = add(map[string]any{"contract": "okta_eam", "name": "Okta", "redirect_uris": []string{"https://example.okta.com/oauth2/v1/authorize/callback"}})
	org.Issuer, org.User, org.Keys.Client = e.url+"/okta/eam", omar.mail, e.client()

	b := testenv.Chromium(t, "ignore-certificate-errors=true", fmt.Sprintf("host-resolver-rules=MAP login.microsoftonline.com:443 127.0.0.1:%s, MAP example.okta.com:443 127.0.0.1:%s, MAP *.localhost 127.0.0.1",
		portOf(tenant.Secure.URL), portOf(org.URL)))
	j := v.on(b)
	key := j.enrolApp(v, nora)
	next := func() time.Time { return time.Now().Add(30 * time.Second) } // the app's code after the one that enrolled it

	t.Run("entra", func(t *testing.T) {
		b.Open("https://login.microsoftonline.com/start")
		b.Click("#go")
		j.proveByApp(key, next)
		b.Click("form[action$='/sign-in'] button")
		b.Wait(`location.host === 'login.microsoftonline.com' && document.querySelector('h1')`)
		if text := b.Text(); !strings.Contains(text, "signed in") {
			t.Errorf("%s; %+v", text, tenant.Results())
		}
		b.Open("https://login.microsoftonline.com/start")
		b.Click("#go")
		b.WaitText("Prove that it is you")
		b.Click("main form button")
		b.Wait(asksForACode)
		b.Click("form[action$='/sign-in/stop'] button")
		b.Wait(`location.host === 'login.microsoftonline.com' && document.querySelector('h1')`)
		if text := b.Text(); !strings.Contains(text, "refused: access_denied") {
			t.Errorf("stopped: %s", text)
		}
	})
	t.Run("okta", func(t *testing.T) {
		key := j.enrolApp(v, omar)
		b.Open("https://example.okta.com/start")
		b.WaitText("Prove that it is you")
		b.Click("main form button")
		b.Wait(asksForACode)
		b.Click("form[action$='/sign-in/stop'] button")
		b.WaitText("refused: access_denied")
		b.Open("https://example.okta.com/start")
		j.proveByApp(key, next)
		b.Click("form[action$='/sign-in'] button")
		b.WaitText("signed in as " + omar.mail)
	})
	for name, text := range e.logs(t) {
		for _, canary := range []string{org.Secret, "eyJhbGciOiJSUzI1NiIs"} {
			if strings.Contains(text, canary) {
				t.Errorf("%s holds %.20q", name, canary)
			}
		}
	}
}
