package api

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

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
		{admin, `{"operation":"get_temporary_password"}`, 400, ""},
		{admin, `{}`, 400, ""},
		{admin, `{"operation":"delete_account"}`, 403, ""},
		{st.owner, `{"operation":"delete_account"}`, 200, "done"},
		{st.foreign.key, `{"operation":"disable"}`, 404, ""},
	} {
		got := st.do(t, c.key, http.MethodPost, path, c.body)
		var out actOut
		if err := json.Unmarshal([]byte(got.body), &out); got.status != c.status || got.status == 200 && (err != nil || out.State != c.state) {
			t.Errorf("%s: %d %s; want %d %s", c.body, got.status, got.body, c.status, c.state)
		}
	}
}
