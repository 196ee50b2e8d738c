package flow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// removals are what the agent was told.
func (a *testAgent) removals() []protocol.RemoveKeyRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.removed
}

func (s *stack) waitingRemovals() (all []store.KeyRemoval) {
	s.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		all, err = tx.KeyRemovals(ctx, s.env, s.dir)
		return err
	})
	return all
}

func TestT03_AnAgentThatIsAwayHearsOfARemovedPasskeyWhenItIsBack(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, factors := withFactors(t, c)
		s.person("ada")
		second := newAgent(t, s.clock.now) // each agent has a keyring of its own
		s.enrol(second, s.dir)
		s.tunnels.agents = append(s.tunnels.agents, second)
		b := s.options("ada@example.com")
		hash := enrolPasskey(t, factors, b.owner()).Credential().Hash()
		s.agent.set(func(a *testAgent) { a.away = true })
		rows, err := factors.List(t.Context(), b.owner())
		if err != nil {
			t.Fatal(err)
		}
		if err := factors.Remove(t.Context(), b.owner(), rows[0].ID); err != nil {
			t.Fatal(err)
		}
		s.wait("the second agent is told", func() bool { return len(second.removals()) == 1 && len(s.waitingRemovals()) == 1 })
		if left := s.waitingRemovals(); left[0].Agent != s.agent.id || len(s.agent.removals()) > 0 {
			t.Errorf("left %+v", left)
		}
		s.agent.set(func(a *testAgent) { a.away = false })
		s.clock.advance(2 * time.Hour)
		s.wait("the first agent is told", func() bool { return len(s.waitingRemovals()) == 0 })
		for _, a := range []*testAgent{s.agent, second} {
			if q := a.removals(); len(q) != 1 || q[0].Account != "ada" || !bytes.Equal(q[0].Hash, hash[:]) {
				t.Errorf("told %+v", q)
			}
		}
	})
}

func TestT03_T17_ThisWasNotMeTakesWhatWaitsFromTheAgentToo(t *testing.T) {
	s, factors := withFactors(t, storetest.SQLite(t))
	s.person("ada")
	b := s.options("ada@example.com")
	old := enrolPasskey(t, factors, b.owner()).Credential().Hash()
	o := b.owner()
	row := func(i int) factor.Row {
		t.Helper()
		rows, err := factors.List(t.Context(), o)
		if err != nil || len(rows) <= i {
			t.Fatal(rows, err)
		}
		return rows[i]
	}
	s.clock.advance(factor.Wait + time.Hour)
	// It counts at the hub; somebody enrolled it at the agent an hour ago.
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.FactorAtAgent(ctx, s.env, row(0).ID, s.clock.now().Add(71*time.Hour))
	})
	b = s.options("ada@example.com")
	fresh := enrolPasskey(t, factors, b.owner()).Credential().Hash()
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.AddObjection(ctx, store.Objection{Hash: recovery.HashSecret("token"), Env: s.env, Recovery: b.id, Directory: s.dir, Account: "ada",
			Action: string(protocol.ActionOptions), ExpiresAt: s.clock.now().Add(time.Hour)})
	})
	if _, err := s.NotMe(t.Context(), s.env, "token"); err != nil {
		t.Fatal(err)
	}
	s.wait("the agent is told", func() bool { return len(s.agent.removals()) == 2 })
	told := map[string]bool{}
	for _, q := range s.agent.removals() {
		told[string(q.Hash)] = true
	}
	if !told[string(old[:])] || !told[string(fresh[:])] {
		t.Errorf("told %+v", s.agent.removals())
	}
	if rows, err := factors.List(t.Context(), o); err != nil || len(rows) != 1 || !rows[0].AgentAt.IsZero() {
		t.Errorf("what counts here stays here, and is no longer at the agent: %+v %v", rows, err)
	}
}

func TestT03_AKeyThatIsRemovedWhileTheAgentTakesItDoesNotStay(t *testing.T) {
	s, factors := withFactors(t, storetest.SQLite(t))
	s.person("ada")
	s.traits(protocol.Traits{CanGetTemporaryPassword: true, CanEnrollKey: true})
	ctx := t.Context()
	b := s.options("ada@example.com")
	hash := enrolPasskey(t, factors, b.owner()).Credential().Hash()
	rows, err := factors.List(ctx, b.owner())
	if err != nil {
		t.Fatal(err)
	}
	cred, err := factors.Credential(ctx, b.owner(), rows[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	id, session, err := b.EnrollKey(ctx, b.env, b.id, b.session, rows[0].ID, cred)
	if err != nil {
		t.Fatal(err)
	}
	e := &browser{s, id, session, b.key, b.recipient}
	e.choose(protocol.ActionEnrollKey)
	e.byMail()
	if err := factors.Remove(ctx, b.owner(), rows[0].ID); err != nil {
		t.Fatal(err)
	}
	s.wait("the agent is told", func() bool { return len(s.agent.removals()) == 1 }) // before it has the key
	if err := e.Perform(ctx, e.env, e.id, e.session, nil); err != nil || e.view().Step != flow.StepDone {
		t.Fatalf("%v, step %s", err, e.view().Step)
	}
	var got evidence.Credential
	if err := json.Unmarshal(s.agent.asked[0].Credential, &got); err != nil || got.Hash() != hash {
		t.Fatal("another key was enrolled")
	}
	s.wait("the agent is told again", func() bool { return len(s.agent.removals()) == 2 })
}
