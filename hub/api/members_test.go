package api

import (
	"context"
	"net/http"
	"strings"
	"testing"

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
		`{"email":"x@staff.test","role":"user","envs":["an-env"]}`: "every environment",
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
