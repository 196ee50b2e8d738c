package hub

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
)

// A mailer is the mail route in the words of the flow.
type mailer struct{ *notify.Notifier }

// SendCode implements mailcode.Sender.
func (m mailer) SendCode(ctx context.Context, c mailcode.Message) error {
	return m.Notifier.SendCode(ctx, notify.Code{
		Env: c.Env, To: c.To, Enroll: c.Enroll, Language: c.Language, Origin: c.Origin, Code: c.Code, Until: c.Until,
	})
}

// Queue implements operation.Notifier: the notice stands in the outbox when the outcome
// stands in the store, and is sent whatever happens to this node.
func (m mailer) Queue(ctx context.Context, tx *store.Tx, n operation.Notice) error {
	err := m.Notifier.Queue(ctx, tx, notify.Notice{
		Env: n.Env, Contacts: n.Contacts, Action: n.Action, Unknown: n.Unknown, Trial: n.Trial, Disowned: n.Disowned,
		Account: n.Account, At: n.At, Client: n.Client.Address, Device: n.Client.UserAgent, Language: n.Language,
		Origin: n.Client.Origin, Token: n.Token, Until: n.Until,
	})
	if errors.Is(err, notify.ErrNoAddress) || errors.Is(err, notify.ErrNoDomain) { // what was done stays done
		return operation.ErrNoAddress
	}
	return err
}

// A confirmer sends the codes that confirm people's own addresses, and tells them of
// changes.
type confirmer struct{ *notify.Notifier }

// SendCode implements factor.Sender.
func (c confirmer) SendCode(ctx context.Context, m factor.Message) error {
	return c.Notifier.SendCode(ctx, notify.Code{
		Env: m.Env, To: []string{m.To}, Confirm: true, Language: m.Language, Origin: m.Origin, Code: m.Code, Until: m.Until,
	})
}

// A texter sends the codes that confirm people's own phones.
type texter struct{ *smscode.Route }

// SendCode implements factor.Sender.
func (t texter) SendCode(ctx context.Context, m factor.Message) error {
	err := t.Send(ctx, smscode.Message{
		Env: m.Env, To: m.To, Account: m.Account, Client: m.Client, Confirm: true, Language: m.Language, Origin: m.Origin, Code: m.Code, Until: m.Until,
	})
	switch {
	case errors.Is(err, smscode.ErrNumber), errors.Is(err, smscode.ErrCountry), errors.Is(err, smscode.ErrOff):
		return factor.ErrAddress
	case errors.Is(err, smscode.ErrLimit):
		return factor.ErrTooMany
	}
	return err
}

// QueueFactor implements factor.Notices.
func (c confirmer) QueueFactor(ctx context.Context, tx *store.Tx, n factor.Notice) error {
	err := c.Notifier.QueueFactor(ctx, tx, notify.Factor{
		Env: n.Env, Account: n.Account, Contacts: n.Contacts, Change: string(n.Change), Kind: n.Kind, Name: n.Label, Counts: n.Counts,
		At: n.At, Client: n.ClientAddress, Device: n.ClientDevice, Language: n.Language, Origin: n.Origin, Token: n.Token, Until: n.Until,
	})
	if errors.Is(err, notify.ErrNoAddress) || errors.Is(err, notify.ErrNoDomain) { // what was done stays done, and stands in the log
		return nil
	}
	return err
}

// An organisation is the webhooks in the words of the flow.
type organisation struct {
	store *store.Store
	hooks *webhook.Hooks
	log   *slog.Logger
	now   func() time.Time
}

// Allowed implements operation.Veto.
func (o organisation) Allowed(ctx context.Context, q operation.VetoRequest) (bool, string, error) {
	v, err := o.hooks.Ask(ctx, q.Env, webhook.Question{
		Trace: q.Recovery, Subject: q.Subject, Language: q.Languages, Directory: q.Directory, ExternalID: q.Account, Action: q.Action, Context: q.Context, Trial: q.Trial,
	})
	if err == nil && v.Silent() {
		err = errSilent
	}
	return err == nil && v.Allows(o.now()), v.Message(), err
}

// errSilent says that a webhook did not answer as agreed: nothing is done, and the
// person may press again.
var errSilent = errors.New("hub: a recover webhook gave no answer")

// DirectoryFailed implements operation.Alarms.
func (o organisation) DirectoryFailed(ctx context.Context, tx *store.Tx, env string, f operation.Failure) error {
	return o.failed(ctx, tx, env, f.Directory, webhook.DirectoryError{
		Action: protocol.ProviderAction(f.Action, f.Tasks), Language: f.Languages, ExternalID: f.Account, Trace: f.Recovery, Error: text(f.Err),
	})
}

// Wake implements operation.Alarms.
func (o organisation) Wake() { o.hooks.Wake() }

// SyncFailed tells of a sync that stopped.
func (o organisation) SyncFailed(ctx context.Context, env, directory, why string) {
	err := o.store.Tx(ctx, func(tx *store.Tx) error {
		d, err := tx.Directory(ctx, env, directory)
		if err != nil {
			return err
		}
		return o.failed(ctx, tx, env, d, webhook.DirectoryError{Action: webhook.SyncAction, Error: why})
	})
	if err != nil {
		o.log.WarnContext(ctx, "webhooks do not hear of a failure", "env", env, "directory", directory, "err", err)
		return
	}
	o.hooks.Wake()
}

func (o organisation) failed(ctx context.Context, tx *store.Tx, env string, d store.Directory, e webhook.DirectoryError) error {
	e.Directory, e.DirectoryKind = d.ID, d.Kind
	if e.ExternalID != "" {
		a, err := tx.AccountOf(ctx, env, d.ID, e.ExternalID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		e.Subject = a.Subject
	}
	return o.hooks.DirectoryFailed(ctx, tx, env, e)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

var (
	_ mailcode.Sender    = mailer{}
	_ operation.Notifier = mailer{}
	_ factor.Sender      = confirmer{}
	_ factor.Sender      = texter{}
	_ factor.Notices     = confirmer{}
	_ operation.Veto     = organisation{}
	_ operation.Alarms   = organisation{}
)
