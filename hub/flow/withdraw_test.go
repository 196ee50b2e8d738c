package flow_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol/evidence"
)

// byHand is asks for the method manual.
type byHand struct{ asks }

func (byHand) Method() policy.Method { return policy.Manual }

var sure = verify.Attested(true, evidence.TypeManual)

// counted goes to the button with what staff said.
func (s *stack) counted() *browser {
	s.t.Helper()
	b, code := s.asked("ada@example.com", "password")
	if err := b.submit(code); err != nil {
		s.t.Fatal(err)
	}
	b.settled("proving") // it sends nothing and is not bound to a key, so it is asked for at once
	s.wait("staff are asked", func() bool { return slices.Contains(b.verification().Waiting, "manual") })
	if err := s.Settle(s.t.Context(), s.env, b.verification().ID, "manual", sure); err != nil {
		s.t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepReady {
		s.t.Fatalf("%s %q", v.Step, v.Problem)
	}
	return b
}

func (b *browser) withdraw() (performed, written bool, err error) {
	performed, err = b.Withdraw(b.t.Context(), b.env, b.id, "manual", func(_ *store.Tx, p bool) error {
		written = true
		return nil
	})
	return performed, written, err
}

func (b *browser) evidence() (types []string) {
	b.t.Helper()
	all, err := store.Get(b.t.Context(), b.store, func(tx *store.Tx) ([]store.Evidence, error) {
		return tx.Evidence(b.t.Context(), b.env, b.verification().ID)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range all {
		types = append(types, e.Type)
	}
	return types
}

func TestT07_WhatPeopleTakeBackIsGoneFromARecoveryThatWasNotSent(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := withWays(t, c, `{"default":[["mail_code","manual"]]}`, byHand{asks{people: []string{"ada"}}})
		s.person("ada")
		b := s.counted()
		failed := errors.New("not written")
		if _, err := b.Withdraw(t.Context(), b.env, b.id, "manual", func(*store.Tx, bool) error { return failed }); !errors.Is(err, failed) || b.view().Step != flow.StepReady {
			t.Errorf("what was not written down was carried out: %v", err)
		}
		performed, written, err := b.withdraw()
		if err != nil || performed || !written {
			t.Fatalf("%v %v %v", performed, written, err)
		}
		if v := b.view(); v.Step != flow.StepProve || slices.Contains(b.verification().Proven, "manual") {
			t.Errorf("afterwards %s, %+v", v.Step, b.verification())
		}
		if got := b.evidence(); slices.Contains(got, evidence.TypeManual) || !slices.Contains(got, evidence.TypeMailCode) {
			t.Errorf("the agent would be given %v", got)
		}
		if err := b.press(); !errors.Is(err, recovery.ErrStep) || len(s.agent.changes()) != 0 {
			t.Errorf("pressed all the same: %v", err)
		}
		s.wait("staff are asked anew", func() bool { return slices.Contains(b.verification().Waiting, "manual") })
		if err := s.Settle(t.Context(), s.env, b.verification().ID, "manual", sure); err != nil {
			t.Fatal(err)
		}
		if err := b.press(); err != nil || b.view().Step != flow.StepDone {
			t.Fatalf("verified anew: %v, %s", err, b.view().Step)
		}
		if performed, written, err = b.withdraw(); err != nil || !performed || !written || b.view().Step != flow.StepDone {
			t.Errorf("after the operation: %v %v %v", performed, written, err)
		}
		if _, err := s.Withdraw(t.Context(), s.env, "unknown", "manual", func(*store.Tx, bool) error { return nil }); err != nil {
			t.Errorf("a recovery that is gone: %v", err)
		}
	})
}

// T14: taking back and pressing at the same moment: either the operation is not sent, or
// whoever takes back is told that it was.
func TestT14_TakingBackAndPressingAtOnce(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := withWays(t, c, `{"default":[["mail_code","manual"]]}`, byHand{asks{people: []string{"ada"}}})
		s.person("ada")
		for range 12 {
			b, before := s.counted(), len(s.agent.changes())
			var wg sync.WaitGroup
			var performed bool
			var err error
			wg.Go(func() { _ = b.press() })
			wg.Go(func() { performed, _, err = b.withdraw() })
			wg.Wait()
			if err != nil {
				t.Fatal(err)
			}
			changed := len(s.agent.changes()) > before
			if changed != performed {
				t.Fatalf("changed %v, told %v, the page %s", changed, performed, b.view().Step)
			}
			if err := b.Cancel(context.Background(), b.env, b.id, b.session); err == nil {
				s.wait("it has ended", func() bool { return b.view().Step == flow.StepEnded })
			}
		}
	})
}
