package flow

import (
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/store"
)

// Nothing leads to the agent, or to a result, but the one way through the proof.
func TestTheMachineHasOneWayToAChange(t *testing.T) {
	before := func(to string) (from []string) {
		for state, list := range next {
			if slices.Contains(list, to) {
				from = append(from, state)
			}
		}
		slices.Sort(from)
		return from
	}
	for to, want := range map[string][]string{
		stateDone: {stateSent}, stateUnknown: {stateSent}, stateFailed: {stateSent}, stateSent: {stateCleared}, stateCleared: {stateAsking}, stateAsking: {stateReady},
		stateReady: {stateAsking, stateCleared, statePreparing, stateProving, stateSent},
	} {
		if got := before(to); !slices.Equal(got, want) {
			t.Errorf("%s follows %v, want %v", to, got, want)
		}
	}
	for _, last := range []string{stateFailed, stateUnknown, stateEnded} {
		if len(next[last]) > 0 {
			t.Errorf("%s leads to %v", last, next[last])
		}
	}
	if isOpen(stateSent) {
		t.Error("what was sent can be voided")
	}
}

func TestEveryStateHasAStepAndNoOtherIsReached(t *testing.T) {
	for from, list := range next {
		for _, to := range append(list, from) {
			if steps[to] == "" {
				t.Errorf("state %s shows nothing", to)
			}
		}
	}
	for from := range steps {
		for to := range steps {
			rec := store.Recovery{State: from}
			if err := move(&rec, to); (err == nil) != slices.Contains(next[from], to) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if rec.State != from && rec.State != to {
				t.Errorf("%s to %s ends in %s", from, to, rec.State)
			}
		}
	}
}
