package agent

import (
	"context"
	"crypto/rand"
	"slices"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// Account operations: what administrators ask for beside recovery. They are begun and
// performed like every other operation, so the same journal does them once and the same
// proof of the audit log comes first. What differs is that no person proves anything:
// the guard's own switches decide, and an account for which the file does not take the
// hub's word is refused.

// acts reports whether the directory can do an account operation and the file allows it.
func (s *service) acts(o protocol.Operation) bool {
	d, can := s.dir.(directory.Actor)
	return can && s.guard.Allows(o) && slices.Contains(d.Acts(), o)
}

// beginAct says what an account operation would change, and whether it would be refused.
func (s *service) beginAct(ctx context.Context, q protocol.BeginRequest, f directory.Facts, task protocol.Task, e *event) (any, error) {
	if err := wellFormed("the directory's immutable id", f.ID, maxID); err != nil {
		return nil, err
	}
	seen, finding, err := s.foresee(ctx, f, task, q.Values)
	if err != nil {
		return nil, err
	}
	own := make([]byte, protocol.RandomPart)
	_, _ = rand.Read(own) // never fails
	r := journal.Recovery{
		ID: protocol.RecoveryID(q.Recovery, own), Account: f.ID, Operation: q.Operation, Origin: q.Origin,
		NotAfter: s.now().Add(shortRecovery).Unix(), Begun: s.now().Unix(), Trial: s.trial,
	}
	if q.Values != nil && len(q.Values.Salt) <= maxID {
		r.Salt = q.Values.Salt
	}
	e.Account, e.Recovery, e.Trial = r.Account, r.ID, r.Trial
	if finding != nil {
		e.refuse(finding)
	}
	if err := s.journal.Begin(r); err != nil {
		return nil, journalError(err)
	}
	return protocol.Begun{
		Agent: s.id.Agent, Recovery: own, Account: r.Account, NotAfter: r.NotAfter, Finding: finding, Changes: seen.Changes, Evaluation: r.Trial, Second: s.guard.NeedsSecond(task.Operation, seen),
	}, nil
}

// foresee is what an account operation would change, and what would refuse it; an error
// when the directory cannot be asked. Who may not be changed is not looked at any further.
func (s *service) foresee(ctx context.Context, f directory.Facts, task protocol.Task, values *protocol.AttributeValues) (directory.Foreseen, *protocol.Error, error) {
	var none directory.Foreseen
	if why := s.stopped(); why != nil {
		return none, why, nil
	}
	a := guard.Act{Account: f.ID, Facts: f, Task: task}
	k, err := s.claimant(ctx, f, []protocol.Task{task})
	if err != nil {
		return none, nil, err
	}
	a.Strict = k.terms.Strict || k.terms.Delay > 0
	if why := s.guard.JudgeAct(a); why != nil {
		return none, why, nil
	}
	if !s.acts(task.Operation) {
		return none, protocol.Err(protocol.CodeUnsupported, "this directory cannot do "+string(task.Operation)), nil
	}
	if why := complete(task, values); why != nil {
		return none, why, nil
	}
	seen, err := s.wouldDo(ctx, f.ID, task, values)
	if why := asError(err); why != nil {
		if passing(why.Code) {
			return none, nil, why
		}
		return none, why, nil
	}
	if seen.Evidence {
		return none, protocol.Err(protocol.CodePermissionDenied, directory.WhyEvidence).For(protocol.ReasonAttributeOff), nil
	}
	if a.Group = seen.Group; a.Group != nil {
		if why := s.guard.JudgeAct(a); why != nil {
			return none, why, nil
		}
	}
	if len(seen.Changes) == 0 {
		return none, protocol.Err(protocol.CodeUnsupportedAccountState, "the account is so already"), nil
	}
	return seen, nil, nil
}

// wouldDo asks the directory what would change.
func (s *service) wouldDo(ctx context.Context, id string, task protocol.Task, values *protocol.AttributeValues) (directory.Foreseen, error) {
	if set, is := setOf(task, values); is {
		if d, can := s.dir.(directory.Setter); can {
			return d.ForeseeSet(ctx, id, set)
		}
	} else if d, can := s.dir.(directory.Actor); can {
		return d.Foresee(ctx, id, task)
	}
	return directory.Foreseen{}, protocol.Err(protocol.CodeUnsupported, "this directory cannot do "+string(task.Operation))
}

// setOf is what a complete task with values sets.
func setOf(task protocol.Task, values *protocol.AttributeValues) (directory.Set, bool) {
	if task.Operation != protocol.SetAttribute || values == nil {
		return directory.Set{}, false
	}
	return directory.Set{Attribute: task.Params[protocol.ParamAttribute], Values: values.Values}, true
}

// complete refuses a task that lacks its parameter, or has a strange one, and values that
// are not those whose hash it bears.
func complete(task protocol.Task, values *protocol.AttributeValues) *protocol.Error {
	row, _ := protocol.ActByName(task.Operation)
	switch {
	case row.Valued != (values != nil):
		return protocol.Err(protocol.CodeBadRequest, "values come with set_attribute, and with nothing else")
	case row.Param == "":
		return nil
	case row.Valued:
		return completeValues(task, *values)
	}
	return asError(wellFormed(row.Param, task.Params[row.Param], maxID))
}

func completeValues(task protocol.Task, v protocol.AttributeValues) *protocol.Error {
	name := task.Params[protocol.ParamAttribute]
	if !protocol.AttributeName(name) {
		return protocol.Err(protocol.CodeBadRequest, "attribute: no name of one")
	}
	if err := v.Check(); err != nil {
		return protocol.Err(protocol.CodeBadRequest, err.Error()).For(protocol.ReasonValue)
	}
	if !v.Are(name, task.Params[protocol.ParamValues]) {
		return protocol.Err(protocol.CodeBadRequest, "the values are not those whose hash the operation bears")
	}
	return nil
}

// passing reports whether a code says that the directory could not be asked now.
func passing(c protocol.Code) bool {
	return c == protocol.CodeUnavailable || c == protocol.CodeServiceAuthentication || c == protocol.CodeInternal
}

// carryOutAct looks at the account as it is now and does what the file lets it do. The
// caller holds the account, and has the proof that the audit log has the request.
func (s *service) carryOutAct(ctx context.Context, j job) (*protocol.Outcome, error) {
	facts, err := s.dir.Facts(ctx, j.recovery.Account)
	if err != nil {
		return s.refusal(j, asError(err)), nil
	}
	_, why, err := s.foresee(ctx, facts, j.tasks[0], j.request.Values)
	if err != nil {
		why = asError(err)
	}
	if why != nil {
		return s.refusal(j, why), nil
	}
	slot, why := s.guard.ReserveAct(j.recovery.Account)
	if why != nil {
		return s.refusal(j, why), nil
	}
	if s.tries(j) {
		return s.actEvaluated(j), nil
	}
	out, err := s.change(ctx, j, claimant{facts: facts}, proof.Verdict{})
	if out != nil && (out.State == protocol.Unchanged || out.State == protocol.Failed) || protocol.CodeOf(err) == protocol.CodeNotBegun {
		slot.Release()
	}
	return out, err
}

// actEvaluated is the answer while the file lets nothing be changed: it would be done.
func (s *service) actEvaluated(j job) *protocol.Outcome {
	out := &protocol.Outcome{Context: j.context, State: protocol.Evaluated}
	out.Sign(s.id.keys.sign)
	s.log.Info("account operation evaluated, nothing was changed", "account", withoutAddresses(j.recovery.Account), "operation", j.tasks[0].Operation, "context", j.context.String())
	return out
}

// act asks the directory for the one change.
func (s *service) act(ctx context.Context, id string, task protocol.Task, values *protocol.AttributeValues) error {
	if set, is := setOf(task, values); is {
		if d, can := s.dir.(directory.Setter); can {
			return d.Set(ctx, id, set)
		}
	} else if d, can := s.dir.(directory.Actor); can {
		return d.Act(ctx, id, task)
	}
	return protocol.Err(protocol.CodeUnsupported, "this directory cannot do "+string(task.Operation))
}

// actBecame says what became of a change whose answer was lost: an account that is as it
// was to be is so by this operation, which began because it was not. One that is not so
// may still become it, so that only a person can say.
func (s *service) actBecame(ctx context.Context, r journal.Recovery, task protocol.Task) (protocol.State, error) {
	is, err := s.isSo(ctx, r, task)
	switch code := protocol.CodeOf(err); {
	case code == protocol.CodeAccountNotFound && task.Operation == protocol.DeleteAccount:
		return protocol.Done, nil
	case err == nil && is:
		return protocol.Done, nil
	case err != nil && passing(code):
		return "", err
	}
	return protocol.Unknown, nil
}

// isSo reports whether an account is as an operation was to make it. Values that were set
// are known by their hash alone, whose salt the journal has.
func (s *service) isSo(ctx context.Context, r journal.Recovery, task protocol.Task) (bool, error) {
	if task.Operation != protocol.SetAttribute {
		seen, err := s.wouldDo(ctx, r.Account, task, nil)
		return len(seen.Changes) == 0, err
	}
	d, can := s.dir.(directory.Setter)
	if !can {
		return false, nil
	}
	name := task.Params[protocol.ParamAttribute]
	now, err := d.Values(ctx, r.Account, name)
	return protocol.AttributeValues{Salt: r.Salt, Values: now}.Are(name, task.Params[protocol.ParamValues]), err
}
