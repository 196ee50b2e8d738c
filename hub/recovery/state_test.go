package recovery

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
		Done: {Sent}, Unknown: {Sent}, Failed: {Sent}, Sent: {Cleared}, Cleared: {Asking}, Asking: {Ready},
		Ready: {Asking, Cleared, Preparing, Proving, Sent},
	} {
		if got := before(to); !slices.Equal(got, want) {
			t.Errorf("%s follows %v, want %v", to, got, want)
		}
	}
	for _, last := range []string{Failed, Unknown, Ended} {
		if len(next[last]) > 0 {
			t.Errorf("%s leads to %v", last, next[last])
		}
	}
	if IsOpen(Sent) {
		t.Error("what was sent can be voided")
	}
}

func TestNothingIsReachedButByTheTable(t *testing.T) {
	for from := range next {
		for to := range next {
			rec := store.Recovery{State: from}
			if err := Move(&rec, to); (err == nil) != slices.Contains(next[from], to) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if rec.State != from && rec.State != to {
				t.Errorf("%s to %s ends in %s", from, to, rec.State)
			}
		}
	}
}
