package webhook

import (
	"cmp"
	"context"
	"errors"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// followLog queues what the audit log has for webhooks that follow it. Where each of them
// is stands in the store, and moves in the transaction that queues: none is lost or
// queued twice, and whoever writes an event waits for nothing here.
func (h *Hooks) followLog(ctx context.Context) error {
	for {
		all, err := store.Look(ctx, h.store, func(tx *store.Tx) ([]store.Follower, error) { return tx.Followers(ctx) })
		if err != nil || len(all) == 0 {
			return err
		}
		for _, f := range all {
			err := h.store.Tx(ctx, func(tx *store.Tx) error { return follow(ctx, tx, f) })
			if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
				return nil // another node is at it, or it was removed; look again later
			}
			if err != nil {
				return err
			}
		}
	}
}

// follow queues the next events for one webhook.
func follow(ctx context.Context, tx *store.Tx, f store.Follower) error {
	events, next, err := audit.Follow(ctx, tx, f.Env, f.Next)
	if err != nil {
		return err
	}
	for _, e := range events {
		body, err := auditBody(e)
		if err != nil {
			return err
		}
		err = tx.AddDelivery(ctx, store.Delivery{Env: f.Env, Webhook: f.Webhook, Event: string(Audit), Person: cmp.Or(e.Person, e.Account), Trace: e.Trace, Body: body})
		if err != nil {
			return err
		}
	}
	return tx.Followed(ctx, f, next)
}

// auditBody is an AuditEvent with the member event_type before the others.
func auditBody(e audit.Record) (string, error) {
	b, err := e.Wire()
	if err != nil {
		return "", err
	}
	return `{"event_type":"` + string(Audit) + `",` + string(b[1:]), nil
}
