package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
)

func TestEachOfManyAccountsThatAreChangedIsFoundInTheLog(t *testing.T) {
	st := lite(t)
	both := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{store.AllEnvs}})
	got := st.do(t, both, "PATCH", "/api/accounts", `{"accounts":[{"id":"mine-1","birth_date":"1985-03-09"},{"id":"other-1","subject":""},{"id":"nobody","subject":""}]}`)
	if got.status != http.StatusOK || strings.Count(got.body, `"status":204`) != 2 {
		t.Fatal(got.status, got.body)
	}
	for _, p := range []place{st.mine, st.other} {
		got := st.want(t, http.StatusOK, "GET", "/api/audit?query=account:"+p.account.ID, "")
		events, _ := got.member(t, "events").([]any)
		if len(events) != 1 || !strings.Contains(got.body, `"env":"`+p.Env.ID+`"`) || !strings.Contains(got.body, `"directory":"`+p.Directory.ID+`"`) || strings.Contains(got.body, "1985") {
			t.Errorf("%s: %s", p.account.ID, got.body)
		}
	}
	refused := st.do(t, st.mine.key, "PATCH", "/api/accounts", `{"accounts":[{"id":"mine-1","subject":"`+st.mine.subject+`","birth_date":"9.3.1985"}]}`)
	if !strings.Contains(refused.body, `"status":400`) {
		t.Errorf("%d %s", refused.status, refused.body)
	}
	if got := st.want(t, http.StatusOK, "GET", "/api/accounts/"+st.mine.account.ID, ""); got.member(t, "subject") != nil {
		t.Errorf("half of what was refused happened: %s", got.body)
	}
}

// Somebody tried: the record says so, with the members that every one of its kind has.
func TestACallThatChangedNoAccountLeavesOneRecordOfTheOrganisation(t *testing.T) {
	st := lite(t)
	st.want(t, http.StatusOK, "PATCH", "/api/accounts", `{"accounts":[{"id":"nobody","subject":""},{"id":"nor they","subject":""}]}`)
	got := st.do(t, st.owner, "GET", "/api/audit?kind=account_updated", "")
	if strings.Count(got.body, `"kind":"account_updated"`) != 1 || !strings.Contains(got.body, `{"account":"","asked":2,"directory":"","request":{}}`) {
		t.Error(got.body)
	}
}

// A record outlives the person: numbers and addresses stand in it only where they can be
// erased.
func TestTheRecordOfARequestBearsNoNumberOrAddress(t *testing.T) {
	req := createRequestRequest{Env: "e", Phone: "+4915112345678", WhatsApp: "+4915112345679", Email: "a@example.com", Label: "Ref"}
	c := call{body: &req, r: new(http.Request)}
	text := store.JSON(c.details(createdRequest{ID: "1", Phone: req.Phone, Email: req.Email, Link: "https://x/request#secret"}))
	if strings.Contains(text, "+49") || strings.Contains(text, "@") || strings.Contains(text, "secret") || !strings.Contains(text, "Ref") {
		t.Error(text)
	}
	if p := personalOf(&req); p["phone"] != req.Phone || p["whatsapp"] != req.WhatsApp || p["mail"] != req.Email || req.Phone != "+4915112345678" {
		t.Errorf("%v", p)
	}
}
