package oidc_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

// somePage is a server of nothing but an empty page.
func somePage(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>app</title>"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// asPageDoes is what a page does that is a client without a server: it reads where
// everything is, the keys, the token and the userinfo.
const asPageDoes = `(async () => {
  const meta = await (await fetch(%q + '/.well-known/openid-configuration')).json();
  const keys = await (await fetch(meta.jwks_uri)).json();
  const reply = await fetch(meta.token_endpoint, { method: 'POST', body: new URLSearchParams(%q) });
  const token = await reply.json();
  if (!reply.ok) return token.error;
  const info = await (await fetch(meta.userinfo_endpoint, { headers: { authorization: 'Bearer ' + token.access_token } })).json();
  return keys.keys.length > 0 && info.sub === token.subject ? 'signed in' : 'odd';
})().catch(() => 'refused')`

// A page in the browser that has no server signs people in by itself, as libraries for such
// pages do: by requests across origins. Pages elsewhere read none of it.
func TestAPageThatIsAClientByItselfSignsPeopleIn(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	app, other := somePage(t), somePage(t)
	client, _ := a.add(party.OpenID, func(s *party.Settings) { s.Auth, s.Redirects = party.AuthNone, []string{app + "/back"} })
	closed, secret := a.add(party.OpenID, func(s *party.Settings) { s.Redirects = []string{app + "/back"} })
	b := testenv.Chromium(t)
	run := func(page, client, secret string) string {
		t.Helper()
		asks := asking(client, "")
		asks.Del("client_secret")
		asks.Set("redirect_uri", app+"/back")
		form := exchanging(client, secret, a.codeFor("/oauth2/authorize?"+asks.Encode(), ann).Get("code"), app+"/back")
		form.Set("code_verifier", appVerifier)
		if secret == "" {
			form.Del("client_secret")
		}
		b.Open(page)
		return b.Eval(fmt.Sprintf(asPageDoes, a.origin, form.Encode()))
	}
	for _, c := range []struct{ name, page, client, secret, want string }{
		{"its own page", app, client, "", "signed in"},
		{"another's page", other, client, "", "refused"},
		{"a client that has a server", app, closed, secret, "refused"},
	} {
		if got := run(c.page, c.client, c.secret); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	b.Open(app) // what is wrong can be read as well
	wrong := url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {"no"}}
	if got := b.Eval(fmt.Sprintf(asPageDoes, a.origin, wrong.Encode())); got != "invalid_grant" {
		t.Errorf("a wrong code: %s", got)
	}
}

// No answer says that a browser may send what it keeps, and pages of the sign-in are read by
// none but our own (RFC 9700, section 2.6).
func TestPagesElsewhereReadNoSignIn(t *testing.T) {
	a := newApp(t)
	for _, path := range []string{"/oauth2/authorize" + a.asks(), "/oauth2/logout", "/okta/eam/userinfo", "/oauth2/return?code=x"} {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			req, err := http.NewRequestWithContext(t.Context(), method, a.origin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", strings.TrimSuffix(appBack, "/callback"))
			if g := a.do(a.newBrowser(), req); g.header.Get("Access-Control-Allow-Origin") != "" || g.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: %v", method, path, g.header)
			}
		}
	}
}
