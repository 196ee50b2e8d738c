package operation

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Account operations: what administrators ask of an account beside recovery. The agent's
// own file says which of them it does. A row goes from cleared to sent by one
// compare-and-set, and from there to done, failed, unknown or evaluated by what the agent
// signed. Nothing is sent twice: who wants it again orders it again.

// actPrefix tells the ids of account operations from those of recoveries where a node is
// told what to execute.
const actPrefix = "act-"

// actsAtOnce is how many lost answers one look asks for.
const actsAtOnce = 50

// An ActOrder is one account operation that somebody asks for.
type ActOrder struct {
	Account store.Account
	Task    protocol.Task
	Values  *protocol.AttributeValues // of set_attribute, whose hash Task bears
	Origin  string                    // the hub's own, for the agent's log
	Actor   audit.Principal           // who asks, with their role
	People  []string                  // staff who stand behind the order: who asks, whose key it is, and who made that
	Trace   string                    // of the request

	agreed *agreement // of another administrator; nil: nobody was asked
}

// An ActResult is what became of an order. State is empty where nothing was asked of the
// agent: of a dry run, and where the agent refused at once.
type ActResult struct {
	ID      string
	State   string // of recovery: Done, Failed, Unknown, Evaluated, or Sent while the answer is missing
	Changes []protocol.Difference
	Refusal *protocol.Error // of the agent's guard and dry run; nil: it would be done
	Code    protocol.Code   // why it failed
	Reason  protocol.Reason // the same for programs, where the agent knows one
	Trial   bool            // the agent only evaluates
	Second  bool            // of a dry run: another administrator has to agree
}

// ForeseeAct asks the agent what an order would change. Nothing is changed. Errors are
// ErrOwner, and *protocol.Error where the agent could not be asked.
func (o *Operations) ForeseeAct(ctx context.Context, q ActOrder) (ActResult, error) {
	act, b, err := o.beginAct(ctx, q)
	if err != nil {
		return ActResult{}, err
	}
	o.dropAct(ctx, act)
	return ActResult{Changes: b.Changes, Refusal: b.Finding, Trial: b.Evaluation, Second: b.Second}, nil
}

// dropAct has the agent forget what it began: what stays open there is counted together
// with recoveries, which must not find the journal full (T31).
func (o *Operations) dropAct(ctx context.Context, act store.Act) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLife)
	defer cancel()
	err := o.Ask(ctx, To{Env: act.Env, Directory: act.Directory, Agent: act.Agent}, protocol.MethodDrop, protocol.RecoveryRef{Recovery: joined(act)}, &protocol.Empty{})
	if err != nil { // it ends there by itself
		o.Log.InfoContext(ctx, "an account operation was not dropped at its agent", "agent", act.Agent, "error", err)
	}
}

// Act carries an order out, once, and says what became of it. Errors are those of
// ForeseeAct and of the store; after an error nothing was sent.
func (o *Operations) Act(ctx context.Context, q ActOrder) (ActResult, error) {
	act, b, err := o.beginAct(ctx, q)
	if err != nil {
		return ActResult{}, err
	}
	if b.Finding != nil {
		o.dropAct(ctx, act)
		return ActResult{Changes: b.Changes, Refusal: b.Finding, Trial: b.Evaluation}, o.refusedAct(ctx, act, b.Finding)
	}
	if b.Second && q.agreed == nil {
		o.dropAct(ctx, act)
		return o.wait(ctx, q, act, b)
	}
	if err := o.clearAct(ctx, q, &act, b); err != nil {
		o.dropAct(ctx, act)
		return ActResult{}, err
	}
	if o.Requested != nil {
		o.Requested()
	}
	act, err = o.sendAct(ctx, act)
	return ActResult{ID: act.ID, State: act.State, Changes: b.Changes, Code: protocol.Code(act.Code), Reason: protocol.Reason(act.Reason), Trial: b.Evaluation}, err
}

// clearAct writes an order down, and in the log that it was asked for. From then on it may
// be sent, once.
func (o *Operations) clearAct(ctx context.Context, q ActOrder, act *store.Act, b protocol.Begun) error {
	m, err := membersOf(*act)
	if err != nil {
		return err
	}
	act.Context, act.Changes, act.State, act.Created = m.Context().String(), store.JSON(b.Changes), recovery.Cleared, o.Now()
	act.Due = act.Created.Add(clearedLife)
	if q.Values != nil {
		act.Body = []byte(store.JSON(*q.Values))
	}
	detail := map[string]any{"operation": act.Operation, "context": act.Context, "agent": act.Agent, "directory": act.Directory, "request": q.Trace}
	if q.agreed != nil {
		detail["second"] = q.agreed.by.ID
	}
	return o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if q.agreed != nil {
			if err := q.agreed.given(ctx, tx); err != nil {
				return err
			}
		}
		if act.Entry, err = audit.AppendRow(ctx, tx, actEvent(*act, audit.OperationRequested, q.Actor, detail)); err != nil {
			return err
		}
		return tx.AddAct(ctx, *act)
	})
}

// sendAct has a cleared order sent to its agent, and returns what the store holds of it
// then: what became of it, or that the answer is missing.
func (o *Operations) sendAct(ctx context.Context, act store.Act) (store.Act, error) {
	// From here on a caller that goes away must not stop what others already count on.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), performLife)
	defer cancel()
	if err := o.Agents.Execute(ctx, To{Env: act.Env, Directory: act.Directory, Agent: act.Agent}, actPrefix+act.ID); err != nil {
		o.Log.WarnContext(ctx, "account operation did not reach the agent", "act", act.ID, "agent", act.Agent, "error", err)
		if err := o.lapse(ctx, act); err != nil && !errors.Is(err, store.ErrConflict) { // somebody did send it
			return store.Act{}, err
		}
	}
	return store.Get(ctx, o.Store, func(tx *store.Tx) (store.Act, error) { return tx.Act(ctx, act.Env, act.ID) })
}

// beginAct has an agent begin an order, and checks its answer.
func (o *Operations) beginAct(ctx context.Context, q ActOrder) (act store.Act, b protocol.Begun, err error) {
	var part [protocol.RandomPart]byte
	_, _ = rand.Read(part[:]) // never fails
	act = store.Act{Env: q.Account.Env, ID: base64.RawURLEncoding.EncodeToString(part[:]), Directory: q.Account.Directory,
		Account: q.Account.ImmutableID, Person: q.Account.ID, Operation: protocol.CanonicalTasks([]protocol.Task{q.Task})}
	if !q.Task.Operation.Act() {
		return act, b, fmt.Errorf("operation: %s is no account operation", q.Task.Operation)
	}
	if err := o.mayOrder(ctx, q); err != nil {
		return act, b, err
	}
	req := protocol.BeginRequest{Recovery: part[:], Account: act.Account, Operation: act.Operation, Origin: q.Origin, Values: q.Values}
	if err := o.Ask(ctx, To{Env: act.Env, Directory: act.Directory}, protocol.MethodBegin, req, &b); err != nil {
		return act, b, err
	}
	if b.Agent == protocol.LegacyAgent(act.Directory) {
		return act, b, protocol.Err(protocol.CodeUnsupported, "account operations need an agent of Postern, and this directory is served by another one")
	}
	c := recovery.Case{Account: q.Account}
	if err := errors.Join(o.checkBegun(ctx, &store.Recovery{Env: act.Env, Directory: act.Directory}, &c, b), checkForeseen(b)); err != nil {
		return act, b, err
	}
	act.Agent, act.AgentPart, act.NotAfter = b.Agent, base64.RawURLEncoding.EncodeToString(b.Recovery), b.NotAfter
	return act, b, nil
}

// joined is the id under which the agent knows an account operation.
func joined(act store.Act) string {
	m, _ := membersOf(act) // its parts were written by beginAct
	return m.Recovery
}

// membersOf are what the context of an account operation is made of: it has no recipient,
// for its result is no secret.
func membersOf(act store.Act) (protocol.Members, error) {
	own, err := base64.RawURLEncoding.DecodeString(act.ID)
	theirs, err2 := base64.RawURLEncoding.DecodeString(act.AgentPart)
	return protocol.Members{Recovery: protocol.RecoveryID(own, theirs), Directory: act.Directory, Account: act.Account,
		Operation: act.Operation, NotAfter: act.NotAfter}, errors.Join(err, err2)
}

func actEvent(act store.Act, kind audit.Kind, who audit.Principal, detail map[string]any) audit.Event {
	return audit.Event{Env: act.Env, Kind: kind, Account: act.Person, Trace: act.ID, Actor: who, Detail: detail}
}

// executeAct is Execute for an account operation: it believes nothing but the row.
func (o *Operations) executeAct(ctx context.Context, to To, id string, send Send) error {
	var act store.Act
	var q protocol.PerformRequest
	err := o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if act, err = tx.Act(ctx, to.Env, id); err != nil {
			return err
		}
		now := o.Now()
		if act.State != recovery.Cleared || act.Agent != to.Agent || act.Directory != to.Directory || !act.Due.After(now) {
			return recovery.ErrStep
		}
		m, err := membersOf(act)
		if err != nil {
			return err
		}
		q = protocol.PerformRequest{ID: act.ID, TTL: int(protocol.MaxOperationLife / time.Second), Sent: now.Unix(), Members: m, Context: m.Context()}
		if q.Context.String() != act.Context {
			return fmt.Errorf("operation: members of account operation %s changed after it was ordered", act.ID)
		}
		if len(act.Body) > 0 {
			q.Values = new(protocol.AttributeValues)
			if err := json.Unmarshal(act.Body, q.Values); err != nil {
				return err
			}
		}
		act.State, act.Due, act.Body = recovery.Sent, now.Add(sentLife), nil
		return tx.MoveAct(ctx, act, recovery.Cleared)
	})
	if err != nil {
		return recovery.Plain(err)
	}
	out, err := send(ctx, act.Entry, q)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLife)
	defer cancel()
	if err = o.settleAct(ctx, act, &out, err); err != nil { // the row says that it was sent, so somebody asks the agent
		o.Log.WarnContext(ctx, "outcome is settled later", "act", act.ID, "agent", act.Agent, "error", err)
	}
	return nil
}

// settleAct commits an outcome that the agent signed, or a refusal on the way to it, which
// it answers only if it did not touch the directory.
func (o *Operations) settleAct(ctx context.Context, act store.Act, out *protocol.Outcome, err error) error {
	if err != nil {
		if protocol.CodeOf(err) == protocol.CodeInternal {
			return err
		}
		return o.endAct(ctx, act, recovery.Failed, &protocol.Outcome{State: protocol.Failed, Error: protocol.Err(protocol.CodeOf(err), "")})
	}
	if err := o.authentic(ctx, &store.Recovery{Env: act.Env, Agent: act.Agent, Directory: act.Directory, Context: act.Context}, out); err != nil {
		o.Log.ErrorContext(ctx, "outcome is not believed", "act", act.ID, "agent", act.Agent, "error", err)
		return err
	}
	state, known := map[protocol.State]string{protocol.Done: recovery.Done, protocol.Failed: recovery.Failed, protocol.Unchanged: recovery.Failed,
		protocol.Unknown: recovery.Unknown, protocol.Evaluated: recovery.Evaluated}[out.State]
	if !known {
		return errUnsigned
	}
	return o.endAct(ctx, act, state, out)
}

// endAct commits how a sent account operation ended, with the audit event.
func (o *Operations) endAct(ctx context.Context, act store.Act, state string, out *protocol.Outcome) error {
	act.State, act.Due, act.Code = state, time.Time{}, ""
	if out.Error != nil {
		act.Code, act.Reason = string(out.Error.Code), reasonOf(out.Error)
	}
	rec := &store.Recovery{Tasks: act.Operation, Context: act.Context, Agent: act.Agent, Directory: act.Directory}
	return o.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.MoveAct(ctx, act, recovery.Sent),
			audit.Append(ctx, tx, actEvent(act, audit.OperationFinished, audit.Principal{Agent: act.Agent}, finished(rec, out))))
	})
}

// reasonOf is the reason of a refusal, if it can be one: agents send words of a closed list.
func reasonOf(e *protocol.Error) string {
	const longest = 40
	if strings.Trim(string(e.Reason), "abcdefghijklmnopqrstuvwxyz_") != "" || len(e.Reason) > longest {
		return ""
	}
	return string(e.Reason)
}

// lapse ends an account operation that nobody sent; whoever would send it now finds
// another state.
func (o *Operations) lapse(ctx context.Context, act store.Act) error {
	act.State, act.Due, act.Code = recovery.Failed, time.Time{}, string(protocol.CodeUnavailable)
	rec := &store.Recovery{Tasks: act.Operation, Context: act.Context, Agent: act.Agent, Directory: act.Directory}
	out := &protocol.Outcome{State: protocol.Failed, Error: protocol.Err(protocol.CodeUnavailable, "")}
	return o.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.MoveAct(ctx, act, recovery.Cleared),
			audit.Append(ctx, tx, actEvent(act, audit.OperationFinished, audit.Principal{System: "resolver"}, finished(rec, out))))
	})
}

// ResolveActs ends account operations that were left: nobody sent them or agreed to them,
// or the answer was lost, and the agent's journal says what became of them.
func (o *Operations) ResolveActs(ctx context.Context) {
	o.lapseOrders(ctx)
	due, err := store.Get(ctx, o.Store, func(tx *store.Tx) ([]store.Act, error) { return tx.DueActs(ctx, actsAtOnce) })
	if err != nil { // the store is away
		return
	}
	for _, act := range due {
		if ctx.Err() != nil {
			return
		}
		if err := o.resolveAct(ctx, act); err != nil && !errors.Is(err, store.ErrConflict) && ctx.Err() == nil {
			o.Log.InfoContext(ctx, "an account operation is not settled yet", "act", act.ID, "agent", act.Agent, "error", err)
		}
	}
}

func (o *Operations) resolveAct(ctx context.Context, act store.Act) error {
	if act.State == recovery.Cleared {
		return o.lapse(ctx, act)
	}
	var c protocol.Context
	if err := c.UnmarshalText([]byte(act.Context)); err != nil {
		return err
	}
	var out protocol.Outcome
	age := o.Now().Sub(act.Created)
	q := protocol.OutcomeRequest{Context: c, Request: act.ID} // the one frame of it, sent long ago
	err := o.Ask(ctx, To{Env: act.Env, Directory: act.Directory, Agent: act.Agent}, protocol.MethodOutcome, q, &out)
	switch code := protocol.CodeOf(err); {
	case err == nil:
		if err = o.settleAct(ctx, act, &out, nil); !errors.Is(err, errUnsigned) {
			return err
		}
		if age > resolveUntil {
			return o.endAct(ctx, act, recovery.Unknown, &protocol.Outcome{State: protocol.Unknown, Error: protocol.Err(protocol.CodeInternal, "")})
		}
	case code == protocol.CodeGivenUp, code == protocol.CodeNotBegun && age > frameGone:
		return o.endAct(ctx, act, recovery.Failed, &protocol.Outcome{State: protocol.Unchanged, Error: protocol.Err(protocol.CodeUnavailable, "")})
	case age > resolveUntil:
		return o.endAct(ctx, act, recovery.Unknown, &protocol.Outcome{State: protocol.Unknown, Error: protocol.Err(protocol.CodeInternal, "")})
	}
	act.Due = o.Now().Add(min(max(age/4, resolveFirst), resolveMax))
	return o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.MoveAct(ctx, act, recovery.Sent) })
}

// actOf is the id of an account operation that a node is told to execute.
func actOf(id string) (string, bool) { return strings.CutPrefix(id, actPrefix) }
