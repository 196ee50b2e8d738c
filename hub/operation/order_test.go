package operation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// colleague is somebody of the staff.
func (o *office) colleague(t *testing.T, mail, account string) store.Staff {
	t.Helper()
	s := store.Staff{ID: store.NewID(), Org: o.org, Name: mail, Mail: mail, Role: owner, Account: account, Directory: o.account.Directory}
	if err := o.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.AddStaff(t.Context(), &s) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// waits gives an order that needs another administrator.
func (o *office) waits(t *testing.T, by store.Staff) WaitingOrder {
	t.Helper()
	o.begun = protocol.Begun{Second: true, Changes: []protocol.Difference{{What: protocol.WhatEnabled, Before: "true", After: "false"}}}
	r, err := o.Act(t.Context(), ActOrder{Account: o.account, Task: protocol.Task{Operation: protocol.Disable}, Origin: "https://hub.example",
		Actor: audit.Principal{Role: owner, OrgMember: by.ID}, People: []string{by.ID}})
	if err != nil || r.State != Waiting || r.ID == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	w, err := o.Order(t.Context(), o.account.Env, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestT18_AnOrderThatNeedsTwoIsSentWhenAnotherPersonAgreedAndOnce(t *testing.T) {
	o := newOffice(t)
	ann, bob := o.colleague(t, "ann@acme.example", ""), o.colleague(t, "bob@acme.example", "")
	twin := o.colleague(t, "ann2@acme.example", "")
	w := o.waits(t, ann)
	if len(o.sent) != 0 || !slices.Contains(o.asked, protocol.MethodDrop) {
		t.Fatalf("sent %d times; asked %v", len(o.sent), o.asked)
	}
	for name, by := range map[string]Second{
		"who ordered": {ann, owner}, "nobody": {store.Staff{}, owner}, "the same address": {store.Staff{ID: "x", Org: o.org, Mail: "ANN@acme.example", Envs: []string{store.AllEnvs}}, owner},
		"whom it is about": {store.Staff{ID: "y", Org: o.org, Mail: "ada@example.com", Envs: []string{o.account.Env}}, owner},
	} {
		if _, err := o.Agree(t.Context(), w, by); !errors.Is(err, ErrSame) {
			t.Errorf("%s agrees: %v", name, err)
		}
		if _, err := o.ForeseeOrder(t.Context(), w, by); !errors.Is(err, ErrSame) {
			t.Errorf("%s looks: %v", name, err)
		}
	}
	if len(o.sent) != 0 {
		t.Fatal("sent before anybody else agreed")
	}
	r, err := o.Agree(t.Context(), w, Second{bob, owner})
	if err != nil || r.State != recovery.Done || len(o.sent) != 1 {
		t.Fatalf("agreed: %+v, %v, sent %d times", r, err, len(o.sent))
	}
	if _, err := o.Agree(t.Context(), w, Second{twin, owner}); !errors.Is(err, ErrGone) || len(o.sent) != 1 {
		t.Errorf("agreed again: %v, sent %d times", err, len(o.sent))
	}
	if err := o.Deny(t.Context(), w, Second{bob, owner}); !errors.Is(err, ErrGone) {
		t.Errorf("denied afterwards: %v", err)
	}
	want := []string{"operation_waiting", "operation_agreed", "operation_requested", "operation_finished=done"}
	if got := o.log(t); !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}

func TestT25_WhoIsOfOtherEnvironmentsDecidesAboutNoOrder(t *testing.T) {
	o := newOffice(t)
	w := o.waits(t, o.colleague(t, "ann@acme.example", ""))
	far := Second{store.Staff{ID: "far", Org: o.org, Mail: "far@acme.example", Envs: []string{"another"}}, "admin"}
	if _, err := o.Agree(t.Context(), w, far); !errors.Is(err, store.ErrNotFound) || len(o.sent) != 0 {
		t.Errorf("agreed: %v, sent %d times", err, len(o.sent))
	}
	if _, err := o.ForeseeOrder(t.Context(), w, far); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("looked: %v", err)
	}
	if err := o.Deny(t.Context(), w, far); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("denied: %v", err)
	}
	if _, err := o.Order(t.Context(), w.Env, w.ID); err != nil {
		t.Errorf("it waits no more: %v", err)
	}
}

// Two administrators are two who are there: what somebody ordered who is gone, suspended or
// of other environments by then, or by a key that is, nobody agrees to.
func TestT18_AnOrderOfWhoMayOrderNoMoreIsNotAgreedTo(t *testing.T) {
	o := newOffice(t)
	bob := o.colleague(t, "bob@acme.example", "")
	key := store.APIKey{ID: "key", Org: o.org, Name: "key", Hash: "key", Role: "admin", Envs: []string{store.AllEnvs}, Enabled: true}
	o.do(t, func(tx *store.Tx) error {
		_, err := tx.CreateAPIKey(t.Context(), key)
		return err
	})
	member := func(id string) audit.Principal { return audit.Principal{Role: owner, OrgMember: id} }
	byKey := audit.Principal{Role: "admin", APIKey: key.ID}
	for name, since := range map[string]func(tx *store.Tx, id string) (audit.Principal, error){
		"removed": func(tx *store.Tx, id string) (audit.Principal, error) {
			return member(id), tx.RemoveStaff(t.Context(), o.org, id)
		},
		"suspended": func(tx *store.Tx, id string) (audit.Principal, error) {
			_, err := tx.SuspendStaff(t.Context(), o.account.Env, "", "", []string{"suspended@acme.example"}, tx.Now().Add(time.Hour))
			return member(id), err
		},
		"limited": func(tx *store.Tx, id string) (audit.Principal, error) {
			_, err := tx.SetStaffEnvs(t.Context(), o.org, id, []string{"another"})
			return member(id), err
		},
		"of a lesser role": func(tx *store.Tx, id string) (audit.Principal, error) {
			_, err := tx.SetStaffRole(t.Context(), o.org, id, store.RoleUser, time.Time{})
			return member(id), err
		},
		"a key that is off": func(tx *store.Tx, _ string) (audit.Principal, error) {
			off := key
			off.Enabled = false
			return byKey, tx.UpdateAPIKey(t.Context(), o.org, off)
		},
		"a key that is gone": func(*store.Tx, string) (audit.Principal, error) {
			return audit.Principal{Role: "admin", APIKey: "gone"}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			ann := o.colleague(t, strings.ReplaceAll(name, " ", "")+"@acme.example", "")
			w := o.waits(t, ann)
			o.do(t, func(tx *store.Tx) (err error) {
				w.Actor, err = since(tx, ann.ID)
				return err
			})
			if _, err := o.ForeseeOrder(t.Context(), w, Second{bob, owner}); !errors.Is(err, ErrGone) {
				t.Errorf("looked: %v", err)
			}
			if _, err := o.Agree(t.Context(), w, Second{bob, owner}); !errors.Is(err, ErrGone) || len(o.sent) != 0 {
				t.Errorf("agreed: %v, sent %d times", err, len(o.sent))
			}
		})
	}
}

// do does something in one transaction.
func (o *office) do(t *testing.T, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := o.Store.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// Two administrators who agree at once have it sent once: the order is used up in the
// transaction that orders.
func TestT14_TwoWhoAgreeAtOnceHaveItSentOnce(t *testing.T) {
	o := newOffice(t)
	ann, bob, cleo := o.colleague(t, "ann@acme.example", ""), o.colleague(t, "bob@acme.example", ""), o.colleague(t, "cleo@acme.example", "")
	w := o.waits(t, ann)
	done := 0
	for _, by := range []store.Staff{bob, cleo} { // each read the order while it waited
		if _, err := o.Agree(t.Context(), w, Second{by, owner}); err == nil {
			done++
		} else if !errors.Is(err, ErrGone) {
			t.Error(err)
		}
	}
	if done != 1 || len(o.sent) != 1 {
		t.Errorf("%d agreed, sent %d times", done, len(o.sent))
	}
}

func TestAnOrderThatNobodyAgreesToEnds(t *testing.T) {
	o := newOffice(t)
	ann, bob := o.colleague(t, "ann@acme.example", ""), o.colleague(t, "bob@acme.example", "")
	denied, left := o.waits(t, ann), o.waits(t, ann)
	if err := o.Deny(t.Context(), denied, Second{bob, owner}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Agree(t.Context(), denied, Second{bob, owner}); !errors.Is(err, ErrGone) {
		t.Errorf("agreed after it was denied: %v", err)
	}
	list, err := o.Orders(t.Context(), o.account.Env)
	if err != nil || len(list) != 1 || list[0].ID != left.ID || list[0].Account.ID != o.account.ID {
		t.Errorf("waiting: %+v, %v", list, err)
	}
	if len(o.sent) != 0 {
		t.Error("something was sent")
	}
}

// Whoever looks at what was asked of an account sees what waits, until when, and what
// became of it. Two hubs that look at once write down once that an order ran out, and
// nobody agrees to it any more.
func TestAnOrderThatRanOutIsListedAndWrittenDownOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		o := officeOn(t, st)
		ann, bob := o.colleague(t, "ann@acme.example", ""), o.colleague(t, "bob@acme.example", "")
		past := func() (states []string, all []PastOrder) {
			all, err := store.Get(t.Context(), st, func(tx *store.Tx) ([]PastOrder, error) { return Past(t.Context(), tx, o.account.Env, o.account.ID) })
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				states = append(states, p.State)
			}
			slices.Sort(states)
			return states, all
		}
		agreed, denied, left := o.waits(t, ann), o.waits(t, ann), o.waits(t, ann)
		if _, err := o.Agree(t.Context(), agreed, Second{bob, owner}); err != nil {
			t.Fatal(err)
		}
		if err := o.Deny(t.Context(), denied, Second{bob, owner}); err != nil {
			t.Fatal(err)
		}
		states, all := past()
		if !slices.Equal(states, []string{"denied", "done", "waiting"}) {
			t.Errorf("listed: %v", states)
		}
		for _, p := range all {
			if waits := p.State == Waiting; waits != p.Ends.Equal(left.Ends) || waits && (p.ID != left.ID || p.Operation != "disable" || p.Changes == "") {
				t.Errorf("listed: %+v", p)
			}
		}
		o.ResolveActs(t.Context())
		if states, _ := past(); !slices.Contains(states, Waiting) || slices.Contains(o.log(t), "operation_expired") {
			t.Error("an order ended before its time")
		}
		err := st.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.Must(t.Context(), "UPDATE act_orders SET ends_at = $1 WHERE id = $2", store.Millis(time.Now().Add(-time.Second)), left.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
		if states, _ := past(); !slices.Equal(states, []string{"denied", "done", "expired"}) {
			t.Errorf("listed before it was written down: %v", states)
		}
		another := New(Config{Store: st, Agents: o, Now: o.Now})
		var hubs sync.WaitGroup
		for _, hub := range []*Operations{o.Operations, another, o.Operations, another} {
			hubs.Go(func() { hub.ResolveActs(t.Context()) })
		}
		hubs.Wait()
		o.ResolveActs(t.Context())
		n := 0
		for _, line := range o.log(t) {
			if line == "operation_expired" {
				n++
			}
		}
		if states, all := past(); n != 1 || !slices.Equal(states, []string{"denied", "done", "expired"}) {
			t.Errorf("written down %d times; listed %+v", n, all)
		}
		if _, err := o.Agree(t.Context(), left, Second{bob, owner}); !errors.Is(err, ErrGone) || len(o.sent) != 1 {
			t.Errorf("agreed too late: %v, sent %d times", err, len(o.sent))
		}
		body, err := store.Get(t.Context(), st, func(tx *store.Tx) (string, error) {
			return store.One(t.Context(), tx, store.Text, "SELECT body FROM act_orders WHERE id = $1", left.ID)
		})
		if err != nil || body != "" {
			t.Errorf("its body is %q, %v", body, err)
		}
	})
}

// What is ordered and not sent yet is listed with when it ends.
func TestAnOrderOnItsWayIsListedWithItsEnd(t *testing.T) {
	o := newOffice(t)
	due := time.Now().Add(time.Minute).Truncate(time.Millisecond)
	err := o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.AddAct(t.Context(), store.Act{Env: o.account.Env, ID: "cleared", Directory: o.account.Directory, Account: "7", Person: o.account.ID, Operation: "disable", Agent: o.agent,
			State: recovery.Cleared, Changes: "[]", Created: time.Now(), Due: due})
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := store.Get(t.Context(), o.Store, func(tx *store.Tx) ([]PastOrder, error) { return Past(t.Context(), tx, o.account.Env, o.account.ID) })
	if err != nil || len(all) != 1 || all[0].State != recovery.Cleared || !all[0].Ends.Equal(due) {
		t.Errorf("%+v, %v", all, err)
	}
}

// The values of an attribute wait sealed, are shown to whoever is to agree, and reach the
// agent as they were given; afterwards the database has them nowhere.
func TestValuesWaitSealedAndReachTheAgentAsGiven(t *testing.T) {
	o := newOffice(t)
	ann, bob := o.colleague(t, "ann@acme.example", ""), o.colleague(t, "bob@acme.example", "")
	v := protocol.NewAttributeValues([]string{"+49 30 canary"})
	task := protocol.Task{Operation: protocol.SetAttribute, Params: map[string]string{protocol.ParamAttribute: "mobile"}}.With(v)
	o.begun = protocol.Begun{Second: true}
	r, err := o.Act(t.Context(), ActOrder{Account: o.account, Task: task, Values: &v, Actor: audit.Principal{Role: owner}, People: []string{ann.ID}})
	if err != nil || r.State != Waiting {
		t.Fatal(r, err)
	}
	w, err := o.Order(t.Context(), o.account.Env, r.ID)
	if err != nil || !slices.Equal(w.Values, v.Values) {
		t.Fatalf("%+v, %v", w.Values, err)
	}
	if _, err := o.Agree(t.Context(), w, Second{bob, owner}); err != nil {
		t.Fatal(err)
	}
	if n := len(o.sent); n != 1 || o.sent[0].Values == nil || !slices.Equal(o.sent[0].Values.Values, v.Values) || !o.sent[0].Values.Are("mobile", task.Params[protocol.ParamValues]) {
		t.Errorf("sent: %+v", o.sent)
	}
	err = o.Store.Read(t.Context(), func(tx *store.Tx) error {
		for _, table := range []string{"act_orders", "account_acts"} {
			body, err := store.One(t.Context(), tx, store.Text, "SELECT body FROM "+table)
			if err != nil || body != "" {
				t.Errorf("%s still has %q, %v", table, body, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A hub that dies between ordering and sending leaves an order that ends with its outcome
// in the log, and values that nobody has any more.
func TestACrashBeforeSendingEndsAsNotCarriedOut(t *testing.T) {
	o := newOffice(t)
	v := protocol.NewAttributeValues([]string{"1"})
	body, _ := json.Marshal(v)
	act := store.Act{Env: o.account.Env, ID: "crashed", Directory: o.account.Directory, Account: "7", Person: o.account.ID, Operation: "disable", Agent: o.agent,
		State: recovery.Cleared, Changes: "[]", Body: body, Created: time.Now().Add(-time.Hour), Due: time.Now().Add(-time.Minute)}
	read := func() (a store.Act, err error) {
		return store.Get(t.Context(), o.Store, func(tx *store.Tx) (store.Act, error) { return tx.Act(t.Context(), act.Env, act.ID) })
	}
	err := o.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.AddAct(context.WithoutCancel(t.Context()), act) })
	if err != nil {
		t.Fatal(err)
	}
	if a, err := read(); err != nil || string(a.Body) != string(body) {
		t.Fatalf("%q, %v", a.Body, err)
	}
	for range 2 { // two hubs look
		o.ResolveActs(t.Context())
	}
	if a, err := read(); err != nil || a.State != recovery.Failed || len(a.Body) != 0 || len(o.sent) != 0 {
		t.Errorf("%+v, %v, sent %d times", a, err, len(o.sent))
	}
	if got := o.log(t); !slices.Equal(got, []string{"operation_finished=failed"}) {
		t.Errorf("the log has %v", got)
	}
}
