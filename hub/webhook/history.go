package webhook

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/store"
)

// Errors of Replay, beside the store's.
var (
	ErrQuestion = errors.New("webhook: the question recover is about one moment; it is not asked again")
	ErrOff      = errors.New("webhook: the webhook is switched off; switch it on first")
	ErrUnheard  = errors.New("webhook: the webhook does not follow the audit log any more; an owner can have it do so again")
)

// Replay queues a finished delivery again, under its id, in the caller's transaction, and
// returns it with its webhook. store.ErrConflict if it is under way already, or was erased.
// After that has committed, Wake hastens it.
func Replay(ctx context.Context, tx *store.Tx, d store.Delivery) (store.Delivery, store.Webhook, error) {
	w, err := tx.Webhook(ctx, d.Env, d.Webhook)
	switch {
	case err != nil:
		return d, w, err
	case d.Event == string(Recover):
		return d, w, ErrQuestion
	case !w.Enabled:
		return d, w, ErrOff
	case whyNot(w, d) != "":
		return d, w, ErrUnheard
	}
	if err := tx.ReplayDelivery(ctx, d.Env, d.ID); err != nil {
		return d, w, err
	}
	d, err = tx.Delivery(ctx, d.Env, d.ID)
	return d, w, err
}

// ReadBy is a delivery as somebody of a role may read it. What the audit log says is for
// owners, wherever a copy of it lies: to others a delivery of it says that it was made, and
// how that went.
func ReadBy(ctx context.Context, tx *store.Tx, d store.Delivery, role string) (shown store.Delivery, withheld bool, err error) {
	if d.Event != string(Audit) || store.AtLeast(role, store.RoleOwner) {
		d, err = addressed(ctx, tx, d)
		return d, false, err
	}
	d.Body, d.Attempts = "", append([]store.Attempt{}, d.Attempts...)
	for i := range d.Attempts {
		d.Attempts[i].Body = "" // a receiver may echo what it was told
	}
	return d, true, nil
}
