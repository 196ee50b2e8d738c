package store

import (
	"context"
	"encoding/json"
	"time"
)

// A Delivery is one event on its way to one webhook.
type Delivery struct {
	ID        string // the same at every try, so that receivers know a repetition
	Env       string
	Webhook   string
	Event     string
	Body      string
	Attempts  []Attempt
	Tries     int
	NextAt    time.Time // zero: finished
	CreatedAt time.Time

	version int64
}

// An Attempt is one try of a delivery, for the history that administrators see.
type Attempt struct {
	Start  time.Time `json:"start_time"`
	End    time.Time `json:"end_time"`
	Status int       `json:"status"` // 0: no answer
	Error  string    `json:"error,omitempty"`
}

// AddDelivery queues an event for a webhook of the environment, to be delivered at once;
// ErrNotFound.
func (tx *Tx) AddDelivery(ctx context.Context, env, webhook, event, body string) error {
	now := Millis(tx.Now())
	return tx.Must(ctx, `INSERT INTO webhook_deliveries (id, env, webhook, event, body, next_at, created_at)
		SELECT $1, env, id, $4, $5, $6, $7 FROM webhooks WHERE env = $2 AND id = $3`, NewID(), env, webhook, event, body, now, now)
}

const deliveryColumns = `SELECT id, env, webhook, event, body, attempts, tries, next_at, created_at, version FROM webhook_deliveries `

// ClaimDeliveries takes at most n deliveries that are due for this node until then: no
// other node tries them meanwhile, unless this one dies and the claim lapses.
func (tx *Tx) ClaimDeliveries(ctx context.Context, n int, until time.Time) ([]Delivery, error) {
	due, err := All(ctx, tx, scanDelivery, deliveryColumns+`WHERE next_at > 0 AND next_at <= $1 AND claimed_until <= $1 ORDER BY next_at, id LIMIT $2`,
		Millis(tx.Now()), n)
	if err != nil {
		return nil, err
	}
	for i := range due {
		d := &due[i]
		err := tx.Swap(ctx, `UPDATE webhook_deliveries SET claimed_until = $3, version = version + 1 WHERE id = $1 AND version = $2`,
			d.ID, d.version, Millis(until))
		if err != nil {
			return nil, err
		}
		d.version++
	}
	return due, nil
}

// FinishTry records what a try of a claimed delivery came to: next is when to try
// again, zero for never. ErrConflict if the claim lapsed and another node took it.
func (tx *Tx) FinishTry(ctx context.Context, d Delivery, a Attempt, next time.Time) error {
	attempts, err := json.Marshal(append(d.Attempts, a))
	if err != nil {
		return err
	}
	return tx.Swap(ctx, `UPDATE webhook_deliveries SET attempts = $3, tries = tries + 1, next_at = $4, claimed_until = 0, version = version + 1
		WHERE id = $1 AND version = $2`, d.ID, d.version, string(attempts), Millis(next))
}

// Deliveries lists the latest deliveries of an environment, the newest first.
func (tx *Tx) Deliveries(ctx context.Context, env string, n int) ([]Delivery, error) {
	return All(ctx, tx, scanDelivery, deliveryColumns+`WHERE env = $1 ORDER BY created_at DESC, id LIMIT $2`, env, n)
}

// PurgeDeliveries deletes what is finished and older than before.
func (tx *Tx) PurgeDeliveries(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM webhook_deliveries WHERE next_at = 0 AND created_at < $1`, Millis(before))
	return err
}

func scanDelivery(scan Scan) (Delivery, error) {
	var d Delivery
	var attempts string
	var next, created int64
	if err := scan(&d.ID, &d.Env, &d.Webhook, &d.Event, &d.Body, &attempts, &d.Tries, &next, &created, &d.version); err != nil {
		return d, err
	}
	d.NextAt, d.CreatedAt = Time(next), Time(created)
	return d, json.Unmarshal([]byte(attempts), &d.Attempts)
}
