package api

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestAnOrganisationIsShownAsItsCallerReachesIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		all := st.want(t, 200, "GET", "/api/org", "")
		if all.member(t, "name") != "Example" || all.member(t, "role") != "owner" || len(all.member(t, "envs").([]any)) != 2 {
			t.Error(all.body)
		}
		user := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleLimited, Envs: []string{st.mine.Env.ID}})
		one := st.do(t, user, "GET", "/api/org", "")
		if one.status != 200 || one.member(t, "role") != "limited" || strings.Contains(one.body, st.other.Env.ID) || !strings.Contains(one.body, st.mine.Env.ID) {
			t.Error(one.status, one.body)
		}
	})
}

func TestAnOrganisationIsRenamedAndItsAddressesAreKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		st.want(t, 204, "PATCH", "/api/org", `{"name":"Acme Corp"}`)
		st.want(t, 204, "PATCH", "/api/org", `{"allowed_ip_addresses":["127.0.0.0/8","2001:db8::/32","192.0.2.7","192.0.2.7"]}`)
		got := st.want(t, 200, "GET", "/api/org", "")
		if got.member(t, "name") != "Acme Corp" || !strings.Contains(got.body, `"allowed_ip_addresses":["127.0.0.0/8","2001:db8::/32","192.0.2.7/32"]`) {
			t.Error(got.body)
		}
		limited := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleUser, Envs: []string{store.AllEnvs}})
		if got := st.do(t, limited, "GET", "/api/org", ""); got.status != 200 || strings.Contains(got.body, "192.0.2.7") {
			t.Errorf("who cannot change addresses is told them: %s", got.body)
		}
		st.want(t, 204, "PATCH", "/api/org", `{"allowed_ip_addresses":[]}`)
		o, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.Organisation, error) { return tx.Organisation(t.Context(), st.mine.Org.ID) })
		if err != nil || len(o.Allowed) != 0 || o.Name != "Acme Corp" || !o.Admits(netip.MustParseAddr("198.51.100.1")) {
			t.Errorf("%+v %v", o, err)
		}
	})
}

func TestNobodyShutsThemselvesOutByAListOfAddresses(t *testing.T) {
	st := lite(t)
	for body, want := range map[string]string{
		`{"allowed_ip_addresses":["192.0.2.0/24"]}`:             "would shut you out",
		`{"allowed_ip_addresses":["127.0.0.1","192.0.2.7/24"]}`: "192.0.2.7/24",
		`{"allowed_ip_addresses":["127.0.0.1","example.com"]}`:  "example.com",
		`{"allowed_ip_addresses":["fe80::1%eth0"]}`:             "fe80",
		`{"allowed_ip_addresses":["::ffff:127.0.0.0/104"]}`:     "ffff",
		`{"name":""}`:                      "name: want one line",
		`{"name":"a\nb"}`:                  "name: want one line",
		`{"role":"owner"}`:                 "role: there is no such member",
		`{"allowed_ip_addresses":"1.2.3"}`: "allowed_ip_addresses",
	} {
		if got := st.want(t, 400, "PATCH", "/api/org", body); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", body, got.body)
		}
	}
	if got := st.do(t, st.mine.key, "PATCH", "/api/org", `{"name":"Mine"}`); got.status != 403 {
		t.Errorf("a key of one environment renames the organisation: %d %s", got.status, got.body)
	}
	st.want(t, 204, "PATCH", "/api/org", `{"allowed_ip_addresses":["::ffff:127.0.0.1"]}`)
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Organisation(ctx, st.mine.Org.ID)
		for address, want := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "127.0.0.2": false, "2001:db8::1": false} {
			if o.Admits(netip.MustParseAddr(address)) != want {
				t.Errorf("%s: %v", address, !want)
			}
		}
		return err
	})
}
