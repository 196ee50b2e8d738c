package request_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/hub/webhook"
)

// sendsAway lets people of this desk also sign in somewhere else.
func (d *desk) sendsAway() {
	d.Helper()
	hooks, err := webhook.New(webhook.Config{Store: d.store, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	d.ok(err)
	set := provider.Settings{Name: "Bank ID", Issuer: "https://bank.example.com", ClientID: "c", ClientSecret: "s", Requests: true}
	d.ok(set.Check())
	d.tx(func(tx *store.Tx) error {
		return tx.AddIdentityProvider(d.Context(), &store.IdentityProvider{Env: d.fixture.Env.ID, Body: []byte(store.JSON(set))})
	})
	d.Verifiers = append(d.Verifiers, provider.New(provider.Config{Store: d.store, Client: hooks.Client(), Now: time.Now}))
}

func TestPeopleChooseAmongTheWaysThatProveWhatIsAsked(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	d.sendsAway()
	p := d.opens(d.create(request.Order{Claims: []string{"name"}}))
	choose := func(p person, m string) error { return p.Choose(t.Context(), p.env, p.id, p.session, m) }
	if err := choose(p, "digital_credential"); !errors.Is(err, request.ErrStep) {
		t.Errorf("chosen before consent: %v", err)
	}
	d.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	if v := p.view(); v.Step != request.StepMethod || !slices.Equal(v.Methods, []policy.Method{policy.DigitalCredential, policy.IdentityProvider}) || v.Ask != nil {
		t.Errorf("%+v", v)
	}
	for _, m := range []string{"", "approval", "mail_code", "document_review"} {
		if err := choose(p, m); !errors.Is(err, request.ErrMethod) {
			t.Errorf("%q: %v", m, err)
		}
	}
	d.ok(choose(p, "identity_provider"))
	if v := p.view(); v.Step != request.StepProve || v.Form != policy.FormAway || len(v.Methods) != 2 {
		t.Errorf("%+v", v)
	}
	for range 3 {
		if err := p.Answer(t.Context(), p.env, p.id, p.session, `{"code":"x","state":"y.z"}`); !errors.Is(err, request.ErrWrong) {
			t.Errorf("%v", err)
		}
	}
	d.ok(choose(p, "digital_credential"))
	for range 2 {
		if err := p.Answer(t.Context(), p.env, p.id, p.session, `{}`); !errors.Is(err, request.ErrWrong) {
			t.Errorf("%v", err)
		}
	}
	d.ok(choose(p, "digital_credential"))
	if err := p.presents(d.wallet); !errors.Is(err, request.ErrTooMany) {
		t.Errorf("tries are counted anew for each way: %v", err)
	}

	document := d.opens(d.create(request.Order{Claims: []string{"govtid", "govtid_expired"}}))
	d.ok(document.Agree(t.Context(), document.env, document.id, document.session, request.Client{Address: "192.0.2.7"}))
	if v := document.view(); v.Step != request.StepProve || v.Method != policy.DigitalCredential {
		t.Errorf("a sign-in is offered for what only a document says: %+v", v)
	}
}
