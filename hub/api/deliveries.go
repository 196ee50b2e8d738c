package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
	hooks "github.com/postern-id/postern/hub/webhook"
)

// delivery is the wire type Webhook: one event that a webhook was told, or will be.
type delivery struct {
	ID            string          `json:"id"`
	Status        int             `json:"status"`
	URL           string          `json:"url"`
	Body          string          `json:"body"`
	RequestHeader []store.Header  `json:"request_header"`
	Attempts      []store.Attempt `json:"attempts"`

	Webhook   string     `json:"webhook"`              // ours: id of its definition
	Event     string     `json:"event_type"`           // ours
	CreatedAt time.Time  `json:"created_at"`           // ours
	NextTry   *time.Time `json:"next_try,omitempty"`   // ours; absent: finished
	PIIErased bool       `json:"pii_erased,omitempty"` // ours: the person was erased, and the body with them
	State     string     `json:"state"`                // ours
	Withheld  bool       `json:"withheld,omitempty"`   // ours: the body is for owners
}

// redacted implements redactor: the audit log says which delivery it was, not what was told.
func (d delivery) redacted() any {
	return delivery{ID: d.ID, Webhook: d.Webhook, Event: d.Event, CreatedAt: d.CreatedAt}
}

// deliveryList is the wire type ListWebhooksResponse.
type deliveryList struct {
	Webhooks   []delivery `json:"webhooks"`
	NextOffset int        `json:"next_offset,omitempty"` // ours; absent: that was all
}

func (c *call) wireDelivery(ctx context.Context, tx *store.Tx, d store.Delivery, url string) (delivery, error) {
	d, withheld, err := hooks.ReadBy(ctx, tx, d, c.key.Role)
	out := delivery{ID: d.ID, Status: d.Status, URL: url, Body: d.Body, RequestHeader: d.Header, Attempts: d.Attempts,
		Webhook: d.Webhook, Event: d.Event, CreatedAt: d.CreatedAt, PIIErased: d.Erased, State: string(d.State()), Withheld: withheld}
	if !d.NextAt.IsZero() {
		out.NextTry = &d.NextAt
	}
	if out.RequestHeader == nil {
		out.RequestHeader = []store.Header{}
	}
	if out.Attempts == nil {
		out.Attempts = []store.Attempt{}
	}
	for i := range out.Attempts { // one without an answer has no header
		out.Attempts[i].Header = append([]store.Header{}, out.Attempts[i].Header...)
	}
	return out, err
}

// listDeliveries answers with what webhooks of an environment were told in the last days,
// the newest first.
func listDeliveries(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	skip, n := c.number("offset"), c.number("count")
	f := store.DeliveryFilter{Event: c.text("event"), Webhook: c.text("webhook"), State: store.DeliveryState(c.text("state"))}
	all, err := tx.Deliveries(ctx, c.env.ID, f, skip, n+1)
	if err != nil {
		return nil, err
	}
	list := deliveryList{Webhooks: []delivery{}}
	if len(all) > n {
		all, list.NextOffset = all[:n], skip+n
	}
	told, err := tx.Webhooks(ctx, c.env.ID)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		one, err := c.wireDelivery(ctx, tx, d, urlOf(told, d.Webhook))
		if err != nil {
			return nil, err
		}
		list.Webhooks = append(list.Webhooks, one)
	}
	return list, nil
}

func urlOf(all []store.Webhook, id string) string {
	i := slices.IndexFunc(all, func(w store.Webhook) bool { return w.ID == id })
	if i < 0 {
		return ""
	}
	return all[i].URL
}

func (c *call) findDelivery(ctx context.Context, tx *store.Tx, id string) (err error) {
	c.delivery, err = tx.Delivery(ctx, c.env.ID, id)
	return err
}

// replayDelivery queues a delivery again, under its id.
func replayDelivery(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	d, w, err := hooks.Replay(ctx, tx, c.delivery)
	if errors.Is(err, hooks.ErrQuestion) || errors.Is(err, hooks.ErrOff) || errors.Is(err, hooks.ErrUnheard) {
		return nil, bad("delivery: " + plainError(err))
	}
	if err != nil { // under way already, or erased
		return nil, err
	}
	return c.wireDelivery(ctx, tx, d, w.URL)
}

// deliveryStates lists how far deliveries come.
func deliveryStates() (names []string) {
	for _, s := range store.DeliveryStates {
		names = append(names, string(s))
	}
	return names
}
