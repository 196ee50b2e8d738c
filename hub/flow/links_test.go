package flow_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/protocol"
)

// link mints a presigned link of the environment.
func (s *stack) link(r token.Request) string {
	s.t.Helper()
	text, _, err := s.links.Mint(s.t.Context(), token.Issue{Env: s.env, Owner: true, Request: r})
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func with(link string) func(*flow.Start) { return func(q *flow.Start) { q.Link = link } }

func (s *stack) requirePresigned() {
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		e, err := tx.Environment(ctx, s.env)
		if err != nil {
			return err
		}
		e.Microsite.RequirePresigned = true
		return tx.UpdateEnvironment(ctx, e)
	})
}

func TestT32_ALinkAdmitsWhatItSaysAndProvesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		s.requirePresigned()
		link := s.link(token.Request{Email: "Ada@EXAMPLE.com", Operations: []protocol.Action{protocol.ActionUnlock}, Flow: "enroll"})
		for name, c := range map[string]struct{ address, link string }{
			"without a link": {"ada@example.com", ""}, "forged": {"ada@example.com", link + "x"}, "another address": {"mallory@example.com", link},
		} {
			if _, err := s.tryStart(c.address, with(c.link)); !errors.Is(err, recovery.ErrNotAdmitted) {
				t.Errorf("%s: %v", name, err)
			}
		}
		b := s.start("ada@example.com", with(link), func(q *flow.Start) { // hints of the URL do not widen a link
			q.Intent = flow.Intent{Flow: "recover", Actions: []protocol.Action{protocol.ActionPassword}, Directories: []string{s.dir}}
		})
		v := b.view()
		if !slices.Equal(v.Actions, []protocol.Action{protocol.ActionUnlock}) || v.Flow != "enroll" || v.Proven {
			t.Errorf("offered %+v", v)
		}
		if err := s.Choose(t.Context(), s.env, b.id, b.session, s.dir, protocol.ActionPassword); !errors.Is(err, recovery.ErrNotAdmitted) {
			t.Errorf("another operation: %v", err)
		}
		b.choose(protocol.ActionUnlock)
		code := b.code()
		if err := b.press(); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("pressed on the strength of a link: %v", err)
		}
		if err := b.submit(code); err != nil {
			t.Fatal(err)
		}
		if got := detail(t, b.events()[audit.RecoveryBegun][0])["link"]; got == "" || got != b.row().Link {
			t.Errorf("the log names link %v", got)
		}
		s.start("ada@example.com", with(link)) // reusable until it ends
		s.clock.advance(time.Hour + time.Second)
		if _, err := s.tryStart("ada@example.com", with(link)); !errors.Is(err, recovery.ErrNotAdmitted) {
			t.Errorf("P8, after its end: %v", err)
		}
	})
}

func TestT32_ALinkOfAnotherDirectoryOffersNothing(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	b := s.start("ada@example.com", with(s.link(token.Request{Directories: []string{store.NewID()}})))
	if v := b.view(); len(v.Actions) != 0 || len(v.Directories) != 0 {
		t.Errorf("offered %+v", v)
	}
	if err := s.Choose(t.Context(), s.env, b.id, b.session, "", protocol.ActionUnlock); !errors.Is(err, recovery.ErrNotAdmitted) {
		t.Errorf("choice: %v", err)
	}
	hint := s.start("ada@example.com", func(q *flow.Start) { q.Intent.Directories = []string{store.NewID()} })
	if v := hint.view(); len(v.Actions) != 3 {
		t.Errorf("a hint that fits nothing takes everything away: %+v", v)
	}
}

func TestT32_AStricterPolicyWinsAndAWeakerWishIsRecorded(t *testing.T) {
	s := newStackSQLite(t)
	for _, c := range []struct {
		wish    policy.Strength
		step    flow.Step
		ignored bool
	}{
		{policy.WeakNameMatch, flow.StepReady, true},
		{policy.NameAndBirthDate, flow.StepReady, false},
		{policy.Disabled, flow.StepRefused, false},
		{policy.None, flow.StepRefused, false},
	} {
		id := string(c.wish)
		s.person(id)
		link := s.link(token.Request{Policy: map[protocol.Action]policy.Strength{protocol.ActionUnlock: c.wish}})
		b := s.start(id+"@example.com", with(link))
		b.choose(protocol.ActionUnlock)
		if err := b.submit(b.code()); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != c.step {
			t.Errorf("%s: step %s, want %s", c.wish, v.Step, c.step)
		}
		d := detail(t, b.events()[audit.RecoveryBegun][0])
		if d["weaker_policy_ignored"] != c.ignored {
			t.Errorf("%s: recorded %v", c.wish, d)
		}
		if want := map[bool]any{true: string(policy.NameMatch), false: id}[c.ignored]; d["policy"] != want {
			t.Errorf("%s: %v holds, want %v", c.wish, d["policy"], want)
		}
	}
}

func TestP07_AOneShotLinkBeginsOneRecovery(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		link := s.link(token.Request{OneShot: true})
		if _, err := s.tryStart("no address", with(link)); !errors.Is(err, recovery.ErrAddress) { // consumes nothing
			t.Fatal(err)
		}
		begun := s.race(func() error { return second(s.tryStart("ada@example.com", with(link))) }, recovery.ErrNotAdmitted)
		if begun != 1 {
			t.Errorf("%d recoveries", begun)
		}
	})
}

func TestT31_ThisWasNotMe(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		s.person("bob")
		b := s.ready("ada@example.com", protocol.ActionUnlock)
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		n := s.notices.all()
		if len(n) != 1 || n[0].Account != "Name of ada" || len(n[0].Contacts.Mail) != 1 || n[0].Client.Address != "192.0.2.7" || n[0].Unknown {
			t.Fatalf("notices %+v", n)
		}
		openOne, other := s.ready("ada@example.com", protocol.ActionPassword), s.ready("bob@example.com", protocol.ActionPassword)
		tok, ctx := n[0].Token.Reveal(), t.Context()
		for range 3 { // link previews and mail scanners look
			if v, err := s.NotMeView(ctx, s.env, tok); err != nil || v.Used || v.Account != "Name of ada" || v.Action != protocol.ActionUnlock {
				t.Fatalf("looking: %+v %v", v, err)
			}
		}
		if openOne.view().Step != flow.StepReady {
			t.Fatal("looking did something")
		}
		if _, err := s.NotMe(ctx, s.dir, tok); !errors.Is(err, recovery.ErrNotFound) {
			t.Errorf("in another environment: %v", err)
		}
		v, err := s.NotMe(ctx, s.env, tok)
		if err != nil || !v.Used || v.BlockedUntil.Sub(s.clock.now()) > 24*time.Hour || v.BlockedUntil.Sub(s.clock.now()) < 23*time.Hour {
			t.Fatalf("pressed: %+v %v", v, err)
		}
		if w := openOne.view(); w.Step != flow.StepEnded || w.Ended != recovery.EndVoided {
			t.Errorf("the open recovery: %+v", w)
		}
		if w := other.view(); w.Step != flow.StepReady {
			t.Errorf("somebody else's recovery: %s", w.Step)
		}
		s.clock.advance(time.Hour)
		if again, err := s.NotMe(ctx, s.env, tok); err != nil || !again.BlockedUntil.Equal(v.BlockedUntil) {
			t.Errorf("P7, pressed again: %+v %v", again, err)
		}
		blocked, code := s.asked("ada@example.com", protocol.ActionPassword)
		if err := blocked.submit(code); err != nil || blocked.view().Problem != recovery.ProblemBlocked {
			t.Errorf("a new recovery: %v, %+v", err, blocked.view())
		}
		s.clock.advance(24 * time.Hour)
		s.ready("ada@example.com", protocol.ActionPassword) // never longer than a day
		if n := len(b.events()[audit.RecoveryNotMe]); n != 1 {
			t.Errorf("%d events", n)
		}
		s.clock.advance(7 * 24 * time.Hour)
		if _, err := s.NotMeView(ctx, s.env, tok); !errors.Is(err, recovery.ErrNotFound) {
			t.Errorf("a week later: %v", err)
		}
	})
}

func TestP08_AChangedCredentialVoidsOtherRecoveries(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		for action, voids := range map[protocol.Action]bool{protocol.ActionUnlock: false, protocol.ActionPassword: true, protocol.ActionMFA: true} {
			waiting, pressed := s.ready("ada@example.com", protocol.ActionPassword), s.ready("ada@example.com", action)
			if err := pressed.press(); err != nil || pressed.view().Step != flow.StepDone {
				t.Fatal(action, err)
			}
			if got := waiting.view().Ended == recovery.EndVoided; got != voids {
				t.Errorf("%s: voided %v, want %v", action, got, voids)
			}
			if err := waiting.press(); voids && !errors.Is(err, recovery.ErrStep) {
				t.Errorf("%s: pressed a void one: %v", action, err)
			}
		}
	})
}

func TestP08_EveryStepEndsOnTheServersClock(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		choosing := s.start("ada@example.com")
		s.clock.advance(31 * time.Minute)
		if err := s.Choose(t.Context(), s.env, choosing.id, choosing.session, "", protocol.ActionUnlock); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("choice: %v", err)
		}
		proving, code := s.asked("ada@example.com", protocol.ActionUnlock)
		ready := s.ready("ada@example.com", protocol.ActionUnlock)
		s.clock.advance(15*time.Minute + time.Second)
		if err := proving.submit(code); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("code: %v", err)
		}
		if err := ready.press(); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("button: %v", err)
		}
		for _, b := range []*browser{choosing, proving, ready} {
			if v := b.view(); v.Step != flow.StepEnded || v.Ended != recovery.EndExpired {
				t.Errorf("view %+v", v)
			}
			if rec := b.settled("ended"); rec.Private != nil {
				t.Error("an address is kept")
			}
		}
		if len(s.agent.changes()) > 0 {
			t.Error("something was changed")
		}
	})
}

func TestEndedRowsAreForgotten(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	decoy, known := s.start("nobody@example.com"), s.ready("ada@example.com", protocol.ActionUnlock)
	s.clock.advance(time.Hour)
	decoy.settled("ended")
	s.wait("the agent is told", func() bool { return known.row().DueAt.IsZero() && known.row().State == "ended" })
	gone := func(b *browser) bool {
		_, err := s.View(t.Context(), s.env, b.id, b.session)
		return errors.Is(err, recovery.ErrNotFound)
	}
	s.clock.advance(25 * time.Hour)
	s.Upkeep(t.Context())
	if !gone(decoy) || gone(known) {
		t.Errorf("after a day: decoy gone %v, known gone %v", gone(decoy), gone(known))
	}
	s.clock.advance(31 * 24 * time.Hour)
	s.Upkeep(t.Context())
	if !gone(known) {
		t.Error("after a month the row is there")
	}
}

func TestCountersOfAddressesAreForgottenAfterAYearUnlessShut(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	counted := func(subject string) int {
		c, err := store.Get(t.Context(), s.store, func(tx *store.Tx) (store.ProofCounter, error) {
			return tx.ProofCounter(t.Context(), s.env, subject, "mail_code", "recovery")
		})
		if err != nil {
			t.Fatal(err)
		}
		return c.Total
	}
	typed, err := s.guess("ada@example.com", 1)
	if !errors.Is(err, recovery.ErrWrongCode) {
		t.Fatal(err)
	}
	shut := store.ProofCounter{Total: 100, WindowAt: s.clock.now(), CoolUntil: s.clock.now().AddDate(1000, 0, 0)}
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.SaveProofCounter(ctx, s.env, "address:shut", "mail_code", "recovery", shut)
	})
	address := "address:" + typed.row().Address
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{360 * 24 * time.Hour, 1}, {7 * 24 * time.Hour, 0}} {
		s.clock.advance(c.after)
		s.Upkeep(t.Context())
		if n := counted(address); n != c.want {
			t.Errorf("%s later: %d failures of the address, want %d", c.after, n, c.want)
		}
	}
	if counted("account:"+s.dir+"/ada") != 1 || counted("address:shut") != 100 {
		t.Error("a counter of an account, or one that shuts, was forgotten")
	}
}

// P25: a node that dies behind an answer leaves its work to another one.
func TestP25_AnotherNodeGoesOn(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c, nil)
		s.person("ada")
		s.agent.set(func(a *testAgent) { a.hold = make(chan struct{}) })
		b := s.start("ada@example.com")
		b.choose(protocol.ActionPassword)
		s.wait("the first node asks the agent", func() bool { return s.agent.count(protocol.MethodBegin) == 1 })
		dead := b.row()
		s.kill() // it gives the row back; one that is really dead does not
		s.agent.set(func(a *testAgent) { a.hold = nil })
		gone := b.row()
		if gone.State != "preparing" || gone.DueAt.After(s.clock.now()) {
			t.Fatalf("a node that stops keeps state %s until %s", gone.State, gone.DueAt)
		}
		gone.DueAt = dead.DueAt
		s.tx(func(ctx context.Context, tx *store.Tx) error { return tx.SaveRecovery(ctx, &gone) })
		second := s.config.open()
		s.node, s.tunnels.node = second, second.Operations
		s.run(second.Recoveries)
		s.clock.advance(61 * time.Second) // the lease of the dead node
		if err := b.submit(b.code()); err != nil {
			t.Fatal(err)
		}
		// The second node dies between the press and the frame.
		third := s.config.does
		third.Agents = dying{s.tunnels}
		if err := operation.New(third).Perform(t.Context(), s.env, b.id, b.session, b.recipient); err != nil {
			t.Fatal(err)
		}
		if b.row().State != "cleared" {
			t.Fatalf("state %s", b.row().State)
		}
		s.clock.advance(46 * time.Second)
		b.settled("ready")
		s.clock.advance(6 * time.Second)
		if err := b.press(); err != nil || b.view().Step != flow.StepDone || len(s.agent.changes()) != 1 {
			t.Errorf("%v, step %s, changes %v", err, b.view().Step, s.agent.changes())
		}
	})
}

// dying is a node that is gone before it sends.
type dying struct{ *tunnels }

func (dying) Execute(context.Context, operation.To, string) error { return nil }

// P26: while the truth is away nothing proceeds, and nothing is lost.
func TestP26_WithoutTheStoreNothingProceeds(t *testing.T) {
	s, stopped := newStackOnStoppablePostgres(t)
	s.person("ada")
	b := s.ready("ada@example.com", protocol.ActionPassword)
	proving, code := s.asked("ada@example.com", protocol.ActionPassword)
	start := stopped()
	ctx := t.Context()
	_, startErr := s.tryStart("ada@example.com")
	_, viewErr := s.View(ctx, s.env, b.id, b.session)
	_, offerErr := s.Offered(ctx, s.env)
	_, notMe := s.NotMe(ctx, s.env, "token")
	for what, err := range map[string]error{
		"start": startErr, "view": viewErr, "offer": offerErr, "not me": notMe, "press": b.press(), "code": proving.submit(code),
		"choose": s.Choose(ctx, s.env, b.id, b.session, "", protocol.ActionUnlock), "cancel": s.Cancel(ctx, s.env, b.id, b.session),
		"resend": s.Resend(ctx, s.env, proving.id, proving.session),
	} {
		if !errors.Is(err, recovery.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Execute(ctx, operation.To{Env: s.env, Directory: s.dir, Agent: s.agent.id}, b.id, s.agent.perform); !errors.Is(err, recovery.ErrUnavailable) {
		t.Errorf("executor: %v", err)
	}
	if n := s.agent.count(protocol.MethodPerform); n != 0 {
		t.Errorf("%d dispatches without the store", n)
	}
	start()
	if err := proving.submit(code); err != nil {
		t.Errorf("the code afterwards: %v", err)
	}
	if err := b.press(); err != nil || b.view().Step != flow.StepDone {
		t.Errorf("the button afterwards: %v", err)
	}
}

// An outcome that the store cannot take is asked for when it is back.
func TestP26_AnOutcomeOutlivesTheStoresAbsence(t *testing.T) {
	s, stopped := newStackOnStoppablePostgres(t)
	s.person("ada")
	b := s.ready("ada@example.com", protocol.ActionPassword)
	s.agent.set(func(a *testAgent) { a.hold = make(chan struct{}) })
	pressed := make(chan error)
	go func() { pressed <- b.press() }()
	s.wait("the frame is sent", func() bool { return s.agent.count(protocol.MethodPerform) == 1 })
	start := stopped()
	s.agent.set(func(a *testAgent) { close(a.hold); a.hold = nil })
	if err := <-pressed; err != nil {
		t.Errorf("press: %v", err)
	}
	start()
	s.clock.advance(36 * time.Second)
	b.settled("done")
	if got := s.agent.changes(); len(got) != 1 || b.view().Sealed == nil {
		t.Errorf("changes %v, sealed %v", got, b.view().Sealed != nil)
	}
}

// Who cannot tell whether a client has had its share lets nobody in.
func TestP26_WithoutTheCoordinatorNobodyBegins(t *testing.T) {
	s := newStack(t, storetest.SQLite(t), func(c *config) { c.Buckets = noBuckets{} })
	if _, err := s.tryStart("ada@example.com"); !errors.Is(err, recovery.ErrUnavailable) {
		t.Errorf("start: %v", err)
	}
}

type noBuckets struct{}

func (noBuckets) Take(context.Context, string, int, time.Duration) (bool, error) {
	return false, errAway
}

func TestSeveralMethodsAreProvenOneAfterAnother(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(`{"default":[["mail_code","agent_code"]]}`) })
		b, code := s.asked("ada@example.com", protocol.ActionPassword)
		if err := b.submit(code); err != nil {
			t.Fatal(err)
		}
		b.settled("proving")
		if v := b.view(); v.Step != flow.StepProve || !v.Proven || v.Code.TriesLeft != 5 {
			t.Fatalf("after the first: %+v", v)
		}
		if err := b.press(); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("pressed after one of two: %v", err)
		}
		if err := b.submit(code); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("the first code for the second method: %v", err)
		}
		s.wait("the agent's code", func() bool { return s.agent.count(protocol.MethodSendCode) == 1 })
		b.settled("proving")
		if err := b.submit("24682468"); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepReady || v.Masked != "a•••@agent.example" {
			t.Errorf("after both: %+v", v)
		}
	})
}

func TestAMailServerThatIsAwayIsTriedAgain(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	s.mail.fail(errAway)
	b := s.start("ada@example.com")
	b.choose(protocol.ActionPassword)
	s.wait("the mail server was tried", func() bool { return b.row().Attempts > 0 })
	s.mail.fail(nil)
	s.clock.advance(4 * time.Second)
	if err := b.submit(b.code()); err != nil {
		t.Fatal(err)
	}
	if n := s.agent.count(protocol.MethodBegin); n != 1 {
		t.Errorf("begun %d times", n)
	}
	s.mail.fail(errAway)
	lost := s.start("ada@example.com")
	lost.choose(protocol.ActionPassword)
	s.wait("it is given up", func() bool {
		s.clock.advance(5 * time.Second)
		return lost.row().State == "proving"
	})
	if len(s.alarms.all()) != 1 {
		t.Errorf("%d alarms", len(s.alarms.all()))
	}
	if err := lost.submit("00000000"); !errors.Is(err, recovery.ErrWrongCode) {
		t.Errorf("without a code: %v", err)
	}
}

func TestAnOwnerWithoutAddressStopsNoOutcome(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	s.notices.err = operation.ErrNoAddress
	b := s.ready("ada@example.com", protocol.ActionPassword)
	if err := b.press(); err != nil || b.view().Step != flow.StepDone {
		t.Fatalf("%v, %s", err, b.view().Step)
	}
	if got := detail(t, b.events()[audit.RecoveryNotified][0])["result"]; got != "undeliverable" {
		t.Errorf("the log says %v", got)
	}
}
