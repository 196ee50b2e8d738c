package operation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Notice tells the owner of an account what was done to it.
type Notice struct {
	Env, Recovery string
	Contacts      protocol.Contacts // read live at begin: the only source of recipients
	Account       string            // its name
	Action        protocol.Action
	Unknown       bool // it may have been done
	Trial         bool // it was evaluated, and nothing was changed
	Disowned      bool // nothing was done: whoever took it over says that they did not begin it
	At            time.Time
	Client        recovery.Client // the browser that asked
	Language      string
	Token         protocol.Secret // of the link "this was not me"
	Until         time.Time       // how long the token works
}

// ErrNoAddress is what a Notifier says when the owner cannot be told. Nothing was written.
var ErrNoAddress = errors.New("operation: the owner has no address to send to")

// A Notifier tells owners.
type Notifier interface {
	// Queue puts a notice into the outbox in the caller's transaction, so that what was
	// done and that it will be told are one. ErrNoAddress if it cannot be told; every
	// other error undoes the transaction.
	Queue(ctx context.Context, tx *store.Tx, n Notice) error
	// Wake hastens the sending of what has committed.
	Wake()
}

// A Failure is what an administrator must look at.
type Failure struct {
	Recovery  string
	Directory store.Directory
	Account   string // immutable id; "" before it is known
	Person    string // row id of the account
	Action    protocol.Action
	Tasks     []protocol.Task // that the agent is asked for; nil before they are known
	Languages string          // of the person, as recovery.Languages returns them
	Operation string          // id of the frame, for logs of both ends
	Err       error           // *protocol.Error where an agent said why
}

// Alarms hears of failures of directories and agents.
type Alarms interface {
	// DirectoryFailed queues the alarm in the caller's transaction.
	DirectoryFailed(ctx context.Context, tx *store.Tx, env string, f Failure) error
	// Wake hastens the delivery of what has committed.
	Wake()
}

// Alarm queues an alarm.
func (o *Operations) Alarm(ctx context.Context, tx *store.Tx, rec *store.Recovery, err error) error {
	if o.Alarms == nil || err == nil {
		return nil
	}
	d, derr := tx.Directory(ctx, rec.Env, rec.Directory)
	if errors.Is(derr, store.ErrNotFound) { // deleted meanwhile: what came of the operation is still to be written down
		return nil
	} else if derr != nil {
		return derr
	}
	p, perr := recovery.PrivateOf(rec)
	if perr != nil {
		return perr
	}
	var tasks []protocol.Task
	if rec.Tasks != "" {
		if tasks, perr = protocol.ParseTasks(rec.Tasks); perr != nil {
			return perr
		}
	}
	return o.Alarms.DirectoryFailed(ctx, tx, rec.Env, Failure{Recovery: rec.ID, Directory: d, Account: rec.Account, Person: rec.Person,
		Action: protocol.Action(rec.Action), Tasks: tasks, Languages: recovery.Languages(rec, p), Operation: rec.Operation, Err: err})
}

// tell queues the owner's notice, with a token of its own, and logs how that went.
func (o *Operations) tell(ctx context.Context, tx *store.Tx, rec *store.Recovery, p recovery.Private) error {
	n := Notice{Env: rec.Env, Recovery: rec.ID, Action: protocol.Action(rec.Action), Unknown: rec.State == recovery.Unknown, Trial: rec.Trial, At: rec.PressedAt,
		Client: p.Client, Language: rec.Language, Until: o.Now().Add(ObjectionLife)}
	if p.Contacts != nil {
		n.Contacts = *p.Contacts
	}
	a, err := tx.AccountOf(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n.Account = a.Name
	if !rec.Trial { // nobody's account is in other hands for it
		if err := o.suspend(ctx, tx, rec, a, n.Contacts); err != nil {
			return err
		}
	}
	result := "queued"
	if err := o.Queue(ctx, tx, rec, n); errors.Is(err, ErrNoAddress) {
		o.Log.WarnContext(ctx, "the owner cannot be told", "recovery", rec.ID, "directory", rec.Directory)
		result = "undeliverable"
	} else if err != nil {
		return err
	}
	return audit.Append(ctx, tx, recovery.Event(rec, p, audit.RecoveryNotified, map[string]any{"result": result}))
}

// suspension is how long somebody decides nothing about others after their own account
// was recovered (T17).
const suspension = 72 * time.Hour

// suspend takes the roles of staff whose own account this is.
func (o *Operations) suspend(ctx context.Context, tx *store.Tx, rec *store.Recovery, a store.Account, c protocol.Contacts) error {
	own := slices.Concat(a.Identifiers, c.Primary, c.Mail)
	n, err := tx.SuspendStaff(ctx, rec.Env, rec.Directory, rec.Account, own, o.Now().Add(suspension))
	if err == nil && n > 0 {
		o.Log.WarnContext(ctx, "the roles of somebody whose account was recovered are suspended", "recovery", rec.ID, "directory", rec.Directory)
	}
	return err
}

// Queue queues a notice, with a token of its own by which its owner objects: ErrNoAddress
// if nobody can be told.
func (o *Operations) Queue(ctx context.Context, tx *store.Tx, rec *store.Recovery, n Notice) error {
	if o.Notifier == nil {
		return ErrNoAddress
	}
	token := recovery.NewSecret()
	n.Token = protocol.NewSecret(token)
	if err := o.Notifier.Queue(ctx, tx, n); err != nil {
		return err
	}
	return o.addObjection(ctx, tx, rec, token)
}

// Wake hastens what a transaction has queued.
func (o *Operations) Wake() {
	if o.Notifier != nil {
		o.Notifier.Wake()
	}
	if o.Alarms != nil {
		o.Alarms.Wake()
	}
}
