package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// Times of one operation.
const (
	maxSkew      = 60 * time.Second // P28: clocks may differ by as much
	detachedLife = 30 * time.Second // a modify that has begun is finished or settled, whoever hung up
)

// maxEvidence bounds the pieces of evidence of one request.
const maxEvidence = 32

// perform carries out the operation that was begun, once. What it answers as an
// *Error did not touch the directory; everything else is a signed Outcome.
func (s *service) perform(ctx context.Context, q protocol.PerformRequest, e *event) (any, error) {
	e.Recovery, e.Account, e.Operation, e.Request = q.Members.Recovery, q.Members.Account, q.Members.Operation, q.ID
	e.Context = q.Context.String()
	if err := s.obey(ctx); err != nil {
		return nil, err
	}
	j, err := s.admit(q)
	if err != nil {
		return nil, err
	}
	defer s.flights.enter(j.context)()
	if s.givenUp.has(q.ID) { // asked after entering: the question sees the flight, or the flight the question
		return nil, protocol.Err(protocol.CodeUnavailable, "the hub gave the request up before it came")
	}
	if err := s.proven(j); err != nil {
		return nil, err
	}
	release, err := s.locks.take(ctx, j.recovery.Account)
	if err != nil {
		return nil, err
	}
	defer release()
	out, err := s.once(ctx, j, e)
	if err != nil {
		return nil, err
	}
	e.State, e.Replayed, e.Trial = out.State, out.Replayed, out.State == protocol.Evaluated
	if out.Error != nil {
		e.refuse(out.Error)
	}
	return out, nil
}

// A job is a request that was found to be what this agent began.
type job struct {
	request  protocol.PerformRequest
	recovery journal.Recovery
	tasks    []protocol.Task
	context  protocol.Context
}

// admit checks the frame, and recomputes the context from what this agent's journal
// says: a hub that changes one member gets nothing.
func (s *service) admit(q protocol.PerformRequest) (job, error) {
	if err := s.checkFrame(q); err != nil {
		return job{}, err
	}
	r, err := s.journal.Recovery(q.Members.Recovery)
	if err != nil {
		return job{}, journalError(err)
	}
	own := protocol.Members{
		Recovery: r.ID, Directory: s.id.Directory, Account: r.Account, Operation: r.Operation,
		Recipient: q.Members.Recipient, NotAfter: r.NotAfter,
	}
	if name := differing(own, q.Members); name != "" {
		return job{}, protocol.Err(protocol.CodeBadRequest, name+" differs from what was begun")
	}
	if own.Context() != q.Context {
		return job{}, protocol.Err(protocol.CodeBadRequest, "the context is not that of its members")
	}
	tasks, err := parseTasks(r.Operation)
	if err != nil {
		return job{}, err
	}
	if err := checkRecipient(own.Recipient, tasks); err != nil {
		return job{}, err
	}
	return job{q, r, tasks, q.Context}, nil
}

// checkFrame refuses a frame that is too old, from a clock too far away, or too large.
func (s *service) checkFrame(q protocol.PerformRequest) error {
	ttl := time.Duration(q.TTL) * time.Second
	if q.TTL < 1 || ttl > protocol.MaxOperationLife {
		return protocol.Err(protocol.CodeBadRequest, fmt.Sprintf("ttl: %d seconds; want 1 to %d", q.TTL, protocol.MaxOperationLife/time.Second))
	}
	if err := wellFormed("id", q.ID, maxRequestID); err != nil {
		return err
	}
	if len(q.Evidence) > maxEvidence {
		return protocol.Err(protocol.CodeBadRequest, "too much evidence")
	}
	switch age := s.now().Sub(time.Unix(q.Sent, 0)); {
	case age < -maxSkew:
		return protocol.Err(protocol.CodeExpired, fmt.Sprintf("the frame comes from the future; the clocks of hub and agent differ by more than %v", maxSkew))
	case age > ttl+maxSkew:
		return protocol.Err(protocol.CodeExpired, "the frame is too old")
	}
	return nil
}

// differing names the first member in which the hub's view is another one, or "".
func differing(own, theirs protocol.Members) string {
	switch {
	case own.Directory != theirs.Directory:
		return "directory"
	case own.Account != theirs.Account:
		return "account"
	case own.Operation != theirs.Operation:
		return "operation"
	case own.NotAfter != theirs.NotAfter:
		return "not_after"
	}
	return ""
}

// checkRecipient: an operation with a secret needs a recipient; any that is given is
// of the one suite and length (T22).
func checkRecipient(recipient []byte, tasks []protocol.Task) error {
	if len(recipient) == 0 && !givesSecret(tasks) {
		return nil
	}
	if _, err := seal.ParseRecipient(recipient); err != nil {
		return protocol.Err(protocol.CodeBadRequest, err.Error())
	}
	return nil
}

func givesSecret(tasks []protocol.Task) bool {
	for _, t := range tasks {
		if t.Operation.Secret() {
			return true
		}
	}
	return false
}

// once answers a context that had its operation from the journal, and carries out
// any other. The caller holds the account.
func (s *service) once(ctx context.Context, j job, e *event) (*protocol.Outcome, error) {
	if row, found := s.journal.Row(j.context); found {
		row, err := s.settled(ctx, row)
		if err != nil {
			return nil, err
		}
		again := row.Settlement.State == protocol.Unchanged && row.Execution.Request != j.request.ID
		if !again {
			return s.replay(row), nil
		}
	}
	if s.now().After(time.Unix(j.recovery.NotAfter, 0)) {
		return nil, protocol.Err(protocol.CodeExpired, "the recovery was not finished in time; begin a new one")
	}
	return s.carryOut(ctx, j, e)
}

// carryOut looks at the account as it is now, checks the evidence, and does what the
// file lets it do.
func (s *service) carryOut(ctx context.Context, j job, e *event) (*protocol.Outcome, error) {
	if j.tasks[0].Operation.Act() {
		return s.carryOutAct(ctx, j)
	}
	facts, err := s.dir.Facts(ctx, j.recovery.Account)
	if err != nil {
		return s.refusal(j, asError(err)), nil
	}
	k, err := s.claimant(ctx, facts, j.tasks)
	if err != nil {
		return s.refusal(j, asError(err)), nil
	}
	v, why := s.decide(ctx, j, k, e)
	if why != nil {
		return s.refusal(j, why), nil
	}
	if out, err := s.held(ctx, j, k, v); out != nil || err != nil {
		return out, err
	}
	if why := s.vetoed(ctx, j, k); why != nil {
		return s.refusal(j, why), nil
	}
	if s.tries(j) {
		return s.evaluated(ctx, j, k)
	}
	slot, why := s.guard.Reserve(j.recovery.Account)
	if why != nil {
		return s.refusal(j, why), nil
	}
	out, err := s.change(ctx, j, k, v)
	if out != nil && (out.State == protocol.Unchanged || out.State == protocol.Failed) || protocol.CodeOf(err) == protocol.CodeNotBegun {
		slot.Release()
	}
	return out, err
}

// decide asks the evidence and the guard. What a hub says of evidence counts for
// nothing: strict is what this agent itself checked, now or when it accepted.
func (s *service) decide(ctx context.Context, j job, k claimant, e *event) (proof.Verdict, *protocol.Error) {
	if j.tasks[0].Operation.BegunOnly() {
		return proof.Verdict{}, protocol.Err(protocol.CodeUnsupported, "what proves who somebody is, and nothing else, is begun and never performed")
	}
	var v proof.Verdict
	a := s.journal.Accepted(j.recovery.ID)
	switch {
	case a != nil && a.Context != j.context:
		return v, protocol.Err(protocol.CodePermissionDenied, "the recovery was accepted for another recipient")
	case a == nil || k.terms.Strict && !k.terms.Proven(a.Proven): // or accepted under weaker terms than now
		var why *protocol.Error
		v, why = s.prove(ctx, j, k)
		if e.Proven, e.Refused = v.Proven, v.Refused; why != nil {
			return v, why
		}
	}
	return v, s.guard.Judge(guard.Case{
		Account: j.recovery.Account, Facts: k.facts, Tasks: j.tasks, Notice: j.recovery.Notice, NoNotice: k.terms.NoNotice, Strict: k.terms.Strict,
	})
}

// change seals, writes the journal, and changes the directory once.
func (s *service) change(ctx context.Context, j job, k claimant, v proof.Verdict) (*protocol.Outcome, error) {
	c, x, err := s.prepare(ctx, j, k.facts, v)
	if err != nil {
		return s.refusal(j, asError(err)), nil
	}
	if err := ctx.Err(); err != nil { // the caller hung up, and nothing has happened
		return s.refusal(j, asError(err)), nil
	}
	if err := s.journal.Execute(x); err != nil {
		if why := journalError(err); why.Code != protocol.CodeNotBegun {
			return s.refusal(j, why), nil
		}
		return nil, journalError(err) // perhaps done under another context: this one says nothing about it
	}
	s.log.Info("operation starts", "account", withoutAddresses(c.ID), "operation", j.recovery.Operation, "context", j.context.String())
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachedLife)
	defer cancel()
	res, err := s.apply(detached, j, c, v)
	end, err := s.conclude(ctx, j, c, x, res, err)
	if err != nil {
		return nil, err
	}
	if err := s.journal.Settle(end); err != nil {
		s.log.Error("journal cannot be written; the operation is settled again after a restart", "context", j.context.String(), "error", err)
	}
	s.log.Info("operation ended", "account", withoutAddresses(c.ID), "context", j.context.String(), "state", end.State)
	if end.State == protocol.Done && !j.tasks[0].Operation.Act() {
		s.afterwards(ctx, j, k, v)
	}
	return s.answer(journal.Row{Recovery: j.recovery, Execution: x, Settlement: &end}), nil
}

// apply asks the directory for the change, or makes the one that is the agent's own.
func (s *service) apply(ctx context.Context, j job, c directory.Change, v proof.Verdict) (directory.Result, error) {
	if enrols(j.tasks) {
		return directory.Result{}, s.enrolKey(j, v)
	}
	if task := j.tasks[0]; task.Operation.Act() {
		return directory.Result{}, s.act(ctx, c.ID, task, j.request.Values)
	}
	return s.dir.Perform(ctx, c)
}

// afterwards is what follows an operation of a strict account that was carried out.
func (s *service) afterwards(ctx context.Context, j job, k claimant, v proof.Verdict) {
	s.remember(j, v)
	n := noteDone
	if enrols(j.tasks) {
		n = noteEnrolled
	}
	s.announce(ctx, n, j.recovery, k, s.now())
}

// prepare makes the password and what the journal must know before the change.
func (s *service) prepare(ctx context.Context, j job, f directory.Facts, v proof.Verdict) (directory.Change, journal.Execution, error) {
	c := directory.Change{ID: f.ID, Tasks: j.tasks}
	x := journal.Execution{Context: j.context, Recovery: j.recovery.ID, Request: j.request.ID, Evidence: proofsOf(v)}
	if len(x.Evidence) == 0 {
		x.Evidence = proofs(j.request.Evidence)
	}
	x.At = s.now().Unix()
	if enrols(j.tasks) {
		return c, x, s.checkKey(j)
	}
	if j.tasks[0].Operation.Act() { // the account itself shows what became of it
		return c, x, nil
	}
	var err error
	if askedForPassword(j.tasks) && !f.MakesPassword {
		if c.Password, err = newPassword(f); err != nil {
			return c, x, err
		}
		if x.Sealed, err = seal.Seal(j.request.Members.Recipient, j.context, c.Password); err != nil {
			return c, x, err
		}
	}
	if c.Stamp, err = s.dir.Stamp(ctx, c.ID, c.Tasks); err != nil {
		return c, x, err
	}
	x.Stamp = c.Stamp
	return c, x, nil
}

// proofs keeps of evidence its kind and hash (T35).
func proofs(evidence []protocol.Evidence) []journal.Proof {
	var ps []journal.Proof
	for _, e := range evidence {
		sum := sha256.Sum256(e.Raw)
		ps = append(ps, journal.Proof{Type: e.Type[:min(len(e.Type), maxRequestID)], Hash: bytes.Clone(sum[:])})
	}
	return ps
}

// refusal is a signed outcome of a request that did not touch the directory. It does
// not enter the journal: what stood in the way may go away.
func (s *service) refusal(j job, why *protocol.Error) *protocol.Outcome {
	out := &protocol.Outcome{Context: j.context, State: stateOf(why.Code), Error: why}
	if out.State == protocol.Failed && s.tries(j) {
		out.State = protocol.Evaluated
	}
	out.Sign(s.id.keys.sign)
	return out
}

// stateOf says how an operation ended that a code stopped for certain.
func stateOf(c protocol.Code) protocol.State {
	switch c {
	case protocol.CodeUnavailable, protocol.CodeRateLimited, protocol.CodeServiceAuthentication,
		protocol.CodePasswordPolicy, // another password may do: the next try makes one
		protocol.CodeInternal:
		return protocol.Unchanged
	}
	return protocol.Failed
}

// replay answers from the journal.
func (s *service) replay(row journal.Row) *protocol.Outcome {
	out := s.answer(row)
	out.Replayed = true
	return out
}

// answer is the signed outcome of a settled row. A sealed result goes out only with
// an operation that was done.
func (s *service) answer(row journal.Row) *protocol.Outcome {
	end := row.Settlement
	out := &protocol.Outcome{Context: row.Execution.Context, State: end.State, Error: end.Error, MustChange: end.MustChange}
	if end.State == protocol.Done {
		out.Sealed = row.Execution.Sealed
		if end.Sealed != nil {
			out.Sealed = end.Sealed
		}
	}
	out.Sign(s.id.keys.sign)
	return out
}
