package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestMembersAreInvitedChangedAndRemovedAndTheLastOwnerStays(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	var owner string
	st.tx(t, func(ctx context.Context, tx *store.Tx) error { // an owner who has come in
		who := store.Staff{Org: st.mine.Org.ID, ID: store.NewID(), Name: "Olga", Mail: "olga@staff.test", Role: "owner"}
		owner = who.ID
		if err := tx.AddStaff(ctx, &who); err != nil {
			return err
		}
		return tx.AddStaffKey(ctx, &store.StaffKey{Org: who.Org, ID: store.NewID(), Staff: who.ID, RP: "id.vendor.test", Credential: "c", Secret: []byte("{}")})
	})
	st.want(t, 409, "DELETE", "/api/org/members/"+owner, "")
	st.want(t, 409, "PATCH", "/api/org/members/"+owner, `{"role":"admin"}`)
	st.want(t, 204, "POST", "/api/org/members", `{"email":"new@staff.test","role":"admin","envs":["*"]}`)
	for body, want := range map[string]string{
		`{"email":"new@staff.test","role":"user"}`:                 "somebody has this address",
		`{"email":"nobody","role":"user"}`:                         "mail address",
		`{"email":"x@staff.test","role":"reader"}`:                 "is none of limited",
		`{"email":"x@staff.test","role":"user","envs":["an-env"]}`: "is not an environment that this key is for",
	} {
		if got := st.want(t, 400, "POST", "/api/org/members", body); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", body, got.body)
		}
	}
	list := st.want(t, 200, "GET", "/api/org/members", "")
	for _, part := range []string{`"email":"new@staff.test"`, `"invite_pending":true`, `"member_id":"` + owner + `"`, `"invite_pending":false`} {
		if !strings.Contains(list.body, part) {
			t.Errorf("no %s in %s", part, list.body)
		}
	}
	st.want(t, 204, "DELETE", "/api/org/members/"+st.mine.member, "")
	st.want(t, 404, "DELETE", "/api/org/members/"+st.mine.member, "")
}

// An invitation is a mail to whomever a key names, as often as it is sent again.
func TestT31_InvitationsAreNoMoreThanMailsMayBe(t *testing.T) {
	st := lite(t)
	sent := 0
	for range 2 * mailing.perMinute {
		if got := st.do(t, st.owner, "POST", "/api/org/members", `{"email":"flooded@staff.test","role":"limited"}`); got.status != http.StatusNoContent {
			break
		}
		sent++
	}
	if sent < mailing.perMinute || sent > mailing.perMinute+5 {
		t.Errorf("%d invitations to one mailbox at once; want %d", sent, mailing.perMinute)
	}
}

// hired adds a member who works in some environments.
func (st *stack) hired(t *testing.T, mail, role string, envs ...string) (id string) {
	t.Helper()
	who := store.Staff{Org: st.mine.Org.ID, ID: store.NewID(), Name: mail, Mail: mail, Role: role, Envs: envs}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.AddStaff(ctx, &who) })
	return who.ID
}

// members is what a key is told of the staff: where each works, by address.
func (st *stack) members(t *testing.T, key string) map[string][]string {
	t.Helper()
	got := st.do(t, key, "GET", "/api/org/members", "")
	var list memberList
	if err := json.Unmarshal([]byte(got.body), &list); err != nil {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	all := map[string][]string{}
	for _, m := range list.Members {
		all[m.Email] = m.Envs
	}
	return all
}

// A key gives members no more than it has itself, by the rule that holds for keys.
// A list that a script worked out to be empty gives no environment; only a list that is not
// there stands for all of them.
func TestT25_AnEmptyListOfEnvironmentsIsNotAllOfThem(t *testing.T) {
	st := lite(t)
	for path, body := range map[string]string{"/api/apikeys": `{"role":"user","envs":%s}`, "/api/org/members": `{"email":"x@staff.test","role":"user","envs":%s}`} {
		if got := st.want(t, 400, "POST", path, fmt.Sprintf(body, "[]")); !strings.Contains(got.body, "envs: name at least one environment") {
			t.Errorf("%s: %s", path, got.body)
		}
		if got := st.do(t, st.owner, "POST", path, fmt.Sprintf(body, "null")); got.status/100 != 2 {
			t.Errorf("%s without a list: %d %s", path, got.status, got.body)
		}
	}
}

func TestT25_AKeyGivesMembersOnlyEnvironmentsThatItIsFor(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	mine, other := st.mine.Env.ID, st.other.Env.ID
	whole := st.hired(t, "whole@staff.test", "user", "*")
	far := st.hired(t, "far@staff.test", "user", other)
	both := st.hired(t, "both@staff.test", "user", mine, other)
	near := st.hired(t, "near@staff.test", "user", mine)
	boss := st.hired(t, "boss@staff.test", "owner")
	for _, c := range []struct {
		what, key, method, path, body string
		status                        int
		says                          string
	}{
		{"one for all invites to one", st.owner, "POST", "", `{"email":"a@staff.test","role":"admin","envs":["` + other + `"]}`, 204, ""},
		{"one for one invites there", st.mine.key, "POST", "", `{"email":"b@staff.test","role":"admin","envs":["` + mine + `"]}`, 204, ""},
		{"one for one invites elsewhere", st.mine.key, "POST", "", `{"email":"c@staff.test","role":"user","envs":["` + other + `"]}`, 400, "envs: "},
		{"one for one invites everywhere", st.mine.key, "POST", "", `{"email":"c@staff.test","role":"user","envs":["*"]}`, 400, "envs: name the environments"},
		{"one for one names none", st.mine.key, "POST", "", `{"email":"c@staff.test","role":"user"}`, 400, "envs: name the environments"},
		{"an owner of one environment", st.owner, "POST", "", `{"email":"c@staff.test","role":"owner","envs":["` + mine + `"]}`, 400, "envs: an owner works in all environments"},
		{"an unknown environment", st.owner, "POST", "", `{"email":"c@staff.test","role":"user","envs":["` + st.foreign.Env.ID + `"]}`, 400, "envs: "},
		{"who has the address, elsewhere", st.owner, "POST", "", `{"email":"near@staff.test","role":"user","envs":["` + other + `"]}`, 400, "somebody has this address"},
		{"who has the address, unseen", st.mine.key, "POST", "", `{"email":"far@staff.test","role":"user","envs":["` + mine + `"]}`, 400, "somebody has this address"},

		{"another role there", st.mine.key, "PATCH", near, `{"role":"admin"}`, 204, ""},
		{"further", st.mine.key, "PATCH", near, `{"envs":["` + mine + `","` + other + `"]}`, 400, "envs: "},
		{"everywhere", st.mine.key, "PATCH", near, `{"envs":["*"]}`, 400, "envs: "},
		{"nowhere", st.owner, "PATCH", near, `{"envs":[]}`, 400, "envs: name at least one"},
		{"an owner, limited", st.owner, "PATCH", near, `{"role":"owner"}`, 400, "envs: an owner"},
		{"an owner, both said", st.owner, "PATCH", near, `{"role":"owner","envs":["*"]}`, 204, ""},
		{"an owner is limited", st.owner, "PATCH", boss, `{"envs":["` + mine + `"]}`, 400, "envs: an owner"},
		{"no owner any more, limited", st.owner, "PATCH", boss, `{"role":"user","envs":["` + mine + `"]}`, 204, ""},
		{"who reaches further", st.mine.key, "PATCH", both, `{"role":"limited"}`, 404, ""},
		{"who reaches everything", st.mine.key, "PATCH", whole, `{"envs":["` + mine + `"]}`, 404, ""},
		{"of another", st.mine.key, "PATCH", far, `{"role":"limited"}`, 404, ""},
		{"nothing of another", st.mine.key, "PATCH", far, `{}`, 404, ""},

		{"removes one of another", st.mine.key, "DELETE", far, "", 404, ""},
		{"removes who reaches further", st.mine.key, "DELETE", both, "", 404, ""},
		{"removes its own", st.mine.key, "DELETE", boss, "", 204, ""},
	} {
		path := "/api/org/members"
		if c.path != "" {
			path += "/" + c.path
		}
		if got := st.do(t, c.key, c.method, path, c.body); got.status != c.status || !strings.Contains(got.body, c.says) {
			t.Errorf("%s: %d %s; want %d %s", c.what, got.status, got.body, c.status, c.says)
		}
	}
	want := map[string][]string{"b@staff.test": {mine}, "mine@staff.test": {mine}}
	if got := st.members(t, st.mine.key); len(got) != len(want) || !slices.Equal(got["b@staff.test"], want["b@staff.test"]) {
		t.Errorf("a key of one environment is told of %v", got)
	}
	all := st.members(t, st.owner)
	if !slices.Equal(all["a@staff.test"], []string{other}) || !slices.Equal(all["whole@staff.test"], []string{"*"}) || len(all["both@staff.test"]) != 2 {
		t.Errorf("a key of all is told of %v", all)
	}
}

// What somebody holds shrinks with them, at once, and the record says from where.
func TestT25_AMemberWhoIsLimitedKeepsNoKeyThatReachesFurther(t *testing.T) {
	st := lite(t)
	mine, other := st.mine.Env.ID, st.other.Env.ID
	ann := st.hired(t, "ann@staff.test", "admin")
	terminal := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{"*"}, Staff: ann, CreatedBy: ann})
	made := st.do(t, terminal, "POST", "/api/apikeys", `{"name":"tickets","role":"admin"}`).member(t, "key").(string)
	st.want(t, 204, "PATCH", "/api/org/members/"+ann, `{"envs":["`+mine+`"]}`)
	if got := st.do(t, terminal, "GET", "/api/envs", ""); got.status != 401 {
		t.Errorf("their command line: %d %s", got.status, got.body)
	}
	if got := st.do(t, made, "GET", "/api/envs", ""); got.status != 200 || !strings.Contains(got.body, mine) || strings.Contains(got.body, other) {
		t.Errorf("the key that they made: %d %s", got.status, got.body)
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		list, err := audit.List(ctx, tx, st.mine.Org.ID, store.AuditFilter{Count: 1})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, part := range []string{`"org_member":"` + ann + `"`, `"request":{"envs":["` + mine + `"]}`, `"before_envs":["*"]`, `"limited_api_keys":["`} {
			if list[0].Kind != audit.OrgMemberUpdated || !strings.Contains(string(list[0].Detail), part) {
				t.Errorf("no %s in %s %s", part, list[0].Kind, list[0].Detail)
			}
		}
		return nil
	})
}

// Whoever goes may know keys that programs go on with: the record names them.
func TestT25_WhoRemovesAMemberIsToldOfTheKeysThatTheyMadeAndThatGoOn(t *testing.T) {
	st := lite(t)
	ann := st.hired(t, "ann@staff.test", "admin")
	terminal := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{"*"}, Staff: ann, CreatedBy: ann})
	made := st.do(t, terminal, "POST", "/api/apikeys", `{"name":"tickets","role":"admin"}`)
	off := st.do(t, terminal, "POST", "/api/apikeys", `{"name":"old","role":"admin","enabled":false}`).member(t, "id").(string)
	st.want(t, 204, "DELETE", "/api/org/members/"+ann, "")
	if got := st.do(t, made.member(t, "key").(string), "GET", "/api/envs", ""); got.status != 200 {
		t.Errorf("the key of a program: %d %s", got.status, got.body)
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		list, err := audit.List(ctx, tx, st.mine.Org.ID, store.AuditFilter{Count: 1})
		if err != nil || len(list) != 1 || list[0].Kind != audit.OrgMemberRemoved || !strings.Contains(string(list[0].Detail), `"remaining_api_keys":["`) || strings.Contains(string(list[0].Detail), off) {
			t.Errorf("%+v, %v", list, err)
		}
		return nil
	})
}

// A key that a member made is no way back to the role that was taken from them.
func TestT25_AMemberWhoIsGivenALesserRoleDoesNotTakeItBackByAKey(t *testing.T) {
	st := lite(t)
	ann := st.hired(t, "ann@staff.test", "admin")
	terminal := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{"*"}, Staff: ann, CreatedBy: ann})
	made := st.do(t, terminal, "POST", "/api/apikeys", `{"name":"tickets","role":"admin"}`).member(t, "key").(string)
	st.want(t, 204, "PATCH", "/api/org/members/"+ann, `{"role":"limited"}`)
	if got := st.do(t, made, "PATCH", "/api/org/members/"+ann, `{"role":"admin"}`); got.status != 403 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := st.do(t, made, "GET", "/api/envs", ""); got.status != 200 {
		t.Errorf("the key is off: %d %s", got.status, got.body)
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		list, err := audit.List(ctx, tx, st.mine.Org.ID, store.AuditFilter{Count: 1})
		if err != nil || len(list) != 1 || list[0].Kind != audit.OrgMemberUpdated || !strings.Contains(string(list[0].Detail), `"limited_api_keys":["`) {
			t.Errorf("%+v, %v", list, err)
		}
		return nil
	})
}

// A key that shrank with whoever made it is given more again by others, as far as they may
// go themselves; by whoever made it, and by itself, it is not.
func TestT25_AKeyThatShrankIsRaisedNoFurtherThanWhoRaisesItMayGo(t *testing.T) {
	st := lite(t)
	mine, other := st.mine.Env.ID, st.other.Env.ID
	ann := st.hired(t, "ann@staff.test", "owner")
	terminal := func(role string, envs ...string) string {
		return st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: role, Envs: envs, Staff: ann, CreatedBy: ann})
	}
	made := st.do(t, terminal(RoleOwner, "*"), "POST", "/api/apikeys", `{"name":"tickets","role":"owner"}`)
	key, path := made.member(t, "key").(string), "/api/apikeys/"+made.member(t, "id").(string)
	st.want(t, 204, "PATCH", "/api/org/members/"+ann, `{"role":"user","envs":["`+mine+`"]}`)
	admin := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleAdmin, Envs: []string{mine}})
	for _, c := range []struct {
		what, key, body string
		status          int
	}{
		{"the key", key, `{"role":"admin"}`, 403},
		{"a command line of who made it", terminal(RoleUser, mine), `{"role":"admin"}`, 403},
		{"an administrator of one environment", admin, `{"role":"owner"}`, 400},
		{"an administrator of one environment", admin, `{"envs":["*"]}`, 400},
		{"an administrator of one environment", admin, `{"envs":["` + mine + `","` + other + `"]}`, 400},
		{"an administrator of one environment", admin, `{"role":"admin"}`, 204},
		{"an owner", st.owner, `{"envs":["` + mine + `","` + other + `"]}`, 204},
		{"an administrator of one of two", admin, `{"role":"user"}`, 404},
		{"an owner", st.owner, `{"role":"owner","envs":["*"]}`, 204},
	} {
		if got := st.do(t, c.key, "PATCH", path, c.body); got.status != c.status {
			t.Errorf("%s, %s: %d %s; want %d", c.what, c.body, got.status, got.body, c.status)
		}
	}
}
