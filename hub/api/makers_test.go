package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// asks makes a request by a key and returns its path.
func (st *stack) asks(t *testing.T, key string) string {
	t.Helper()
	got := st.do(t, key, "POST", "/api/requests", `{"env":"`+st.mine.Env.ID+`","claims":["name"]}`)
	if got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	return "/api/requests/" + got.member(t, "id").(string)
}

// As the public reference says of the role limited: it asks, and sees what comes of its
// own requests alone.
func TestALimitedKeyAsksAndSeesNoRequestsOfOthers(t *testing.T) {
	st := lite(t)
	list := "/api/envs/" + st.mine.Env.ID + "/requests"
	for _, role := range []string{RoleLimited, RoleLimitedPlus} {
		mine := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: role, Envs: []string{st.mine.Env.ID}})
		path := st.asks(t, mine)
		other := st.asks(t, st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: role, Envs: []string{st.mine.Env.ID}}))
		for _, step := range []struct{ method, body string }{{"GET", ""}, {"PATCH", `{"label":"x"}`}, {"DELETE", ""}} {
			if got := st.do(t, mine, step.method, other, step.body); got.status != http.StatusNotFound {
				t.Errorf("%s: %s of another's: %d %s", role, step.method, got.status, got.body)
			}
			if got := st.do(t, mine, step.method, path, step.body); got.status/100 != 2 {
				t.Errorf("%s: %s of its own: %d %s", role, step.method, got.status, got.body)
			}
		}
		if got := st.do(t, mine, "GET", list, ""); got.member(t, "total_result_count") != 1.0 || !strings.Contains(got.body, strings.TrimPrefix(path, "/api/requests/")) {
			t.Errorf("%s lists %s", role, got.body)
		}
		if got := st.do(t, mine, "GET", "/people/"+st.mine.subject+"/properties/name", ""); got.status != http.StatusForbidden {
			t.Errorf("%s reads people: %d", role, got.status)
		}
	}
}

func TestWhatAMemberMadeByAKeyOfTheirOwnBearsTheirName(t *testing.T) {
	st := lite(t)
	member := st.mine.member
	own := func(role string) string {
		return st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: role, Envs: []string{store.AllEnvs}, Staff: member, CreatedBy: member})
	}
	one, two := own(RoleLimited), own(RoleLimited)
	path := st.asks(t, one)
	st.asks(t, st.owner)
	got := st.do(t, two, "GET", path, "") // another terminal of the same person
	if got.member(t, "requester") != member || got.member(t, "requester_text") != "mine" {
		t.Errorf("%d %s", got.status, got.body)
	}
	list := "/api/envs/" + st.mine.Env.ID + "/requests"
	for query, want := range map[string]float64{"": 3, "?requestor=" + member: 1, "?requestor=x": 0} {
		if got := st.want(t, http.StatusOK, "GET", list+query, ""); got.member(t, "total_result_count") != want {
			t.Errorf("%q: %s", query, got.body)
		}
	}
	for query, want := range map[string]float64{"": 1, "?requestor=" + member: 1, "?requestor=x": 0} {
		if got := st.do(t, two, "GET", list+query, ""); got.member(t, "total_result_count") != want {
			t.Errorf("limited, %q: %s", query, got.body)
		}
	}
	if got := st.want(t, http.StatusOK, "GET", "/api/org/members", ""); !strings.Contains(got.body, `"requests_count":1`) {
		t.Errorf("members: %s", got.body)
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.RemoveStaff(ctx, st.mine.Org.ID, member) })
	if got := st.want(t, http.StatusOK, "GET", path, ""); got.member(t, "requester") != member || got.member(t, "requester_text") != nil {
		t.Errorf("of one who left: %s", got.body)
	}
}

// An order by a key waits for another administrator than whoever stands behind the key: a
// key that a key of theirs made is theirs, however long the chain (T07).
func TestT18_AKeyThatAKeyMadeBearsThePersonBehindBoth(t *testing.T) {
	st := lite(t)
	key := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{store.AllEnvs}, Staff: st.mine.member, CreatedBy: st.mine.member})
	for range 3 {
		made := st.do(t, key, "POST", "/api/apikeys", `{"name":"next","role":"admin"}`)
		if got := st.want(t, http.StatusOK, "GET", fmt.Sprint("/api/apikeys/", made.member(t, "id")), ""); got.member(t, "created_by") != st.mine.member {
			t.Fatalf("nobody stands behind it: %s", got.body)
		}
		key = made.member(t, "key").(string)
	}
}

// What a command line got ends when whoever approved it said, and does no more than they
// may: its key is not lengthened, raised or widened, by itself or by another.
func TestT32_TheKeyOfACommandLineGetsNoMoreThanWasApproved(t *testing.T) {
	st := lite(t)
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	own := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{store.AllEnvs}, Staff: st.mine.member, CreatedBy: st.mine.member, Expires: ends})
	less := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleLimited, Envs: []string{st.mine.Env.ID}, Staff: st.mine.member, CreatedBy: st.mine.member, Expires: ends})
	path := func(text string) string {
		k, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.APIKey, error) { return tx.APIKeyByHash(t.Context(), store.HashToken(text)) })
		if err != nil {
			t.Fatal(err)
		}
		return "/api/apikeys/" + k.ID
	}
	at := func(d time.Duration) string { return ends.Add(d).Format(time.RFC3339) }
	for _, c := range []struct {
		key, path, body string
		status          int
	}{
		{own, path(own), `{"expires_at":null}`, 400},
		{own, path(own), `{"expires_at":"` + at(time.Minute) + `"}`, 400},
		{st.owner, path(own), `{"expires_at":null}`, 400},
		{st.owner, path(less), `{"role":"admin"}`, 400},
		{st.owner, path(less), `{"envs":["*"]}`, 400},
		{own, path(own), `{"expires_at":"` + at(-time.Minute) + `","name":"shorter"}`, 204},
		{st.owner, path(own), `{"role":"user","envs":["` + st.mine.Env.ID + `"]}`, 204},
	} {
		if got := st.do(t, c.key, "PATCH", c.path, c.body); got.status != c.status {
			t.Errorf("%s = %d %s; want %d", c.body, got.status, got.body, c.status)
		}
	}
}

func TestAKeyBearsWhoMadeIt(t *testing.T) {
	st := lite(t)
	terminal := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{store.AllEnvs}, Staff: st.mine.member, CreatedBy: st.mine.member})
	for key, want := range map[string]any{terminal: st.mine.member, st.owner: nil} {
		made := st.do(t, key, "POST", "/api/apikeys", `{"name":"new","envs":["*"],"role":"user"}`)
		if made.status != http.StatusCreated {
			t.Fatalf("%d %s", made.status, made.body)
		}
		if got := st.want(t, http.StatusOK, "GET", fmt.Sprint("/api/apikeys/", made.member(t, "id")), ""); got.member(t, "created_by") != want {
			t.Errorf("want %v: %s", want, got.body)
		}
	}
}

// A key has no environment that was removed, and one that was for nothing else is switched
// off; it can be renamed, and works again once it is for something.
func TestAKeyOfARemovedEnvironmentIsSwitchedOff(t *testing.T) {
	st := lite(t)
	var gone store.Environment
	st.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		gone, err = tx.CreateEnvironment(ctx, store.Environment{Org: st.mine.Org.ID, Name: "gone", PublicName: "Gone"})
		return err
	})
	ann := st.hired(t, "ann@staff.test", "user", gone.ID)
	key := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleUser, Envs: []string{gone.ID}})
	both := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleUser, Envs: []string{gone.ID, st.mine.Env.ID}})
	id := ""
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		k, err := tx.APIKeyByHash(ctx, store.HashToken(key))
		id = k.ID
		return err
	})
	st.want(t, 204, "DELETE", "/api/envs/"+gone.ID, "")
	if got := st.do(t, key, "GET", "/api/envs", ""); got.status != 401 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := st.do(t, both, "GET", "/api/envs", ""); got.status != 200 || !strings.Contains(got.body, st.mine.Env.ID) || strings.Contains(got.body, st.other.Env.ID) {
		t.Errorf("of two: %d %s", got.status, got.body)
	}
	if all := st.members(t, st.owner); all["ann@staff.test"] == nil || len(all["ann@staff.test"]) != 0 {
		t.Errorf("ann works in %q", all["ann@staff.test"])
	}
	if all := st.members(t, st.mine.key); all["ann@staff.test"] != nil {
		t.Error("a key of one environment is told of who works in none")
	}
	if got := st.do(t, st.mine.key, "GET", "/api/apikeys/"+id, ""); got.status != 404 {
		t.Errorf("a key of one environment reads one of none: %d", got.status)
	}
	for _, c := range []struct {
		body   string
		status int
	}{{`{"enabled":true}`, 400}, {`{"envs":["` + gone.ID + `"]}`, 400}, {`{"envs":[]}`, 400}, {`{"name":"renamed"}`, 204}, {`{"enabled":true,"envs":["` + st.mine.Env.ID + `"]}`, 204}} {
		st.want(t, c.status, "PATCH", "/api/apikeys/"+id, c.body)
	}
	st.want(t, 204, "PATCH", "/api/org/members/"+ann, `{"envs":["`+st.mine.Env.ID+`"]}`)
	st.records(t, audit.EnvDeleted, `"limited_org_members":["`+ann+`"]`, `"limited_api_keys":["`, id)
}

// records expects parts in the record of a kind.
func (st *stack) records(t *testing.T, kind audit.Kind, parts ...string) {
	t.Helper()
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		list, err := audit.List(ctx, tx, st.mine.Org.ID, store.AuditFilter{Kinds: []string{string(kind)}, Count: 10})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, part := range parts {
			if !strings.Contains(string(list[0].Detail), part) {
				t.Errorf("no %s in %s", part, list[0].Detail)
			}
		}
		return nil
	})
}
