package request_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// bind binds accounts to whoever a request is of.
func (d *desk) bind(subject string, ids ...string) {
	d.Helper()
	for _, id := range ids {
		d.tx(func(tx *store.Tx) error {
			a, err := tx.AccountOf(d.Context(), d.fixture.Env.ID, d.fixture.Directory.ID, id)
			if err != nil {
				return err
			}
			return tx.SetSubject(d.Context(), a.Env, a.ID, subject)
		})
	}
}

func TestARequestIsToldTheAccountThatIsBoundToWhomTheProofShows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		d.fixture.Accounts(t, s, protocol.Account{ID: "7", Identifiers: []string{"juergen@example.com", "jmueller"}, Name: "Jürgen Müller"},
			protocol.Account{ID: "8", Identifiers: []string{"admin-jm@example.com"}, Name: "Jürgen Müller"})
		asks := func() person {
			return d.opens(d.create(request.Order{Claims: []string{"name", "account"}, MaxUses: 1}))
		}
		p := asks()
		if v := p.view(); !slices.Equal(v.Claims, []string{"account", "name"}) {
			t.Errorf("consent to %q", v.Claims)
		}
		p.shares()
		r := d.create(request.Order{Claims: []string{"account"}, MaxUses: 1})
		alone := d.opens(r)
		d.ok(alone.Agree(t.Context(), alone.env, alone.id, alone.session, request.Client{Address: "192.0.2.7"}))
		if err := alone.presents(d.wallet); !errors.Is(err, request.ErrWrong) {
			t.Errorf("nobody bound an account, of the same name as it is: %v", err)
		}
		first := d.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
		d.opens(first).shares()
		subject := d.document(first).Subject
		if all := d.document(first).Properties; all.Account != nil {
			t.Errorf("nobody asked: %+v", all)
		}

		d.bind(subject, "7")
		d.ok(alone.presents(d.wallet))
		if v, ok := alone.view().Values["account"].(map[string]any); !ok || v["immutable_external_id"] != "7" {
			t.Errorf("before sharing: %+v", alone.view())
		}
		d.ok(alone.Share(t.Context(), alone.env, alone.id, alone.session, request.Client{}))
		got, _ := d.document(r).Properties.Account.(map[string]any)
		if ids, _ := got["ids"].([]any); got["immutable_external_id"] != "7" || len(ids) != 2 {
			t.Errorf("shared: %+v", d.document(r).Properties)
		}

		d.bind(subject, "8")
		p = asks().proves()
		if v := p.view().Values; v["account"] != nil || v["name"] == nil {
			t.Errorf("which of two accounts is meant: %+v", v)
		}
	})
}

func TestARequestIsToldWhereSomebodyLivesWhereTheirDocumentSaysIt(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	homely := jürgen
	homely.Home = []string{"Hauptstraße 1", "10115", "Berlin", "BE", "DE"}
	d.wallet = d.holder(homely)
	r := d.create(request.Order{Scopes: []string{"nt:address"}, MaxUses: 1})
	p := d.opens(r).proves()
	if v := p.view(); v.Values["address"] != "Hauptstraße 1, 10115, Berlin, BE, DE" {
		t.Errorf("before sharing: %+v", v)
	}
	d.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	if got := d.document(r); got.Properties.Address != "Hauptstraße 1, 10115, Berlin, BE, DE" || !slices.Equal(got.Claims, []string{"address"}) {
		t.Errorf("shared: %+v", got)
	}
	d.wallet = d.holder(jürgen)
	p = d.opens(d.create(request.Order{Claims: []string{"address"}, MaxUses: 1}))
	d.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	if err := p.presents(d.wallet); !errors.Is(err, request.ErrWrong) {
		t.Errorf("a document that says nothing of it: %v", err)
	}
}

// A document that is good is told as such: nobody has to guess what an absent member says.
func TestARequestIsToldThatADocumentIsGood(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	r := d.create(request.Order{Claims: []string{"name", "govtid_expired"}, MaxUses: 1})
	if d.document(r).Properties.GovtIDExpired != nil {
		t.Error("told before it was shared")
	}
	d.opens(r).shares()
	b, err := json.Marshal(d.document(r).Properties)
	if err != nil || !strings.Contains(string(b), `"govtid_Expired":false`) {
		t.Errorf("shared: %s, %v", b, err)
	}
}
