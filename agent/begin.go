package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// How long a recovery may take, by this agent's clock.
const (
	shortRecovery = 15 * time.Minute
	longRecovery  = 24 * time.Hour // approval, review or delay is asked
)

// begin opens a recovery: it says whether guard and dry run would refuse now, and
// gives this agent's part of the evidence context. Only what stands in the journal
// afterwards can ever be performed (T6, T14).
func (s *service) begin(ctx context.Context, q protocol.BeginRequest, e *event) (any, error) {
	e.Account, e.Operation, e.Origin = q.Account, q.Operation, q.Origin
	if err := s.obey(ctx); err != nil {
		return nil, err
	}
	tasks, err := checkBegin(q)
	if err != nil {
		return nil, err
	}
	facts, err := s.dir.Facts(ctx, q.Account)
	if err != nil {
		return nil, asError(err)
	}
	if tasks[0].Operation.Act() {
		return s.beginAct(ctx, q, facts, tasks[0], e)
	}
	if err := wellFormed("the directory's immutable id", facts.ID, maxID); err != nil {
		return nil, err
	}
	return s.beginRecovery(ctx, q, facts, tasks, e)
}

// beginRecovery looks at the account of a recovery, and journals what it may become.
func (s *service) beginRecovery(ctx context.Context, q protocol.BeginRequest, facts directory.Facts, tasks []protocol.Task, e *event) (any, error) {
	k, err := s.claimant(ctx, facts, tasks)
	if err != nil {
		return nil, err
	}
	notice, err := s.canBeTold(ctx, k)
	if err != nil {
		return nil, err
	}
	terms := s.possible(k)
	finding, err := s.firstFinding(ctx, k, terms, tasks, notice)
	if err != nil {
		return nil, err
	}
	own := make([]byte, protocol.RandomPart)
	_, _ = rand.Read(own) // never fails
	r := journal.Recovery{
		ID: protocol.RecoveryID(q.Recovery, own), Account: facts.ID, Operation: q.Operation, Origin: q.Origin,
		NotAfter: s.now().Add(lifeOf(q, terms)).Unix(), Notice: notice, Begun: s.now().Unix(), Trial: s.trial,
	}
	e.Account, e.Recovery, e.Trial = r.Account, r.ID, r.Trial
	if finding != nil {
		e.refuse(finding)
	}
	if err := s.journal.Begin(r); err != nil {
		return nil, journalError(err)
	}
	return protocol.Begun{Agent: s.id.Agent, Recovery: own, Account: r.Account, NotAfter: r.NotAfter, Finding: finding, Terms: terms.For(), Groups: groupsOf(facts), Evaluation: r.Trial}, nil
}

// maxGroupWords bounds the names and ids of groups of one answer, in bytes together: a
// token of Active Directory holds at most 1,015 groups.
const maxGroupWords = 256 << 10

// groupsOf are names and ids of an account's groups, for the hub's policy.
func groupsOf(f directory.Facts) []string {
	size := 0
	for i, word := range f.Groups {
		if size += len(word); size > maxGroupWords {
			return f.Groups[:i]
		}
	}
	return f.Groups
}

// lifeOf is longer where people are asked, or where the agent holds the operation.
func lifeOf(q protocol.BeginRequest, t proof.Terms) time.Duration {
	if q.Long || t.Delay > 0 || t.Asks(proof.MethodApproval) {
		return longRecovery
	}
	return shortRecovery
}

// checkBegin parses before anything is asked of the directory.
func checkBegin(q protocol.BeginRequest) ([]protocol.Task, error) {
	if len(q.Recovery) != protocol.RandomPart {
		return nil, protocol.Err(protocol.CodeBadRequest, fmt.Sprintf("recovery: want %d random bytes", protocol.RandomPart))
	}
	if err := wellFormed("account", q.Account, maxID); err != nil {
		return nil, err
	}
	if err := wellFormed("origin", q.Origin, maxOrigin); err != nil {
		return nil, err
	}
	return parseTasks(q.Operation)
}

// parseTasks reads the canonical operation. One frame carries one secret at most.
func parseTasks(text string) ([]protocol.Task, error) {
	tasks, err := protocol.ParseTasks(text)
	if err != nil {
		return nil, protocol.Err(protocol.CodeBadRequest, err.Error())
	}
	secrets := 0
	for _, t := range tasks {
		if (t.Operation.Own() || t.Operation.Act()) && len(tasks) > 1 {
			return nil, protocol.Err(protocol.CodeUnsupported, string(t.Operation)+" stands alone")
		}
		if t.Operation.Secret() {
			secrets++
		}
	}
	if secrets > 1 {
		return nil, protocol.Err(protocol.CodeUnsupported, "one operation that gives a secret at a time")
	}
	return tasks, nil
}

// canBeTold reports whether the account has an address, other than those that are
// being recovered, to which a notice can go (T34). It reads it only where the file asks.
// Of a strict account an address counts that has been there for 72 hours, or was until
// lately: whoever may edit the directory must not be the only one who is told (T16).
func (s *service) canBeTold(ctx context.Context, k claimant) (bool, error) {
	switch {
	case !s.guard.NeedsNotice(k.terms.NoNotice):
		return false, nil
	case k.terms.Strict:
		return len(k.mailboxes)+len(plainMail(s.known.FormerCounting(k.facts.ID))) > 0 || k.terms.NoNotice == proof.NoticeManager && k.manager, nil
	}
	contacts, err := s.dir.Contacts(ctx, k.facts.ID)
	if err != nil {
		return false, asError(err)
	}
	manager := k.terms.NoNotice == proof.NoticeManager && len(plainMail([]string{contacts.Manager})) > 0
	return len(contacts.Mail) > 0 || manager, nil
}

// firstFinding is what guard and dry run would refuse; an error when the directory
// cannot be asked.
func (s *service) firstFinding(ctx context.Context, k claimant, t proof.Terms, tasks []protocol.Task, notice bool) (*protocol.Error, error) {
	f := k.facts
	if why := s.stopped(); why != nil {
		return why, nil
	}
	c := guard.Case{Account: f.ID, Facts: f, Tasks: tasks, Notice: notice, NoNotice: t.NoNotice, Strict: true} // evidence can still come
	if why := s.guard.Judge(c); why != nil {
		return why, nil
	}
	if t.Strict && len(t.Methods) == 0 {
		return protocol.Err(protocol.CodePermissionDenied, "the account needs evidence that the agent checks itself, and has nothing now with which it could be proven: "+
			"addresses, names and passkeys count 72 hours after they were set; see the tables [evidence] and [smtp] of the agent's file").For(protocol.ReasonNoEvidence), nil
	}
	if own(tasks) {
		return nil, nil
	}
	return s.dryRun(ctx, f, tasks)
}

// dryRun is what the directory would refuse; an error when it cannot be asked.
func (s *service) dryRun(ctx context.Context, f directory.Facts, tasks []protocol.Task) (*protocol.Error, error) {
	if askedForPassword(tasks) && !f.MakesPassword {
		if _, err := newPassword(f); err != nil {
			return asError(err), nil
		}
	}
	if onlyOwn(tasks) { // the directory is not touched
		return nil, nil
	}
	err := asError(s.dir.DryRun(ctx, f.ID, tasks))
	switch protocol.CodeOf(errorOrNil(err)) {
	case "":
		return nil, nil
	case protocol.CodeUnavailable, protocol.CodeServiceAuthentication, protocol.CodeInternal:
		return nil, err
	}
	return err, nil
}

// errorOrNil keeps a nil pointer from becoming an error that is not nil.
func errorOrNil(e *protocol.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func askedForPassword(tasks []protocol.Task) bool {
	for _, t := range tasks {
		if t.Operation == protocol.GetTemporaryPassword {
			return true
		}
	}
	return false
}

// onlyOwn reports whether the tasks change nothing in the directory.
func onlyOwn(tasks []protocol.Task) bool {
	for _, t := range tasks {
		if !t.Operation.Own() {
			return false
		}
	}
	return true
}

// drop ends a recovery that was cancelled.
func (s *service) drop(_ context.Context, q protocol.RecoveryRef, e *event) (any, error) {
	e.Recovery = q.Recovery
	if err := s.journal.Drop(q.Recovery); err != nil {
		return nil, journalError(err)
	}
	return protocol.Empty{}, nil
}

// journalError makes a refusal of the journal one that may cross the tunnel. All of
// them mean that nothing has happened.
func journalError(err error) *protocol.Error {
	switch {
	case errors.Is(err, journal.ErrNotBegun):
		return protocol.Err(protocol.CodeNotBegun, "this agent did not begin the recovery, or it ended")
	case errors.Is(err, journal.ErrExecuted):
		return protocol.Err(protocol.CodeNotBegun, "the recovery has had its operation; begin a new one")
	case errors.Is(err, journal.ErrFull):
		return protocol.Err(protocol.CodeRateLimited, "too many recoveries are open at this agent")
	}
	return protocol.Err(protocol.CodeUnavailable, "the agent cannot write its journal; look at its log and its disk")
}
