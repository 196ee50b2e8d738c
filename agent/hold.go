package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// held says whether an operation whose evidence was checked must wait still, as the
// file says (T23). The first time it is written down, and people are told: from then on
// the evidence is not needed any more, and a cancel ends the recovery for good.
func (s *service) held(ctx context.Context, j job, k claimant, v proof.Verdict) (*protocol.Outcome, error) {
	a := s.journal.Accepted(j.recovery.ID)
	if a == nil {
		if k.terms.Delay == 0 {
			return nil, nil
		}
		return s.accept(ctx, j, k, v)
	}
	if until := time.Unix(a.Until, 0); s.now().Before(until) {
		return s.waiting(*a), nil
	}
	return nil, nil
}

// accept begins the delay.
func (s *service) accept(ctx context.Context, j job, k claimant, v proof.Verdict) (*protocol.Outcome, error) {
	until := s.now().Add(k.terms.Delay)
	if until.After(time.Unix(j.recovery.NotAfter, 0)) {
		return s.refusal(j, protocol.Err(protocol.CodeExpired, fmt.Sprintf("the agent holds the operation for %v, and the recovery ends before; begin a new one", k.terms.Delay))), nil
	}
	a := journal.Acceptance{Recovery: j.recovery.ID, Context: j.context, Evidence: proofsOf(v), Proven: v.Proven, Strength: v.Strength.Methods, Approvals: v.Strength.Approvals, Documents: s.newDocuments(v), Until: until.Unix()}
	if err := s.journal.Accept(a); err != nil {
		return nil, journalError(err)
	}
	s.log.Info("operation accepted and held", "account", withoutAddresses(j.recovery.Account), "operation", j.recovery.Operation, "context", j.context.String(), "until", until.UTC().Format(time.RFC3339))
	s.announce(ctx, noteHeld, j.recovery, k, until)
	return s.waiting(a), nil
}

// waiting is the signed answer while an operation is held.
func (s *service) waiting(a journal.Acceptance) *protocol.Outcome {
	out := &protocol.Outcome{Context: a.Context, State: protocol.Accepted, Until: a.Until}
	out.Sign(s.id.keys.sign)
	return out
}
