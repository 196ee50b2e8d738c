package flow_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
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
		if v.Step != flow.StepEvaluated || !v.Trial || len(v.Sealed) > 0 || v.Problem != flow.ProblemUnavailable { // as the test's agent says
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
		if v := refused.view(); v.Step != flow.StepRefused || v.Problem != flow.ProblemNotAllowed {
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
