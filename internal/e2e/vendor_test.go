package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// proveByDocument goes from the first page of the proof to the button that leads back.
func (j *journey) proveByDocument(holder *evidencetest.Wallet, document string, i int) {
	j.t.Helper()
	j.b.WaitText("Prove that it is you")
	viewed(j.t, j.b, "vendor-link")
	j.b.Click("main form button")
	j.b.Wait(`document.querySelector('main .row form:first-child button')`)
	viewed(j.t, j.b, "vendor-consent")
	j.b.Click("main .row form:first-child button")
	j.b.Wait(ceremonyReady)
	viewed(j.t, j.b, "vendor-wallet")
	j.shows(holder, i, document, j.site)
	j.b.Wait(`document.querySelector("form[action$='/return'] button")`)
	viewed(j.t, j.b, "vendor-share")
}

// Okta asks whether somebody is the person with a name, in a real browser, through a
// Caddy that compresses: a document with the name is VERIFIED, somebody else's FAILED.
func TestOktaAsksWhetherSomebodyBearsTheNameThatItKnows(t *testing.T) {
	t.Parallel()
	okta := openid.NewAsker(t, "example.okta.com")
	e := startEdge(t, edgeConfig{TLS: true, Site: "encode gzip zstd"})
	v := e.environment(t, "vendor", "ldap")
	authority := v.trusting()
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	v.do(http.MethodPost, "/api/envs/"+v.id+"/oidc-clients", map[string]any{"contract": "okta_idv", "name": "Okta identity verification", "redirect_uris": []string{okta.Callback()}}, &made)
	okta.Client, okta.Secret, okta.Issuer, okta.Keys.Client = made.ID, made.Secret, e.url, e.client()
	okta.Claims = map[string]string{"given_name": "Erika", "family_name": "Mustermann", "bithdate": "1980-02-29"}
	okta.Framework = "IDV_DELEGATED"

	b := testenv.Chromium(t, "ignore-certificate-errors=true",
		fmt.Sprintf("host-resolver-rules=MAP example.okta.com:443 127.0.0.1:%s, MAP *.localhost 127.0.0.1", portOf(okta.URL)))
	b.Viewport(390, 844)
	j := v.on(b)
	for _, c := range []struct {
		given, family, document string
		way                     int
		level                   string
	}{
		{"ERIKA", "MUSTERMANN", "mdl", 0, "VERIFIED"},
		{"Anna", "Berg", "pid", 1, "FAILED"},
	} {
		b.Open("https://example.okta.com/start")
		j.proveByDocument(walletOf(t, authority, c.given, c.family), c.document, c.way)
		b.Click("form[action$='/return'] button")
		b.Wait(`location.host === 'example.okta.com' && document.querySelector('h1')`)
		if text := b.Text(); !strings.Contains(text, "Okta read "+c.level) {
			t.Errorf("%s %s: %s", c.given, c.family, text)
		}
	}

	b.Open("https://example.okta.com/start")
	b.WaitText("Prove that it is you")
	b.Click("main form button")
	b.Wait(`document.querySelector("form[action$='/return/stop'] button")`)
	at := b.Eval("location.href")
	b.Open(okta.Sent()) // the browser's own history and its reload lead here
	b.Wait(`document.querySelector("form[action$='/return/stop'] button")`)
	if again := b.Eval("location.href"); again != at {
		t.Errorf("loaded again: %s, before %s", again, at)
	}
	b.Click("form[action$='/return/stop'] button")
	b.WaitText("refused: access_denied")

	for name, text := range e.logs(t) {
		for _, canary := range []string{okta.Secret, "eyJhbGciOiJSUzI1NiIs", "Mustermann", "MUSTERMANN", "1980-02-29"} {
			if strings.Contains(text, canary) {
				t.Errorf("%s holds %.20q", name, canary)
			}
		}
	}
}
