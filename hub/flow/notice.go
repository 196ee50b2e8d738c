package flow

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Notice tells the owner of an account what was done to it.
type Notice struct {
	Env, Recovery string
	To            []string // every address of the account, read live at begin
	Account       string   // its name
	Action        protocol.Action
	State         protocol.State // Done, or Unknown: it may have been done
	At            time.Time
	Client        Client // the browser that asked
	Language      string
	Objection     protocol.Secret // token of the link "this was not me"
	Until         time.Time       // when that ends
}

// A Notifier sends notices. It returns when the mail server has taken them; an error is
// tried again.
type Notifier interface {
	Notify(ctx context.Context, n Notice) error
}

// A Failure is what an administrator must look at.
type Failure struct {
	Env, Recovery string
	Directory     string
	Account       string // immutable id; "" before it is known
	Action        protocol.Action
	Language      string
	Err           error // *protocol.Error where an agent said why
}

// Alarms hears of failures of directories and agents.
type Alarms interface {
	Failed(ctx context.Context, f Failure)
}

// Values of the column notice.
const (
	noticePending = "pending"
	noticeSent    = "sent"
	noticeLost    = "undeliverable"
)

// Times of notices.
const (
	noticeAgain = 30 * time.Second // times the number of attempts
	noticeUntil = 24 * time.Hour   // then the addresses are forgotten
)

func (r *Recoveries) alarm(ctx context.Context, rec *store.Recovery, err error) {
	if r.Alarms != nil {
		r.Alarms.Failed(ctx, Failure{Env: rec.Env, Recovery: rec.ID, Directory: rec.Directory, Account: rec.Account,
			Action: protocol.Action(rec.Action), Language: rec.Language, Err: err})
	}
}

// finish does what is left after an operation: the owner's notice, then forgetting the
// addresses, and the sealed result when its time is over.
func (r *Recoveries) finish(ctx context.Context, rec *store.Recovery) error {
	if rec.Notice == noticePending {
		if err := r.notify(ctx, rec); err != nil {
			r.Log.WarnContext(ctx, "notice cannot be sent", "recovery", rec.ID, "error", err)
			rec.Attempts++
			return r.postpone(ctx, rec, r.Now().Add(time.Duration(rec.Attempts)*noticeAgain))
		}
	}
	p, err := privateOf(rec)
	if err != nil {
		return err
	}
	rec.DueAt, rec.Private = rec.ResultUntil, []byte(store.JSON(private{Masked: p.Masked}))
	switch {
	case rec.Ending != "": // acknowledged before the notice went out
		if err := r.close(rec, Ending(rec.Ending)); err != nil {
			return err
		}
	case !rec.ResultUntil.After(r.Now()):
		rec.Result, rec.ResultUntil, rec.DueAt = nil, time.Time{}, time.Time{}
	}
	return r.save(ctx, rec)
}

// notify sends the notice and forgets the addresses. After nil the row says how it went.
func (r *Recoveries) notify(ctx context.Context, rec *store.Recovery) error {
	p, err := privateOf(rec)
	if err != nil {
		return err
	}
	n := r.noticeOf(rec, p)
	result := noticeSent
	switch {
	case len(n.To) == 0 || r.Notifier == nil || r.Now().Sub(rec.PressedAt) > noticeUntil:
		r.Log.WarnContext(ctx, "the owner cannot be told", "recovery", rec.ID, "directory", rec.Directory)
		result = noticeLost
	default:
		if err := r.tell(ctx, rec, n); err != nil {
			return err
		}
	}
	rec.Notice, rec.Private = result, []byte(store.JSON(private{Masked: p.Masked}))
	return r.swap(ctx, rec, func(tx *store.Tx) error {
		return audit.Append(ctx, tx, r.event(rec, p, audit.RecoveryNotified, map[string]any{"result": result, "addresses": len(n.To)}))
	})
}

// tell writes the token down before it is in anybody's mailbox.
func (r *Recoveries) tell(ctx context.Context, rec *store.Recovery, n Notice) error {
	token := newSecret()
	err := r.Store.Tx(ctx, func(tx *store.Tx) error {
		a, err := tx.AccountOf(ctx, rec.Env, rec.Directory, rec.Account)
		if err == nil {
			n.Account = a.Name
		}
		return r.addObjection(ctx, tx, rec, token)
	})
	if err != nil {
		return err
	}
	n.Objection, n.Until = protocol.NewSecret(token), r.Now().Add(objectionLife)
	return r.Notifier.Notify(ctx, n)
}

func (r *Recoveries) noticeOf(rec *store.Recovery, p private) Notice {
	n := Notice{Env: rec.Env, Recovery: rec.ID, Action: protocol.Action(rec.Action), State: protocol.Done, At: rec.PressedAt,
		Client: p.Client, Language: rec.Language}
	if rec.State == stateUnknown {
		n.State = protocol.Unknown
	}
	if p.Contacts != nil {
		n.To = append(append(n.To, p.Contacts.Mail...), p.Contacts.Primary...)
		if p.Contacts.Language != "" {
			n.Language = p.Contacts.Language
		}
	}
	return n
}
