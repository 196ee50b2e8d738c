package operation

import (
	"errors"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Four outcomes, two words of an agent that is not done yet, and the states they lead to.
// Whatever ends a recovery leaves nothing personal in its row but where the last code went.
func TestOutcomesLeadWhereTheMachineSays(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	o := New(Config{Now: func() time.Time { return now }})
	p := recovery.Private{Address: "ada@example.com", Masked: []string{"a•••@example.com"}}
	unlock := []protocol.Task{{Operation: protocol.Unlock}}
	away := protocol.Err(protocol.CodeUnavailable, "")
	for name, c := range map[string]struct {
		out      protocol.Outcome
		attempts int64
		state    string
		problem  recovery.Problem
	}{
		"done":                   {protocol.Outcome{State: protocol.Done}, 0, recovery.Done, ""},
		"failed":                 {protocol.Outcome{State: protocol.Failed, Error: protocol.Err(protocol.CodePasswordPolicy, "")}, 0, recovery.Failed, recovery.ProblemPolicy},
		"unchanged":              {protocol.Outcome{State: protocol.Unchanged, Error: away}, 0, recovery.Ready, recovery.ProblemUnavailable},
		"unchanged once too oft": {protocol.Outcome{State: protocol.Unchanged, Error: away}, maxUnchanged - 1, recovery.Failed, recovery.ProblemUnavailable},
		"unknown":                {protocol.Outcome{State: protocol.Unknown, Error: protocol.Err(protocol.CodeInternal, "")}, 0, recovery.Unknown, recovery.ProblemInternal},
		"held":                   {protocol.Outcome{State: protocol.Accepted, Until: now.Unix() + 60}, 0, recovery.Ready, recovery.ProblemHeld},
		"evaluated":              {protocol.Outcome{State: protocol.Evaluated}, 0, recovery.Evaluated, ""},
	} {
		rec := store.Recovery{State: recovery.Sent, ExpiresAt: now.Add(time.Minute), NotAfter: now.Unix() + 600, Attempts: c.attempts, Private: []byte(store.JSON(p))}
		if err := o.end(&rec, &c.out, unlock, p); err != nil || rec.State != c.state || rec.Problem != string(c.problem) {
			t.Errorf("%s: state %s, problem %q, %v; want %s, %q", name, rec.State, rec.Problem, err, c.state, c.problem)
		}
		kept, err := recovery.PrivateOf(&rec)
		if gone := kept.Address == ""; err != nil || gone == (rec.State == recovery.Ready) || len(kept.Masked) != 1 {
			t.Errorf("%s: the row keeps %+v, %v", name, kept, err)
		}
		again := store.Recovery{State: recovery.Cleared}
		if err := o.end(&again, &c.out, unlock, p); !errors.Is(err, recovery.ErrStep) && c.state != recovery.Ready {
			t.Errorf("%s: an outcome of what was not sent counts: %v", name, err)
		}
	}
}

// An agent that does not answer is asked soon while the person waits, and ever more rarely
// after that.
func TestAnAgentThatDoesNotAnswerIsAskedEverMoreRarely(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	o := New(Config{Now: func() time.Time { return now }})
	waits, gone := &store.Recovery{ExpiresAt: now.Add(time.Minute)}, &store.Recovery{ExpiresAt: now}
	for _, c := range []struct {
		rec       *store.Recovery
		age, want time.Duration
	}{{waits, time.Second, resolveFirst}, {waits, time.Hour, resolveSoon}, {gone, 20 * time.Second, 5 * time.Second}, {gone, time.Hour, resolveMax}} {
		if got := o.askAgain(c.rec, c.age); got != c.want {
			t.Errorf("after %s: %s, want %s", c.age, got, c.want)
		}
	}
}

func TestP08_OnlyWhatChangesCredentialsMakesOtherRecoveriesStale(t *testing.T) {
	for op, want := range map[protocol.Operation]bool{
		protocol.Unlock: false, protocol.EnrollKey: false, protocol.GetTemporaryPassword: true, protocol.RemoveAllMFA: true, protocol.GetTemporaryAccessPass: true,
	} {
		if got := changesCredentials([]protocol.Task{{Operation: op}}); got != want {
			t.Errorf("%s: %t, want %t", op, got, want)
		}
	}
}
