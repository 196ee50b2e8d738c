package store

import (
	"context"
	"errors"
	"time"
)

// An ActOrder is an account operation that waits for another administrator to agree.
type ActOrder struct {
	Env, ID   string
	Directory string
	Person    string   // row id of the account
	Operation string   // canonical
	People    []string // staff who stand behind the order
	Body      []byte   // sealed; nil once it ended
	Changes   string   // JSON of []protocol.Difference
	State     string
	Created   time.Time
	Ends      time.Time
}

// States of an order. One that waits longer than Ends is nobody's any more.
const (
	OrderWaiting = "waiting"
	OrderAgreed  = "agreed"
	OrderDenied  = "denied"
	OrderExpired = "expired"
)

const (
	orderColumns     = "env, id, directory, person, operation, people, body, changes, state, created_at, ends_at"
	bareOrderColumns = "env, id, directory, person, operation, people, '', changes, state, created_at, ends_at"
)

func orderCell(env, id string) Cell {
	return Cell{Env: env, Table: "act_orders", Column: "body", Row: id}
}

// AddActOrder writes an order that waits.
func (tx *Tx) AddActOrder(ctx context.Context, o ActOrder) error {
	body, err := tx.Seal(orderCell(o.Env, o.ID), o.Body)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO act_orders ("+orderColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", o.Env, o.ID, o.Directory, o.Person, o.Operation,
		JSON(o.People), body, o.Changes, OrderWaiting, Millis(o.Created), Millis(o.Ends))
	return err
}

func (tx *Tx) scanOrder(scan Scan) (o ActOrder, err error) {
	var people, body string
	var created, ends int64
	if err = scan(&o.Env, &o.ID, &o.Directory, &o.Person, &o.Operation, &people, &body, &o.Changes, &o.State, &created, &ends); err != nil {
		return o, err
	}
	o.Created, o.Ends = Time(created), Time(ends)
	if err = ParseJSON(people, &o.People); err == nil && body != "" {
		o.Body, err = tx.Unseal(orderCell(o.Env, o.ID), body)
	}
	return o, err
}

// ActOrder returns an order that still waits; else ErrNotFound.
func (tx *Tx) ActOrder(ctx context.Context, env, id string) (ActOrder, error) {
	return One(ctx, tx, tx.scanOrder, "SELECT "+orderColumns+" FROM act_orders WHERE env = $1 AND id = $2 AND state = 'waiting' AND ends_at > $3", env, id, Millis(tx.Now()))
}

// ActOrders lists the orders of an environment that wait, the oldest first.
func (tx *Tx) ActOrders(ctx context.Context, env string) ([]ActOrder, error) {
	return All(ctx, tx, tx.scanOrder, "SELECT "+orderColumns+" FROM act_orders WHERE env = $1 AND state = 'waiting' AND ends_at > $2 ORDER BY created_at, id LIMIT $3", env, Millis(tx.Now()), maxActs)
}

// EndActOrder decides an order that still waits, once, and forgets its body; else
// ErrConflict.
func (tx *Tx) EndActOrder(ctx context.Context, env, id, state string) error {
	return tx.Swap(ctx, "UPDATE act_orders SET state = $4, body = '' WHERE env = $1 AND id = $2 AND state = 'waiting' AND ends_at > $3", env, id, Millis(tx.Now()), state)
}

// ActOrdersOf lists the orders of an account, by its row id, that nobody agreed to, newest
// first and without their bodies. One that ran out is expired, whether that was written
// down or not.
func (tx *Tx) ActOrdersOf(ctx context.Context, env, person string) ([]ActOrder, error) {
	now := Millis(tx.Now())
	return All(ctx, tx, func(scan Scan) (ActOrder, error) {
		o, err := tx.scanOrder(scan)
		if o.State == OrderWaiting && Millis(o.Ends) <= now {
			o.State = OrderExpired
		}
		return o, err
	}, "SELECT "+bareOrderColumns+" FROM act_orders WHERE env = $1 AND person = $2 AND state <> 'agreed' ORDER BY created_at DESC, id LIMIT $3", env, person, maxActs)
}

// LapsedActOrders lists at most n orders that ran out while they waited, of all
// environments, without their bodies.
func (tx *Tx) LapsedActOrders(ctx context.Context, n int) ([]ActOrder, error) {
	return All(ctx, tx, tx.scanOrder, "SELECT "+bareOrderColumns+" FROM act_orders WHERE state = 'waiting' AND ends_at <= $1 ORDER BY ends_at, id LIMIT $2", Millis(tx.Now()), n)
}

// LapseActOrder says of an order that ran out while it waited that it did, once, and
// forgets its body; else ErrConflict.
func (tx *Tx) LapseActOrder(ctx context.Context, env, id string) error {
	return tx.Swap(ctx, "UPDATE act_orders SET state = 'expired', body = '' WHERE env = $1 AND id = $2 AND state = 'waiting' AND ends_at <= $3", env, id, Millis(tx.Now()))
}

// purgeActOrders forgets what waited too long, and later that it was there, unless that it
// ran out is yet to be told.
func (tx *Tx) purgeActOrders(ctx context.Context) error {
	_, err := tx.Exec(ctx, "UPDATE act_orders SET body = '' WHERE ends_at <= $1 AND body <> ''", Millis(tx.Now()))
	_, err2 := tx.Exec(ctx, "DELETE FROM act_orders WHERE ends_at < $1 AND state <> 'waiting'", Millis(tx.Now().Add(-keepActs)))
	return errors.Join(err, err2)
}
