package operation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Orders that need two administrators: the agent's own file says which. The first one's
// order waits in the database, and nothing is begun; who agrees has it ordered anew, with
// both named in the log's entry that the agent acts on. The agent cannot tell who they
// are: a hub that is not to be trusted is bounded by the guard alone.

// orderLife is how long an order waits for a colleague.
const orderLife = 24 * time.Hour

// Waiting is the state of an order that needs another administrator.
const Waiting = "waiting"

// Refusals of a decision about an order. Nothing was changed.
var (
	ErrSame  = errors.New("operation: another person must agree than stands behind the order, and than it is about")
	ErrGone  = errors.New("operation: the order was decided, or waited too long")
	errOrder = errors.New("operation: an order that waits cannot be read")
)

// orderBody is what is sealed of an order.
type orderBody struct {
	Actor  audit.Principal           `json:"actor"`
	Origin string                    `json:"origin"`
	Trace  string                    `json:"trace"`
	Values *protocol.AttributeValues `json:"values,omitempty"`
}

// A WaitingOrder is one that waits for another administrator.
type WaitingOrder struct {
	store.ActOrder
	Account store.Account
	Task    protocol.Task
	Actor   audit.Principal // who asked
	Changes []protocol.Difference
	Values  []string // of set_attribute; for whoever is to agree, and nobody else
}

// wait keeps an order for another administrator.
func (o *Operations) wait(ctx context.Context, q ActOrder, act store.Act, b protocol.Begun) (ActResult, error) {
	now := o.Now()
	order := store.ActOrder{Env: act.Env, ID: store.NewID(), Directory: act.Directory, Person: act.Person, Operation: act.Operation, People: q.People,
		Body: []byte(store.JSON(orderBody{q.Actor, q.Origin, q.Trace, q.Values})), Changes: store.JSON(b.Changes), Created: now, Ends: now.Add(orderLife)}
	err := o.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.AddActOrder(ctx, order), audit.Append(ctx, tx, orderEvent(order, audit.OperationWaiting, q.Actor)))
	})
	return ActResult{ID: order.ID, State: Waiting, Changes: b.Changes, Trial: b.Evaluation}, err
}

func orderEvent(order store.ActOrder, kind audit.Kind, who audit.Principal) audit.Event {
	return audit.Event{Env: order.Env, Kind: kind, Account: order.Person, Trace: order.ID, Actor: who,
		Detail: map[string]any{"operation": order.Operation, "directory": order.Directory, "order": order.ID}}
}

// Orders lists what waits in an environment.
func (o *Operations) Orders(ctx context.Context, env string) ([]WaitingOrder, error) {
	return store.Get(ctx, o.Store, func(tx *store.Tx) (list []WaitingOrder, err error) {
		rows, err := tx.ActOrders(ctx, env)
		for _, row := range rows {
			w, problem := readOrder(ctx, tx, row)
			if errors.Is(problem, store.ErrNotFound) { // the account went
				continue
			}
			list, err = append(list, w), errors.Join(err, problem)
		}
		return list, err
	})
}

// Order returns one that waits; ErrGone if it does no more.
func (o *Operations) Order(ctx context.Context, env, id string) (WaitingOrder, error) {
	w, err := store.Get(ctx, o.Store, func(tx *store.Tx) (WaitingOrder, error) {
		row, err := tx.ActOrder(ctx, env, id)
		if err != nil {
			return WaitingOrder{}, err
		}
		return readOrder(ctx, tx, row)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrGone
	}
	return w, err
}

func readOrder(ctx context.Context, tx *store.Tx, row store.ActOrder) (WaitingOrder, error) {
	w := WaitingOrder{ActOrder: row}
	tasks, err := protocol.ParseTasks(row.Operation)
	if err != nil || len(tasks) != 1 {
		return w, errors.Join(errOrder, err)
	}
	w.Task = tasks[0]
	body, err := w.body()
	if err != nil {
		return w, err
	}
	if w.Actor = body.Actor; body.Values != nil {
		w.Values = body.Values.Values
	}
	if err := json.Unmarshal([]byte(row.Changes), &w.Changes); err != nil {
		return w, errors.Join(errOrder, err)
	}
	w.Account, err = tx.Account(ctx, row.Env, row.Person)
	return w, err
}

func (w WaitingOrder) body() (b orderBody, err error) {
	if err = json.Unmarshal(w.Body, &b); err != nil {
		err = errors.Join(errOrder, err)
	}
	return b, err
}

// ordered is the order as it was given.
func (w WaitingOrder) ordered() (ActOrder, error) {
	b, err := w.body()
	return ActOrder{Account: w.Account, Task: w.Task, Values: b.Values, Origin: b.Origin, Actor: b.Actor, People: w.People, Trace: b.Trace}, err
}

// A Second is the person of the staff who decides about somebody else's order.
type Second struct {
	store.Staff
	Role string // as they are signed in
}

func (s Second) principal() audit.Principal {
	return audit.Principal{Role: s.Role, OrgMember: s.ID}
}

// ForeseeOrder says what an order that waits would change now. Errors are those of
// ForeseeAct, ErrSame and ErrGone.
func (o *Operations) ForeseeOrder(ctx context.Context, w WaitingOrder, by Second) (ActResult, error) {
	if err := o.mayAgree(ctx, w, by); err != nil {
		return ActResult{}, err
	}
	q, err := w.ordered()
	if err != nil {
		return ActResult{}, err
	}
	return o.ForeseeAct(ctx, q)
}

// Agree has an order carried out that somebody else gave, once. Errors are those of Act,
// ErrSame and ErrGone.
func (o *Operations) Agree(ctx context.Context, w WaitingOrder, by Second) (ActResult, error) {
	if err := o.mayAgree(ctx, w, by); err != nil {
		return ActResult{}, err
	}
	q, err := w.ordered()
	if err != nil {
		return ActResult{}, err
	}
	q.agreed = &agreement{w.ActOrder, by}
	r, err := o.Act(ctx, q)
	if errors.Is(err, store.ErrConflict) {
		err = ErrGone
	}
	return r, err
}

// an agreement is a second administrator's word for an order.
type agreement struct {
	order store.ActOrder
	by    Second
}

// given uses the order up and writes down who agreed, in the transaction that orders.
func (a *agreement) given(ctx context.Context, tx *store.Tx) error {
	return errors.Join(tx.EndActOrder(ctx, a.order.Env, a.order.ID, store.OrderAgreed),
		audit.Append(ctx, tx, orderEvent(a.order, audit.OperationAgreed, a.by.principal())))
}

// mayAgree refuses whoever is of other environments, for whom there is no such order,
// whoever stands behind it, whoever it is about, and whoever may not order it themselves.
func (o *Operations) mayAgree(ctx context.Context, w WaitingOrder, by Second) error {
	if by.ID != "" && !by.Reaches(w.Env) {
		return store.ErrNotFound
	}
	if by.ID == "" || slices.Contains(w.People, by.ID) || by.Is(w.Account.Directory, w.Account.ImmutableID, w.Account.Identifiers) {
		return ErrSame
	}
	if err := o.mayOrder(ctx, ActOrder{Account: w.Account, Task: w.Task, Actor: by.principal()}); err != nil {
		return err
	}
	return o.Store.Read(ctx, func(tx *store.Tx) error {
		if stands, err := w.stands(ctx, tx, by.Org); err != nil || !stands {
			return cmp.Or(err, ErrGone)
		}
		for _, id := range w.People {
			who, err := tx.Staff(ctx, by.Org, id)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil || by.Is(who.Directory, who.Account, []string{who.Mail}) { // persons are counted, not rows (T7)
				return errors.Join(ErrSame, err)
			}
		}
		return nil
	})
}

// stands reports whether whoever gave the order might give it still: two administrators are
// two who are there (T18). Who was removed, suspended or limited since ordered nothing, nor
// did a key that was removed, switched off or limited.
func (w WaitingOrder) stands(ctx context.Context, tx *store.Tx, org string) (ok bool, err error) {
	switch {
	case w.Actor.OrgMember != "":
		var who store.Staff
		who, err = tx.Staff(ctx, org, w.Actor.OrgMember)
		ok = store.AtLeast(who.Role, store.RoleAdmin) && who.DecidesIn(w.Env, tx.Now())
	case w.Actor.APIKey != "":
		var key store.APIKey
		key, err = tx.APIKey(ctx, org, w.Actor.APIKey)
		ok = store.AtLeast(key.Role, store.RoleAdmin) && key.Enabled && key.Admits(w.Env)
	default:
		ok = true
	}
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return ok, err
}

// lapseOrders writes down of orders that nobody agreed to in time that they ran out, each
// once: whichever hub comes first.
func (o *Operations) lapseOrders(ctx context.Context) {
	lapsed, err := store.Get(ctx, o.Store, func(tx *store.Tx) ([]store.ActOrder, error) { return tx.LapsedActOrders(ctx, actsAtOnce) })
	if err != nil { // the store is away
		return
	}
	for _, order := range lapsed {
		err := o.Store.Tx(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.LapseActOrder(ctx, order.Env, order.ID), audit.Append(ctx, tx, orderEvent(order, audit.OperationExpired, audit.Principal{System: "schedule"})))
		})
		if err != nil && !errors.Is(err, store.ErrConflict) && ctx.Err() == nil {
			o.Log.WarnContext(ctx, "an order that ran out could not be written down; tried again", "order", order.ID, "error", err)
		}
	}
}

// A PastOrder is an account operation that was asked for: one that was sent or may be, or
// one that waits for another administrator, or did.
type PastOrder struct {
	store.Act
	Ends time.Time // when it ends if nobody agrees, or if it cannot be sent; zero: it does not wait
}

// Past lists what was asked of an account in the last 90 days, by its row id, newest first.
// What waits for another administrator is among it, and what nobody agreed to.
func Past(ctx context.Context, tx *store.Tx, env, person string) ([]PastOrder, error) {
	acts, err := tx.ActsOf(ctx, env, person)
	if err != nil {
		return nil, err
	}
	orders, err := tx.ActOrdersOf(ctx, env, person)
	var all []PastOrder
	for _, a := range acts {
		p := PastOrder{Act: a}
		if a.State == recovery.Cleared {
			p.Ends = a.Due
		}
		all = append(all, p)
	}
	for _, w := range orders {
		p := PastOrder{Act: store.Act{Env: w.Env, ID: w.ID, Directory: w.Directory, Person: w.Person, Operation: w.Operation, State: w.State, Changes: w.Changes, Created: w.Created}}
		if w.State == Waiting {
			p.Ends = w.Ends
		}
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b PastOrder) int { return b.Created.Compare(a.Created) })
	return all, err
}

// Deny ends an order that waits; whoever gave it may take it back so too.
func (o *Operations) Deny(ctx context.Context, w WaitingOrder, by Second) error {
	if by.ID != "" && !by.Reaches(w.Env) {
		return store.ErrNotFound
	}
	err := o.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.EndActOrder(ctx, w.Env, w.ID, store.OrderDenied), audit.Append(ctx, tx, orderEvent(w.ActOrder, audit.OperationDenied, by.principal())))
	})
	if errors.Is(err, store.ErrConflict) {
		err = ErrGone
	}
	return err
}
