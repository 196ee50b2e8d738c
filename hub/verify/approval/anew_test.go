package approval

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// A recovery that another browser took over asks people anew: its context is another one.
func anew(s verify.Subject) verify.Subject {
	s.Context[0]++
	return s
}

// T07: people who follow the first of two mails cannot agree to what nobody waits for, and
// what they agreed to before does not count for what is asked now.
func TestT07_ARequestThatIsMadeAnewEndsTheFirst(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, two, boss, ann)
		sub := g.subject()
		number, first := g.open(sub)
		if err := g.approve(sub, "ann@example.com", first["ann@example.com"], number); err != nil {
			t.Fatal(err)
		}
		again := anew(sub)
		latest, second := g.open(again)
		if len(second) != 2 {
			t.Errorf("asked anew: %v", second)
		}
		for who, token := range first {
			r, err := g.a.Request(t.Context(), g.Env.ID, token)
			if err != nil || !r.Replaced || r.Open {
				t.Errorf("the first link of %s: %+v, %v", who, r, err)
			}
			if err := g.approve(sub, who, token, number); !errors.Is(err, ErrReplaced) {
				t.Errorf("%s approves by the first link: %v", who, err)
			}
		}
		g.a.Upkeep(t.Context())
		if err := g.approve(again, "boss@example.com", second["boss@example.com"], latest); err != nil || len(g.told) != 0 {
			t.Fatalf("one of two: %v, told %+v", err, g.told)
		}
		if err := g.approve(again, "ann@example.com", second["ann@example.com"], latest); err != nil {
			t.Fatal(err)
		}
		if len(g.told) != 1 || !g.told[0].Right || len(g.told[0].Evidence) != 2 || *g.told[0].Context != again.Context {
			t.Errorf("told %+v", g.told)
		}
		log := g.logged(audit.ApprovalReplaced)
		if len(log) != 1 || !slices.Equal(log[0], []string{g.ids["ann@example.com"]}) {
			t.Errorf("the log says whose approvals are void: %v", log)
		}
	})
}

// askedAnew asks people twice, and has Ann agree to what they were asked last. It returns
// that and the links of both mails; those that come later are counted from here.
func (g *rig) askedAnew() (sub verify.Subject, first, second map[string]string) {
	g.t.Helper()
	sub = g.subject()
	_, first = g.open(sub)
	sub = anew(sub)
	number, second := g.open(sub)
	if err := g.approve(sub, "ann@example.com", second["ann@example.com"], number); err != nil {
		g.t.Fatal(err)
	}
	g.mails = nil
	return sub, first, second
}

// Who says no says it about the person who asks: by the link of a request that was replaced
// it ends the one that was made in its place, and the alarm is raised.
func TestANoByTheFirstLinkEndsWhatWasAskedAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, two, boss, ann)
		sub, first, second := g.askedAnew()
		token := first["boss@example.com"]
		if err := g.a.Deny(t.Context(), g.Env.ID, token, g.page(token), Client{}); err != nil {
			t.Fatal(err)
		}
		g.alarmed("ann@example.com")
		if len(g.told) != 1 || g.told[0].Right || g.a.Usable(t.Context(), sub) {
			t.Errorf("told %+v", g.told)
		}
		for _, token := range []string{token, second["boss@example.com"]} {
			if r, err := g.a.Request(t.Context(), g.Env.ID, token); err != nil || r.State != store.AskDenied || r.Open {
				t.Errorf("a link of who said no: %+v, %v", r, err)
			}
			if err := g.a.Deny(t.Context(), g.Env.ID, token, g.page(token), Client{}); !errors.Is(err, ErrGone) {
				t.Errorf("says no once more: %v", err)
			}
		}
		g.alarmed("ann@example.com")
	})
}

// A no by the link of a request that was replaced is heard where none is open in its place.
func TestANoByTheFirstLinkIsHeardWhenNobodyWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, policy.People{Staff: two.Staff, Manager: true, Count: 1}, boss, ann)
		_, first, _ := g.askedAnew()
		token := first["boss@example.com"]
		if err := g.a.Deny(t.Context(), g.Env.ID, token, g.page(token), Client{}); err != nil {
			t.Fatal(err)
		}
		g.alarmed("ann@example.com")
		if len(g.told) != 1 {
			t.Errorf("told %+v", g.told)
		}
	})
}

// alarmed says that these people had the alarm, once, and that the log has one no.
func (g *rig) alarmed(who ...string) {
	g.t.Helper()
	var mails []string
	for _, m := range g.mails {
		if m.Alarm {
			mails = append(mails, m.To)
		}
	}
	if !slices.Equal(mails, who) {
		g.t.Errorf("the alarm went to %v, want %v", mails, who)
	}
	if n := len(g.logged(audit.ApprovalDenied)); n != 1 {
		g.t.Errorf("%d denials in the log", n)
	}
}

// logged lists the void approvers of each event of a kind.
func (g *rig) logged(kind audit.Kind) (void [][]string) {
	g.t.Helper()
	all, err := store.Get(g.t.Context(), g.a.Store, func(tx *store.Tx) ([]audit.Record, error) {
		return audit.List(g.t.Context(), tx, g.Org.ID, store.AuditFilter{Count: 100})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, r := range all {
		var d struct {
			Void []string `json:"void_approvers"`
		}
		if err := json.Unmarshal(r.Detail, &d); err != nil {
			g.t.Fatal(err)
		}
		if r.Kind == kind {
			void = append(void, d.Void)
		}
	}
	return void
}

// P07: of requests that are made for one recovery at the same moment one waits.
func TestP07_OfRequestsMadeAnewAtOnceOneWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, two, boss, ann)
		sub := g.subject()
		var made atomic.Int32
		var wg sync.WaitGroup
		for i := range 50 {
			one := sub
			one.Context[0] = byte(i)
			wg.Go(func() {
				if _, err := g.a.Open(t.Context(), one); err == nil {
					made.Add(1)
				} else if !errors.Is(err, errAnew) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		open, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Approval, error) {
			return tx.OpenApprovals(t.Context(), g.Env.ID, string(policy.Approval))
		})
		if made.Load() != maxAnew || len(open) != 1 || err != nil {
			t.Errorf("%d made, %d wait, %v", made.Load(), len(open), err)
		}
	})
}

// T31: who begins anew again and again sends nobody a flood of mails; the last request waits.
func TestT31_OneRecoveryAsksAnewAFewTimesOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, policy.People{Manager: true, Count: 1}, boss)
		sub := g.subject()
		var number string
		var tokens map[string]string
		for range maxAnew {
			sub = anew(sub)
			if !g.a.Usable(t.Context(), sub) {
				t.Fatal("not usable")
			}
			number, tokens = g.open(sub)
		}
		if more := anew(sub); g.a.Usable(t.Context(), more) {
			t.Error("usable once more")
		} else if _, err := g.a.Open(t.Context(), more); !errors.Is(err, errAnew) {
			t.Errorf("opened once more: %v", err)
		}
		if again, mails := g.open(sub); again != number || len(mails) != 0 {
			t.Errorf("looked at again: number %s, want %s, %d mails", again, number, len(mails))
		}
		if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], number); err != nil || len(g.told) != 1 {
			t.Errorf("the last one: %v, told %d times", err, len(g.told))
		}
	})
}

// Whoever waits for people stays with them, however much else those are asked.
func TestARequestThatStandsIsShownWhateverElseWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, policy.People{Manager: true, Count: 1}, boss)
		sub := g.subject()
		number, _ := g.open(sub)
		for i := range maxOpen - 1 {
			g.open(g.about(fmt.Sprint("other ", i)))
		}
		if g.a.Usable(t.Context(), g.about("one more")) {
			t.Error("one more is asked")
		}
		if again, mails := g.open(sub); !g.a.Usable(t.Context(), sub) || again != number || len(mails) != 0 {
			t.Errorf("number %s, want %s, %d mails", again, number, len(mails))
		}
		if more := anew(sub); !g.a.Usable(t.Context(), more) {
			t.Error("what takes the place of the own request is one too many")
		} else if _, mails := g.open(more); len(mails) != 1 {
			t.Errorf("%d mails", len(mails))
		}
	})
}

// What people decided while nobody waited stands until the verification is told, however
// long that takes: nobody is asked twice, and a no is not asked away, told or not.
func TestWhatWasDecidedAndNotToldIsNotAskedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		denied, anew bool
		mails        int
		told         []bool
	}{
		"approved":                      {false, false, 0, []bool{true}},
		"approved, for another context": {false, true, 1, nil},
		"denied":                        {true, false, 0, []bool{false}},
		"denied, for another context":   {true, true, 0, []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.EachConfig(t, func(t *testing.T, config store.Config) {
				var ahead atomic.Int64
				config.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
				g := newRig(t, storetest.Open(t, config), policy.People{Manager: true, Count: 1}, boss)
				sub := g.subject()
				number, tokens := g.open(sub)
				token := tokens["boss@example.com"]
				g.gone = true
				ahead.Add(int64(5 * time.Minute))
				var err error
				if c.denied {
					err = g.a.Deny(t.Context(), g.Env.ID, token, g.page(token), Client{})
				} else {
					err = g.approve(sub, "boss@example.com", token, number)
				}
				if err != nil {
					t.Fatal(err)
				}
				ahead.Add(int64(5 * time.Minute))
				g.a.Upkeep(t.Context())
				if c.anew {
					sub = anew(sub)
				}
				ask := func() {
					t.Helper()
					g.mails = nil
					_, err := g.a.Open(t.Context(), sub)
					if usable := g.a.Usable(t.Context(), sub); usable == c.denied || errors.Is(err, errDenied) != c.denied || len(g.mails) != c.mails {
						t.Errorf("usable %t, %v, %d mails, want %d", usable, err, len(g.mails), c.mails)
					}
				}
				ask()
				g.gone = false
				g.a.Upkeep(t.Context())
				var told []bool
				for _, v := range g.told {
					told = append(told, v.Right)
				}
				if !slices.Equal(told, c.told) {
					t.Errorf("told %v, want %v", told, c.told)
				}
				if c.denied {
					ask()
				}
			})
		})
	}
}

// What was decided about a verification that ended is kept for nobody.
func TestWhatNobodyWaitsForAnyMoreIsSettled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, policy.People{Manager: true, Count: 1}, boss)
		sub := g.subject()
		number, tokens := g.open(sub)
		g.tx(func(tx *store.Tx) error {
			v, err := tx.Verification(t.Context(), sub.Env, sub.Verification)
			v.State = "proven"
			return errors.Join(err, tx.SaveVerification(t.Context(), &v))
		})
		g.gone = true
		if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], number); err != nil {
			t.Fatal(err)
		}
		due, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Approval, error) { return tx.DueApprovals(t.Context()) })
		if len(due) != 0 || err != nil {
			t.Errorf("%d are kept, %v", len(due), err)
		}
	})
}

// Nobody is asked to agree to nothing in particular.
func TestNobodyIsAskedBeforeThereIsAContext(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, two, boss, ann)
		sub := g.subject()
		sub.Context = protocol.Context{}
		if _, err := g.a.Open(t.Context(), sub); !errors.Is(err, errUnbound) || len(g.mails) != 0 {
			t.Errorf("%v, %d mails", err, len(g.mails))
		}
	})
}
