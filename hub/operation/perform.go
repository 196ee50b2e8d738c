package operation

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A VetoRequest asks the organisation's own check just before an operation.
type VetoRequest struct {
	Env, Recovery string
	Directory     string
	Account       string // immutable id
	Subject       string // whom a relying party calls this person; "" if nobody
	Action        protocol.Action
	Languages     string           // of the person, as recovery.Languages returns them
	Context       protocol.Context // what the evidence is for
	Trial         bool             // the agent will evaluate it, and change nothing
}

// A Veto asks the organisation. An error means that it gave no answer, which denies.
type Veto interface {
	// Allowed reports whether the operation may go on, and else what the person reads.
	Allowed(ctx context.Context, q VetoRequest) (allowed bool, message string, err error)
}

// Times of an operation.
const (
	performLife = 30 * time.Second // of a press, whether or not the browser is still there
	vetoLife    = 15 * time.Second // of the organisation's answer
	askingLife  = 45 * time.Second // then nobody is behind the press any more
	clearedLife = 45 * time.Second
	sentLife    = 5 * time.Second  // then whoever looks asks the agent what came of it: the node that sent it may be gone
	sentBlind   = 35 * time.Second // the same for an agent of the public protocol, which keeps no journal to ask
	pressLife   = 60 * time.Second // from the press to the frame: the veto must be that fresh (T23)
	retryAfter  = 5 * time.Second
	maxMessage  = 1000 // bytes of the organisation's sentence
)

// Perform carries out what was proven, once. recipient is the browser's key, needed
// where the result is a secret. nil says that the press counted, not that it worked:
// View says what came of it. ErrTooSoon and ErrStep change nothing.
func (o *Operations) Perform(ctx context.Context, env, id, session string, recipient []byte) error {
	rec, err := o.press(ctx, env, id, session, recipient)
	if err != nil || rec.State != recovery.Asking {
		return err
	}
	if o.Requested != nil {
		o.Requested()
	}
	// From here on a browser that goes away must not stop what others already count on.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), performLife)
	defer cancel()
	if cleared, err := o.clear(ctx, &rec); err != nil || !cleared {
		return recovery.Plain(err)
	}
	err = o.Agents.Execute(ctx, ToAgent(&rec), rec.ID)
	if err == nil {
		return nil
	}
	// Whatever the way there says: a row that nobody has claimed is taken back, and an
	// executor that comes late finds another state.
	o.Log.WarnContext(ctx, "operation did not reach the agent", "recovery", rec.ID, "agent", rec.Agent, "error", err)
	if err = o.Release(ctx, &rec); errors.Is(err, store.ErrConflict) { // somebody did send it
		return nil
	}
	return recovery.Plain(err)
}

// press claims ready→asking: one compare-and-set that binds the recipient, so of many
// presses one counts. It also refuses what has changed since the proof, and limits.
func (o *Operations) press(ctx context.Context, env, id, session string, recipient []byte) (store.Recovery, error) {
	return o.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		now := o.Now()
		switch {
		case protocol.Action(rec.Action) == protocol.ActionOptions, protocol.Action(rec.Action) == protocol.ActionSignIn: // nothing is ever performed on its evidence (T1)
			return recovery.ErrStep
		case rec.State != recovery.Ready || !rec.ExpiresAt.After(now) || !time.Unix(rec.NotAfter, 0).After(now):
			return recovery.ErrStep
		case rec.RetryAt.After(now):
			return recovery.ErrTooSoon
		}
		c, err := o.context(rec, recipient)
		if err != nil {
			return err
		}
		p, err := recovery.PrivateOf(rec)
		if err != nil {
			return err
		}
		d, why, err := o.recheck(ctx, tx, rec)
		if err != nil {
			return err
		}
		if why != recovery.ProblemNone {
			return o.rows.Refuse(ctx, tx, rec, p, why)
		}
		if limited, err := o.limit(ctx, tx, rec, d); err != nil || limited {
			return err
		}
		rec.Problem, rec.Message, rec.RetryAt = "", "", time.Time{}
		rec.Context, rec.PressedAt, rec.DueAt = c.String(), now, now.Add(askingLife)
		rec.Entry, err = audit.AppendRow(ctx, tx, recovery.Event(rec, p, audit.OperationRequested, map[string]any{
			"operation": rec.Tasks, "context": rec.Context, "agent": rec.Agent, "directory": rec.Directory}))
		return errors.Join(err, recovery.Move(rec, recovery.Asking), tx.AddOperationUse(ctx, env, rec.Directory, rec.Account, id))
	})
}

// context binds what was proven to the browser's key, the same as before if evidence is
// bound to it already. A result that is no secret has no recipient, whatever the browser
// sent.
func (o *Operations) context(rec *store.Recovery, recipient []byte) (protocol.Context, error) {
	tasks, err := protocol.ParseTasks(rec.Tasks)
	if err != nil {
		return protocol.Context{}, err
	}
	if !recovery.HasSecret(tasks) {
		rec.Recipient = nil
	} else if err := recovery.SetRecipient(rec, recipient); err != nil {
		return protocol.Context{}, err
	}
	m, err := recovery.Members(rec)
	return m.Context(), err
}

// recheck applies the policy once more to the account as it is now.
func (o *Operations) recheck(ctx context.Context, tx *store.Tx, rec *store.Recovery) (store.Directory, recovery.Problem, error) {
	d, err := tx.Directory(ctx, rec.Env, rec.Directory)
	if err != nil {
		return d, "", err
	}
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err != nil {
		return d, "", err
	}
	until, err := tx.RecoveryBlock(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil {
		return d, "", err
	}
	a, err := tx.AccountOf(ctx, rec.Env, rec.Directory, rec.Account)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return d, recovery.ProblemNotAllowed, nil
	case err != nil:
		return d, "", err
	case !until.IsZero():
		return d, recovery.ProblemBlocked, nil
	case v.State != store.VerificationProven || a.Disabled || a.ID != rec.Person:
		return d, recovery.ProblemNotAllowed, nil
	}
	decision, _, err := recovery.Decide(ctx, tx, rec, d, a)
	if err != nil {
		return d, "", err
	}
	same := protocol.CanonicalTasks(decision.Tasks) == rec.Tasks && string(decision.Strength) == rec.Strength && recovery.Accepted(decision, v.Proven)
	if !decision.Permitted || !same || recovery.Legacy(d) && recovery.HasSecret(decision.Tasks) && !d.Settings.AllowUnsealed {
		return d, recovery.ProblemNotAllowed, nil
	}
	return d, recovery.ProblemNone, nil
}

// limit refuses for now when the account has had its operations. The row stays ready
// and says until when.
func (o *Operations) limit(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory) (bool, error) {
	s, err := directory.Settings(d)
	if err != nil || s.Limit == nil {
		return false, err
	}
	window := time.Duration(s.Limit.Window)
	n, first, err := tx.OperationUses(ctx, rec.Env, rec.Directory, rec.Account, o.Now().Add(-window))
	if err != nil || n < s.Limit.Count {
		return false, err
	}
	if n == 0 { // a limit of none
		first = o.Now()
	}
	rec.Problem, rec.RetryAt = string(recovery.ProblemLimit), first.Add(window)
	return true, nil
}

// clear asks the organisation and claims asking→cleared. It reports whether an executor
// may now send. An organisation that gives no answer denies, for now.
func (o *Operations) clear(ctx context.Context, rec *store.Recovery) (bool, error) {
	allowed, message, err := o.askVeto(ctx, rec)
	if err == nil && allowed {
		rec.DueAt = o.Now().Add(clearedLife)
		if err := recovery.Move(rec, recovery.Cleared); err != nil {
			return false, err
		}
		return true, o.rows.Save(ctx, rec)
	}
	p, perr := recovery.PrivateOf(rec)
	if perr != nil {
		return false, perr
	}
	rec.Problem, rec.Message, rec.DueAt = string(recovery.ProblemVetoed), recovery.Cut(message, maxMessage), rec.ExpiresAt
	to, detail := recovery.Refused, map[string]any{"denied": true, "context": rec.Context}
	if err != nil {
		o.Log.WarnContext(ctx, "the organisation's check gave no answer", "recovery", rec.ID, "error", err)
		to, detail["denied"], detail["error"] = recovery.Ready, false, "no answer"
		rec.RetryAt = o.Now().Add(retryAfter)
	}
	if err := recovery.Move(rec, to); err != nil {
		return false, err
	}
	return false, o.rows.Swap(ctx, rec, func(tx *store.Tx) error {
		return errors.Join(tx.DropOperationUse(ctx, rec.Env, rec.Directory, rec.Account, rec.ID),
			audit.Append(ctx, tx, recovery.Event(rec, p, audit.RecoveryVetoed, detail)))
	})
}

func (o *Operations) askVeto(ctx context.Context, rec *store.Recovery) (bool, string, error) {
	if _, own := protocol.OwnAction(protocol.Action(rec.Action)); o.Veto == nil || own { // the webhook has no word for those
		return true, "", nil
	}
	var c protocol.Context
	if err := c.UnmarshalText([]byte(rec.Context)); err != nil {
		return false, "", err
	}
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return false, "", err
	}
	a, err := store.Get(ctx, o.Store, func(tx *store.Tx) (store.Account, error) { return tx.Account(ctx, rec.Env, rec.Person) })
	if err != nil {
		return false, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, vetoLife)
	defer cancel()
	return o.Veto.Allowed(ctx, VetoRequest{Env: rec.Env, Recovery: rec.ID, Directory: rec.Directory, Account: rec.Account,
		Subject: a.Subject, Action: protocol.Action(rec.Action), Languages: recovery.Languages(rec, p), Context: c, Trial: rec.Trial})
}

// Release leads back to the button: nothing was sent, and whoever would send it now
// finds another state. The log says so: no operation that was asked for lacks its end.
func (o *Operations) Release(ctx context.Context, rec *store.Recovery) error {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	out := &protocol.Outcome{State: protocol.Unchanged, Error: protocol.Err(protocol.CodeUnavailable, "")}
	rec.Problem, rec.RetryAt, rec.DueAt = string(recovery.ProblemUnavailable), o.Now().Add(retryAfter), rec.ExpiresAt
	if err := recovery.Move(rec, recovery.Ready); err != nil {
		return err
	}
	return o.rows.Swap(ctx, rec, func(tx *store.Tx) error {
		return errors.Join(tx.DropOperationUse(ctx, rec.Env, rec.Directory, rec.Account, rec.ID),
			audit.Append(ctx, tx, recovery.Event(rec, p, audit.OperationFinished, finished(rec, out))))
	})
}
