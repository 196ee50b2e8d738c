package journal

import (
	"cmp"
	"slices"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Row returns the last execution of a context. Sealed results older than 15 minutes
// are not returned.
func (j *Journal) Row(c protocol.Context) (Row, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x := j.latestLocked(c)
	if x == nil {
		return Row{}, false
	}
	j.forgetSealedLocked(x)
	return j.rowLocked(x), true
}

func (j *Journal) rowLocked(x *execution) Row {
	r := Row{Recovery: j.byID[x.Recovery].Recovery, Execution: x.Execution}
	if x.settlement != nil {
		s := *x.settlement
		r.Settlement = &s
	}
	return r
}

// Unsettled lists executions whose end nobody wrote: a crash, or a lost answer.
func (j *Journal) Unsettled() []Row {
	j.mu.Lock()
	defer j.mu.Unlock()
	var rows []Row
	for _, e := range j.byID {
		for _, x := range e.executions {
			if x.settlement == nil {
				rows = append(rows, j.rowLocked(x))
			}
		}
	}
	return rows
}

// A Performed operation counts against limits.
type Performed struct {
	Account string
	At      time.Time
}

// PerformedSince lists, oldest first, the operations since t that changed an account
// or may have.
func (j *Journal) PerformedSince(t time.Time) []Performed {
	j.mu.Lock()
	defer j.mu.Unlock()
	var done []Performed
	for _, e := range j.byID {
		for _, x := range e.executions {
			at := time.Unix(x.At, 0)
			if !at.Before(t) && (x.settlement == nil || x.settlement.State == protocol.Done || x.settlement.State == protocol.Unknown) {
				done = append(done, Performed{e.Account, at})
			}
		}
	}
	slices.SortFunc(done, func(a, b Performed) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Account, b.Account))
	})
	return done
}
