package oidc_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestNobodyKeepsOrGuessesWhatAServerIsAnswered(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	for name, g := range map[string]got{
		"a request":       a.post(http.DefaultClient, "/oauth2/par", asking(client, secret)),
		"a wrong secret":  a.post(http.DefaultClient, "/oauth2/par", asking(client, "wrong")),
		"an unknown code": a.post(http.DefaultClient, "/oauth2/token", url.Values{"client_id": {client}, "client_secret": {secret}, "grant_type": {"authorization_code"}, "code": {"no"}}),
	} {
		for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
			if value := g.header.Get(header); value != want {
				t.Errorf("%s: %s: %q, want %q", name, header, value, want)
			}
		}
	}
}
