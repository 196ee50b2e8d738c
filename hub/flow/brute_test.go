package flow_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

func newStackSQLite(t *testing.T) *stack { t.Helper(); return newStack(t, storetest.SQLite(t), nil) }

// guess submits wrong codes in as many recoveries as it takes, each asked for an hour
// later than the one before, and returns the last one.
func (s *stack) guess(address string, n int) (b *browser, err error) {
	s.t.Helper()
	for i := range n {
		if i%5 == 0 {
			s.clock.advance(time.Hour + time.Minute)
			b = s.start(address)
			b.choose(protocol.ActionPassword)
			b.settled("proving")
		}
		if err = b.submit("00000000"); !errors.Is(err, recovery.ErrWrongCode) {
			return b, err
		}
	}
	return b, err
}

func TestP10_FailedProofsCountAcrossRecoveriesAndRestarts(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c, nil)
		s.person("ada")
		for _, address := range []string{"ada@example.com", "nobody@example.com"} {
			if _, err := s.guess(address, 7); !errors.Is(err, recovery.ErrWrongCode) {
				t.Fatal(address, err)
			}
		}
		// The node is started again, with an empty coordinator.
		again := s.config.open()
		s.node, s.tunnels.node = again, again.Operations
		s.run(again.Recoveries)
		for _, address := range []string{"ada@example.com", "nobody@example.com"} {
			b, err := s.guess(address, 3)
			if !errors.Is(err, recovery.ErrWrongCode) {
				t.Fatal(address, err)
			}
			until := b.view().Code.LockedTill
			if d := until.Sub(s.clock.now()); d < 23*time.Hour || d > 24*time.Hour {
				t.Errorf("%s: shut for %s, want 24 hours", address, d)
			}
			if err := b.submit("00000000"); !errors.Is(err, recovery.ErrTooMany) {
				t.Errorf("%s: the 11th answer: %v", address, err)
			}
			sent := s.mail.count()
			late := s.start(address)
			late.choose(protocol.ActionPassword)
			if v := late.view(); v.Step != flow.StepProve || !v.Code.LockedTill.Equal(until) {
				t.Errorf("%s: a new recovery: %+v", address, v.Code)
			}
			if err := late.submit("00000000"); !errors.Is(err, recovery.ErrTooMany) {
				t.Errorf("%s: a new recovery: %v", address, err)
			}
			if s.mail.count() != sent {
				t.Errorf("%s: a code was sent for a method that is shut", address)
			}
		}
		s.clock.advance(24 * time.Hour)
		s.ready("ada@example.com", protocol.ActionPassword)
		s.clock.advance(2 * time.Hour)
		if _, err := s.guess("ada@example.com", 9); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("after a success the count begins anew: %v", err)
		}
	})
}

func TestP10_TheHardStopEndsOnlyByHand(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	for range 9 {
		if _, err := s.guess("ada@example.com", 10); !errors.Is(err, recovery.ErrWrongCode) {
			t.Fatal(err)
		}
		s.clock.advance(24 * time.Hour)
	}
	if _, err := s.guess("ada@example.com", 10); !errors.Is(err, recovery.ErrWrongCode) {
		t.Fatal(err)
	}
	s.clock.advance(365 * 24 * time.Hour)
	b := s.start("ada@example.com")
	b.choose(protocol.ActionPassword)
	if v := b.view(); v.Code.LockedTill.Before(s.clock.now()) {
		t.Errorf("open again after 100 failures: %+v", v.Code)
	}
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.AccountOf(ctx, s.env, s.dir, "ada")
		if err != nil {
			return err
		}
		if _, stopped, err := s.Closed(ctx, tx, a); !stopped || err != nil {
			t.Errorf("stopped %v, %v", stopped, err)
		}
		return s.Reopen(ctx, tx, a)
	})
	s.ready("ada@example.com", protocol.ActionPassword)
}

func TestP10_ReopeningAnAccountOpensEveryAddressOfItAndNoOther(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada", func(a *protocol.Account) { a.Identifiers = append(a.Identifiers, "Lovelace@Example.com") })
	s.person("ben")
	for _, address := range []string{"lovelace@example.com", "ben@example.com"} {
		if _, err := s.guess(address, 10); !errors.Is(err, recovery.ErrWrongCode) {
			t.Fatal(err)
		}
	}
	closed := func(id string) (until time.Time, stopped bool) {
		s.tx(func(ctx context.Context, tx *store.Tx) error {
			a, err := tx.AccountOf(ctx, s.env, s.dir, id)
			if err == nil {
				until, stopped, err = s.Closed(ctx, tx, a)
			}
			return err
		})
		return until, stopped
	}
	for _, id := range []string{"ada", "ben"} {
		if until, stopped := closed(id); stopped || !until.After(s.clock.now()) {
			t.Errorf("%s after ten failures: closed until %v, stopped %v", id, until, stopped)
		}
	}
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.AccountOf(ctx, s.env, s.dir, "ada")
		return errors.Join(err, s.Reopen(ctx, tx, a))
	})
	if until, _ := closed("ada"); !until.IsZero() {
		t.Error("closed after it was opened, until", until)
	}
	if until, _ := closed("ben"); until.IsZero() {
		t.Error("another account was opened as well")
	}
	s.ready("lovelace@example.com", protocol.ActionPassword)
}

// Guessing under one address of an account counts under all, and says so under none.
func TestP10_AnAliasIsNoWayRoundTheAccountsCounter(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada", func(a *protocol.Account) { a.Identifiers = append(a.Identifiers, "lovelace@example.com") })
		if _, err := s.guess("ada@example.com", 10); !errors.Is(err, recovery.ErrWrongCode) {
			t.Fatal(err)
		}
		sent := s.mail.count()
		b := s.start("lovelace@example.com")
		b.choose(protocol.ActionPassword)
		b.settled("proving")
		if v := b.view(); !v.Code.LockedTill.IsZero() || v.Code.TriesLeft != 5 {
			t.Errorf("the other address shows it: %+v", v.Code)
		}
		if s.mail.count() != sent {
			t.Error("a code was sent for an account that is shut")
		}
		if err := b.submit("00000000"); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("the other address: %v", err)
		}
	})
}

func TestP10_ACodeHasFiveTriesAndANewOneVoidsIt(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b, code := s.asked("ada@example.com", protocol.ActionPassword)
		for i := range 5 {
			if err := b.submit("00000000"); !errors.Is(err, recovery.ErrWrongCode) {
				t.Fatalf("try %d: %v", i, err)
			}
		}
		if err := b.submit(code); !errors.Is(err, recovery.ErrTooMany) {
			t.Errorf("the right code at the sixth try: %v", err)
		}
		if err := s.Resend(t.Context(), s.env, b.id, b.session); !errors.Is(err, recovery.ErrTooSoon) {
			t.Errorf("another code at once: %v", err)
		}
		s.clock.advance(31 * time.Second)
		if err := s.Resend(t.Context(), s.env, b.id, b.session); err != nil {
			t.Fatal(err)
		}
		fresh := b.code()
		if err := b.submit(code); fresh != code && !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("the former code: %v", err)
		}
		if err := b.submit(fresh); err != nil {
			t.Errorf("the new code: %v", err)
		}
	})
}

func TestThreeCodesAnHourAcrossRecoveries(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada", func(a *protocol.Account) { a.Identifiers = append(a.Identifiers, "lovelace@example.com") })
		ask := func(address, client string) flow.CodeView {
			b := s.start(address, func(q *flow.Start) { q.Client.Address = client })
			b.choose(protocol.ActionPassword)
			b.settled("proving")
			return b.view().Code
		}
		for i := range 4 {
			c := ask("ada@example.com", "192.0.2.7")
			if want := max(2-i, 0); c.SendsLeft != want {
				t.Errorf("after %d: %+v", i+1, c)
			}
		}
		if c := ask("ada@example.com", "192.0.2.7"); c.ResendAt.Sub(s.clock.now()) < 50*time.Minute || s.mail.count() != 3 {
			t.Errorf("%d codes for one client within an hour, the next at %s", s.mail.count(), c.ResendAt)
		}
		// T31: another client is not shut out by that, but nobody's mailbox is flooded.
		for i := range 4 {
			for range 3 {
				ask("ada@example.com", fmt.Sprintf("198.51.100.%d", i))
			}
		}
		if n := s.mail.count(); n != 9 {
			t.Errorf("%d codes within an hour", n)
		}
		if c := ask("ada@example.com", "203.0.113.1"); c.SendsLeft != 0 {
			t.Errorf("an address that had nine: %+v", c)
		}
		if c := ask("lovelace@example.com", "203.0.113.1"); c.SendsLeft != 2 || s.mail.count() != 9 {
			t.Errorf("another address of the account: %+v, %d codes", c, s.mail.count())
		}
		s.clock.advance(time.Hour + time.Second)
		if b, code := s.asked("ada@example.com", protocol.ActionPassword); b.submit(code) != nil || s.mail.count() != 10 {
			t.Error("an hour later no code works")
		}
	})
}

// A method that is shut leaves a stronger one open (T31).
func TestT31_AStrongerMethodStaysOpen(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		if _, err := s.guess("ada@example.com", 10); !errors.Is(err, recovery.ErrWrongCode) {
			t.Fatal(err)
		}
		s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(`{"default":[["mail_code"],["agent_code"]]}`) })
		sent := s.mail.count()
		b := s.start("ada@example.com")
		b.choose(protocol.ActionPassword)
		b.settled("proving")
		if v := b.view(); !v.Code.LockedTill.IsZero() {
			t.Fatalf("shut: %+v", v.Code)
		}
		if err := b.submit("24682468"); err != nil || s.mail.count() != sent || s.agent.count(protocol.MethodSendCode) != 1 {
			t.Errorf("the agent's code: %v, %d mails more", err, s.mail.count()-sent)
		}
	})
}

// Starts are never counted: who begins a thousand recoveries shuts nobody out.
func TestT31_StartsAreNotCounted(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		for range 50 {
			s.start("ada@example.com")
		}
		s.ready("ada@example.com", protocol.ActionPassword)
	})
}

// Guessing in parallel gives no more tries than one after another.
func TestP10_ParallelGuessesAreAllCounted(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b, _ := s.asked("ada@example.com", protocol.ActionPassword)
		var judged atomic.Int32
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				switch err := b.submit(fmt.Sprintf("%08d", i)); {
				case errors.Is(err, recovery.ErrWrongCode):
					judged.Add(1)
				case !errors.Is(err, recovery.ErrTooMany):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if judged.Load() != 5 {
			t.Errorf("%d guesses at one code were judged", judged.Load())
		}
	})
}

func TestClientsAreLimitedPerAddressAndNetwork(t *testing.T) {
	s := newStack(t, storetest.SQLite(t), func(c *config) { c.StartsPerAddress = 3 })
	from := func(ip string) error {
		_, err := s.tryStart("ada@example.com", func(q *flow.Start) { q.Client.Address = ip })
		return err
	}
	for i := range 3 {
		if err := from(fmt.Sprintf("2001:db8::%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for ip, limited := range map[string]bool{"2001:db8::ffff": true, "2001:db8:0:1::1": false, "192.0.2.1": false, "::ffff:192.0.2.2": false} {
		if err := from(ip); errors.Is(err, recovery.ErrRateLimited) != limited {
			t.Errorf("%s: %v", ip, err)
		}
	}
}
