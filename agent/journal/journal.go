// Package journal is the agent's memory on disk: which recoveries this agent began,
// and the one operation that each may carry out, across restarts and crashes at any
// point. It knows no directory, no tunnel and no policy.
//
// The file is only appended to, and rewritten without what nobody needs any more. A
// frame is length(4) CRC-32C(4) and a JSON list of records; every call that writes
// returns after its frame was synced to the disk. A frame that a crash cut short is
// dropped when the file is opened: nobody was told that it was there.
package journal

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// How long rows are kept, and how many.
const (
	keepSealed   = 15 * time.Minute   // T27: sealed results are deleted everywhere 15 minutes after the operation
	keepBegun    = time.Hour          // after not_after: a row that is gone cannot be performed, so this only serves people who look
	keepExecuted = 7 * 24 * time.Hour // the hub may ask for an outcome after a long outage; the daily breaker counts one day
	keepFailed   = 24 * time.Hour     // wrong codes count for a day
	maxOpen      = 20_000             // recoveries that can still be performed: bounds memory at a few MB against a flood of begins
	maxAttempts  = 3                  // operations of one recovery that may end unchanged
)

// Refusals of this package. Nothing was written when one is returned.
var (
	ErrFull     = errors.New("journal: too many recoveries are open")
	ErrNotBegun = errors.New("journal: no such recovery was begun here, or it ended")
	ErrExecuted = errors.New("journal: the recovery has had its operation")
	ErrLocked   = errors.New("journal: another process uses this state folder")
	ErrFailed   = errors.New("journal: a write failed; the journal must be opened again")
)

// A Recovery is what begin promised.
type Recovery struct {
	ID        string `json:"id"` // joined, see protocol.RecoveryID
	Account   string `json:"account"`
	Operation string `json:"operation"` // protocol.CanonicalTasks
	NotAfter  int64  `json:"not_after"` // Unix seconds
	Origin    string `json:"origin,omitempty"`
	Notice    bool   `json:"notice,omitempty"` // the owner has an address that a notice reaches
	Begun     int64  `json:"begun"`            // Unix seconds
	Trial     bool   `json:"trial,omitempty"`  // begun while the agent evaluated: never carried out
	Salt      []byte `json:"salt,omitempty"`   // of protocol.AttributeValues, by which a lost answer is settled
}

// An Execution is written before the directory is asked to change anything.
type Execution struct {
	Context  protocol.Context `json:"context"`
	Recovery string           `json:"recovery"`
	Request  string           `json:"request"` // id of the operation frame
	Sealed   []byte           `json:"sealed,omitempty"`
	Stamp    string           `json:"stamp"`
	Evidence []Proof          `json:"evidence,omitempty"`
	At       int64            `json:"at"` // Unix seconds
}

// A Proof is what stays of one piece of evidence: its kind, who issued it and a hash,
// never its bytes (T35).
type Proof struct {
	Type   string `json:"type"`
	Issuer string `json:"issuer,omitempty"` // of a document, or the approver
	Hash   []byte `json:"hash,omitempty"`   // SHA-256
}

// An Acceptance says that the evidence of a recovery was checked, and that its
// operation is held (T23).
type Acceptance struct {
	Recovery string           `json:"recovery"`
	Context  protocol.Context `json:"context"`
	Evidence []Proof          `json:"evidence,omitempty"`
	Proven   []string         `json:"proven,omitempty"` // methods that were proven then
	// Strength and Approvals are what that rests on, for a passkey that it lets in (T17).
	Strength  []string `json:"strength,omitempty"`
	Approvals int      `json:"approvals,omitempty"`
	// Documents are keyed hashes of documents to be tied to the account afterwards.
	Documents []string `json:"documents,omitempty"`
	Until     int64    `json:"until"` // Unix seconds: not before
	At        int64    `json:"at"`
}

// A Settlement is how an execution ended.
type Settlement struct {
	Context    protocol.Context `json:"context"`
	State      protocol.State   `json:"state"`
	Error      *protocol.Error  `json:"error,omitempty"`
	Sealed     []byte           `json:"sealed,omitempty"` // a secret that the directory made
	MustChange bool             `json:"must_change,omitempty"`
}

// A Row is everything that is known of one execution. Settlement is nil until it is settled.
type Row struct {
	Recovery   Recovery
	Execution  Execution
	Settlement *Settlement
}

// entry is one recovery in memory.
type entry struct {
	Recovery
	dropped    bool
	accepted   *Acceptance
	executions []*execution
	code       codes
}

type execution struct {
	Execution
	settlement *Settlement
}

// A Journal serves one agent. Its methods may be called from many goroutines.
type Journal struct {
	dir  string
	now  func() time.Time
	lock *lock

	mu        sync.Mutex // guards what follows; taken after writer
	byID      map[string]*entry
	byContext map[protocol.Context]*entry
	next      *batch
	stale     bool // the file holds sealed results that memory has dropped

	writer sync.Mutex // held while the file is written: one batch at a time
	file   *file
	failed error
}

// Open reads the journal in dir, which no other process may have open, and makes it
// when there is none. now is the agent's clock. The caller closes it.
func Open(dir string, now func() time.Time) (*Journal, error) {
	l, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		dir: dir, now: now, lock: l, next: &batch{},
		byID: map[string]*entry{}, byContext: map[protocol.Context]*entry{},
	}
	if j.file, err = openFile(dir, j.apply); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return j, nil
}

// Close gives the file back.
func (j *Journal) Close() error {
	j.writer.Lock()
	defer j.writer.Unlock()
	if j.failed == nil {
		j.failed = ErrFailed
	}
	return errors.Join(j.file.close(), j.lock.release())
}

// Failed returns why the journal can no longer be written, or nil.
func (j *Journal) Failed() error {
	j.writer.Lock()
	defer j.writer.Unlock()
	return j.failed
}

// Begin writes a recovery.
func (j *Journal) Begin(r Recovery) error {
	return j.write(record{Begun: &r}, func() error {
		if j.openLocked() >= maxOpen {
			return ErrFull
		}
		return nil
	})
}

// openLocked counts the recoveries that can still be performed.
func (j *Journal) openLocked() int {
	if len(j.byID) < maxOpen {
		return len(j.byID) // not exact, and below the limit
	}
	n, now := 0, j.now().Unix()
	for _, e := range j.byID {
		if !e.dropped && e.NotAfter >= now {
			n++
		}
	}
	return n
}

// Recovery returns a recovery that was begun here and not dropped.
func (j *Journal) Recovery(id string) (Recovery, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.byID[id]
	if e == nil || e.dropped {
		return Recovery{}, ErrNotBegun
	}
	return e.Recovery, nil
}

// Drop ends a recovery that has not had its operation. One that has is left as it is.
func (j *Journal) Drop(id string) error {
	return j.write(record{Dropped: id}, func() error {
		e := j.byID[id]
		switch {
		case e == nil || e.dropped:
			return ErrNotBegun
		case e.spent():
			return ErrExecuted
		}
		return nil
	})
}

// spent reports whether the recovery has had its one operation, or may have had it.
func (e *entry) spent() bool {
	last := len(e.executions) - 1
	return last >= 0 && (last+1 >= maxAttempts || !e.executions[last].unchanged())
}

func (x *execution) unchanged() bool {
	return x.settlement != nil && x.settlement.State == protocol.Unchanged
}

// Accept writes that evidence was checked and its operation is held. A recovery is
// accepted once, for one context.
func (j *Journal) Accept(a Acceptance) error {
	a.At = j.now().Unix()
	return j.write(record{Accepted: &a}, func() error {
		e := j.byID[a.Recovery]
		switch {
		case e == nil || e.dropped:
			return ErrNotBegun
		case e.accepted != nil || e.spent():
			return ErrExecuted
		}
		return nil
	})
}

// Accepted returns what was accepted for a recovery, or nil.
func (j *Journal) Accepted(id string) *Acceptance {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.byID[id]
	if e == nil || e.dropped || e.accepted == nil {
		return nil
	}
	a := *e.accepted
	return &a
}

// AcceptedContext returns what was accepted under a context, or nil.
func (j *Journal) AcceptedContext(c protocol.Context) *Acceptance {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.byID {
		if e.accepted != nil && e.accepted.Context == c && !e.dropped {
			a := *e.accepted
			return &a
		}
	}
	return nil
}

// Execute writes that the operation of a recovery is about to be carried out. It
// refuses a recovery that has had one, unless that one provably changed nothing.
// After nil the caller must carry out the operation at most once, and Settle it.
func (j *Journal) Execute(x Execution) error {
	x.At = j.now().Unix()
	return j.write(record{Executing: &x}, func() error {
		e := j.byID[x.Recovery]
		switch other := j.byContext[x.Context]; {
		case e == nil || e.dropped:
			return ErrNotBegun
		case e.spent() || other != nil && other != e, e.accepted != nil && e.accepted.Context != x.Context:
			return ErrExecuted
		}
		return nil
	})
}

// Settle writes how an execution ended. It may be called once for each execution.
func (j *Journal) Settle(s Settlement) error {
	return j.write(record{Settled: &s}, func() error {
		switch x := j.latestLocked(s.Context); {
		case x == nil:
			return ErrNotBegun
		case x.settlement != nil:
			return ErrExecuted
		}
		return nil
	})
}

// latestLocked is the last execution of a context.
func (j *Journal) latestLocked(c protocol.Context) *execution {
	e := j.byContext[c]
	if e == nil {
		return nil
	}
	for _, x := range slices.Backward(e.executions) {
		if x.Context == c {
			return x
		}
	}
	return nil
}

// apply changes memory as a record says. It is the same when the record is written
// and when it is read back, so a record that makes no sense is an error.
func (j *Journal) apply(r record) error {
	switch {
	case r.Begun != nil:
		return j.applyBegun(*r.Begun)
	case r.Dropped != "":
		return j.with(r.Dropped, func(e *entry) { e.dropped = true })
	case r.Executing != nil:
		return j.with(r.Executing.Recovery, func(e *entry) {
			e.executions = append(e.executions, &execution{Execution: *r.Executing})
			j.byContext[r.Executing.Context] = e
		})
	case r.Accepted != nil:
		return j.with(r.Accepted.Recovery, func(e *entry) { e.accepted = r.Accepted })
	case r.Settled != nil:
		return j.applySettled(*r.Settled)
	case r.CodeSent != nil:
		return j.with(r.CodeSent.Recovery, func(e *entry) { e.code.sent(*r.CodeSent) })
	case r.Codes != nil:
		return j.with(r.Codes.Recovery, func(e *entry) { e.code = *r.Codes })
	case r.CodeTried != nil:
		return j.with(r.CodeTried.Recovery, func(e *entry) { e.code.tried(*r.CodeTried) })
	}
	return errors.New("journal: an empty record")
}

func (j *Journal) applyBegun(r Recovery) error {
	if r.ID == "" || j.byID[r.ID] != nil {
		return fmt.Errorf("journal: recovery %q was begun twice", r.ID)
	}
	j.byID[r.ID] = &entry{Recovery: r}
	return nil
}

func (j *Journal) applySettled(s Settlement) error {
	x := j.latestLocked(s.Context)
	if x == nil {
		return fmt.Errorf("journal: context %s was settled and never executed", s.Context)
	}
	x.settlement = &s
	return nil
}

func (j *Journal) with(id string, f func(*entry)) error {
	e := j.byID[id]
	if e == nil {
		return fmt.Errorf("journal: recovery %q was never begun", id)
	}
	f(e)
	return nil
}
