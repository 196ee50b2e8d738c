package flow

import (
	"testing"

	"github.com/postern-id/postern/hub/recovery"
)

func TestEveryStateHasAStep(t *testing.T) {
	all := []string{recovery.Choosing, recovery.Preparing, recovery.Proving, recovery.Ready, recovery.Refused, recovery.Asking, recovery.Cleared,
		recovery.Sent, recovery.Done, recovery.Failed, recovery.Unknown, recovery.Evaluated, recovery.Ended}
	for _, state := range all {
		if steps[state] == "" {
			t.Errorf("state %s shows nothing", state)
		}
	}
	if len(steps) != len(all) {
		t.Errorf("%d steps of %d states", len(steps), len(all))
	}
}
