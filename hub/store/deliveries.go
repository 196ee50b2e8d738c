package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// A Delivery is one event on its way to one webhook.
type Delivery struct {
	ID        string // the same at every try, so that receivers know a repetition
	Env       string
	Webhook   string
	Event     string
	Person    string // whom it tells of, by the name that the audit log uses; "": nobody
	Trace     string // the request or recovery that it tells of; "": none
	Body      string // "" once the person was erased
	Header    []Header
	Attempts  []Attempt
	Status    int // of the last answer; 0: none
	Tries     int
	NextAt    time.Time // zero: finished
	CreatedAt time.Time
	Erased    bool  // with the person
	Err       error // why Body, Header and earlier Attempts do not open; ErrMasterKey: this node lacks their key. Nil: they do

	version int64
}

// A DeliveryState says how far a delivery has come.
type DeliveryState string

// The states.
const (
	DeliveryWaiting   DeliveryState = "waiting"   // for its first try, or for its first one after a replay
	DeliveryRetrying  DeliveryState = "retrying"  // tried, and to be tried again
	DeliveryDelivered DeliveryState = "delivered" // the receiver took it
	DeliveryFailed    DeliveryState = "failed"    // given up
	DeliveryErased    DeliveryState = "erased"    // with the person whom it told of
)

// DeliveryStates lists the states in the order of a delivery's life.
var DeliveryStates = []DeliveryState{DeliveryWaiting, DeliveryRetrying, DeliveryDelivered, DeliveryFailed, DeliveryErased}

// deliveryStates are the states as conditions; no state takes every delivery. They say the
// same as State.
var deliveryStates = map[DeliveryState]string{
	"":                `1 = 1`,
	DeliveryWaiting:   `d.erased = 0 AND d.next_at > 0 AND d.tries = 0`,
	DeliveryRetrying:  `d.erased = 0 AND d.next_at > 0 AND d.tries > 0`,
	DeliveryDelivered: `d.erased = 0 AND d.next_at = 0 AND d.status > 0 AND d.status < 300`,
	DeliveryFailed:    `d.erased = 0 AND d.next_at = 0 AND (d.status = 0 OR d.status >= 300)`,
	DeliveryErased:    `d.erased = 1`,
}

// State returns how far the delivery has come.
func (d Delivery) State() DeliveryState {
	switch {
	case d.Erased:
		return DeliveryErased
	case !d.NextAt.IsZero() && d.Tries == 0:
		return DeliveryWaiting
	case !d.NextAt.IsZero():
		return DeliveryRetrying
	case d.Status > 0 && d.Status < 300:
		return DeliveryDelivered
	}
	return DeliveryFailed
}

// A DeliveryFilter narrows a list of deliveries; the zero value takes all.
type DeliveryFilter struct {
	Event, Webhook string
	State          DeliveryState
}

// A Header is one line of a request or an answer, in the spelling of the public API.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// An Attempt is one try of a delivery, for the history that administrators see, in the
// spelling of the public API. Header and Body are those of the answer, cut.
type Attempt struct {
	Start  time.Time `json:"start_time"`
	End    time.Time `json:"end_time"`
	Status int       `json:"status"` // 0: no answer
	Header []Header  `json:"header"`
	Body   string    `json:"body"`
	Error  string    `json:"error,omitempty"`
}

// A Try is what came of one try.
type Try struct {
	Header  []Header // of the request, without secrets
	Attempt Attempt
	Next    time.Time // when to try again; zero: never
}

// delivered is what of a delivery is sealed.
type delivered struct {
	Body     string    `json:"body"`
	Header   []Header  `json:"header,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
}

func deliveryCell(env, id string) Cell {
	return Cell{Env: env, Table: "webhook_deliveries", Column: "content", Row: id}
}

func (tx *Tx) sealDelivery(d Delivery) (string, error) {
	return tx.Seal(deliveryCell(d.Env, d.ID), []byte(JSON(delivered{d.Body, d.Header, d.Attempts})))
}

// AddDelivery queues an event for a webhook of its environment, to be delivered at once
// but after those before it that tell of the same person or trace; ErrNotFound. It makes
// the id.
func (tx *Tx) AddDelivery(ctx context.Context, d Delivery) error {
	d.ID, d.Attempts, d.Header = NewID(), nil, nil
	d.NextAt = tx.Now()
	return tx.insertDelivery(ctx, d)
}

// AddDelivered writes down what was asked at once, outside of the outbox; ErrNotFound.
func (tx *Tx) AddDelivered(ctx context.Context, d Delivery, t Try) error {
	d.Header, d.Attempts, d.Status, d.Tries, d.NextAt = t.Header, []Attempt{t.Attempt}, t.Attempt.Status, 1, time.Time{}
	return tx.insertDelivery(ctx, d)
}

func (tx *Tx) insertDelivery(ctx context.Context, d Delivery) error {
	sealed, err := tx.sealDelivery(d)
	if err != nil {
		return err
	}
	return tx.Must(ctx, `INSERT INTO webhook_deliveries (id, env, webhook, event, body, content, person, trace, ord, status, tries, next_at, created_at)
		SELECT $1, env, id, $4, '', $5, $6, $7, $8, $9, $10, $11, $12 FROM webhooks WHERE env = $2 AND id = $3`,
		d.ID, d.Env, d.Webhook, d.Event, sealed, d.Person, d.Trace, tx.order(), d.Status, d.Tries, Millis(d.NextAt), Millis(tx.Now()))
}

// order returns a number that is greater than those before it: the clock's nanoseconds,
// so that it holds over nodes as far as their clocks agree.
func (tx *Tx) order() int64 {
	for {
		last := tx.s.ordered.Load()
		next := max(tx.Now().UnixNano(), last+1)
		if tx.s.ordered.CompareAndSwap(last, next) {
			return next
		}
	}
}

const deliveryColumns = `SELECT d.id, d.env, d.webhook, d.event, d.body, d.attempts, d.content, d.person, d.trace, d.status, d.tries, d.next_at, d.created_at, d.erased, d.version
	FROM webhook_deliveries d `

// isDue is the condition of a delivery that nobody is trying and whose time has come.
const isDue = `d.next_at > 0 AND d.next_at <= $1 AND d.claimed_until <= $1`

// DueWebhooks lists webhooks that something is due for.
func (tx *Tx) DueWebhooks(ctx context.Context) ([]string, error) {
	return All(ctx, tx, Text, `SELECT id FROM webhooks WHERE EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook = webhooks.id AND `+isDue+`)`, Millis(tx.Now()))
}

// DueDeliveries lists at most n deliveries that are due for a webhook. One that tells of
// the same person or trace as an earlier one waits until that is finished. One that does
// not open is among them with its Err: FinishTry says so, and it holds up none of the others.
func (tx *Tx) DueDeliveries(ctx context.Context, webhook string, n int) ([]Delivery, error) {
	return All(ctx, tx, tx.scanDelivery, deliveryColumns+`WHERE d.webhook = $2 AND `+isDue+`
		AND (d.person = '' OR NOT EXISTS (SELECT 1 FROM webhook_deliveries e WHERE e.webhook = d.webhook AND e.person = d.person AND e.next_at > 0 AND e.ord < d.ord))
		AND (d.trace = '' OR NOT EXISTS (SELECT 1 FROM webhook_deliveries e WHERE e.webhook = d.webhook AND e.trace = d.trace AND e.next_at > 0 AND e.ord < d.ord))
		ORDER BY d.next_at, d.ord LIMIT $3`, Millis(tx.Now()), webhook, n)
}

// ClaimDeliveries takes those of the deliveries for this node until then that no other
// node took: no other node tries them meanwhile, unless this one dies and the claim
// lapses.
func (tx *Tx) ClaimDeliveries(ctx context.Context, due []Delivery, until time.Time) ([]Delivery, error) {
	var got []Delivery
	for _, d := range due {
		n, err := tx.Exec(ctx, `UPDATE webhook_deliveries SET claimed_until = $3, version = version + 1 WHERE id = $1 AND version = $2`,
			d.ID, d.version, Millis(until))
		if err != nil {
			return nil, err
		}
		if n == 1 {
			d.version++
			got = append(got, d)
		}
	}
	return got, nil
}

// FinishTry records what a try of a claimed delivery came to. ErrConflict if the claim
// lapsed and another node took it, or if the person was erased meanwhile.
func (tx *Tx) FinishTry(ctx context.Context, d Delivery, t Try) error {
	d.Header, d.Attempts = t.Header, append(d.Attempts[:len(d.Attempts):len(d.Attempts)], t.Attempt)
	if over := len(d.Attempts) - maxAttempts; over > 0 {
		d.Attempts = d.Attempts[over:]
	}
	if d.Err != nil {
		return tx.finishUnread(ctx, d, t)
	}
	sealed, err := tx.sealDelivery(d)
	if err != nil {
		return err
	}
	return tx.Swap(ctx, `UPDATE webhook_deliveries SET body = '', attempts = '[]', content = $3, status = $4, tries = tries + 1, next_at = $5, claimed_until = 0, version = version + 1
		WHERE id = $1 AND version = $2`, d.ID, d.version, sealed, t.Attempt.Status, Millis(t.Next))
}

// finishUnread records what a try of a delivery came to whose content does not open. That
// stays as it is, for a key may come back; what was tried stands beside it until it opens.
func (tx *Tx) finishUnread(ctx context.Context, d Delivery, t Try) error {
	return tx.Swap(ctx, `UPDATE webhook_deliveries SET attempts = $3, status = $4, tries = tries + 1, next_at = $5, claimed_until = 0, version = version + 1
		WHERE id = $1 AND version = $2`, d.ID, d.version, JSON(d.Attempts), t.Attempt.Status, Millis(t.Next))
}

// maxAttempts is how many tries of one delivery are remembered, those of replays
// included.
const maxAttempts = 30

// MaxDeliveries is the longest list of deliveries.
const MaxDeliveries = 200

// Deliveries lists at most n deliveries of an environment that a filter takes, after the
// first skip, the newest first.
func (tx *Tx) Deliveries(ctx context.Context, env string, f DeliveryFilter, skip, n int) ([]Delivery, error) {
	where, ok := deliveryStates[f.State]
	if !ok {
		return nil, nil
	}
	return All(ctx, tx, tx.scanDelivery, deliveryColumns+`WHERE d.env = $1 AND ($4 = '' OR d.event = $4) AND ($5 = '' OR d.webhook = $5) AND `+where+`
		ORDER BY d.created_at DESC, d.ord DESC, d.id LIMIT $2 OFFSET $3`, env, min(n, MaxDeliveries), skip, f.Event, f.Webhook)
}

// Delivery returns one delivery.
func (tx *Tx) Delivery(ctx context.Context, env, id string) (Delivery, error) {
	return One(ctx, tx, tx.scanDelivery, deliveryColumns+`WHERE d.env = $1 AND d.id = $2`, env, id)
}

// ReplayDelivery queues a finished delivery again, after those that wait already, with
// its id and all its tries; ErrConflict if it is not finished or was erased.
func (tx *Tx) ReplayDelivery(ctx context.Context, env, id string) error {
	return tx.Swap(ctx, `UPDATE webhook_deliveries SET next_at = $3, ord = $4, tries = 0, claimed_until = 0, version = version + 1
		WHERE env = $1 AND id = $2 AND next_at = 0 AND erased = 0`, env, id, Millis(tx.Now()), tx.order())
}

// eraseDeliveries forgets what deliveries say of a person, and ends those that wait.
func (tx *Tx) eraseDeliveries(ctx context.Context, env, person string) error {
	_, err := tx.Exec(ctx, `UPDATE webhook_deliveries SET body = '', attempts = '[]', content = '', next_at = 0, erased = 1, version = version + 1
		WHERE env = $1 AND person = $2 AND person <> ''`, env, person)
	return err
}

// PurgeDeliveries deletes what is finished and older than before.
func (tx *Tx) PurgeDeliveries(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM webhook_deliveries WHERE next_at = 0 AND created_at < $1`, Millis(before))
	return err
}

func (tx *Tx) scanDelivery(scan Scan) (Delivery, error) {
	var d Delivery
	var attempts, sealed string
	var next, created, erased int64
	if err := scan(&d.ID, &d.Env, &d.Webhook, &d.Event, &d.Body, &attempts, &sealed, &d.Person, &d.Trace, &d.Status, &d.Tries, &next, &created, &erased, &d.version); err != nil {
		return d, err
	}
	d.NextAt, d.CreatedAt, d.Erased = Time(next), Time(created), erased != 0
	d.Err = json.Unmarshal([]byte(attempts), &d.Attempts)
	if sealed != "" { // else erased, or queued before contents were sealed
		d.Err = errors.Join(d.Err, tx.openDelivery(&d, sealed))
	}
	return d, nil
}

// openDelivery reads what is sealed of a delivery. Tries from when that did not open come
// after it.
func (tx *Tx) openDelivery(d *Delivery, sealed string) error {
	plain, err := tx.Unseal(deliveryCell(d.Env, d.ID), sealed)
	if err != nil {
		return err
	}
	var c delivered
	err = json.Unmarshal(plain, &c)
	d.Body, d.Header, d.Attempts = c.Body, c.Header, append(c.Attempts, d.Attempts...)
	return err
}
