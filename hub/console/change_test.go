package console

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// ordered is the way to an agent that does what is ordered, except of the group "refused",
// and that is away for the group "away".
type ordered struct {
	done, foreseen []operation.ActOrder
	waiting        *operation.WaitingOrder
	agreed         []string
}

// ForeseeAct implements Acts.
func (o *ordered) ForeseeAct(_ context.Context, q operation.ActOrder) (operation.ActResult, error) {
	o.foreseen = append(o.foreseen, q)
	switch q.Task.Params[protocol.ParamGroup] {
	case "refused":
		return operation.ActResult{Refusal: protocol.Err(protocol.CodePermissionDenied, "the group is not among guard.act_groups")}, nil
	case "away":
		return operation.ActResult{}, protocol.Err(protocol.CodeUnavailable, "")
	}
	if q.Task.Operation == protocol.SetAttribute {
		return operation.ActResult{Changes: []protocol.Difference{{What: protocol.WhatAttribute, Name: q.Task.Params[protocol.ParamAttribute], Before: "1", After: "2"}}}, nil
	}
	return operation.ActResult{Changes: []protocol.Difference{{What: protocol.WhatEnabled, Before: "true", After: "false"}}}, nil
}

// Act implements Acts.
func (o *ordered) Act(ctx context.Context, q operation.ActOrder) (operation.ActResult, error) {
	r, err := o.ForeseeAct(ctx, q)
	o.foreseen = o.foreseen[:len(o.foreseen)-1]
	o.done = append(o.done, q)
	r.ID, r.State = "1", "done"
	return r, err
}

// able says what the directory of the fixture can do.
func (g *rig) able(t protocol.Traits) {
	g.tx(func(ctx context.Context, tx *store.Tx) error { return tx.SetTraits(ctx, g.Env.ID, g.Directory.ID, t) })
}

var everyAct = protocol.Traits{CanEnable: true, CanDisable: true, CanSetMustChange: true, CanAddToGroup: true, CanRemoveFromGroup: true, CanSetAttribute: true, CanDeleteAccount: true}

// changer is somebody of a role whose word counts by now, and the page of Kim.
func (g *rig) changer(role string) (a *admin, page string, sign func() string) {
	g.t.Helper()
	kim := g.kim()
	a = g.admin()
	key := g.joined(a, g.invited(g.signedIn(), role, role+"@acme.example"))
	g.ahead(25 * time.Hour)
	a.get("/console").send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(g.t, a.body)))}}).sees(200)
	return a, "/console/change/" + g.Env.ID + "/" + kim.ID, func() string { return string(key.Assert(challenge(g.t, a.body))) }
}

func TestAnAccountIsChangedAfterADryRunAndWithAPasskeyOverExactlyThat(t *testing.T) {
	g := newRig(t)
	g.able(everyAct)
	ann, page, sign := g.changer(staff.Admin)
	ann.get(page).sees(200, "Kim &lt;Lee&gt;", "Disable the account", "Add to a group", "Set an attribute", "Nothing.")
	if strings.Contains(ann.body, "Delete the account") {
		t.Error("an administrator is offered what only owners order")
	}
	disable := url.Values{"operation": {"disable"}}
	ann.send(page, disable).sees(200, "Confirm the change with your passkey", "Enabled: yes → no")
	if len(g.acts.done) != 0 {
		t.Fatal("the dry run changed something")
	}
	forged := url.Values{"operation": {"enable"}, "answer": {sign()}}
	ann.send(page+"/confirm", forged).sees(403, "Confirm the change with your passkey")
	if len(g.acts.done) != 0 {
		t.Fatal("something else was carried out than what the passkey signed")
	}
	ann.get(page).send(page, disable).sees(200)
	disable.Set("answer", sign())
	ann.send(page+"/confirm", disable).sees(200, "Done", "Enabled: yes → no")
	if n := len(g.acts.done); n != 1 || g.acts.done[0].Task.Operation != protocol.Disable || g.acts.done[0].Actor.OrgMember == "" || g.acts.done[0].Actor.Role != staff.Admin {
		t.Errorf("carried out: %+v", g.acts.done)
	}
	again := url.Values{"operation": {"disable"}}
	ann.get(page).send(page, again).sees(200)
	ann.send(page+"/confirm", disable).sees(403) // the same answer once more
	if len(g.acts.done) != 1 {
		t.Error("P07: an answer of a passkey counted twice")
	}
	if n := len(g.audited(audit.OperationOrdered)); n != 4 {
		t.Errorf("%d orders in the log; want three dry runs and one order", n)
	}
}

func TestValuesOfAnAttributeAreConfirmedAndStandInNoRecord(t *testing.T) {
	g := newRig(t)
	g.able(everyAct)
	ann, page, sign := g.changer(staff.Admin)
	const canary = "+49 30 canary"
	form := url.Values{"operation": {"set_attribute"}, "attribute": {"telephoneNumber"}, "values": {" " + canary + "\r\n\r\n0302 \r\n"}}
	ann.get(page).send(page, form).sees(200, "telephoneNumber: number of values 1 → 2", "&#43;49 30 canary")
	form.Set("values", canary+"\r\n0302") // as the browser sends back what it was given
	form.Set("answer", sign())
	ann.send(page+"/confirm", form).sees(200, "Done")
	if n := len(g.acts.done); n != 1 || !slices.Equal(g.acts.done[0].Values.Values, []string{canary, "0302"}) ||
		!g.acts.done[0].Values.Are("telephoneNumber", g.acts.done[0].Task.Params[protocol.ParamValues]) {
		t.Errorf("ordered: %v", g.acts.done)
	}
	if strings.Contains(ann.body, "canary") || strings.Contains(g.logs.String(), "canary") {
		t.Error("the value stands on the page of the result, or in the log")
	}
	for _, r := range g.audited(audit.OperationOrdered) {
		if strings.Contains(string(r.Detail), "canary") || !strings.Contains(string(r.Detail), "telephoneNumber") {
			t.Errorf("the record: %s", r.Detail)
		}
	}
	form.Set("attribute", "a;b")
	ann.get(page).send(page, form).sees(422, "Something is missing")
}

func TestP02_WhoMayNotChangeAnAccountIsToldWhyAndNothingHappens(t *testing.T) {
	g := newRig(t)
	g.able(everyAct)
	ann, page, _ := g.changer(staff.Admin)
	ann.get(page).send(page, url.Values{"operation": {"add_to_group"}, "group": {"refused"}}).sees(409, "The agent refuses", "guard.act_groups")
	ann.get(page).send(page, url.Values{"operation": {"add_to_group"}, "group": {"away"}}).sees(503, "No agent of the directory could be asked")
	for _, strange := range []url.Values{{"operation": {""}}, {"operation": {"add_to_group"}}, {"operation": {"get_temporary_password"}}, {"operation": {"set_attribute"}, "attribute": {""}}} {
		ann.get(page).send(page, strange).sees(422, "Something is missing")
	}
	ann.get(page).send(page, url.Values{"operation": {"disable"}}).send(page+"/confirm", url.Values{"operation": {"disable"}, "answer": {"{}"}}).sees(403)
	link := g.signedIn()
	link.get(page).sees(200, "Delete the account")
	link.get(page).send(page, url.Values{"operation": {"disable"}}).sees(403, "you need a passkey of your own")
	desk, _ := g.member(link, staff.User, "desk@acme.example")
	desk.get(page).sees(403, "Your role does not reach this")
	fresh, _ := g.member(link, staff.Admin, "fresh@acme.example")
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.StaffList(ctx, g.Env.Org)
		for _, s := range all {
			if s.Mail == "fresh@acme.example" {
				_, err = tx.SetStaffRole(ctx, s.Org, s.ID, s.Role, tx.Now().Add(staff.Trial))
			}
		}
		return err
	})
	fresh.get(page).send(page, url.Values{"operation": {"disable"}}).sees(403, "For 24 hours you decide nothing yet")
	g.able(protocol.Traits{})
	ann.get(page).sees(200, "changes nothing for administrators")
	if len(g.acts.done) != 0 {
		t.Errorf("carried out: %v", g.acts.done)
	}
}

// The pages are usable by everybody, on a phone too, and in a longer language; the whole
// way is walked in a browser with its own authenticator.
func TestAnAccountIsChangedInABrowser(t *testing.T) {
	g := newRig(t)
	g.able(everyAct)
	kim := g.kim()
	token := g.invited(g.signedIn(), staff.Owner, "olga@acme.example")
	b := testenv.Chromium(t)
	b.Authenticator()
	b.Open(g.url + "/console/join#" + token)
	b.WaitText("Opening this page has done nothing yet")
	for _, lang := range []string{"de", "en"} { // read in another language, the page keeps what its address said
		b.Wait("document.documentElement.dataset.ready")
		b.Click(".langs [hreflang=" + lang + "]")
		b.Wait(`document.documentElement.lang === "` + lang + `" && document.querySelector("[name=token]").value === "` + token + `" && location.hash === ""`)
	}
	b.Click("[data-fragment] button")
	b.WaitText("Hello Ann")
	b.Wait(`document.querySelector("[data-ceremony]:not([hidden])")`)
	b.Click("[data-ceremony]")
	b.WaitText("You are not signed in")
	g.ahead(25 * time.Hour)
	b.Open(g.url + "/console")
	b.Wait(`document.querySelector("[data-ceremony]:not([hidden])")`)
	b.Click("[data-ceremony]")
	b.WaitText("Look it up")
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		order := store.ActOrder{Env: g.Env.ID, ID: store.NewID(), Directory: kim.Directory, Person: kim.ID, Operation: "disable", Body: []byte("{}"), Changes: "[]", Created: tx.Now(), Ends: tx.Now().Add(time.Hour)}
		left := order
		left.ID, left.Ends = store.NewID(), tx.Now().Add(-time.Hour)
		return errors.Join(tx.AddActOrder(ctx, order), tx.AddActOrder(ctx, left))
	})
	b.Open(g.url + "/console/change/" + g.Env.ID + "/" + kim.ID + "?lang=de")
	b.WaitText("Konto im Verzeichnis ändern")
	b.WaitText("endet ")
	b.WaitText("Niemand hat rechtzeitig zugestimmt")
	looked(t, b, "change")
	b.Type("#attribute", "telephoneNumber")
	b.Type("#values", "+49 30 1234567")
	b.Click("form:has(#values) button")
	b.WaitText("Bestätigen Sie die Änderung mit Ihrem Passkey")
	b.Wait(`document.querySelector("[data-ceremony]:not([hidden])")`)
	looked(t, b, "changekey")
	b.Click("[data-ceremony]")
	b.WaitText("Erledigt")
	looked(t, b, "changed")
	if n := len(g.acts.done); n != 1 || !slices.Equal(g.acts.done[0].Values.Values, []string{"+49 30 1234567"}) {
		t.Errorf("ordered: %v", g.acts.done)
	}
	b.Click("button.stop")
	b.WaitText("Das lässt sich nicht zurücknehmen")
	looked(t, b, "changedelete")
	g.acts.waiting = &operation.WaitingOrder{ActOrder: store.ActOrder{Env: g.Env.ID, ID: store.NewID(), Created: time.Now(), Ends: time.Now().Add(time.Hour)},
		Account: kim, Task: protocol.Task{Operation: protocol.SetAttribute}, Values: []string{"+49 30 1"}, Changes: []protocol.Difference{{What: protocol.WhatAttribute, Name: "mobile", Before: "1", After: "1"}}}
	b.Open(g.url + "/console/orders?lang=de")
	b.WaitText("Ansehen und zustimmen")
	looked(t, b, "orders")
	b.Click("main button.plain")
	b.WaitText("nennt Sie beide")
	b.Wait(`document.querySelector("[data-ceremony]:not([hidden])")`)
	looked(t, b, "orderkey")
	b.Click("[data-ceremony]")
	b.WaitText("Es wartet nichts")
}

// Orders, Order, ForeseeOrder, Agree and Deny implement Orders: one order waits, which the
// member "asker" gave.
func (o *ordered) Orders(_ context.Context, env string) ([]operation.WaitingOrder, error) {
	if o.waiting == nil || o.waiting.Env != env {
		return nil, nil
	}
	return []operation.WaitingOrder{*o.waiting}, nil
}

func (o *ordered) Order(ctx context.Context, env, id string) (operation.WaitingOrder, error) {
	all, _ := o.Orders(ctx, env)
	if len(all) == 0 || all[0].ID != id {
		return operation.WaitingOrder{}, operation.ErrGone
	}
	return all[0], nil
}

func (o *ordered) ForeseeOrder(_ context.Context, w operation.WaitingOrder, by operation.Second) (operation.ActResult, error) {
	if slices.Contains(w.People, by.ID) {
		return operation.ActResult{}, operation.ErrSame
	}
	return operation.ActResult{Changes: w.Changes}, nil
}

func (o *ordered) Agree(_ context.Context, _ operation.WaitingOrder, by operation.Second) (operation.ActResult, error) {
	o.waiting, o.agreed = nil, append(o.agreed, by.ID)
	return operation.ActResult{ID: "1", State: "done"}, nil
}

func (o *ordered) Deny(context.Context, operation.WaitingOrder, operation.Second) error {
	o.waiting = nil
	return nil
}

func TestT18_AnotherAdministratorAgreesWithAPasskeyOverTheOrder(t *testing.T) {
	g := newRig(t)
	ann, _, sign := g.changer(staff.Admin)
	kim := g.kim()
	wait := func(id string, people ...string) string {
		g.acts.waiting = &operation.WaitingOrder{ActOrder: store.ActOrder{Env: g.Env.ID, ID: id, Operation: "delete_account", People: people, Created: time.Now(), Ends: time.Now().Add(time.Hour)},
			Account: kim, Task: protocol.Task{Operation: protocol.DeleteAccount}, Changes: []protocol.Difference{{What: protocol.WhatAccount, Before: "uid=kim"}}}
		return "/console/orders/" + g.Env.ID + "/" + id
	}
	page := wait(store.NewID())
	ann.get("/console/orders").sees(200, "Kim &lt;Lee&gt;: Delete the account", "a program’s key", "Account: uid=kim → nothing")
	ann.send(page, nil).sees(200, "Nothing takes this back", "names you both")
	other := evidencetest.NewAuthenticator(g.url)
	ann.send(page+"/confirm", url.Values{"answer": {string(other.Assert(challenge(t, ann.body)))}}).sees(403)
	if len(g.acts.agreed) != 0 {
		t.Fatal("agreed with another passkey")
	}
	answer := url.Values{"answer": {sign()}}
	page = wait(store.NewID()) // another order than the passkey signed
	ann.get("/console/orders").send(page, nil).send(page+"/confirm", answer).sees(403)
	ann.get("/console/orders").send(page, nil).send(page+"/confirm", url.Values{"answer": {sign()}}).sees(200, "Done", "Nothing waits")
	if len(g.acts.agreed) != 1 {
		t.Errorf("agreed: %v", g.acts.agreed)
	}
	page = wait(store.NewID(), g.memberID("admin@acme.example"))
	ann.get("/console/orders").sees(200, "Ordered by Ann").send(page, nil).sees(403, "Somebody else has to agree")
	ann.send(page+"/deny", nil)
	ann.get("/console/orders").sees(200, "Nothing waits")
	link := g.signedIn()
	page = wait(store.NewID())
	link.get("/console/orders").send(page, nil).sees(403, "you need a passkey of your own")
	desk, _ := g.member(link, staff.User, "desk@acme.example")
	desk.get("/console/orders").sees(403)
}

// memberID is the id of somebody of the staff.
func (g *rig) memberID(mail string) (id string) {
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.StaffList(ctx, g.Env.Org)
		for _, s := range all {
			if s.Mail == mail {
				id = s.ID
			}
		}
		return err
	})
	return id
}
