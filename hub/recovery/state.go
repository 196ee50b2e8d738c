package recovery

import (
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// States of a recovery, as persisted. The diagram stands in the package's comment.
const (
	Choosing  = "choosing"
	Preparing = "preparing" // behind the answer: look-up, begin, addresses, code
	Proving   = "proving"
	Ready     = "ready"
	Refused   = "refused"
	Asking    = "asking"  // pressed; the organisation's webhook is asked
	Cleared   = "cleared" // may be sent to the agent, once
	Sent      = "sent"    // an answer is expected; nobody else may send
	Done      = "done"
	Failed    = "failed"
	Unknown   = "unknown"
	Evaluated = "evaluated" // a trial: the agent said what would have happened
	Ended     = "ended"
)

// next lists what may follow. The table is the whole machine.
var next = map[string][]string{
	Choosing:  {Preparing, Proving, Ended}, // proving: no code may be sent now
	Preparing: {Proving, Ready, Refused, Ended},
	Proving:   {Preparing, Ready, Refused, Ended},
	Ready:     {Asking, Refused, Ended, Preparing, Proving}, // the last two: another browser proves once more; proving, here and below: a proof was taken back
	Refused:   {Ended},
	Asking:    {Cleared, Ready, Proving, Refused, Ended},
	Cleared:   {Sent, Ready, Proving, Ended},
	Sent:      {Done, Failed, Unknown, Ready, Evaluated},
	Done:      {Ended},
	Evaluated: {Ended},
}

// open are the states in which nothing has been sent, so that a recovery may be voided.
var open = []string{Choosing, Preparing, Proving, Ready, Refused, Asking, Cleared}

// Move changes the state if the machine allows it, else ErrStep.
func Move(rec *store.Recovery, to string) error {
	if !slices.Contains(next[rec.State], to) {
		return ErrStep
	}
	rec.State = to
	return nil
}

// IsOpen reports whether nothing has been sent yet in a state.
func IsOpen(state string) bool { return slices.Contains(open, state) }

// Prolong lets a recovery last as long as its agent keeps it.
func Prolong(rec *store.Recovery) {
	if until := time.Unix(rec.NotAfter, 0); until.After(rec.ExpiresAt) {
		rec.ExpiresAt = until
	}
}
