package flow_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// Two hundred presses, on two nodes, are one dispatch and one change.
func TestP07_T14_ManyPressesAreOneDispatch(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		nodes := []node{s.node, s.config.open()}
		var turn atomic.Int32
		counted := s.race(func() error {
			return nodes[turn.Add(1)%2].Perform(t.Context(), s.env, b.id, b.session, b.recipient)
		}, recovery.ErrStep)
		if counted != 1 || s.agent.count(protocol.MethodPerform) != 1 || len(s.agent.changes()) != 1 {
			t.Errorf("%d presses counted, %d dispatches, changes %v", counted, s.agent.count(protocol.MethodPerform), s.agent.changes())
		}
		if v := b.view(); v.Step != flow.StepDone {
			t.Errorf("step %s", v.Step)
		}
	})
}

// Who writes to Redis can call Execute for whatever they like: nothing but a cleared row
// of that agent is sent, and once.
func TestT10_TheExecutorBelievesOnlyTheStore(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		forge := func(to operation.To, recovery string) error {
			return s.Execute(t.Context(), to, recovery, func(context.Context, string, protocol.PerformRequest) (protocol.Outcome, error) {
				t.Errorf("sent for a recovery in state %s", s.state(recovery))
				return protocol.Outcome{}, protocol.Err(protocol.CodeInternal, "")
			})
		}
		all := []*browser{s.start("ada@example.com")}
		proving, _ := s.asked("ada@example.com", protocol.ActionPassword)
		ready := s.ready("ada@example.com", protocol.ActionPassword)
		ended := s.ready("ada@example.com", protocol.ActionUnlock)
		if err := ended.Cancel(t.Context(), s.env, ended.id, ended.session); err != nil {
			t.Fatal(err)
		}
		done := s.ready("ada@example.com", protocol.ActionUnlock)
		if err := done.press(); err != nil {
			t.Fatal(err)
		}
		all = append(all, proving, ready, ended, done)
		for _, b := range all {
			rec := b.row()
			for _, to := range []operation.To{{Env: s.env, Directory: s.dir, Agent: s.agent.id}, {Env: s.env, Directory: rec.Directory, Agent: rec.Agent}} {
				if err := forge(to, b.id); err == nil {
					t.Errorf("state %s: no error", rec.State)
				}
			}
		}
		_ = forge(operation.To{Env: s.env, Directory: s.dir, Agent: s.agent.id}, randomID())
		if n := len(s.agent.changes()); n != 1 { // that of done
			t.Errorf("%d changes", n)
		}
	})
}

func (s *stack) state(recovery string) string {
	rec, err := store.Get(s.t.Context(), s.store, func(tx *store.Tx) (store.Recovery, error) { return tx.Recovery(s.t.Context(), s.env, recovery) })
	if err != nil {
		return err.Error()
	}
	return rec.State
}

// A forged call is not sent before the organisation has agreed, nor to another agent.
func TestT10_NothingIsSentBeforeTheOrganisationAgreed(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		v := &veto{asked: make(chan operation.VetoRequest), answer: make(chan string)}
		var b *browser
		var entries []int // of the operation, when the log was told
		s := newStack(t, c, func(c *config) {
			c.does.Veto, c.does.Requested = v, func() { entries = append(entries, len(b.events()[audit.OperationRequested])) }
		})
		s.person("ada")
		b = s.ready("ada@example.com", protocol.ActionPassword)
		pressed := make(chan error)
		go func() { pressed <- b.press() }()
		q := <-v.asked
		if !slices.Equal(entries, []int{1}) {
			t.Errorf("the log was told of entries %v before the organisation was asked, want its one", entries)
		}
		to := operation.To{Env: s.env, Directory: s.dir, Agent: s.agent.id}
		if err := s.Execute(t.Context(), to, b.id, s.agent.perform); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("before the answer: %v", err)
		}
		if q.Context.String() != b.row().Context || q.Account != "ada" || q.Action != protocol.ActionPassword || q.Languages != "de-CH,de;q=0.9,en;q=0.5" {
			t.Errorf("asked %+v", q)
		}
		v.answer <- ""
		if err := <-pressed; err != nil || b.view().Step != flow.StepDone {
			t.Errorf("after it: %v, step %s", err, b.view().Step)
		}
		to.Agent = store.NewID()
		if err := s.Execute(t.Context(), to, b.id, s.agent.perform); err == nil {
			t.Error("another agent")
		}
	})
}

// veto answers as the test says.
type veto struct {
	asked  chan operation.VetoRequest
	answer chan string // "" yes, "error", or what the person reads
}

func (v *veto) Allowed(ctx context.Context, q operation.VetoRequest) (bool, string, error) {
	select {
	case v.asked <- q:
	case <-ctx.Done():
		return false, "", ctx.Err()
	}
	switch a := <-v.answer; a {
	case "":
		return true, "", nil
	case "error":
		return false, "", errAway
	default:
		return false, a, nil
	}
}

func TestTheOrganisationsNoIsFinalAndItsSilenceIsNot(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		v := &veto{asked: make(chan operation.VetoRequest), answer: make(chan string)}
		s := newStack(t, c, func(c *config) { c.does.Veto = v })
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		press := func(answer string) flow.View {
			done := make(chan error)
			go func() { done <- b.press() }()
			<-v.asked
			v.answer <- answer
			if err := <-done; err != nil {
				t.Error(err)
			}
			return b.view()
		}
		if got := press("error"); got.Step != flow.StepReady || got.Problem != recovery.ProblemVetoed || !got.RetryAt.After(s.clock.now()) {
			t.Errorf("P19, no answer: %+v", got)
		}
		if err := b.press(); !errors.Is(err, recovery.ErrTooSoon) {
			t.Errorf("at once: %v", err)
		}
		s.clock.advance(10 * time.Second)
		if got := press("Please call 555."); got.Step != flow.StepRefused || got.Problem != recovery.ProblemVetoed || got.Message != "Please call 555." {
			t.Errorf("no: %+v", got)
		}
		if err := b.press(); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("after a no: %v", err)
		}
		if len(s.agent.changes()) > 0 || s.agent.count(protocol.MethodPerform) > 0 {
			t.Error("the agent was asked")
		}
		if n := len(b.events()[audit.RecoveryVetoed]); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

// The four outcomes, each by an answer that arrives and by one that is lost and found.
func TestFourOutcomes(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c, nil)
		for _, lost := range []bool{false, true} {
			for state, want := range map[protocol.State]flow.Step{
				protocol.Done: flow.StepDone, protocol.Failed: flow.StepFailed, protocol.Unchanged: flow.StepReady, protocol.Unknown: flow.StepUnknown,
			} {
				name := string(state)
				if lost {
					name += "-lost"
				}
				s.person(name)
				b := s.ready(name+"@example.com", protocol.ActionPassword)
				s.agent.set(func(a *testAgent) { a.outcome, a.loseReply = state, lost })
				if err := b.press(); err != nil {
					t.Fatal(name, err)
				}
				if lost {
					if v := b.view(); v.Step != flow.StepPerforming {
						t.Errorf("%s: step %s while nobody knows", name, v.Step)
					}
					if err := b.press(); !errors.Is(err, recovery.ErrStep) {
						t.Errorf("%s: a press while nobody knows: %v", name, err)
					}
					s.clock.advance(5 * time.Second)
				}
				s.wait(name+" is settled", func() bool { return b.row().State != "sent" })
				if v := b.view(); v.Step != want {
					t.Errorf("%s: step %s, want %s", name, v.Step, want)
				}
				if n := s.agent.count(protocol.MethodPerform); n != 1 {
					t.Errorf("%s: %d dispatches", name, n)
				}
				s.agent.set(func(a *testAgent) { a.calls = nil })
				finished := b.events()[audit.OperationFinished]
				if len(finished) != 1 || detail(t, finished[0])["state"] != string(state) || detail(t, finished[0])["signature"] == nil {
					t.Errorf("%s: log %v", name, finished)
				}
			}
		}
	})
}

// The node that sent an operation may have died with the answer, or hang: others ask
// within seconds, and nothing is sent again.
func TestP25_AnOperationWhoseNodeIsGoneIsAskedForWithinSeconds(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		hung := make(chan struct{})
		s.agent.set(func(a *testAgent) { a.hold = hung })
		pressed := make(chan error)
		go func() { pressed <- b.press() }()
		s.wait("the frame is sent", func() bool { return s.agent.count(protocol.MethodPerform) == 1 })
		s.agent.set(func(a *testAgent) { a.hold = nil })
		s.clock.advance(6 * time.Second)
		s.wait("somebody asks", func() bool { return s.agent.count(protocol.MethodOutcome) > 0 })
		if step := b.view().Step; step != flow.StepPerforming {
			t.Errorf("step %s while the agent has not begun", step)
		}
		close(hung)
		if err := <-pressed; err != nil {
			t.Fatal(err)
		}
		s.wait("the outcome is known", func() bool { s.clock.advance(time.Second); return b.row().State == "done" })
		if n, changes := s.agent.count(protocol.MethodPerform), s.agent.changes(); n != 1 || len(changes) != 1 {
			t.Errorf("%d dispatches, changes %v", n, changes)
		}
	})
}

func TestP25_AnAgentThatComesBackIsAskedWithinSeconds(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	b := s.ready("ada@example.com", protocol.ActionPassword)
	s.agent.set(func(a *testAgent) { a.loseReply = true })
	if err := b.press(); err != nil {
		t.Fatal(err)
	}
	s.agent.set(func(a *testAgent) { a.away = true })
	for range 8 { // minutes without an agent
		asked := s.agent.count(protocol.MethodOutcome)
		s.clock.advance(time.Minute)
		s.wait("somebody asks in vain, and the row waits", func() bool {
			return s.agent.count(protocol.MethodOutcome) > asked && b.row().DueAt.Before(s.clock.now().Add(50*time.Second))
		})
	}
	s.agent.set(func(a *testAgent) { a.away = false })
	s.clock.advance(6 * time.Second)
	b.settled("done")
	if n := s.agent.count(protocol.MethodPerform); n != 1 {
		t.Errorf("%d dispatches", n)
	}
}

// A directory that is deleted while its agent is at work takes no outcome out of the log.
func TestAnOutcomeOutlivesItsDirectory(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	b := s.ready("ada@example.com", protocol.ActionPassword)
	s.agent.set(func(a *testAgent) { a.outcome, a.loseReply = protocol.Failed, true })
	if err := b.press(); err != nil {
		t.Fatal(err)
	}
	s.tx(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteDirectory(ctx, s.env, s.dir) })
	s.clock.advance(25 * time.Hour) // the agent's key is gone with it, so nobody can tell
	b.settled("unknown")
	if n := len(b.events()[audit.OperationFinished]); n != 1 {
		t.Errorf("%d outcomes in the log", n)
	}
}

func TestUnchangedMayBeTriedAgainAtTheSameAgentThreeTimes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		s.agent.set(func(a *testAgent) { a.outcome = protocol.Unchanged })
		for i := range 3 {
			if err := b.press(); err != nil {
				t.Fatal(i, err)
			}
			v := b.view()
			if i < 2 && (v.Step != flow.StepReady || v.Problem != recovery.ProblemUnavailable || v.RetryAt.IsZero()) {
				t.Fatalf("try %d: %+v", i, v)
			}
			if err := b.press(); err == nil {
				t.Errorf("try %d: pressed again at once", i)
			}
			s.clock.advance(6 * time.Second)
		}
		if v := b.view(); v.Step != flow.StepFailed {
			t.Errorf("after three: %s", v.Step)
		}
		again := s.ready("ada@example.com", protocol.ActionPassword)
		if err := again.press(); err != nil || again.view().Step != flow.StepReady {
			t.Fatal(err)
		}
		s.agent.set(func(a *testAgent) { a.outcome = "" })
		s.clock.advance(6 * time.Second)
		if err := again.press(); err != nil || again.view().Step != flow.StepDone || len(s.agent.changes()) != 1 {
			t.Errorf("%v, step %s, changes %v", err, again.view().Step, s.agent.changes())
		}
	})
}

// T28: what the agent did not sign is not believed, whoever brings it.
func TestT28_AnUnsignedOutcomeIsNotBelieved(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		s.agent.set(func(a *testAgent) { a.unsigned = true })
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepPerforming || v.Sealed != nil {
			t.Errorf("believed: %+v", v)
		}
		s.clock.advance(5 * time.Second)
		s.wait("the agent is asked again", func() bool { return s.agent.count(protocol.MethodOutcome) > 0 })
		if b.row().State != "sent" {
			t.Error("an unsigned answer to the question is believed")
		}
		s.agent.set(func(a *testAgent) { a.unsigned = false })
		s.clock.advance(2 * time.Minute)
		b.settled("done")
	})
}

// P25: an agent that promises to refuse a frame that comes late saves the person minutes.
func TestP25_AFrameThatWasLostIsGivenUpWithinSeconds(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		s.agent.set(func(a *testAgent) { a.lost = protocol.MethodPerform })
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		s.agent.set(func(a *testAgent) { a.lost, a.calls = 0, nil })
		s.clock.advance(6 * time.Second)
		s.wait("the agent is asked", func() bool { return s.agent.count(protocol.MethodOutcome) > 0 })
		if b.row().State != "sent" {
			t.Errorf("state %s while the frame may only be slow", b.row().State)
		}
		s.clock.advance(6 * time.Second)
		b.settled("ready")
		s.clock.advance(6 * time.Second)
		if err := b.press(); err != nil || b.view().Step != flow.StepDone || len(s.agent.changes()) != 1 {
			t.Errorf("%v, step %s, changes %v", err, b.view().Step, s.agent.changes())
		}
		e := b.events()
		if len(e[audit.OperationRequested]) != 2 || len(e[audit.OperationFinished]) != 2 || detail(t, e[audit.OperationFinished][0])["state"] == detail(t, e[audit.OperationFinished][1])["state"] {
			t.Errorf("log %v", e)
		}
	})
}

// A clock that was an hour ahead and is put right leaves no hour to wait for.
func TestAClockThatIsSetBackDelaysNothing(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	s.clock.advance(time.Hour)
	b := s.ready("ada@example.com", protocol.ActionPassword)
	s.agent.set(func(a *testAgent) { a.lost = protocol.MethodPerform })
	if err := b.press(); err != nil {
		t.Fatal(err)
	}
	s.agent.set(func(a *testAgent) { a.lost = 0 })
	s.clock.advance(-time.Hour)
	b.settled("ready")
	if e := b.events(); len(e[audit.OperationRequested]) != 1 || len(e[audit.OperationFinished]) != 1 {
		t.Errorf("log %v", e)
	}
}

// A frame that never arrived is believed to have done nothing only once it cannot
// arrive any more, and an agent that never comes back leaves an honest unknown.
func TestALostFrameIsSettledByTheJournal(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		s.agent.set(func(a *testAgent) { a.old = true })
		press := func() *browser {
			b := s.ready("ada@example.com", protocol.ActionPassword)
			s.agent.set(func(a *testAgent) { a.hold = make(chan struct{}) }) // the frame is on its way, for ever
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := s.Execute(ctx, operation.To{}, b.id, nil) // nothing is cleared yet
			if err == nil {
				t.Fatal("sent without a press")
			}
			node := &tunnels{agents: s.tunnels.agents, node: s.Operations}
			cut := s.config.does
			cut.Agents = cutting{node}
			if err := operation.New(cut).Perform(t.Context(), s.env, b.id, b.session, b.recipient); err != nil {
				t.Fatal(err)
			}
			s.agent.set(func(a *testAgent) { a.hold, a.waits, a.calls = nil, nil, nil })
			return b
		}
		b := press()
		s.clock.advance(time.Minute)
		s.wait("the agent is asked", func() bool { return s.agent.count(protocol.MethodOutcome) > 0 })
		if b.row().State != "sent" {
			t.Errorf("state %s while the frame may still arrive", b.row().State)
		}
		s.clock.advance(5 * time.Minute)
		if rec := b.settled("ready", "failed"); rec.State != "ready" {
			t.Errorf("state %s", rec.State)
		}

		b = press()
		s.agent.set(func(a *testAgent) { a.away = true })
		s.clock.advance(11 * time.Minute)
		if v := b.view(); v.Step != flow.StepUnknown {
			t.Errorf("after ten minutes the page says %s", v.Step)
		}
		s.clock.advance(25 * time.Hour)
		b.settled("unknown")
		if n := s.agent.count(protocol.MethodPerform); n != 0 || len(s.alarms.all()) == 0 {
			t.Errorf("%d dispatches, %d alarms", n, len(s.alarms.all()))
		} else if a := s.alarms.all()[0]; a.Languages != "de-CH,de;q=0.9,en;q=0.5" || len(a.Tasks) == 0 {
			t.Errorf("the alarm says %+v", a)
		}
	})
}

// cutting gives up on a dispatch once the agent has the frame and holds it, as a node does
// whose tunnel broke.
type cutting struct{ *tunnels }

func (c cutting) Execute(ctx context.Context, to operation.To, recovery string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.find(to).set(func(a *testAgent) { a.waits = cancel })
	return c.tunnels.Execute(ctx, to, recovery)
}

func TestAnAgentThatIsAwayChangesNothingAndTheButtonStays(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		s.agent.set(func(a *testAgent) { a.away = true })
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepReady || v.Problem != recovery.ProblemUnavailable {
			t.Errorf("%+v", v)
		}
		if e := b.events(); len(e[audit.OperationRequested]) != 1 || len(e[audit.OperationFinished]) != 1 {
			t.Errorf("the log has no end of what was asked for: %v", e)
		}
		other := s.start("ada@example.com")
		if err := other.Choose(t.Context(), s.env, other.id, other.session, "", protocol.ActionUnlock); !errors.Is(err, recovery.ErrUnavailable) {
			t.Errorf("a choice without an agent: %v", err)
		}
		if v := other.view(); v.Step != flow.StepChoose || v.Problem != recovery.ProblemUnavailable {
			t.Errorf("first page %+v", v)
		}
		if o, err := s.Offered(t.Context(), s.env); err != nil || !o.Unavailable || len(o.Actions) != 3 {
			t.Errorf("offer %+v %v", o, err)
		}
		s.agent.set(func(a *testAgent) { a.away = false })
		s.clock.advance(6 * time.Second)
		if err := b.press(); err != nil || b.view().Step != flow.StepDone {
			t.Errorf("back again: %v, %s", err, b.view().Step)
		}
	})
}

// T22: what is sent is what was proven; whatever changed since refuses.
func TestT22_WhatChangedSinceTheProofIsRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		off := []byte(`{"groups":[],"default":"disabled"}`)
		for name, change := range map[string]func(){
			"policy": func() { s.settings(func(d *store.DirectorySettings) { d.Policies.Password = off }) },
			"unlock": func() { s.settings(func(d *store.DirectorySettings) { d.Policies.Unlock = off }) }, // another operation than was proven
			"traits": func() { s.traits(protocol.Traits{CanGetTemporaryPassword: true}) },
			"swept": func() {
				s.tx(func(ctx context.Context, tx *store.Tx) error {
					return tx.SweepAccounts(ctx, s.env, s.dir, []string{"swept"})
				})
			},
			"off": func() { s.person("off", func(a *protocol.Account) { a.Disabled = true }) },
			"blocked": func() {
				s.tx(func(ctx context.Context, tx *store.Tx) error {
					return tx.BlockRecovery(ctx, s.env, s.dir, "blocked", s.clock.now().Add(time.Hour))
				})
			},
		} {
			s.person(name)
			b := s.ready(name+"@example.com", protocol.ActionPassword)
			change()
			if err := b.press(); err != nil {
				t.Fatal(name, err)
			}
			if v := b.view(); v.Step != flow.StepRefused {
				t.Errorf("%s: step %s", name, v.Step)
			}
			s.settings(func(d *store.DirectorySettings) { d.Policies = store.Policies{} })
			s.traits(protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true, CanMustChange: true})
		}
		if s.agent.count(protocol.MethodPerform) > 0 {
			t.Error("the agent was asked")
		}
	})
}

func TestT22_ABeginThatAnswersAnotherQuestionIsRefused(t *testing.T) {
	s := newStackSQLite(t)
	for name, lie := range map[string]func(*protocol.Begun){
		"account":   func(b *protocol.Begun) { b.Account = "another" },
		"random":    func(b *protocol.Begun) { b.Recovery = b.Recovery[:8] },
		"forever":   func(b *protocol.Begun) { b.NotAfter += 86400 },
		"past":      func(b *protocol.Begun) { b.NotAfter -= 86400 },
		"foreigner": func(b *protocol.Begun) { b.Agent = store.NewID() },
	} {
		s.person(name)
		s.agent.set(func(a *testAgent) { a.begun = lie })
		sent := s.mail.count()
		b := s.start(name + "@example.com")
		b.choose(protocol.ActionPassword)
		s.wait(name+" was begun", func() bool { return s.agent.count(protocol.MethodBegin) > 0 })
		s.wait(name+" is over", func() bool {
			s.clock.advance(5 * time.Second)
			st := b.row().State
			return st == "proving" || st == "ended"
		})
		if s.mail.count() != sent || b.row().Agent != "" {
			t.Errorf("%s: believed: %+v", name, b.row())
		}
		s.agent.set(func(a *testAgent) { a.calls = nil })
	}
}

func TestLimitsCountWhatWasPerformed(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		s.person("bob")
		s.settings(func(d *store.DirectorySettings) { d.RateLimit = store.RateLimit{Count: 2, Window: 24 * time.Hour} })
		press := func(who string, o protocol.State) flow.View {
			b := s.ready(who+"@example.com", protocol.ActionUnlock)
			s.agent.set(func(a *testAgent) { a.outcome = o })
			if err := b.press(); err != nil {
				t.Fatal(err)
			}
			return b.view()
		}
		for range 3 {
			press("ada", protocol.Failed) // changes nothing, counts nothing
		}
		for i := range 2 {
			if v := press("ada", ""); v.Step != flow.StepDone {
				t.Fatalf("operation %d: %+v", i, v)
			}
		}
		v := press("ada", "")
		if v.Step != flow.StepReady || v.Problem != recovery.ProblemLimit || v.RetryAt.Sub(s.clock.now()) < 23*time.Hour {
			t.Errorf("the third: %+v", v)
		}
		if v := press("bob", ""); v.Step != flow.StepDone {
			t.Errorf("somebody else: %+v", v)
		}
		if n := len(s.agent.changes()); n != 3 {
			t.Errorf("%d changes", n)
		}
		s.clock.advance(25 * time.Hour)
		if v := press("ada", ""); v.Step != flow.StepDone {
			t.Errorf("a day later: %+v", v)
		}
		s.settings(func(d *store.DirectorySettings) { d.RateLimit.Count = 0 })
		if v := press("bob", ""); v.Problem != recovery.ProblemLimit {
			t.Errorf("a limit of none: %+v", v)
		}
	})
}

func TestT27_P15_ResultsAreKeptTenMinutesSealedAndForOneSession(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		rec := b.row()
		if len(rec.Result) == 0 || strings.Contains(string(rec.Result), password) {
			t.Fatal("no result, or one in clear")
		}
		if strings.Contains(string(rec.Private), "ada@private.example") || strings.Contains(string(rec.Private), "192.0.2.7") {
			t.Errorf("addresses are kept: %s", rec.Private)
		}
		s.clock.advance(10*time.Minute + time.Second)
		if v := b.view(); v.Step != flow.StepDone || v.Sealed != nil {
			t.Errorf("after ten minutes: %+v", v)
		}
		s.wait("the result is deleted", func() bool { return len(b.row().Result) == 0 })
	})
}

// T24: what cannot be sealed goes out only where somebody allowed it, and says so.
func TestT24_LegacyDirectories(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.tx(func(ctx context.Context, tx *store.Tx) error {
			d, err := tx.CreateDirectory(ctx, store.Directory{Env: s.env, Kind: "custom", Name: "old"})
			if err != nil {
				return err
			}
			s.dir, s.fixture.Directory = d.ID, d
			return errors.Join(tx.SetLegacyToken(ctx, s.env, d.ID, "hash"),
				tx.SetTraits(ctx, s.env, d.ID, protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true}))
		})
		native := s.agent
		s.agent = newAgent(t, s.clock.now)
		s.agent.id, s.agent.directory = protocol.LegacyAgent(s.dir), s.dir
		s.agent.legacy = true
		s.tunnels.agents = append(s.tunnels.agents, s.agent)
		s.person("old")
		b := s.start("old@example.com")
		err := s.Choose(t.Context(), s.env, b.id, b.session, s.dir, protocol.ActionPassword)
		if !errors.Is(err, recovery.ErrNotAdmitted) {
			t.Errorf("a secret without allow_unsealed: %v", err)
		}
		s.settings(func(d *store.DirectorySettings) { d.AllowUnsealed = true })
		if err := s.Choose(t.Context(), s.env, b.id, b.session, s.dir, protocol.ActionPassword); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.submit(b.code()), b.press()); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepDone || !v.Clear || v.Sealed == nil {
			t.Errorf("result %+v", v)
		}
		if d := detail(t, b.events()[audit.OperationFinished][0]); d["unsealed"] != true {
			t.Errorf("the log says %v", d)
		}
		// A native agent cannot say of itself that it need not sign.
		s.agent, s.dir, s.fixture.Directory = native, native.directory, store.Directory{ID: native.directory}
		native.legacy = true
		s.person("ada")
		b = s.start("ada@example.com")
		if err := s.Choose(t.Context(), s.env, b.id, b.session, s.dir, protocol.ActionPassword); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.submit(b.code()), b.press()); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepPerforming {
			t.Errorf("believed: %+v", v)
		}
	})
}
