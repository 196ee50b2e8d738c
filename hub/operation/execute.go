package operation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Send gives one request to the agent of a tunnel and reads its answer. entry is the id
// of the row of the audit log that says what is asked: the agent wants to see it proven.
type Send func(ctx context.Context, entry string, q protocol.PerformRequest) (protocol.Outcome, error)

// commitLife bounds the commit of an outcome: it must not be lost with its caller.
const commitLife = 10 * time.Second

// Execute is called on the node that holds the agent's tunnel. It believes nothing but
// the row: only a cleared recovery of that agent is sent, and claiming it is one
// compare-and-set, so of many calls, forged ones among them, one sends (T10, T14). An
// error says that nothing was sent.
func (o *Operations) Execute(ctx context.Context, to To, id string, send Send) error {
	if act, is := actOf(id); is {
		return o.executeAct(ctx, to, act, send)
	}
	rec, q, err := o.dispatch(ctx, to, id)
	if err != nil {
		return err
	}
	out, err := send(ctx, rec.Entry, q)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLife)
	defer cancel()
	if err == nil {
		err = o.settle(ctx, &rec, &out)
	} else {
		err = o.settleError(ctx, &rec, err)
	}
	if err != nil { // the row says that it was sent, so somebody asks the agent
		o.Log.WarnContext(ctx, "outcome is settled later", "recovery", id, "agent", to.Agent, "error", err)
	}
	return nil
}

// dispatch claims cleared→sent and makes the frame.
func (o *Operations) dispatch(ctx context.Context, to To, id string) (rec store.Recovery, q protocol.PerformRequest, err error) {
	err = o.Store.Tx(ctx, func(tx *store.Tx) error {
		if rec, err = tx.Recovery(ctx, to.Env, id); err != nil {
			return err
		}
		now := o.Now()
		fresh := now.Sub(rec.PressedAt) < pressLife && rec.ExpiresAt.After(now) && time.Unix(rec.NotAfter, 0).After(now)
		if rec.State != recovery.Cleared || rec.Agent != to.Agent || rec.Directory != to.Directory || !fresh {
			return recovery.ErrStep
		}
		v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
		if err != nil {
			return err
		}
		rec.Operation, rec.DueAt = store.NewID(), now.Add(answerLife(&rec))
		proofs, err := tx.Evidence(ctx, rec.Env, v.ID)
		if err != nil {
			return err
		}
		if q, err = o.request(&rec, proofs); err != nil {
			return err
		}
		return errors.Join(recovery.Move(&rec, recovery.Sent), tx.SaveRecovery(ctx, &rec))
	})
	return rec, q, recovery.Plain(err)
}

// answerLife is how long an answer is waited for before others ask for it. An agent that
// is still at work lets them wait, and gives both the same outcome; an agent of the public
// protocol would have to say that it does not know.
func answerLife(rec *store.Recovery) time.Duration {
	if recovery.Unsealed(rec) {
		return sentBlind
	}
	return sentLife
}

// request is the frame. Its life is that of the frame alone; the evidence ends with the
// agent's not_after.
func (o *Operations) request(rec *store.Recovery, proofs []store.Evidence) (protocol.PerformRequest, error) {
	m, err := recovery.Members(rec)
	if err != nil {
		return protocol.PerformRequest{}, err
	}
	q := protocol.PerformRequest{ID: rec.Operation, TTL: int(protocol.MaxOperationLife / time.Second), Sent: o.Now().Unix(), Members: m, Context: m.Context()}
	if q.Context.String() != rec.Context {
		return q, fmt.Errorf("operation: members of recovery %s changed after it was pressed", rec.ID)
	}
	for _, e := range proofs {
		q.Evidence = append(q.Evidence, protocol.Evidence{Type: e.Type, Raw: e.Raw})
	}
	q.Credential, err = credential(rec)
	return q, err
}

// errUnsigned says that an answer cannot be the agent's.
var errUnsigned = errors.New("operation: the outcome is not signed by the agent, or is of another operation")

// settle commits an outcome that the agent signed. Another one is not believed.
func (o *Operations) settle(ctx context.Context, rec *store.Recovery, out *protocol.Outcome) error {
	if err := o.authentic(ctx, rec, out); err != nil {
		o.Log.ErrorContext(ctx, "outcome is not believed", "recovery", rec.ID, "agent", rec.Agent, "error", err)
		return errors.Join(err, o.rows.Postpone(ctx, rec, o.Now().Add(resolveFirst)))
	}
	return o.conclude(ctx, rec, out)
}

// outcomes are what an agent may answer.
var outcomes = []protocol.State{protocol.Done, protocol.Failed, protocol.Unchanged, protocol.Unknown, protocol.Accepted, protocol.Evaluated}

// authentic checks context and signature (T28). What a legacy agent began the hub itself
// answers for, on the node that holds its socket: that protocol signs nothing.
func (o *Operations) authentic(ctx context.Context, rec *store.Recovery, out *protocol.Outcome) error {
	if out.Context.String() != rec.Context || !slices.Contains(outcomes, out.State) {
		return errUnsigned
	}
	if recovery.Unsealed(rec) != out.Unsealed {
		return errUnsigned
	}
	if out.Unsealed {
		return nil
	}
	a, err := store.Get(ctx, o.Store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(ctx, rec.Env, rec.Agent) })
	if errors.Is(err, store.ErrNotFound) || err == nil && !out.Verify(a.SignKey) { // deleted with its directory, or another's
		err = errUnsigned
	}
	return err
}

// settleError commits what a refusal on the way to the agent says. The agent answers
// with an error only if it did not touch the directory; a lost answer is asked for later.
func (o *Operations) settleError(ctx context.Context, rec *store.Recovery, err error) error {
	out := &protocol.Outcome{State: protocol.Failed, Error: protocol.Err(protocol.CodeOf(err), "")}
	switch out.Error.Code {
	case protocol.CodeInternal:
		return errors.Join(err, o.rows.Postpone(ctx, rec, o.Now().Add(resolveFirst)))
	case protocol.CodeUnavailable, protocol.CodeRateLimited, protocol.CodeQuarantined,
		protocol.CodeLogUnproven, protocol.CodeLogBehind, protocol.CodeLogInconsistent: // what is wrong with the log is no fault of the recovery
		out.State = protocol.Unchanged
	}
	o.Log.WarnContext(ctx, "operation was refused", "recovery", rec.ID, "agent", rec.Agent, "error", err)
	return o.conclude(ctx, rec, out)
}

// conclude commits how an operation ended, with the audit event, in one transaction.
func (o *Operations) conclude(ctx context.Context, rec *store.Recovery, out *protocol.Outcome) error {
	tasks, err := protocol.ParseTasks(rec.Tasks)
	if err != nil {
		return err
	}
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	if err := o.end(rec, out, tasks, p); err != nil {
		return err
	}
	err = o.rows.Swap(ctx, rec, func(tx *store.Tx) error { return o.consequences(ctx, tx, rec, out, tasks, p) })
	if err == nil {
		o.Wake()
	}
	return err
}

// consequences are what commits together with an outcome.
func (o *Operations) consequences(ctx context.Context, tx *store.Tx, rec *store.Recovery, out *protocol.Outcome, tasks []protocol.Task, p recovery.Private) error {
	var err error
	switch out.State {
	case protocol.Failed, protocol.Unchanged, protocol.Accepted:
		err = tx.DropOperationUse(ctx, rec.Env, rec.Directory, rec.Account, rec.ID)
	case protocol.Unknown, protocol.Evaluated:
		err = o.tell(ctx, tx, rec, p)
	case protocol.Done:
		if changesCredentials(tasks) {
			err = o.rows.Void(ctx, tx, rec, "credentials changed")
		} else {
			err = o.keyEnrolled(ctx, tx, rec)
		}
		if err == nil {
			err = o.tell(ctx, tx, rec, p)
		}
	}
	if err == nil && out.State != protocol.Done && out.State != protocol.Evaluated && out.Error != nil {
		err = o.Alarm(ctx, tx, rec, out.Error)
	}
	if err == nil && rec.State != recovery.Ready { // it will not be sent again
		err = tx.DropEvidence(ctx, rec.Env, rec.ID)
	}
	if err != nil {
		return err
	}
	return audit.Append(ctx, tx, recovery.Event(rec, p, audit.OperationFinished, finished(rec, out)))
}

// maxUnchanged is how often one recovery is tried: the agent's journal takes no more.
const maxUnchanged = 3

// end applies an outcome to the row.
func (o *Operations) end(rec *store.Recovery, out *protocol.Outcome, tasks []protocol.Task, p recovery.Private) error {
	now := o.Now()
	rec.DueAt, rec.Problem = time.Time{}, ""
	if out.Error != nil {
		rec.Problem = string(problemOf(out.Error.Code, tasks))
	}
	switch out.State {
	case protocol.Accepted: // the agent holds it; after that the person presses once more (T23)
		rec.Problem, rec.RetryAt = string(recovery.ProblemHeld), time.Unix(out.Until, 0)
		recovery.Prolong(rec)
		rec.DueAt = rec.ExpiresAt
		return recovery.Move(rec, recovery.Ready)
	case protocol.Done:
		rec.Problem, rec.Result, rec.MustChange = "", out.Sealed, out.MustChange
		rec.ResultUntil, rec.DueAt, rec.Private = now.Add(resultLife), now.Add(resultLife), forget(p)
		return recovery.Move(rec, recovery.Done)
	case protocol.Evaluated:
		rec.Trial, rec.Private = true, forget(p)
		return recovery.Move(rec, recovery.Evaluated)
	case protocol.Unknown:
		rec.Private = forget(p)
		return recovery.Move(rec, recovery.Unknown)
	case protocol.Unchanged:
		rec.Attempts++
		if rec.Attempts < maxUnchanged && rec.ExpiresAt.After(now) {
			rec.RetryAt, rec.DueAt = now.Add(retryAfter), rec.ExpiresAt
			return recovery.Move(rec, recovery.Ready)
		}
	}
	rec.Private = forget(p)
	return recovery.Move(rec, recovery.Failed)
}

// forget keeps what a page still shows. Addresses and client live on only in the
// outbox, and in the log under the person's key.
func forget(p recovery.Private) []byte { return []byte(store.JSON(recovery.Private{Masked: p.Masked})) }

// changesCredentials reports whether other recoveries of the account are stale now (P8).
func changesCredentials(tasks []protocol.Task) bool {
	return slices.ContainsFunc(tasks, func(t protocol.Task) bool { return t.Operation != protocol.Unlock && !t.Operation.Own() })
}

// finished is what the log says of an outcome: enough to check the agent's signature.
func finished(rec *store.Recovery, out *protocol.Outcome) map[string]any {
	d := map[string]any{"state": out.State, "operation": rec.Tasks, "context": rec.Context, "agent": rec.Agent, "directory": rec.Directory,
		"replayed": out.Replayed, "unsealed": out.Unsealed, "signature": out.Signature, "sealed_sha256": sealedHash(out)}
	if out.Error != nil {
		d["code"] = out.Error.Code
	}
	return d
}
