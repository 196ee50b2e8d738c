package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// away stands for an account whose agent cannot be asked.
const away = "somebody whose agent is away"

// ForeseeAct implements Acts.
func (a *asked) ForeseeAct(_ context.Context, q operation.ActOrder) (operation.ActResult, error) {
	if q.Task.Params[protocol.ParamGroup] == away {
		return operation.ActResult{}, protocol.Err(protocol.CodeUnavailable, "no agent")
	}
	return operation.ActResult{Changes: []protocol.Difference{{What: protocol.WhatEnabled, Before: "true", After: "false"}}}, nil
}

// Act implements Acts: groups are refused.
func (a *asked) Act(ctx context.Context, q operation.ActOrder) (operation.ActResult, error) {
	r, err := a.ForeseeAct(ctx, q)
	if q.Task.Operation == protocol.AddToGroup {
		return operation.ActResult{Refusal: protocol.Err(protocol.CodePermissionDenied, "guard.act_groups")}, err
	}
	r.ID, r.State = "1", "done"
	return r, err
}

func TestAccountOperationsAreOrderedByAdministratorsAndDeletionByOwners(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	admin := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{st.mine.Env.ID}})
	user := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleUser, Envs: []string{st.mine.Env.ID}})
	path := "/api/accounts/" + st.mine.account.ID + "/operations"
	for _, c := range []struct {
		key, body string
		status    int
		state     string
	}{
		{admin, `{"operation":"disable","dry_run":true}`, 200, "foreseen"},
		{admin, `{"operation":"disable"}`, 200, "done"},
		{admin, `{"operation":"add_to_group","group":"vpn"}`, 200, "refused"},
		{admin, `{"operation":"add_to_group","group":"` + away + `"}`, 503, ""},
		{admin, `{"operation":"add_to_group"}`, 400, ""},
		{admin, `{"operation":"disable","group":"vpn"}`, 400, ""},
		{admin, `{"operation":"set_attribute","attribute":"telephoneNumber","values":["+49 30 1"]}`, 200, "done"},
		{admin, `{"operation":"set_attribute","attribute":"telephoneNumber"}`, 200, "done"},
		{admin, `{"operation":"set_attribute","attribute":"telephoneNumber","values":[""]}`, 400, ""},
		{admin, `{"operation":"set_attribute","attribute":"a;b","values":["1"]}`, 400, ""},
		{admin, `{"operation":"set_attribute","values":["1"]}`, 400, ""},
		{admin, `{"operation":"disable","values":["1"]}`, 400, ""},
		{admin, `{"operation":"disable","attribute":"title"}`, 400, ""},
		{admin, `{"operation":"set_attribute","attribute":"title","group":"vpn"}`, 400, ""},
		{admin, `{"operation":"get_temporary_password"}`, 400, ""},
		{admin, `{}`, 400, ""},
		{admin, `{"operation":"delete_account"}`, 403, ""},
		{st.owner, `{"operation":"delete_account"}`, 200, "done"},
		{user, `{"operation":"disable","dry_run":true}`, 403, ""},
		{st.foreign.key, `{"operation":"disable"}`, 404, ""},
	} {
		got := st.do(t, c.key, http.MethodPost, path, c.body)
		var out actOut
		if err := json.Unmarshal([]byte(got.body), &out); got.status != c.status || got.status == 200 && (err != nil || out.State != c.state) {
			t.Errorf("%s: %d %s; want %d %s", c.body, got.status, got.body, c.status, c.state)
		}
	}
}

// An administrator's key shuts out nobody who watches over administrators (T17, T18), and
// whoever watches is watched by owners.
func TestT17_T18_AnAdministratorsKeyOrdersNothingOfStaff(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	admin := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{st.mine.Env.ID}})
	path := "/api/accounts/" + st.mine.account.ID + "/operations"
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.AddStaff(ctx, &store.Staff{Org: st.mine.Org.ID, ID: store.NewID(), Name: "Ann", Mail: "ann@staff.test", Role: "approver", Directory: st.mine.account.Directory, Account: st.mine.account.ImmutableID})
	})
	for _, body := range []string{`{"operation":"disable"}`, `{"operation":"enable","dry_run":true}`} {
		if got := st.do(t, admin, http.MethodPost, path, body); got.status != 403 {
			t.Errorf("%s by an administrator: %d %s", body, got.status, got.body)
		}
		if got := st.do(t, st.owner, http.MethodPost, path, body); got.status != 200 {
			t.Errorf("%s by an owner: %d %s", body, got.status, got.body)
		}
	}
}

// What waits for another administrator is in the list, with when it ends, and when it ran
// out nobody takes it for waiting.
func TestOrdersThatWaitAreListedWithTheirEnd(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/accounts/" + st.mine.account.ID + "/operations"
	ends := time.Now().Add(time.Hour)
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		order := store.ActOrder{Env: st.mine.Env.ID, ID: store.NewID(), Directory: st.mine.account.Directory, Person: st.mine.account.ID, Operation: "disable",
			Body: []byte(`{"values":{"values":["canary"]}}`), Changes: `[{"what":"enabled","before":"true","after":"false"}]`, Created: time.Now(), Ends: ends}
		left := order
		left.ID, left.Ends = store.NewID(), time.Now().Add(-time.Second)
		return errors.Join(tx.AddActOrder(ctx, order), tx.AddActOrder(ctx, left))
	})
	got := st.do(t, st.owner, http.MethodGet, path, "")
	var list actList
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 || len(list.Operations) != 2 || strings.Contains(got.body, "canary") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, o := range list.Operations {
		waits := o.State == "waiting" && o.ExpiresAt != nil && o.ExpiresAt.Equal(ends.Truncate(time.Millisecond)) && len(o.Changes) == 1
		if expired := o.State == "expired" && o.ExpiresAt == nil; waits == expired {
			t.Errorf("%+v", o)
		}
	}
	if got := st.do(t, st.foreign.key, http.MethodGet, path, ""); got.status != 404 {
		t.Errorf("another environment's key: %d %s", got.status, got.body)
	}
}

func TestAccountOperationsHaveALimitOfTheirOwn(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/accounts/" + st.mine.account.ID + "/operations"
	for i := range ordering.perMinute + 5 {
		if got := st.do(t, st.owner, http.MethodPost, path, `{"operation":"disable","dry_run":true}`); got.status == 429 {
			if i < ordering.perMinute {
				t.Errorf("refused after %d", i)
			}
			return
		}
	}
	t.Error("never refused")
}
