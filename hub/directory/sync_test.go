package directory_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestFirstPassTakesEverythingOver(t *testing.T) {
	each(t, 55, func(t *testing.T, b *bench, c *company) {
		b.mustSync(t)
		d := b.state(t)
		if d.Sync.Count != 55 || d.Sync.Listed != 55 || d.Sync.Generation != 1 || d.Sync.Fingerprint != "fp" || d.Sync.State != "s1" || d.Sync.Error != "" ||
			d.Sync.Completed.IsZero() || !d.Sync.FullCompleted.Equal(d.Sync.Completed) || d.Sync.Running(time.Now()) || !d.Traits.CanUnlock {
			t.Fatalf("%+v %+v", d.Sync, d.Traits)
		}
		if b.finds(t, "p7@EXAMPLE.com") != 1 || b.finds(t, "p54") != 1 || b.finds(t, "p55") != 0 {
			t.Error("accounts are not found by their identifiers")
		}
		found, err := b.Find(t.Context(), b.Env.ID, "p7")
		if err != nil {
			t.Fatal(err)
		}
		groups, err := store.Get(t.Context(), b.store, func(tx *store.Tx) ([]protocol.Group, error) {
			return tx.AccountGroups(t.Context(), b.Env.ID, found[0].ID)
		})
		if want := []protocol.Group{{ID: "g", Name: "Everybody"}, {ID: "g1", Name: "Group 1"}}; err != nil || !reflect.DeepEqual(groups, want) {
			t.Errorf("groups %v, want %v (%v)", groups, want, err)
		}
	})
}

func TestPassWithoutDifferencesWritesNoAccount(t *testing.T) {
	each(t, 45, func(t *testing.T, b *bench, c *company) {
		b.mustSync(t)
		c.set(func() {
			for i := range c.accounts {
				c.accounts[i].UpdatedAt = time.Now() // a sign-in
			}
		})
		b.mustSync(t)
		if n := b.count(t, "generation > 1"); n != 0 || b.state(t).Sync.Generation != 2 {
			t.Fatalf("%d accounts were written again, generation %d", n, b.state(t).Sync.Generation)
		}
	})
}

func TestPassWritesDifferencesOnly(t *testing.T) {
	each(t, 45, func(t *testing.T, b *bench, c *company) {
		b.mustSync(t)
		c.set(func() {
			c.accounts[3].Name = "Renamed"
			c.accounts[4].Identifiers = []string{"new@example.com"}
			c.accounts[5].Disabled = true
			c.accounts[6].Groups = []protocol.Group{{ID: "g", Name: "Everyone"}}
			c.accounts = append(c.accounts, person(100))
		})
		b.mustSync(t)
		// A renamed group changes all its members' digests.
		if b.finds(t, "p4") != 0 || b.finds(t, "new@example.com") != 1 || b.finds(t, "p100") != 1 || b.count(t, "disabled = 1") != 1 || b.count(t, "name = 'Renamed'") != 1 {
			t.Fatal("not as in the directory")
		}
		if n := b.count(t, "generation = 2"); n != 5 {
			t.Fatalf("%d accounts were written, want 5", n)
		}
	})
}

func TestAccountThatDisappearedIsHiddenAndComesBack(t *testing.T) {
	each(t, 45, func(t *testing.T, b *bench, c *company) {
		b.mustSync(t)
		before, _ := b.Find(t.Context(), b.Env.ID, "p3")
		all := slices.Clone(c.accounts)
		c.set(func() { c.accounts = c.accounts[4:] })
		b.mustSync(t)
		if b.finds(t, "p3") != 0 || b.state(t).Sync.Count != 41 || b.count(t, "swept_at > 0") != 4 {
			t.Fatal("not hidden, or gone")
		}
		c.set(func() { c.accounts = all })
		b.mustSync(t)
		after, _ := b.Find(t.Context(), b.Env.ID, "p3")
		if len(after) != 1 || after[0].ID != before[0].ID || b.state(t).Sync.Count != 45 {
			t.Fatalf("%v came back as %v", before, after)
		}
	})
}

func TestManyAccountsDisappearOnlyWithConfirmation(t *testing.T) {
	each(t, 60, func(t *testing.T, b *bench, c *company) {
		b.mustSync(t)
		c.set(func() { c.accounts = append(c.accounts[7:], person(200)) })
		for _, of := range []int{60, 61} { // asked again, told once
			err := b.sync(t)
			d := b.state(t)
			if err == nil || b.finds(t, "p3") != 1 || b.finds(t, "p200") != 1 || d.Sync.Pending.Reason != store.PendingShrink ||
				d.Sync.Pending.Missing != 7 || d.Sync.Pending.Of != of || d.Sync.Generation != 1 {
				t.Fatalf("%v %+v", err, d.Sync)
			}
			contains(t, d.Sync.Error, fmt.Sprintf("7 of %d accounts would disappear", of), "confirm")
		}
		if len(b.failures) != 1 || b.failures[0].Directory != b.Directory.ID {
			t.Errorf("told %+v", b.failures)
		}
		c.set(func() { c.accounts = c.accounts[20:] }) // meanwhile, far more than was asked
		confirm := func() {
			t.Helper()
			if err := b.Confirm(t.Context(), b.Env.ID, b.Directory.ID, audit.Principal{Role: "owner"}); err != nil {
				t.Fatal(err)
			}
		}
		confirm()
		if err := b.sync(t); err == nil || b.finds(t, "p3") != 1 || b.state(t).Sync.Pending.Missing != 27 {
			t.Fatal("a confirmation of 7 let 27 go", err)
		}
		confirm()
		b.mustSync(t)
		if d := b.state(t); b.finds(t, "p3") != 0 || d.Sync.Error != "" || d.Sync.Pending.Reason != "" || d.Sync.Count != 34 {
			t.Fatalf("%+v", d.Sync)
		}
		if err := b.Confirm(t.Context(), b.Env.ID, b.Directory.ID, audit.Principal{}); !errors.Is(err, store.ErrNoQuestion) {
			t.Error(err)
		}
		events, err := store.Get(t.Context(), b.store, func(tx *store.Tx) ([]audit.Record, error) {
			return audit.List(t.Context(), tx, b.Org.ID, store.AuditFilter{Kinds: []string{string(audit.AgentSyncConfirmed)}, Count: 9})
		})
		if err != nil || len(events) != 2 || events[1].Actor.Role != "owner" {
			t.Errorf("audit: %v %v", events, err)
		}
	})
}

func TestShrinkGuardBeginsAtOneInTenAndFive(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	for _, c := range []struct {
		of, missing int
		asks        bool
	}{{50, 5, false}, {50, 6, true}, {49, 5, true}, {8, 4, false}, {8, 5, true}, {40, 4, false}, {5, 5, true}} {
		company := newCompany(c.of)
		b := newBench(t, s, company)
		b.mustSync(t)
		company.set(func() { company.accounts = company.accounts[c.missing:] })
		if asked := b.sync(t) != nil; asked != c.asks {
			t.Errorf("%d of %d: asked %v", c.missing, c.of, asked)
		}
	}
}

func TestAnotherDirectoryBehindTheAgentStopsThePass(t *testing.T) {
	each(t, 30, func(t *testing.T, b *bench, c *company) {
		b.mustSync(t)
		c.set(func() {
			c.fingerprint, c.accounts = "other", nil
			for i := range 30 {
				c.accounts = append(c.accounts, person(1000+i))
			}
		})
		err := b.sync(t)
		d := b.state(t)
		if err == nil || b.finds(t, "p3") != 1 || b.finds(t, "p1003") != 0 || d.Sync.Pending.Reason != store.PendingFingerprint || d.Sync.Fingerprint != "fp" {
			t.Fatalf("%v %+v", err, d.Sync)
		}
		contains(t, d.Sync.Error, "another directory", "Nothing was changed")
		confirm := func() {
			t.Helper()
			if err := b.Confirm(t.Context(), b.Env.ID, b.Directory.ID, audit.Principal{}); err != nil {
				t.Fatal(err)
			}
		}
		confirm()
		if err := b.sync(t); err == nil || b.state(t).Sync.Pending.Reason != store.PendingShrink || b.finds(t, "p3") != 1 {
			t.Fatal("all accounts changed without a question", err)
		}
		confirm()
		b.mustSync(t)
		if b.finds(t, "p3") != 0 || b.finds(t, "p1003") != 1 || b.state(t).Sync.Fingerprint != "other" {
			t.Fatalf("%+v", b.state(t).Sync)
		}
	})
}

func TestFingerprintThatChangesWithinAPassStopsIt(t *testing.T) {
	each(t, 60, func(t *testing.T, b *bench, c *company) {
		c.onPage = func(_ context.Context, _ string, n int) error {
			if n == 2 {
				c.set(func() { c.fingerprint = "other" })
			}
			return nil
		}
		if err := b.sync(t); err == nil || b.state(t).Sync.Pending.Reason != store.PendingFingerprint || b.state(t).Sync.Generation != 0 {
			t.Fatalf("%v %+v", err, b.state(t).Sync)
		}
	})
}

func TestPassInterruptedByItsAgentGoesOnWithAnotherAndDeletesNothing(t *testing.T) {
	each(t, 60, func(t *testing.T, b *bench, c *company) {
		b.enrol(t, 2)
		b.mustSync(t)
		lost := ""
		c.set(func() {
			c.asked, c.accounts = nil, c.accounts[2:]
			c.onPage = func(_ context.Context, agent string, n int) error {
				if n == 2 && lost == "" {
					lost = agent
					return protocol.Err(protocol.CodeInternal, "the tunnel broke")
				}
				if n > 1 && b.finds(t, "p0") != 1 {
					t.Error("the interrupted pass deleted something")
				}
				return nil
			}
		})
		b.mustSync(t)
		if b.finds(t, "p0") != 0 || b.state(t).Sync.Error != "" {
			t.Fatal("the second pass did not finish")
		}
		if len(c.asked) != 6 || c.asked[0] != lost+"/" || c.asked[1] != lost+"/" || slices.Contains(c.asked[2:], lost+"/") {
			t.Errorf("lost %s, asked %v", lost, c.asked)
		}
	})
}

func TestPassesAreBegunAnewAFewTimesThenTheFailureIsTold(t *testing.T) {
	each(t, 60, func(t *testing.T, b *bench, c *company) {
		passes := 0
		c.onPage = func(_ context.Context, _ string, n int) error {
			if n == 1 {
				passes++
				return nil
			}
			return protocol.Err(protocol.CodeUnavailable, "the tunnel broke")
		}
		if err := b.sync(t); !errors.Is(err, &protocol.Error{Code: protocol.CodeUnavailable}) || passes != 3 {
			t.Fatalf("%d passes: %v", passes, err)
		}
		if d := b.state(t); d.Sync.Generation != 0 || d.Sync.Running(time.Now()) || len(b.failures) != 1 {
			t.Fatalf("%+v, told %v", d.Sync, b.failures)
		}
	})
}

func TestErrorsAreSentencesThatSayWhatToDo(t *testing.T) {
	each(t, 5, func(t *testing.T, b *bench, c *company) {
		for code, want := range map[protocol.Code][]string{
			protocol.CodeServiceAuthentication: {"cannot sign in", "Check the account and the password", "It says: result 49 two lines"},
			protocol.CodeConfiguration:         {"postern-agent check"},
			protocol.CodePermissionDenied:      {"right to read"},
			protocol.CodeUnavailable:           {"No agent of this directory answers", "Start postern-agent"},
			protocol.Code("new_code"):          {"could not list the accounts"},
		} {
			c.onPage = func(context.Context, string, int) error { return protocol.Err(code, "result 49\n\ttwo\x00 lines") }
			b.failures = nil
			if err := b.sync(t); protocol.CodeOf(err) != code {
				t.Errorf("%s: %v", code, err)
			}
			d := b.state(t)
			contains(t, d.Sync.Error, want...)
			if d.Sync.NeedsReconnect != (code == protocol.CodeServiceAuthentication) || len(b.failures) != 1 || b.failures[0].Code != code || b.failures[0].Message != d.Sync.Error {
				t.Errorf("%s: %+v, told %+v", code, d.Sync, b.failures)
			}
		}
		c.onPage = nil
		b.mustSync(t)
		if d := b.state(t); d.Sync.Error != "" || d.Sync.NeedsReconnect {
			t.Errorf("after a success: %+v", d.Sync)
		}
	})
}

func TestDirectoryWithoutAnActiveAgentSaysSo(t *testing.T) {
	each(t, 5, func(t *testing.T, b *bench, c *company) {
		agent := b.enrol(t, 1)[0]
		err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.SetAgentState(t.Context(), b.Env.ID, agent, protocol.AgentRevoked, protocol.AgentActive)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.sync(t); protocol.CodeOf(err) != protocol.CodeUnavailable || len(c.asked) != 0 {
			t.Fatalf("%v, asked %v", err, c.asked)
		}
		contains(t, b.state(t).Sync.Error, "no agent of this directory is active")
	})
}

func TestADirectoryWhoseOnlyAgentWaitsSaysHowToConfirmIt(t *testing.T) {
	each(t, 5, func(t *testing.T, b *bench, c *company) {
		agents := b.enrol(t, 2)
		err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.SetAgentState(t.Context(), b.Env.ID, agents[0], protocol.AgentRevoked, protocol.AgentActive),
				tx.SetAgentState(t.Context(), b.Env.ID, agents[1], protocol.AgentPending, protocol.AgentActive))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.sync(t); protocol.CodeOf(err) != protocol.CodeUnavailable || len(c.asked) != 0 {
			t.Fatalf("%v, asked %v", err, c.asked)
		}
		why := b.state(t).Sync.Error
		contains(t, why, "waits to be confirmed", "postern directory agents confirm "+b.Directory.ID+" "+agents[1])
		if strings.Contains(why, "Start postern-agent") {
			t.Error(why)
		}
	})
}

func TestOneSynchronisationOfADirectoryAtATime(t *testing.T) {
	each(t, 5, func(t *testing.T, b *bench, c *company) {
		inside, leave := make(chan struct{}), make(chan struct{})
		var once sync.Once
		c.onPage = func(context.Context, string, int) error {
			once.Do(func() { close(inside); <-leave })
			return nil
		}
		var wg sync.WaitGroup
		wg.Go(func() { b.mustSync(t) })
		<-inside
		if err := b.sync(t); !errors.Is(err, directory.ErrRunning) {
			t.Error(err)
		}
		if !b.state(t).Sync.Running(time.Now()) {
			t.Error("it does not look as if it were running")
		}
		close(leave)
		wg.Wait()
		b.mustSync(t)
	})
}

// Page k+1 is asked for while page k is written, and what was written is to be seen.
func TestNextPageIsRequestedWhileAPageIsWritten(t *testing.T) {
	each(t, 60, func(t *testing.T, b *bench, c *company) {
		c.onPage = func(_ context.Context, _ string, n int) error {
			if n > 1 { // this request is under way: it sees the page before it appear
				testenv.Eventually(t, fmt.Sprintf("page %d is written before page %d is there", n-1, n), func() bool {
					return b.finds(t, fmt.Sprintf("p%d", (n-2)*20)) == 1
				})
			}
			if n == 3 {
				d := b.state(t)
				if d.Sync.Listed < 20 || d.Sync.Expected < 60 || !d.Sync.Running(time.Now()) {
					t.Errorf("progress %+v", d.Sync)
				}
			}
			return nil
		}
		b.mustSync(t)
	})
}

func TestPassThatLostItsPlaceWritesNothingMore(t *testing.T) {
	each(t, 60, func(t *testing.T, b *bench, c *company) {
		c.onPage = func(_ context.Context, _ string, n int) error {
			if n != 2 {
				return nil
			}
			return b.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.StartSync(t.Context(), b.Env.ID, b.Directory.ID, "another") })
		}
		if err := b.sync(t); !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
		if b.count(t, "1 = 1") > 20 || b.state(t).Sync.Generation != 0 {
			t.Fatalf("it wrote %d accounts", b.count(t, "1 = 1"))
		}
	})
}

func TestChangesAloneAreListedWhereTheKindCan(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, cfg store.Config) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var mu sync.Mutex
		cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
		c := newCompany(60)
		c.traits.CanUpdateAccountsList = true
		b := newBench(t, storetest.Open(t, cfg), c)
		b.mustSync(t)
		changed := person(1)
		changed.Name = "Changed"
		c.set(func() {
			c.asked, c.state = nil, "s2"
			c.changes["s1"] = changes{accounts: []protocol.Account{changed, person(70)}, deleted: []string{"id-0005", "unknown", "id-0070"}}
			c.changes["s2"] = changes{}
		})
		refresh := func(since string) {
			t.Helper()
			c.set(func() { c.asked = nil })
			if err := b.SyncChanges(t.Context(), b.Env.ID, b.Directory.ID); err != nil {
				t.Fatal(err)
			}
			if c.asked[0] != "/"+since {
				t.Errorf("asked since %q, want %q", c.asked[0], since)
			}
		}
		refresh("s1")
		d := b.state(t)
		if d.Sync.Count != 59 || b.finds(t, "p5") != 0 || b.finds(t, "p9") != 1 || b.finds(t, "p70") != 0 || b.count(t, "name = 'Changed'") != 1 ||
			d.Sync.State != "s2" || d.Sync.Generation != 2 {
			t.Fatalf("%+v", d.Sync)
		}
		refresh("s2")
		b.mustSync(t) // on demand everything is listed
		if c.asked[len(c.asked)-1] != "/" {
			t.Errorf("on demand: asked %v", c.asked)
		}
		c.set(func() { c.state = "s3"; delete(c.changes, "s2") })
		refresh("s2") // the agent does not know the state any more and lists everything
		if d := b.state(t); !d.Sync.FullCompleted.Equal(d.Sync.Completed) {
			t.Errorf("a full answer was not taken as one: %+v", d.Sync)
		}
		mu.Lock()
		now = now.Add(25 * time.Hour)
		mu.Unlock()
		refresh("") // once a day everything is listed
	})
}

func TestDeletionsOfAnIncrementalPassAreGuardedToo(t *testing.T) {
	each(t, 20, func(t *testing.T, b *bench, c *company) {
		c.traits.CanUpdateAccountsList = true
		b.mustSync(t)
		var gone []string
		for i := range 6 {
			gone = append(gone, person(i).ID)
		}
		c.set(func() { c.changes["s1"] = changes{deleted: gone} })
		if err := b.SyncChanges(t.Context(), b.Env.ID, b.Directory.ID); err == nil || b.finds(t, "p0") != 1 {
			t.Fatal("six of twenty went without a question", err)
		}
	})
}

// T25: another environment's directory is not found.
func TestT25_AnotherEnvironmentsDirectoryIsNotSynchronised(t *testing.T) {
	each(t, 5, func(t *testing.T, b *bench, c *company) {
		other := storetest.Seed(t, b.store)
		if err := b.Sync(t.Context(), other.Env.ID, b.Directory.ID); !errors.Is(err, store.ErrNotFound) || len(c.asked) != 0 {
			t.Fatalf("%v, asked %v", err, c.asked)
		}
		if err := b.Confirm(t.Context(), other.Env.ID, b.Directory.ID, audit.Principal{}); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		b.mustSync(t)
		if all, err := b.Find(t.Context(), other.Env.ID, "p1"); err != nil || len(all) != 0 {
			t.Fatal(all, err)
		}
	})
}

// P26: a pass whose store goes away deletes nothing, and the next one makes it good.
func TestP26_StoreThatGoesAwayInTheMiddleOfAPass(t *testing.T) {
	p := testenv.StartPostgres(t)
	cfg := storetest.SQLite(t)
	cfg.URL = p.Database(t)
	c := newCompany(60)
	b := newBench(t, storetest.Open(t, cfg), c)
	c.onPage = func(_ context.Context, _ string, n int) error {
		if n == 2 {
			p.Stop()
		}
		return nil
	}
	if err := b.sync(t); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	p.Start(t)
	c.onPage = nil
	b.mustSync(t)
	if d := b.state(t); d.Sync.Count != 60 || d.Sync.Error != "" {
		t.Fatalf("%+v", d.Sync)
	}
}

func TestListingThatDoesNotEndIsStopped(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	b := newBench(t, s, nil)
	b.Directories = directory.New(directory.Config{Store: s, Calls: endless{}, Leases: noLeases{}, Log: b.Log(t)})
	if err := b.sync(t); protocol.CodeOf(err) != protocol.CodeConfiguration {
		t.Fatal(err)
	}
}
