package journal

import "time"

// Sweep forgets what is older than its time, on disk too. It is to be called often.
func (j *Journal) Sweep() error {
	j.writer.Lock()
	defer j.writer.Unlock()
	if j.failed != nil {
		return j.failed
	}
	j.mu.Lock()
	dead := j.forgetLocked()
	due := j.stale || dead > 0 && j.file.grown()
	j.mu.Unlock()
	if !due {
		return nil
	}
	return j.compact()
}

// forgetLocked drops rows that nobody needs and returns how many.
func (j *Journal) forgetLocked() int {
	now, n := j.now(), 0
	for id, e := range j.byID {
		for _, x := range e.executions {
			j.forgetSealedLocked(x)
		}
		if e.keptUntil().After(now) {
			continue
		}
		delete(j.byID, id)
		for _, x := range e.executions {
			delete(j.byContext, x.Context)
		}
		n++
	}
	return n
}

// keptUntil says when nobody needs the entry any more. An execution that nobody
// settled is never forgotten before it is settled.
func (e *entry) keptUntil() time.Time {
	until := time.Unix(e.NotAfter, 0).Add(keepBegun)
	if last := e.code.lastFailed(); last > 0 {
		until = latest(until, time.Unix(last, 0).Add(keepFailed))
	}
	for _, x := range e.executions {
		if x.settlement == nil {
			return time.Unix(1<<40, 0)
		}
		until = latest(until, time.Unix(x.At, 0).Add(keepExecuted))
	}
	return until
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// forgetSealedLocked drops sealed results that are too old.
func (j *Journal) forgetSealedLocked(x *execution) {
	if x.Sealed == nil && (x.settlement == nil || x.settlement.Sealed == nil) {
		return
	}
	if j.now().Sub(time.Unix(x.At, 0)) < keepSealed {
		return
	}
	x.Sealed = nil
	if x.settlement != nil {
		x.settlement.Sealed = nil
	}
	j.stale = true
}
