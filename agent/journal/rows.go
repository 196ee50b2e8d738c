package journal

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
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
	Act     bool // asked for by an administrator: see protocol.Acts
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
				done = append(done, Performed{e.Account, at, e.act()})
			}
		}
	}
	sort.Slice(done, func(i, j int) bool {
		return cmp.Or(done[i].At.Compare(done[j].At), cmp.Compare(done[i].Account, done[j].Account)) < 0
	})
	return done
}

// act reports whether the entry is of an account operation, which stands alone.
func (e *entry) act() bool {
	name, _, _ := strings.Cut(e.Operation, "?")
	return protocol.Operation(name).Act()
}

// A Waiting recovery was accepted and is held (T23).
type Waiting struct {
	Recovery   Recovery
	Acceptance Acceptance
}

// ReadHeld lists, soonest first, the recoveries that the journal in dir says are held
// and can still be carried out. It reads beside the process that writes it.
func ReadHeld(dir string, now time.Time) ([]Waiting, error) {
	text, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		return nil, err
	}
	j := &Journal{byID: map[string]*entry{}, byContext: map[protocol.Context]*entry{}}
	if _, err := decode(text, j.apply); err != nil {
		return nil, err
	}
	return j.heldLocked(now), nil
}

// HeldOf lists the recoveries of an account that are held and can still be carried out.
func (j *Journal) HeldOf(account string) []Waiting {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(j.heldLocked(j.now()), func(w Waiting) bool { return w.Recovery.Account != account })
}

func (j *Journal) heldLocked(now time.Time) []Waiting {
	var held []Waiting
	for _, e := range j.byID {
		if e.accepted != nil && !e.dropped && !e.spent() && e.NotAfter >= now.Unix() {
			held = append(held, Waiting{e.Recovery, *e.accepted})
		}
	}
	sort.Slice(held, func(i, j int) bool {
		a, b := &held[i], &held[j]
		return cmp.Or(cmp.Compare(a.Acceptance.Until, b.Acceptance.Until), cmp.Compare(a.Recovery.ID, b.Recovery.ID)) < 0
	})
	return held
}
