package oidc_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// TestT11_WhatIsDecidedAboutAClientHoldsFromTheNextRequestOn changes each row that a request
// of a client depends on, right after a request that was let through: whoever wrote it,
// on whichever node, the next one is decided by it.
func TestT11_WhatIsDecidedAboutAClientHoldsFromTheNextRequestOn(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a := newOffice(t, c)
		client, secret := a.addFor(a.fixture.Directory.ID, nil)
		pushed := func() int { return a.post(http.DefaultClient, "/oauth2/par", asking(client, secret)).status }
		changed := func(what string, want int, change func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			if got := pushed(); got != http.StatusCreated {
				t.Fatalf("before %s: %d", what, got)
			}
			a.tx(change)
			if got := pushed(); got != want {
				t.Errorf("after %s: %d, want %d", what, got, want)
			}
		}
		settings := func(s party.Settings) func(ctx context.Context, tx *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				row, err := tx.OIDCClient(ctx, a.fixture.Env.ID, client)
				if err != nil {
					return err
				}
				return party.Change(ctx, tx, &row, row.Directory, s)
			}
		}
		organisation := func(from ...netip.Prefix) func(ctx context.Context, tx *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				o := a.fixture.Org
				o.Allowed = from
				return tx.UpdateOrganisation(ctx, o)
			}
		}
		changed("another address", http.StatusBadRequest, settings(party.Settings{Name: "App", Redirects: []string{"https://elsewhere.example/back"}}))
		a.tx(settings(party.Settings{Name: "App", Redirects: []string{appBack}}))
		changed("an organisation that lets others in", http.StatusForbidden, organisation(netip.MustParsePrefix("192.0.2.0/24")))
		a.tx(organisation())
		changed("the end of its directory", http.StatusUnauthorized, func(ctx context.Context, tx *store.Tx) error {
			return tx.DeleteDirectory(ctx, a.fixture.Env.ID, a.fixture.Directory.ID)
		})
	})
}
