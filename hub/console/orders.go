package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

// Orders keeps account operations that wait for another administrator. Errors are those of
// package operation.
type Orders interface {
	Orders(ctx context.Context, env string) ([]operation.WaitingOrder, error)
	Order(ctx context.Context, env, id string) (operation.WaitingOrder, error)
	ForeseeOrder(ctx context.Context, w operation.WaitingOrder, by operation.Second) (operation.ActResult, error)
	Agree(ctx context.Context, w operation.WaitingOrder, by operation.Second) (operation.ActResult, error)
	Deny(ctx context.Context, w operation.WaitingOrder, by operation.Second) error
}

// Addresses: what waits, and one order by environment and id.
const (
	ordersPath = root + "/orders"
	orderPath  = ordersPath + "/{env}/{id}"
)

// ordersPage lists what waits, or asks for the passkey over one.
type ordersPage struct {
	Queues []orderQueue
	Order  *operation.WaitingOrder
	Seen   *operation.ActResult // what would change now, or what became of it
	Wrong  string
}

// orderQueue is what waits in one environment.
type orderQueue struct {
	Env, Name string
	Orders    []waitingOrder
}

// A waitingOrder is one of them, with words for its operation and who gave it.
type waitingOrder struct {
	operation.WaitingOrder
	What, By string
}

func (v *visit) second() operation.Second { return operation.Second{Staff: v.member, Role: v.role} }

func (v *visit) orders() { v.showOrders(http.StatusOK, &ordersPage{}) }

// showOrders lists what waits in every environment below what p says.
func (v *visit) showOrders(status int, p *ordersPage) {
	ctx, cancel := v.context()
	defer cancel()
	envs, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) ([]store.Environment, error) { return v.environments(ctx, tx) })
	for _, e := range envs {
		list, listErr := v.console.cfg.Orders.Orders(ctx, e.ID)
		err = errors.Join(err, listErr)
		q := orderQueue{Env: e.ID, Name: e.Name}
		for _, w := range list {
			q.Orders = append(q.Orders, waitingOrder{w, v.words.T("change.op." + string(w.Task.Operation)), v.nameOfStaff(ctx, w)})
		}
		if len(q.Orders) > 0 {
			p.Queues = append(p.Queues, q)
		}
	}
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title, s.SignedIn, s.Orders = s.T("orders.title"), true, p
	v.show(status, "orders", s)
}

// nameOfStaff is the name of who gave an order; of one by a key, of whose that is.
func (v *visit) nameOfStaff(ctx context.Context, w operation.WaitingOrder) string {
	for _, id := range w.People {
		who, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (store.Staff, error) { return tx.Staff(ctx, v.org, id) })
		if err == nil {
			return who.Name
		}
	}
	return v.words.T("orders.program")
}

// ordering reads the order that the page is about, and reports whether whoever is signed
// in may decide about any.
func (v *visit) ordering(ctx context.Context) (w operation.WaitingOrder, ok bool) {
	if !v.mayChange() {
		return w, false
	}
	env, id, err := v.named(ctx)
	if err == nil {
		w, err = v.console.cfg.Orders.Order(ctx, env, id)
	}
	if err != nil {
		v.notAgreed(err)
		return w, false
	}
	return w, true
}

// notAgreed says above the list why nothing was done.
func (v *visit) notAgreed(err error) {
	words, status, known := whyNotChanged(err)
	switch {
	case errors.Is(err, operation.ErrSame):
		words, status, known = "orders.error.same", http.StatusForbidden, true
	case errors.Is(err, operation.ErrGone):
		words, status, known = "orders.error.gone", http.StatusConflict, true
	}
	if !known {
		v.fail(err)
		return
	}
	v.showOrders(status, &ordersPage{Wrong: words})
}

// agree shows what an order would change now, and asks for the passkey over it.
func (v *visit) agree() {
	ctx, cancel := v.context()
	defer cancel()
	w, ok := v.ordering(ctx)
	if !ok {
		return
	}
	r, err := v.console.cfg.Orders.ForeseeOrder(ctx, w, v.second())
	switch {
	case err != nil:
		v.notAgreed(err)
	case r.Refusal != nil:
		v.showOrders(http.StatusConflict, &ordersPage{Seen: &r})
	default:
		v.askAgreement(ctx, http.StatusOK, w, &r, false)
	}
}

// aboutOrder is what a passkey signs: exactly the order, whose operation bears the hash of
// values.
func aboutOrder(w operation.WaitingOrder) []byte {
	b, _ := json.Marshal(map[string]any{"kind": "agree", "env": w.Env, "order": w.ID, "account": w.Person, "operation": w.Operation}) // strings only
	return b
}

func (v *visit) askAgreement(ctx context.Context, status int, w operation.WaitingOrder, seen *operation.ActResult, failed bool) {
	state, ask, err := v.console.cfg.Members.Ask(ctx, v.place(), v.org, v.member.ID, aboutOrder(w))
	if err != nil {
		v.fail(err)
		return
	}
	v.host.SetCookie(v.w, signInCookie, state, ceremonyLife, http.SameSiteStrictMode)
	s := v.screen()
	s.Title, s.SignedIn, s.Orders = s.T("change.confirm"), true, &ordersPage{Order: &w, Seen: seen}
	s.Keys = &keys{Ask: ask, Post: v.address(ordersPath + "/" + w.Env + "/" + w.ID + "/confirm"), Button: s.T("orders.agree.button"), Failed: failed, Script: v.console.files.Path("key.js")}
	page.Allow(v.w.Header(), "publickey-credentials-get")
	v.show(status, "orderkey", s)
}

// confirmAgreement takes the passkey's answer and has the order carried out.
func (v *visit) confirmAgreement() {
	ctx, cancel := v.context()
	defer cancel()
	w, ok := v.ordering(ctx)
	if !ok {
		return
	}
	err := v.console.cfg.Members.Confirm(ctx, v.place(), v.org, v.member.ID, v.host.Cookie(v.r, signInCookie), aboutOrder(w), []byte(v.field("answer")))
	if errors.Is(err, staff.ErrKey) || errors.Is(err, staff.ErrGone) {
		v.askAgreement(ctx, http.StatusForbidden, w, nil, true)
		return
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.host.DropCookie(v.w, signInCookie)
	r, err := v.console.cfg.Orders.Agree(ctx, w, v.second())
	if err != nil {
		v.notAgreed(err)
		return
	}
	v.showOrders(http.StatusOK, &ordersPage{Seen: &r})
}

// deny ends an order. It needs no passkey: it changes no account.
func (v *visit) deny() {
	ctx, cancel := v.context()
	defer cancel()
	w, ok := v.ordering(ctx)
	if !ok {
		return
	}
	if err := v.console.cfg.Orders.Deny(ctx, w, v.second()); err != nil {
		v.notAgreed(err)
		return
	}
	v.see(ordersPath)
}

// Outcome is the word for what became of an order.
func (p *ordersPage) Outcome() string { return (&changePage{Seen: p.Seen}).Outcome() }

// Why is the reason for it.
func (p *ordersPage) Why() string { return (&changePage{Seen: p.Seen}).Why() }

// Done reports whether it happened.
func (p *ordersPage) Done() bool { return (&changePage{Seen: p.Seen}).Done() }
