package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

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
		e.Actor.Email = "" // see addressed
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

// actor is what an audit body says of who acted.
type actor struct {
	Org       string `json:"org"`
	Principal struct {
		Member string `json:"org_member"`
		Email  string `json:"org_member_email"`
	} `json:"principal"`
}

// addressed returns a delivery with the address of the member who acted, as it is now. What
// is queued and kept has none, as the log has none: of a member who is removed it goes with
// them, and what they did is told all the same.
func addressed(ctx context.Context, tx *store.Tx, d store.Delivery) (store.Delivery, error) {
	var a actor
	if d.Event != string(Audit) || json.Unmarshal([]byte(d.Body), &a) != nil || a.Principal.Member == "" || a.Principal.Email != "" {
		return d, nil
	}
	who, err := tx.Staff(ctx, a.Org, a.Principal.Member)
	if errors.Is(err, store.ErrNotFound) {
		return d, nil
	}
	if email, _ := json.Marshal(who.Mail); err == nil { // of a text it never fails
		named := `"org_member":"` + a.Principal.Member + `"` // quotes inside texts are escaped: the first one is the principal's
		d.Body = strings.Replace(d.Body, named, named+`,"org_member_email":`+string(email), 1)
	}
	return d, err
}
