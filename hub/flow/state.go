package flow

import (
	"slices"

	"github.com/postern-id/postern/hub/store"
)

// States of a recovery, as persisted. The diagram stands in doc.go.
const (
	stateChoosing  = "choosing"
	statePreparing = "preparing" // behind the answer: look-up, begin, addresses, code
	stateProving   = "proving"
	stateReady     = "ready"
	stateRefused   = "refused"
	stateAsking    = "asking"  // pressed; the organisation's webhook is asked
	stateCleared   = "cleared" // may be sent to the agent, once
	stateSent      = "sent"    // an answer is expected; nobody else may send
	stateDone      = "done"
	stateFailed    = "failed"
	stateUnknown   = "unknown"
	stateEvaluated = "evaluated" // a trial: the agent said what would have happened
	stateEnded     = "ended"
)

// next lists what may follow. The table is the whole machine.
var next = map[string][]string{
	stateChoosing:  {statePreparing, stateProving, stateEnded}, // proving: no code may be sent now
	statePreparing: {stateProving, stateReady, stateRefused, stateEnded},
	stateProving:   {statePreparing, stateReady, stateRefused, stateEnded},
	stateReady:     {stateAsking, stateRefused, stateEnded, statePreparing, stateProving}, // the last two: another browser proves once more; proving, here and below: a proof was taken back
	stateRefused:   {stateEnded},
	stateAsking:    {stateCleared, stateReady, stateProving, stateRefused, stateEnded},
	stateCleared:   {stateSent, stateReady, stateProving, stateEnded},
	stateSent:      {stateDone, stateFailed, stateUnknown, stateReady, stateEvaluated},
	stateDone:      {stateEnded},
	stateEvaluated: {stateEnded},
}

// open are the states in which nothing has been sent, so that a recovery may be voided.
var open = []string{stateChoosing, statePreparing, stateProving, stateReady, stateRefused, stateAsking, stateCleared}

// steps is what the employee sees of a state.
var steps = map[string]Step{
	stateChoosing: StepChoose, statePreparing: StepProve, stateProving: StepProve,
	stateReady: StepReady, stateRefused: StepRefused,
	stateAsking: StepPerforming, stateCleared: StepPerforming, stateSent: StepPerforming,
	stateDone: StepDone, stateFailed: StepFailed, stateUnknown: StepUnknown, stateEnded: StepEnded,
	stateEvaluated: StepEvaluated,
}

// States of a verification.
const (
	verificationOpen   = "open"
	verificationProven = "proven"
	verificationClosed = "closed"
)

// move changes the state if the machine allows it.
func move(rec *store.Recovery, to string) error {
	if !slices.Contains(next[rec.State], to) {
		return ErrStep
	}
	rec.State = to
	return nil
}

func isOpen(state string) bool { return slices.Contains(open, state) }
