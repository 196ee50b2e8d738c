package request_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// opensFor is somebody whom another identity provider sent.
func (d *desk) opensFor(exchange string) person {
	d.Helper()
	id := request.NewUse()
	session, err := d.OpenFor(d.Context(), request.Opening{Env: d.fixture.Env.ID, Use: id, Exchange: exchange, Origin: origin, Label: "Okta", Claims: []string{"given_name", "family_name"},
		Language: "en", By: request.Client{Address: "192.0.2.7"}})
	d.ok(err)
	return person{d, d.fixture.Env.ID, id, session}
}

// finish gives what was proven to whoever waits.
func (p person) finish(give bool) (exchange string, proven *request.Proof, err error) {
	err = p.FinishFor(p.Context(), p.env, p.id, p.session, give, func(_ *store.Tx, x string, c *request.Proof) error {
		exchange, proven = x, c
		return nil
	})
	return exchange, proven, err
}

// once lets an address take one of each.
type once map[string]bool

// Take implements request.Buckets.
func (o once) Take(_ context.Context, key string, _ int, _ time.Duration) (bool, error) {
	taken := o[key]
	o[key] = true
	return !taken, nil
}

// Applications count the browsers that they send, and a company may sign in from one
// address; whoever tries links is counted here.
func TestACompanySignsInFromOneAddress(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	d.Buckets = once{}
	r := d.create(request.Order{Claims: []string{"name"}, MaxUses: 9})
	by := request.Client{Address: "192.0.2.7"}
	for _, want := range []error{nil, request.ErrTooMany} {
		if _, _, err := d.Open(t.Context(), d.fixture.Env.ID, r.Ticket, "en", by); !errors.Is(err, want) {
			t.Errorf("a link: %v, want %v", err, want)
		}
	}
	for range 3 {
		d.opensFor("exchange") // which fails the test if it may not
	}
}

func TestAProofForSomebodyElseIsGivenToThemAloneAndOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		p := d.opensFor("exchange-1")
		if _, _, err := p.finish(true); !errors.Is(err, request.ErrStep) {
			t.Errorf("before the proof: %v", err)
		}
		p.proves()
		if v := p.view(); v.Step != request.StepShare || !v.Exchange {
			t.Fatalf("view %+v", v)
		}
		if err := p.Share(p.Context(), p.env, p.id, p.session, request.Client{}); !errors.Is(err, request.ErrStep) {
			t.Errorf("shared with the organisation: %v", err)
		}
		exchange, proven, err := p.finish(true)
		if err != nil || exchange != "exchange-1" || proven == nil || proven.Family != "Müller" || proven.Given != "Jürgen" || proven.BirthDate != "" {
			t.Errorf("%q, %+v, %v", exchange, proven, err)
		}
		if _, _, err := p.finish(true); !errors.Is(err, request.ErrStep) {
			t.Errorf("twice: %v", err)
		}
		if v := p.view(); v.Step != request.StepReturned || len(v.Values) != 0 {
			t.Errorf("afterwards: %+v", v)
		}
		if strings.Contains(strings.Join(d.told, " "), "share ") {
			t.Errorf("the organisation heard of it: %v", d.told)
		}
		stopped := d.opensFor("exchange-2")
		if exchange, proven, err := stopped.finish(false); err != nil || exchange != "exchange-2" || proven != nil {
			t.Errorf("stopped: %q, %v, %v", exchange, proven, err)
		}
	})
}

func TestAProofThatNobodyWaitsForAnyMoreEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		p := d.opensFor("exchange-1")
		p.proves()
		for range 2 { // the second finds nothing to end
			if err := s.Tx(t.Context(), func(tx *store.Tx) error { return p.StopFor(t.Context(), tx, p.env, p.id) }); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := p.finish(true); !errors.Is(err, request.ErrStep) {
			t.Errorf("given nevertheless: %v", err)
		}
		if v := p.view(); v.Step != request.StepReturned || len(v.Values) != 0 {
			t.Errorf("afterwards: %+v", v)
		}
	})
}
