package agent

import (
	"context"

	"github.com/postern-id/postern/protocol"
)

// tries reports whether an operation is a trial: the agent's file says so now, or said so
// when the recovery began. Somebody who was told that nothing is changed must not find
// their password gone because the file was edited meanwhile, nor the other way around.
func (s *service) tries(j job) bool { return s.trial || j.recovery.Trial }

// evaluated makes every check that comes before a change, and changes nothing: not in the
// directory, not in the journal, and no secret is made. It counts towards the limits as
// the change would.
func (s *service) evaluated(ctx context.Context, j job, k claimant) (*protocol.Outcome, error) {
	why, err := s.wouldFail(ctx, j, k)
	if err != nil {
		return s.refusal(j, asError(err)), nil
	}
	out := &protocol.Outcome{Context: j.context, State: protocol.Evaluated, Error: why}
	out.Sign(s.id.keys.sign)
	s.log.Info("operation evaluated, nothing was changed", "account", withoutAddresses(j.recovery.Account), "operation", j.recovery.Operation,
		"context", j.context.String(), "would_be_done", why == nil)
	if why == nil {
		s.announce(ctx, noteDone, j.recovery, k, s.now())
	}
	return out, nil
}

// wouldFail returns what would have stood in the way; an error when the directory cannot
// be asked.
func (s *service) wouldFail(ctx context.Context, j job, k claimant) (*protocol.Error, error) {
	slot, why := s.guard.Reserve(j.recovery.Account)
	if why != nil {
		return why, nil
	}
	var err error
	if enrols(j.tasks) {
		why = asError(s.checkKey(j))
	} else {
		why, err = s.dryRun(ctx, k.facts, j.tasks)
	}
	if why != nil || err != nil {
		slot.Release()
	}
	return why, err
}
