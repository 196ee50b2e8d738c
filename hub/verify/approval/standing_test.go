package approval

import (
	"errors"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// T07: an approval is worth what its giver is worth when it is counted, not when they
// pressed: who was removed or suspended meanwhile, or whom the rule names no more, has
// approved nothing.
func TestT07_AnApprovalOfSomebodyWhoIsGoneCountsNoMore(t *testing.T) {
	rule := policy.People{Staff: []string{"ann@example.com", "eve@example.com"}, Manager: true, Count: 2}
	for name, gone := range map[string]func(t *testing.T, g *rig){
		"removed": func(t *testing.T, g *rig) {
			g.tx(func(tx *store.Tx) error { return tx.RemoveStaff(t.Context(), g.Org.ID, g.ids["ann@example.com"]) })
		},
		"suspended": func(t *testing.T, g *rig) {
			g.tx(func(tx *store.Tx) error {
				_, err := tx.SuspendStaff(t.Context(), g.Env.ID, g.Directory.ID, "99", []string{"ann@example.com"}, time.Now().Add(time.Hour))
				return err
			})
		},
		"of other environments now": func(t *testing.T, g *rig) {
			g.tx(func(tx *store.Tx) error {
				_, err := tx.SetStaffEnvs(t.Context(), g.Org.ID, g.ids["ann@example.com"], []string{"another"})
				return err
			})
		},
		"not named any more":        func(_ *testing.T, g *rig) { g.rule.Staff = []string{"eve@example.com"} },
		"the account is their own":  func(t *testing.T, g *rig) { g.own("ann@example.com", "7") },
		"one person with the other": func(t *testing.T, g *rig) { g.own("ann@example.com", "8"); g.own("boss@example.com", "8") },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *store.Store) {
				g := newRig(t, s, rule, boss, ann, store.Staff{Name: "Eve", Mail: "eve@example.com"})
				sub := g.subject()
				number, tokens := g.open(sub)
				if err := g.approve(sub, "ann@example.com", tokens["ann@example.com"], number); err != nil {
					t.Fatal(err)
				}
				gone(t, g)
				if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], number); err != nil {
					t.Fatal(err)
				}
				if len(g.told) != 0 {
					t.Fatal("counted all the same")
				}
				if err := g.approve(sub, "eve@example.com", tokens["eve@example.com"], number); err != nil {
					t.Fatal(err)
				}
				if len(g.told) != 1 || !g.told[0].Right || len(g.told[0].Evidence) != 2 {
					t.Fatalf("told %+v", g.told)
				}
			})
		})
	}
}

// A rule that asks for more people meanwhile is the one that counts.
func TestT07_TheRuleOfTheMomentDecides(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, two, boss, ann, store.Staff{Name: "Eve", Mail: "eve@example.com"})
		sub := g.subject()
		number, tokens := g.open(sub)
		g.rule.Count = 3
		for _, who := range []string{"ann@example.com", "boss@example.com"} {
			if err := g.approve(sub, who, tokens[who], number); err != nil {
				t.Fatal(err)
			}
		}
		if len(g.told) != 0 {
			t.Error("two were enough where three are asked for now")
		}
		g.rule = policy.People{Staff: []string{"eve@example.com"}, Count: 1}
		if err := g.approve(sub, "ann@example.com", tokens["ann@example.com"], number); !errors.Is(err, ErrGone) {
			t.Errorf("somebody whom the rule names no more sees the request: %v", err)
		}
	})
}

func (g *rig) tx(fn func(tx *store.Tx) error) {
	g.t.Helper()
	if err := g.a.Store.Tx(g.t.Context(), fn); err != nil {
		g.t.Fatal(err)
	}
}

// own makes an account somebody's own.
func (g *rig) own(mail, account string) {
	g.t.Helper()
	g.tx(func(tx *store.Tx) error {
		return tx.LinkStaff(g.t.Context(), g.Org.ID, g.ids[mail], g.Directory.ID, account)
	})
}
