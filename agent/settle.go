package agent

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// Times of settling.
const (
	settleAgain = time.Second      // between two tries while somebody waits
	settleUntil = 15 * time.Minute // after that the sealed result is gone and a person must look anyway
	settleEvery = 10 * time.Second // rows that nobody waits for
	settleLife  = 20 * time.Second // one such try
)

// conclude says how a change ended, from the directory's answer or, where that is
// lost, from the change stamp.
func (s *service) conclude(ctx context.Context, j job, c directory.Change, x journal.Execution, res directory.Result, err error) (journal.Settlement, error) {
	end := journal.Settlement{Context: j.context}
	var refused *protocol.Error
	switch {
	case err == nil:
		return s.done(j, end, x, res), nil
	case errors.As(err, &refused) && !errors.Is(err, directory.ErrUnsure) && refused.Code != protocol.CodeInternal:
		end.State, end.Error = stateOf(refused.Code), refused
		return end, nil
	}
	s.log.Warn("the directory's answer was lost", "context", j.context.String(), "error", withoutAddresses(err.Error()))
	row := journal.Row{Recovery: j.recovery, Execution: x}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
	defer cancel()
	for {
		end, err := s.byStamp(ctx, row, c)
		if err == nil {
			return end, nil
		}
		select {
		case <-time.After(settleAgain):
		case <-ctx.Done():
			return end, protocol.Err(protocol.CodeInternal, "the directory's answer was lost, and it cannot be asked now; the agent keeps asking")
		}
	}
}

// done seals a secret that the directory made.
func (s *service) done(j job, end journal.Settlement, x journal.Execution, res directory.Result) journal.Settlement {
	end.State, end.MustChange = protocol.Done, res.MustChange
	if !givesSecret(j.tasks) || x.Sealed != nil {
		return end
	}
	sealed, err := seal.Seal(j.request.Members.Recipient, j.context, res.Secret)
	if err != nil {
		end.State = protocol.Unknown
		end.Error = protocol.Err(protocol.CodeInternal, "the operation was carried out, and the directory gave no secret that can be shown")
		return end
	}
	end.Sealed = sealed
	return end
}

// byStamp settles by the account's change stamp. An error means: ask again later.
func (s *service) byStamp(ctx context.Context, row journal.Row, c directory.Change) (journal.Settlement, error) {
	end := journal.Settlement{Context: row.Execution.Context}
	state, err := s.became(ctx, row.Recovery, c)
	if err != nil {
		return end, err
	}
	end.State = state
	switch state {
	case protocol.Done:
		if givesSecret(c.Tasks) && row.Execution.Sealed == nil {
			end.State = protocol.Unknown
			end.Error = protocol.Err(protocol.CodeInternal, "the operation was carried out, and its secret is lost")
		}
	case protocol.Unchanged:
		end.Error = protocol.Err(protocol.CodeUnavailable, "the directory did not carry out the operation")
	default:
		end.State = protocol.Unknown
		end.Error = protocol.Err(protocol.CodeInternal, "the directory's answer was lost, and somebody else may have changed the account since")
	}
	return end, nil
}

// became says what became of a change.
func (s *service) became(ctx context.Context, r journal.Recovery, c directory.Change) (protocol.State, error) {
	if task := c.Tasks[0]; task.Operation.Act() {
		return s.actBecame(ctx, r, task)
	}
	if !enrols(c.Tasks) {
		return s.dir.Settle(ctx, c)
	}
	if hash, err := hashOf(c.Tasks); err == nil && s.known.HasKey(c.ID, hash) {
		return protocol.Done, nil
	}
	return protocol.Unchanged, nil
}

// settled returns the row with its settlement, which it finds out if need be. The
// caller holds the account.
func (s *service) settled(ctx context.Context, row journal.Row) (journal.Row, error) {
	if row.Settlement != nil {
		return row, nil
	}
	tasks, err := parseTasks(row.Recovery.Operation)
	if err != nil {
		return row, err
	}
	c := directory.Change{ID: row.Recovery.Account, Tasks: tasks, Stamp: row.Execution.Stamp}
	end, err := s.byStamp(ctx, row, c)
	if err != nil {
		if s.now().Sub(time.Unix(row.Execution.At, 0)) < settleUntil {
			return row, protocol.Err(protocol.CodeInternal, "the agent was interrupted, and the directory cannot be asked now what became of the operation")
		}
		end.State = protocol.Unknown
		end.Error = protocol.Err(protocol.CodeInternal, "the agent was interrupted, and the directory could not be asked in time what became of the operation")
	}
	if err := s.journal.Settle(end); err != nil { // not journalError: that would say that nothing has happened
		return row, protocol.Err(protocol.CodeInternal, "the agent cannot write down what became of the operation: "+journalError(err).Message)
	}
	s.log.Warn("operation settled", "account", withoutAddresses(c.ID), "context", end.Context.String(), "state", end.State)
	row.Settlement = &end
	return row, nil
}

// settleAll finds out what became of operations that a crash or a lost answer left open.
func (s *service) settleAll(ctx context.Context) {
	for _, row := range s.journal.Unsettled() {
		if ctx.Err() != nil {
			return
		}
		s.sign() // a directory that is away costs each row its time
		if err := s.settleOne(ctx, row.Execution.Context, row.Recovery.Account); err != nil {
			s.log.Warn("operation cannot be settled yet", "context", row.Execution.Context.String(), "error", withoutAddresses(err.Error()))
		}
	}
}

func (s *service) settleOne(ctx context.Context, c protocol.Context, account string) error {
	ctx, cancel := context.WithTimeout(ctx, settleLife)
	defer cancel()
	release, err := s.locks.take(ctx, account)
	if err != nil {
		return nil // it is being worked on
	}
	defer release()
	if row, found := s.journal.Row(c); found {
		_, err = s.settled(ctx, row)
	}
	return err
}

// outcome says what became of a context. CodeNotBegun means that nothing was done so
// far; a frame that is still on its way can change that until it expires, unless the
// question names it.
func (s *service) outcome(ctx context.Context, q protocol.OutcomeRequest, e *event) (any, error) {
	e.Context = q.Context.String()
	nothing := s.giveUp(q)
	flying := s.flights.has(q.Context) // asked first: what takes off later is a row when it lands
	row, found := s.journal.Row(q.Context)
	switch {
	case !found && flying:
		return nil, protocol.Err(protocol.CodeInternal, "the operation is under way; ask again")
	case !found && s.journal.AcceptedContext(q.Context) != nil:
		out := s.waiting(*s.journal.AcceptedContext(q.Context))
		e.State = out.State
		return out, nil
	case !found:
		return nil, nothing
	}
	e.Account, e.Recovery, e.Operation = row.Recovery.Account, row.Recovery.ID, row.Recovery.Operation
	release, err := s.locks.take(ctx, row.Recovery.Account)
	if err != nil {
		return nil, err
	}
	defer release()
	if row, found = s.journal.Row(q.Context); !found { // swept while we waited
		return nil, protocol.Err(protocol.CodeNotBegun, "this agent's journal no longer has the operation of that context")
	}
	if row, err = s.settled(ctx, row); err != nil {
		return nil, err
	}
	if earlier := q.Request != "" && row.Execution.Request != q.Request; earlier && row.Settlement.State == protocol.Unchanged {
		if flying { // it may be that press, waiting for the account behind this question
			return nil, protocol.Err(protocol.CodeInternal, "the operation is under way; ask again")
		}
		return nil, nothing // an earlier press of the same context says nothing of this one
	}
	out := s.replay(row)
	e.State, e.Replayed = out.State, true
	return out, nil
}

// giveUp refuses the request of a question from now on, and returns what to say where
// nothing was begun.
func (s *service) giveUp(q protocol.OutcomeRequest) error {
	if wellFormed("request", q.Request, maxRequestID) != nil || !s.givenUp.add(q.Request, time.Now()) {
		return protocol.Err(protocol.CodeNotBegun, "this agent's journal has no operation of that context")
	}
	return protocol.Err(protocol.CodeGivenUp, "the request did not come to this agent, and is not carried out any more")
}
