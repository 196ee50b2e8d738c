package hub

import (
	"context"
	"log/slog"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
)

// A mailer is the mail route in the words of the flow.
type mailer struct {
	store *store.Store
	mail  *notify.Notifier
}

// SendCode implements mailcode.Sender.
func (m mailer) SendCode(ctx context.Context, c mailcode.Message) error {
	return m.mail.SendCode(ctx, notify.Code{
		Env: c.Env, To: c.To, Enroll: c.Enroll, Language: c.Language, Origin: c.Origin, Code: c.Code, Until: c.Until,
	})
}

// Notify implements flow.Notifier: after nil the notice stands in the outbox, from which
// it is sent whatever happens to this node.
func (m mailer) Notify(ctx context.Context, n flow.Notice) error {
	err := m.store.Tx(ctx, func(tx *store.Tx) error {
		return m.mail.Queue(ctx, tx, notify.Notice{
			Env: n.Env, Contacts: protocol.Contacts{Mail: n.To, Language: n.Language}, Action: n.Action, Unknown: n.State == protocol.Unknown,
			Account: n.Account, At: n.At, Client: n.Client.Address, Device: n.Client.UserAgent, Language: n.Language,
			Origin: n.Client.Origin, Token: n.Objection, Until: n.Until,
		})
	})
	if err == nil {
		m.mail.Wake()
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

// Allowed implements flow.Veto.
func (o organisation) Allowed(ctx context.Context, q flow.VetoRequest) (bool, string, error) {
	subject, err := o.subject(ctx, q.Env, q.Directory, q.Account)
	if err != nil {
		return false, webhook.FailedMessage, err
	}
	v, err := o.hooks.Ask(ctx, q.Env, webhook.Question{
		Subject: subject, Language: q.Language, Directory: q.Directory, ExternalID: q.Account, Action: q.Action, Context: q.Context,
	})
	return err == nil && v.Allows(o.now()), v.Message(), err
}

func (o organisation) subject(ctx context.Context, env, directory, account string) (string, error) {
	a, err := store.Get(ctx, o.store, func(tx *store.Tx) (store.Account, error) { return tx.AccountOf(ctx, env, directory, account) })
	return a.Subject, err
}

// Failed implements flow.Alarms.
func (o organisation) Failed(ctx context.Context, f flow.Failure) {
	o.failed(ctx, f.Env, webhook.DirectoryError{
		Directory: f.Directory, Action: webhook.ProviderAction(f.Action), ExternalID: f.Account, Trace: f.Recovery, Error: text(f.Err),
	})
}

// SyncFailed tells of a sync that stopped.
func (o organisation) SyncFailed(ctx context.Context, env, directory, why string) {
	o.failed(ctx, env, webhook.DirectoryError{Directory: directory, Action: webhook.SyncAction, Error: why})
}

func (o organisation) failed(ctx context.Context, env string, e webhook.DirectoryError) {
	err := o.store.Tx(ctx, func(tx *store.Tx) error {
		d, err := tx.Directory(ctx, env, e.Directory)
		if err != nil {
			return err
		}
		e.DirectoryKind, e.Subject = d.Kind, ""
		if e.ExternalID != "" {
			if a, err := tx.AccountOf(ctx, env, e.Directory, e.ExternalID); err == nil {
				e.Subject = a.Subject
			}
		}
		return o.hooks.DirectoryFailed(ctx, tx, env, e)
	})
	if err != nil {
		o.log.WarnContext(ctx, "webhooks do not hear of a failure", "env", env, "directory", e.Directory, "err", err)
		return
	}
	o.hooks.Wake()
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

var (
	_ mailcode.Sender = mailer{}
	_ flow.Notifier   = mailer{}
	_ flow.Veto       = organisation{}
	_ flow.Alarms     = organisation{}
)
