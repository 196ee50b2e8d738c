package oidc_test

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// admitsOnly sets from where the organisation lets anybody in.
func (a *office) admitsOnly(list ...string) {
	a.t.Helper()
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Organisation(ctx, a.fixture.Env.Org)
		o.Allowed = nil
		for _, p := range list {
			o.Allowed = append(o.Allowed, netip.MustParsePrefix(p))
		}
		if err != nil {
			return err
		}
		return tx.UpdateOrganisation(ctx, o)
	})
}

func TestT35_AClientWithASecretOrAKeyComesOnlyFromTheAddressesOfItsOrganisation(t *testing.T) {
	a := newOffice(t, storetest.SQLite(t))
	client, secret := a.add(party.OpenID, nil)
	s := newSigner(t, a)
	same := func(jwt.MapClaims) {}
	forged := []string{"X-Forwarded-For", "192.0.2.7", "X-Real-IP", "192.0.2.7", "Forwarded", "for=192.0.2.7"}
	push := func(form url.Values) (int, string) {
		g := a.post(http.DefaultClient, "/oauth2/par", form, forged...)
		return g.status, g.body
	}
	a.admitsOnly("192.0.2.0/24")
	for name, form := range map[string]url.Values{"a secret": asking(client, secret), "a key": s.asserts(a, same)} {
		if status, body := push(form); status != 403 || !strings.Contains(body, "unauthorized_client") {
			t.Errorf("%s from elsewhere: %d %s", name, status, body)
		}
	}
	if status, body := push(asking(client, "wrong")); status != 401 {
		t.Errorf("whoever proves nothing is told about the list: %d %s", status, body)
	}
	if status, body := push(a.demo(a.fixture.Env.ID, a.key)); status != 401 {
		t.Errorf("an API key from elsewhere: %d %s", status, body)
	}
	a.admitsOnly("192.0.2.0/24", "127.0.0.0/8", "::1/128")
	for name, form := range map[string]url.Values{"a secret": asking(client, secret), "a key": s.asserts(a, same)} {
		if status, body := push(form); status != 201 {
			t.Errorf("%s from an address of the list: %d %s", name, status, body)
		}
	}
	back := a.codeFor(authorizeBy(client, a.pushes(asking(client, secret))), ann)
	form := exchanging(client, secret, back.Get("code"), appBack)
	form.Set("code_verifier", appVerifier)
	a.admitsOnly("192.0.2.0/24")
	if _, status := a.redeems(form, forged...); status != 403 {
		t.Errorf("a code from elsewhere: %d", status)
	}
	a.admitsOnly()
	if got, status := a.redeems(form); status != 200 || got.ID == "" {
		t.Errorf("the refusal used the code up: %d", status)
	}
}
