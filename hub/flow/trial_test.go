package flow_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

func TestT33_ATrialEndsWithWhatWouldHaveHappened(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.agent.set(func(a *testAgent) {
			a.outcome = protocol.Evaluated
			a.begun = func(b *protocol.Begun) { b.Evaluation = true }
		})
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		if v := b.view(); !v.Trial || v.Step != flow.StepReady {
			t.Errorf("before the press: %+v", v)
		}
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		v := b.view()
		if v.Step != flow.StepEvaluated || !v.Trial || len(v.Sealed) > 0 || v.Problem != recovery.ProblemUnavailable { // as the test's agent says
			t.Errorf("after the press: %+v", v)
		}
		if changes := s.agent.changes(); len(changes) != 0 {
			t.Errorf("changes: %v", changes)
		}
		for _, kind := range []audit.Kind{audit.RecoveryBegun, audit.RecoveryVerified, audit.OperationRequested, audit.OperationFinished} {
			rows := b.events()[kind]
			if len(rows) == 0 || slices.ContainsFunc(rows, func(e audit.Record) bool { return detail(t, e)["evaluation"] != true }) {
				t.Errorf("%s is not marked: %v", kind, rows)
			}
		}
		if err := b.press(); err == nil {
			t.Error("pressed twice")
		}
		if n := s.agent.count(protocol.MethodPerform); n != 1 {
			t.Errorf("%d dispatches", n)
		}
	})
}

func TestP09_BeforeTheProofATrialIsShownByTheDirectoryAlone(t *testing.T) {
	s := newStackSQLite(t)
	s.agent.set(func(a *testAgent) { a.begun = func(b *protocol.Begun) { b.Evaluation = true } })
	s.person("ada")
	for _, address := range []string{"ada@example.com", "nobody@example.com"} {
		b := s.start(address)
		b.choose(protocol.ActionPassword)
		s.wait(strings.Split(address, "@")[0]+" is asked", func() bool { return b.row().State == "proving" })
		if v := b.view(); v.Trial {
			t.Errorf("%s: what an agent began shows before the proof", address)
		}
	}
}

// While some agents of a directory evaluate and others do not, nobody is promised that
// nothing will change: the agent that begins may be one that changes things.
func TestT33_WithMixedAgentsNoTrialIsPromisedBeforeTheProof(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.start("ada@example.com")
		shown := func() [2]bool {
			t.Helper()
			o, err := s.Offered(t.Context(), s.env)
			if err != nil || len(o.Directories) != 1 || o.Directories[0].Trial != o.Trial {
				t.Fatalf("offered %+v, %v", o, err)
			}
			return [2]bool{o.Trial, b.view().Trial}
		}
		says := func(agent string, evaluation bool) {
			s.tx(func(ctx context.Context, tx *store.Tx) error {
				return tx.AgentSeen(ctx, s.env, agent, "a", "1", "g", evaluation)
			})
		}
		says(s.agent.id, true)
		if got := shown(); got != [2]bool{true, true} {
			t.Errorf("the only agent evaluates: %v", got)
		}
		second := newAgent(t, s.clock.now)
		s.enrol(second, s.dir)
		if got := shown(); got != [2]bool{true, true} {
			t.Errorf("a second one waits to be let in: %v", got)
		}
		s.tx(func(ctx context.Context, tx *store.Tx) error {
			return tx.SetAgentState(ctx, s.env, second.id, protocol.AgentActive, protocol.AgentPending)
		})
		if got := shown(); got != [2]bool{false, false} {
			t.Errorf("a second one changes things: %v", got)
		}
		s.tx(func(ctx context.Context, tx *store.Tx) error {
			d, err := tx.Directory(ctx, s.env, s.dir)
			if err == nil && !d.Evaluation {
				t.Error("no run may be started, although one agent evaluates")
			}
			return err
		})
		b.choose(protocol.ActionPassword)
		if b.view().Trial {
			t.Error("promised once the directory is chosen")
		}
		says(second.id, true)
		if got := shown(); got != [2]bool{true, true} {
			t.Errorf("both evaluate: %v", got)
		}
		says(second.id, false)
		s.tx(func(ctx context.Context, tx *store.Tx) error {
			return tx.SetAgentState(ctx, s.env, second.id, protocol.AgentRevoked, protocol.AgentActive)
		})
		if got := shown(); got != [2]bool{true, true} {
			t.Errorf("the other was revoked: %v", got)
		}
	})
}

// Active Directory lists accounts without groups: the agent names them when it begins.
func TestRulesOfGroupsHoldWhereOnlyTheAgentKnowsTheGroups(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.settings(func(set *store.DirectorySettings) {
			set.Policies.Password = json.RawMessage(`{"default":"name_match","groups":[{"group":{"name":"Interns"},"policy":"disabled"}]}`)
			set.Policies.Unlock = json.RawMessage(`{"default":"name_match","groups":[{"group":{"directory_immutable_identifier":"g-2"},"policy":"none"}]}`)
		})
		groups := map[string][]string{"ada": {"interns", "g-1"}, "bob": {"Staff", "g-2"}, "eve": {"Staff", "g-1"}}
		for who := range groups {
			s.person(who)
		}
		s.agent.set(func(a *testAgent) {
			a.begun = func(b *protocol.Begun) { b.Groups = groups[b.Account] }
		})
		refused := s.start("ada@example.com")
		refused.choose(protocol.ActionPassword)
		if err := refused.submit(refused.code()); err != nil {
			t.Fatal(err)
		}
		if v := refused.view(); v.Step != flow.StepRefused || v.Problem != recovery.ProblemNotAllowed {
			t.Errorf("a member of a group without the operation: %+v", v)
		}
		for who, want := range map[string]int{"bob": 1, "eve": 2} { // bob may not unlock, so a reset does not
			b := s.ready(who+"@example.com", protocol.ActionPassword)
			tasks, err := protocol.ParseTasks(b.row().Tasks)
			if err != nil || len(tasks) != want {
				t.Errorf("%s: %v %v, want %d", who, tasks, err, want)
			}
			if err := b.press(); err != nil {
				t.Fatal(err)
			}
			if v := b.view(); v.Step != flow.StepDone {
				t.Errorf("%s: %+v", who, v)
			}
		}
	})
}
