package flow_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// crowd adds one account of every sort and returns an address for each.
func (s *stack) crowd() map[string]string {
	s.t.Helper()
	s.person("known")
	s.person("disabled", func(a *protocol.Account) { a.Disabled = true })
	s.person("swept")
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.SweepAccounts(ctx, s.env, s.dir, []string{"swept"})
	})
	s.person("boss", func(a *protocol.Account) { a.Groups = []protocol.Group{{ID: "g-da", Name: "Domain Admins"}} })
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.PutGroups(ctx, s.env, s.dir, []protocol.Group{{ID: "g-da", Name: "Domain Admins"}})
	})
	s.person("guarded")
	s.agent.set(func(a *testAgent) { a.findings["guarded"] = protocol.Err(protocol.CodePermissionDenied, "protected") })
	s.person("twin1", func(a *protocol.Account) { a.Identifiers = []string{"twins@example.com"} })
	s.person("twin2", func(a *protocol.Account) { a.Identifiers = []string{"twins@example.com"} })
	s.person("silent")
	s.agent.set(func(a *testAgent) { a.contacts["silent"] = protocol.Contacts{} })
	s.person("blocked")
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.BlockRecovery(ctx, s.env, s.dir, "blocked", s.clock.now().Add(time.Hour))
	})
	return map[string]string{
		"known": "known@example.com", "unknown": "nobody@example.com", "disabled": "disabled@example.com", "swept": "swept@example.com",
		"policy": "boss@example.com", "guard": "guarded@example.com", "ambiguous": "twins@example.com", "no other address": "silent@example.com",
		"blocked": "blocked@example.com", "another domain": "x@elsewhere.example",
	}
}

// seen is what somebody outside can observe of one recovery, without its id and with
// times as hours from now.
func (s *stack) seen(v flow.View, err error) string {
	v.ID = ""
	for _, at := range []*time.Time{&v.ExpiresAt, &v.Code.ResendAt, &v.Code.LockedTill, &v.Ask.Since} {
		if !at.IsZero() {
			*at = time.Time{}.Add(at.Sub(s.clock.now()).Round(time.Hour))
		}
	}
	return fmt.Sprintf("%+v %v", v, err)
}

// walk does what somebody without the code can do, and returns all that they see.
func (s *stack) walk(address string) (trace []string) {
	b := s.start(address)
	look := func(err error) { trace = append(trace, s.seen(b.view(), err)) }
	look(nil)
	b.choose(protocol.ActionPassword)
	look(nil)
	look(b.submit("11111111")) // perhaps before anybody looked the address up
	b.settled("proving")
	for range 5 {
		look(b.submit("11111111"))
	}
	look(s.Resend(s.t.Context(), s.env, b.id, b.session))
	s.clock.advance(31 * time.Second)
	look(s.Resend(s.t.Context(), s.env, b.id, b.session))
	b.settled("proving")
	for range 4 {
		look(b.submit("not a code"))
	}
	look(b.press())
	look(b.Acknowledge(s.t.Context(), s.env, b.id, b.session))
	other := s.start(address) // a new flow does not forget
	other.choose(protocol.ActionUnlock)
	b = other
	look(b.submit("11111111"))
	look(s.Cancel(s.t.Context(), s.env, b.id, b.session))
	return trace
}

func TestT30_NothingTellsAddressesApartBeforeTheFirstProof(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		people := s.crowd()
		want := s.walk(people["unknown"])
		if !slices.ContainsFunc(want, func(step string) bool { return step != want[0] }) || len(want) < 15 {
			t.Fatalf("the walk shows nothing: %v", want)
		}
		for who, address := range people {
			if who == "unknown" {
				continue
			}
			for i, got := range s.walk(address) {
				if got != want[i] {
					t.Errorf("%s, step %d:\n%s\nunknown:\n%s", who, i, got, want[i])
				}
			}
		}
		if n := s.mail.count(); n == 0 {
			t.Error("nobody got a code: the test compares nothing")
		}
	})
}

// A code that the agent judges tells addresses apart by nothing either, while the agent
// is away and when it is lost in the middle.
func TestT30_AnAgentThatIsAwayTellsNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("known")
		s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(`{"default":[["agent_code"]]}`) })
		var all []*browser
		for _, address := range []string{"known@example.com", "nobody@example.com"} {
			b := s.start(address)
			b.choose(protocol.ActionPassword)
			b.settled("proving")
			all = append(all, b)
		}
		if s.agent.count(protocol.MethodSendCode) != 1 {
			t.Fatal("the agent sent no code: the test compares nothing")
		}
		for _, c := range []struct {
			what string
			set  func(*testAgent)
			want error
		}{
			{"away", func(a *testAgent) { a.away = true }, recovery.ErrUnavailable},
			{"lost in the middle", func(a *testAgent) { a.away, a.lost = false, protocol.MethodCheckCode }, recovery.ErrWrongCode},
			{"back", func(a *testAgent) { a.lost = 0 }, recovery.ErrWrongCode},
		} {
			s.agent.set(c.set)
			for i, b := range all {
				if err := b.submit("11111111"); !errors.Is(err, c.want) {
					t.Errorf("%s, address %d: %v, want %v", c.what, i, err, c.want)
				}
			}
		}
		if err := all[0].submit("24682468"); err != nil {
			t.Errorf("the right code: %v", err)
		}
	})
}

func TestP09_RowsOfKnownAndUnknownAddressesAreAlike(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("known")
		shape := func(address string) (store.Recovery, store.Verification) {
			b := s.start(address)
			rec := b.row()
			if s.agent.count(protocol.MethodBegin) > 0 {
				t.Fatal("the agent was asked before a choice")
			}
			return rec, store.Verification{}
		}
		known, _ := shape("known@example.com")
		unknown, _ := shape("unkno@example.com") // of the same length
		if len(known.Private) != len(unknown.Private) || known.State != unknown.State || known.Account != "" || len(known.Address) != len(unknown.Address) {
			t.Errorf("rows differ:\n%+v\n%+v", known, unknown)
		}
		for _, rec := range []*store.Recovery{&known, &unknown} {
			rec.ID, rec.Session, rec.Address, rec.Private = "", "", "", nil
			rec.CreatedAt, rec.UpdatedAt, rec.ExpiresAt, rec.DueAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		}
		if !reflect.DeepEqual(known, unknown) {
			t.Errorf("rows differ:\n%+v\n%+v", known, unknown)
		}
	})
}

// Times are printed for people to compare; none fails.
func TestP09_TimesOfKnownAndUnknownAddresses(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		const tries = 125 // of each sort, four steps each: a thousand
		took := map[string][]time.Duration{}
		measure := func(step, who string, f func()) {
			at := time.Now()
			f()
			took[step+" "+who] = append(took[step+" "+who], time.Since(at))
		}
		for i := range tries {
			s.person(fmt.Sprintf("known%d", i))
			for _, who := range []string{"known", "nobody"} {
				var b *browser
				measure("start ", who, func() { b = s.start(fmt.Sprintf("%s%d@example.com", who, i)) })
				measure("choose", who, func() { b.choose(protocol.ActionPassword) })
				measure("view  ", who, func() { b.view() })
				b.settled("proving")
				measure("code  ", who, func() { _ = b.submit("00000000") })
			}
		}
		for step, list := range took {
			slices.Sort(list)
			t.Logf("%s p50 %v p90 %v", step, list[len(list)/2], list[len(list)*9/10])
		}
	})
}

func TestRefusalsAreSaidAfterTheProof(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		people := s.crowd()
		for who, want := range map[string]recovery.Problem{"policy": recovery.ProblemNotAllowed, "guard": recovery.ProblemNotAllowed, "blocked": recovery.ProblemBlocked} {
			b, code := s.asked(people[who], protocol.ActionPassword)
			if err := b.submit(code); err != nil {
				t.Fatal(who, err)
			}
			if v := b.view(); v.Step != flow.StepRefused || v.Problem != want || !v.Proven {
				t.Errorf("%s: step %s, problem %q, want %q", who, v.Step, v.Problem, want)
			}
			if err := b.press(); !errors.Is(err, recovery.ErrStep) {
				t.Errorf("%s: press: %v", who, err)
			}
		}
		if got := s.agent.changes(); len(got) > 0 {
			t.Errorf("changed %v", got)
		}
	})
}

func TestFindingsBecomePlainProblems(t *testing.T) {
	s := newStackSQLite(t)
	for i, c := range []struct {
		action protocol.Action
		code   protocol.Code
		want   recovery.Problem
	}{
		{protocol.ActionUnlock, protocol.CodeUnsupportedAccountState, recovery.ProblemNotLocked},
		{protocol.ActionMFA, protocol.CodeUnsupportedAccountState, recovery.ProblemNothing},
		{protocol.ActionPassword, protocol.CodeUnsupportedAccountState, recovery.ProblemNotAllowed},
		{protocol.ActionPassword, protocol.CodePasswordPolicy, recovery.ProblemPolicy},
		{protocol.ActionPassword, protocol.CodeRateLimited, recovery.ProblemUnavailable},
		{protocol.ActionPassword, "a_code_of_next_year", recovery.ProblemInternal},
	} {
		id := fmt.Sprintf("p%d", i)
		s.person(id)
		s.agent.set(func(a *testAgent) { a.findings[id] = protocol.Err(c.code, "as found") })
		b, code := s.asked(id+"@example.com", c.action)
		if err := b.submit(code); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepRefused || v.Problem != c.want {
			t.Errorf("%s %s: %s %q, want %q", c.action, c.code, v.Step, v.Problem, c.want)
		}
	}
}

// A directory may be slow to begin: whoever is nobody waits as long for the page, once,
// and no longer when they turn to another way and back.
func TestT30_ASlowAgentTellsNothing(t *testing.T) {
	const slow = 1800 * time.Millisecond // longer than any page is held back anyway
	keys := newSigned(t, policy.Passkey, "known")
	s := withWays(t, storetest.SQLite(t), `{"default":[["passkey"],["mail_code"]]}`, keys)
	people := s.crowd()
	s.agent.set(func(a *testAgent) {
		a.begun = func(*protocol.Begun) { <-time.After(slow) }
	})
	opened := func(address string) (took [2]time.Duration) {
		b := s.start(address)
		b.choose(protocol.ActionPassword)
		for i := range took {
			from := time.Now()
			if err := b.ChooseMethod(t.Context(), s.env, b.id, b.session, "passkey", b.recipient); err != nil {
				t.Fatal(err)
			}
			s.wait("the page opens", func() bool { return b.view().Ask.Open })
			took[i] = time.Since(from)
			if err := b.ChooseMethod(t.Context(), s.env, b.id, b.session, "mail_code", b.recipient); err != nil {
				t.Fatal(err)
			}
			b.settled("proving")
		}
		return took
	}
	known := opened(people["known"])
	if known[0] < slow {
		t.Fatalf("the test compares nothing: %s", known)
	}
	for _, who := range []string{"unknown", "disabled", "ambiguous"} {
		if people[who] == "" {
			t.Fatalf("nobody is %s", who)
		}
		took := opened(people[who])
		t.Logf("%s: %s; known: %s", who, took, known)
		if took[0] < slow {
			t.Errorf("%s: the page opens after %s, while an agent takes %s", who, took[0], slow)
		}
		if took[1] >= slow {
			t.Errorf("%s: kept waiting twice, which nobody real is: %s", who, took[1])
		}
	}
}
