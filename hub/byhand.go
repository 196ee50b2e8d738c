package hub

import (
	"context"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/manual"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
)

// byHandRules reads under which policies staff verify people by hand.
type byHandRules struct{}

// Methods implements manual.Rules.
func (byHandRules) Methods(ctx context.Context, tx *store.Tx, env, dir, account string) (policy.Methods, []policy.Group, error) {
	return directory.Rules(ctx, tx, env, dir, account)
}

// Offered implements manual.Rules.
func (byHandRules) Offered(ctx context.Context, tx *store.Tx, a store.Account) (list []manual.Choice, err error) {
	d, err := tx.Directory(ctx, a.Env, a.Directory)
	if err != nil {
		return nil, err
	}
	s, err := directory.Settings(d)
	if err != nil {
		return nil, err
	}
	_, groups, err := directory.Rules(ctx, tx, a.Env, a.Directory, a.ImmutableID)
	if err != nil {
		return nil, err
	}
	actions := append(policy.Offered(s, d.Traits), protocol.ActionOptions)
	for _, action := range actions {
		decision := policy.Decide(policy.Request{Action: action, Settings: s, Traits: d.Traits, Groups: groups, Photo: a.Photo.Given(), Lent: a.Photo.Lent()})
		if !decision.Permitted {
			continue
		}
		for _, c := range decision.Accept {
			list = append(list, manual.Choice{Action: action, Methods: c})
		}
	}
	return list, nil
}

// Sensitive implements manual.Rules: who needs a second reviewer needs more than the help
// desk here too.
func (byHandRules) Sensitive(ctx context.Context, tx *store.Tx, env string, groups []policy.Group) (bool, error) {
	s, err := review.ReadSettings(ctx, tx, env)
	return s.Second(groups), err
}

// byHandOutlets tells owners by mail, and webhooks.
type byHandOutlets struct {
	mail  *notify.Notifier
	hooks *webhook.Hooks
}

// QueueManual implements manual.Outlets.
func (o byHandOutlets) QueueManual(ctx context.Context, tx *store.Tx, m manual.Message) error {
	s := notify.Staff{Env: m.Env, To: m.To, Words: "manual", Name: m.Name, By: m.By, Origin: m.Origin}
	if m.Revoked {
		s.Words = "manualrevoked"
	}
	return undelivered(o.mail.QueueStaff(ctx, tx, s))
}

// QueueRevocation implements manual.Outlets.
func (o byHandOutlets) QueueRevocation(ctx context.Context, tx *store.Tx, r manual.Revocation) error {
	return o.hooks.ManualVerificationRevoked(ctx, tx, r.Env, webhook.Revocation{ID: r.ID, Directory: r.Directory, ExternalID: r.Account, Subject: r.Subject,
		Recovery: r.Recovery, Performed: r.Performed, Reason: r.Reason})
}

// Wake implements manual.Outlets.
func (o byHandOutlets) Wake() {
	o.mail.Wake()
	o.hooks.Wake()
}

var (
	_ manual.Rules   = byHandRules{}
	_ manual.Outlets = byHandOutlets{}
	_ manual.Flow    = settler{}
)
