package review_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/protocol"
)

// hire adds somebody who works in the console.
func (d *desk) hire(p store.Staff) string {
	d.t.Helper()
	p.ID, p.Name = store.NewID(), p.Mail
	d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error {
		e, err := tx.Environment(d.t.Context(), d.s.Env)
		if err != nil {
			return err
		}
		p.Org = e.Org
		return tx.AddStaff(d.t.Context(), &p)
	}))
	return p.ID
}

func (d *desk) tx(fn func(ctx context.Context, tx *store.Tx, org string) error) {
	d.t.Helper()
	d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error {
		e, err := tx.Environment(d.t.Context(), d.s.Env)
		if err != nil {
			return err
		}
		return fn(d.t.Context(), tx, e.Org)
	}))
}

// Whoever works at the help desk and is locked out does not wave themselves through: not
// by the account that is known as theirs, nor by any of its addresses.
func TestT17_NobodyDecidesAboutThemselves(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.s.Contacts = protocol.Contacts{Mail: []string{"anna@private.example"}}
		self := map[string]string{
			"by the account":   d.hire(store.Staff{Mail: "a@corp.example", Role: "user", Directory: d.s.Directory, Account: "4F0C"}),
			"by an address":    d.hire(store.Staff{Mail: "anna@private.example", Role: "owner"}),
			"and not somebody": d.hire(store.Staff{Mail: "ben@corp.example", Role: "user"}),
		}
		id := d.submit()
		ben := self["and not somebody"]
		delete(self, "and not somebody")
		for how, who := range self {
			if list, err := d.List(t.Context(), d.s.Env, who); err != nil || len(list) != 0 {
				t.Errorf("%s: the list shows %d, %v", how, len(list), err)
			}
			if _, err := d.Take(t.Context(), d.s.Env, who); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: given their own case: %v", how, err)
			}
		}
		d.take(ben, id)
		d.tx(func(ctx context.Context, tx *store.Tx, org string) error {
			return tx.LinkStaff(ctx, org, ben, d.s.Directory, "4f0c")
		}) // it turns out meanwhile
		if err := d.decide(ben, id, review.Accept); !errors.Is(err, review.ErrOther) {
			t.Errorf("decided about themselves: %v", err)
		}
		if _, err := d.Image(t.Context(), d.s.Env, id, "selfie", ben); !errors.Is(err, review.ErrOther) {
			t.Errorf("saw their own case: %v", err)
		}
	})
}

// Two who must agree are two persons, and not two rows of the staff: who has one for each of
// their mail addresses decides once (T07).
func TestT17_WhoHasTwoRowsAmongTheStaffDecidesOnce(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.configure(review.Settings{SecondFor: []string{"Finance"}}))
		d.s.Groups = []policy.Group{{ID: "1", Name: "Finance"}}
		ben := d.hire(store.Staff{Mail: "ben@corp.example", Role: "user", Directory: d.s.Directory, Account: "77"})
		twin := d.hire(store.Staff{Mail: "b.jones@corp.example", Role: "user", Directory: d.s.Directory, Account: "77"})
		late := d.hire(store.Staff{Mail: "benny@corp.example", Role: "user"})
		id := d.submit()
		d.take(ben, id)
		d.must(d.decide(ben, id, review.Accept))
		if list, err := d.List(t.Context(), d.s.Env, twin); err != nil || len(list) != 1 || !list[0].Excluded {
			t.Errorf("the list of their other row: %+v, %v", list, err)
		}
		if got, err := d.Take(t.Context(), d.s.Env, twin); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("given what they decided about: %q, %v", got, err)
		}
		d.take(late, id)
		d.tx(func(ctx context.Context, tx *store.Tx, org string) error {
			return tx.LinkStaff(ctx, org, late, d.s.Directory, "77")
		}) // it turns out meanwhile
		if err := d.decide(late, id, review.Accept); !errors.Is(err, review.ErrOther) || len(d.flow.told) != 0 {
			t.Errorf("one person agreed with themselves: %v, told %+v", err, d.flow.told)
		}
	})
}

// An administrator who invents a second reviewer waits a day, in which the owners read of it.
func TestT18_SomebodyNewDecidesAfterAWait(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		counts := time.UnixMilli(d.clock.Load()).Add(24 * time.Hour)
		young := d.hire(store.Staff{Mail: "new@corp.example", Role: "user", CountsAt: counts})
		d.submit()
		list, err := d.List(t.Context(), d.s.Env, young)
		if err != nil || len(list) != 1 || !list[0].NotYet || list[0].CountsAt.Before(counts.Add(-time.Second)) {
			t.Errorf("the list %+v, %v", list, err)
		}
		if _, err := d.Take(t.Context(), d.s.Env, young); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("given a case at once: %v", err)
		}
		d.clock.Add((23 * time.Hour).Milliseconds())
		if _, err := d.Take(t.Context(), d.s.Env, young); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("given a case an hour early: %v", err)
		}
		d.clock.Add((time.Hour).Milliseconds())
		d.s.Verification = store.NewID()
		later := d.submit()
		if got, err := d.Take(t.Context(), d.s.Env, young); err != nil || got == "" {
			t.Errorf("given %q after a day, %v; waits %s", got, err, later)
		}
	})
}

// The link that an installation printed names nobody: once somebody with a name can
// decide, its holder cannot, because the case might be their own.
func TestT17_ALinkWithoutANameDecidesOnlyWhileNobodyElseCould(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		id := d.submit()
		d.hire(store.Staff{Mail: "far@corp.example", Role: "admin", Envs: []string{"another"}})
		d.take("S-ann", id)
		d.hire(store.Staff{Mail: "ben@corp.example", Role: "user"})
		if err := d.decide("S-ann", id, review.Accept); !errors.Is(err, review.ErrOther) {
			t.Errorf("decided without a name: %v", err)
		}
	})
}

func TestT07_WhatSomebodyAcceptedWhoIsGoneCountsNoMore(t *testing.T) {
	for name, gone := range map[string]func(d *desk, who string){
		"removed": func(d *desk, who string) {
			d.tx(func(ctx context.Context, tx *store.Tx, org string) error { return tx.RemoveStaff(ctx, org, who) })
		},
		"of other environments now": func(d *desk, who string) {
			d.tx(func(ctx context.Context, tx *store.Tx, org string) error {
				_, err := tx.SetStaffEnvs(ctx, org, who, []string{"another"})
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) { countsNoMore(t, gone) })
	}
}

func countsNoMore(t *testing.T, gone func(d *desk, who string)) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.configure(review.Settings{SecondFor: []string{"payroll"}}))
		d.s.Groups = append(d.s.Groups, groupOf("payroll"))
		ann, ben, eve := d.hire(store.Staff{Mail: "ann@corp.example", Role: "user"}), d.hire(store.Staff{Mail: "ben@corp.example", Role: "user"}), d.hire(store.Staff{Mail: "eve@corp.example", Role: "user"})
		id := d.submit()
		d.take(ann, id)
		d.must(d.decide(ann, id, review.Accept))
		gone(d, ann)
		d.take(ben, id)
		d.must(d.decide(ben, id, review.Accept))
		if len(d.flow.told) != 0 {
			t.Fatal("the acceptance of somebody who was removed counted")
		}
		d.take(eve, id)
		d.must(d.decide(eve, id, review.Accept))
		if len(d.flow.told) != 1 || !d.flow.told[0].Right {
			t.Errorf("told %+v", d.flow.told)
		}
	})
}

func TestT25_AReviewerLooksAtCasesOfTheirEnvironmentsOnly(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		far := d.hire(store.Staff{Mail: "far@corp.example", Role: "admin", Envs: []string{"another"}})
		ann := d.hire(store.Staff{Mail: "ann@corp.example", Role: "user", Envs: []string{d.s.Env}})
		id := d.submit()
		if got, err := d.Take(t.Context(), d.s.Env, far); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("was given %q, %v", got, err)
		}
		d.take(ann, id)
		d.tx(func(ctx context.Context, tx *store.Tx, org string) error {
			_, err := tx.SetStaffEnvs(ctx, org, ann, []string{"another"})
			return err
		})
		if _, err := d.Case(t.Context(), d.s.Env, id, ann); !errors.Is(err, review.ErrOther) {
			t.Errorf("still sees the case that they were given: %v", err)
		}
		if err := d.decide(ann, id, review.Accept); !errors.Is(err, review.ErrOther) {
			t.Errorf("still decides about it: %v", err)
		}
	})
}

func groupOf(name string) policy.Group { return policy.Group{Name: name} }
