package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

func TestARequestFromItsTemplateToItsEnd(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID
	st.want(t, http.StatusOK, "POST", env+"/templates", `{"name":"onboarding","claim_definitions":[{"claim":"birth_date"},{"claim":"name"}],"claims_expire_in":3600,"max_usages":3,"is_default":true}`)
	if got := st.want(t, http.StatusOK, "GET", env, ""); strings.Count(got.body, `"is_default":true`) != 1 || !strings.Contains(got.body, `"name":"onboarding"`) {
		t.Errorf("templates of %s", got.body)
	}
	got := st.want(t, http.StatusCreated, "POST", "/api/requests", `{"env":"`+st.mine.Env.ID+`","label":"Ref #41471"}`)
	var created createdRequest
	if err := json.Unmarshal([]byte(got.body), &created); err != nil {
		t.Fatal(err)
	}
	if created.Status != 100 || created.Template != "onboarding" || strings.Join(created.Claims, " ") != "birth_date name" ||
		!strings.HasPrefix(created.Link, "https://"+st.mine.domain+request.LinkPath+"#") || time.Until(created.ExpiresAt).Round(time.Hour) != request.Life {
		t.Errorf("created %s", got.body)
	}
	_, ticket, _ := strings.Cut(created.Link, "#")
	if leaves := string(st.leaves(t)); strings.Contains(leaves, ticket) || !strings.Contains(leaves, created.ID) {
		t.Error("the audit log bears the link, or not the request")
	}
	st.want(t, http.StatusNoContent, "PATCH", "/api/requests/"+created.ID, `{"label":"changed"}`)
	for _, path := range []string{"/api/requests/" + created.ID, env + "/requests/" + created.ID} {
		if got := st.want(t, http.StatusOK, "GET", path, ""); got.member(t, "label") != "changed" || got.member(t, "status") != "pending" || got.member(t, "progress") != "created" || got.member(t, "ticket") != ticket {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	st.want(t, http.StatusNoContent, "DELETE", "/api/requests/"+created.ID, "")
	st.want(t, http.StatusNoContent, "DELETE", "/api/requests/"+created.ID, "")
	if got := st.want(t, http.StatusOK, "GET", "/api/requests/"+created.ID, ""); got.member(t, "status") != "cancelled" {
		t.Errorf("canceled: %s", got.body)
	}
}

func TestRequestsAreListedByWhatIsAsked(t *testing.T) {
	st := lite(t)
	for _, label := range []string{"50% off", "a_b", "Aab"} {
		st.want(t, http.StatusCreated, "POST", "/api/requests", `{"env":"`+st.mine.Env.ID+`","claims":["name"],"label":"`+label+`"}`)
	}
	list := "/api/envs/" + st.mine.Env.ID + "/requests"
	for query, want := range map[string]float64{ // one more is there from the start
		"": 4, "?q=a_b": 1, "?q=50%25": 1, "?q=AAB": 1, "?statusFilter=active": 4, "?statusFilter=expired": 0, "?statusFilter=hideExpired": 4, "?statusFilter=rejectedFraud": 0,
		"?updatedAt=week": 4, "?requestor=x": 0, "?count=2&offset=1": 4, "?count=9999": 4, "?sort=-last_updated": 4,
	} {
		if got := st.want(t, http.StatusOK, "GET", list+query, ""); got.member(t, "total_result_count") != want {
			t.Errorf("%s: %s", query, got.body)
		}
	}
	page := st.want(t, http.StatusOK, "GET", list+"?count=3", "")
	if len(page.member(t, "requests").([]any)) != 3 || page.member(t, "next_offset") != 3.0 {
		t.Errorf("a page: %s", page.body)
	}
	for _, query := range []string{"?sort=x", "?statusFilter=x", "?updatedAt=x", "?count=0", "?offset=9999999999", "?q=1&q=2", "?x=1"} {
		st.want(t, http.StatusBadRequest, "GET", list+query, "")
	}
}

func TestRequestsAreListedByWhenTheyChanged(t *testing.T) {
	now := time.Date(2027, 1, 5, 0, 0, 0, 1, time.UTC)
	for span, want := range map[string][2]string{
		"today": {"2027-01-05"}, "week": {"2026-12-29"}, "month": {"2027-01-01"}, "lastmonth": {"2026-12-01", "2027-01-01"}, "year": {"2027-01-01"}, "": {},
	} {
		var f store.RequestFilter
		updated(&f, span, now)
		for i, at := range []time.Time{f.UpdatedAfter, f.UpdatedBefore} {
			if is := at.Format(time.DateOnly); is != cmp.Or(want[i], "0001-01-01") || !at.Equal(at.Truncate(24*time.Hour)) {
				t.Errorf("%s: %v", span, at)
			}
		}
	}
}

func TestARequestIsRefusedWithWhatToMend(t *testing.T) {
	st := lite(t)
	for body, want := range map[string]string{
		`"claims":["nonsense"]`:                                         "claims",
		`"claims":["phone","name"]`:                                     "claims: phone_number: method not configured",
		`"scopes":["nt:nonsense"]`:                                      "scopes",
		`"claims":["name"],"template":"the default"`:                    "template",
		`"template":"no such"`:                                          "template",
		`"claims":["name","email"]`:                                     "claims: email: method not configured",
		`"claims":["gps_location"]`:                                     "no method of this product proves gps_location",
		`"scopes":["nt:location:gps","nt:name"]`:                        "no method of this product proves nt:location:gps",
		`"scopes":["openid"]`:                                           "ask for something",
		`"claims":["name"],"phone":"+4930123"`:                          "phone: method not configured",
		`"claims":["name"],"email":"a@example.com"`:                     "email: method not configured",
		`"claims":["name"],"whatsapp":"+4930123"`:                       "whatsapp: method not configured",
		`"claims":["name"],"expires_at":"2001-01-01T00:00:00Z"`:         "168 hours",
		`"claims":["name"],"ttl":"200h"`:                                "168 hours",
		`"claims":["name"],"max_usages":-1`:                             "max_usages",
		`"claims":["name"],"label":"` + strings.Repeat("x", 1001) + `"`: "label",
	} {
		if got := st.want(t, http.StatusBadRequest, "POST", "/api/requests", `{"env":"`+st.mine.Env.ID+`",`+body+`}`); !strings.Contains(got.body, want) {
			t.Errorf("%.60s: %s", body, got.body)
		}
	}
}

func TestAPersonIsReadRevokedAndErasedByTheirSubject(t *testing.T) {
	st := lite(t)
	path := "/people/" + st.mine.subject
	got := st.want(t, http.StatusOK, "GET", path+"/properties/name,birth_date", "")
	if !strings.Contains(got.body, `{"claim":"name","value":"Alice","status":200}`) || !strings.Contains(got.body, `{"claim":"birth_date","status":403}`) {
		t.Errorf("properties %s", got.body)
	}
	if order := regexp.MustCompile(`"claim":"([a-z_]+)"`).FindAllString(st.want(t, http.StatusOK, "GET", path+"/properties/picture,name,birth_date,name", "").body, -1); !slices.Equal(order, []string{`"claim":"picture"`, `"claim":"name"`, `"claim":"birth_date"`}) {
		t.Errorf("properties are not in the order in which they were asked for: %s", order)
	}
	st.want(t, http.StatusBadRequest, "GET", path+"/properties/name,nonsense", "")
	got = st.want(t, http.StatusOK, "GET", path+"/properties/nt:legal_name,birth_date,openid", "")
	if !strings.Contains(got.body, `"properties":[{"claim":"birth_date","status":403},{"scope":"nt:legal_name","claim":"name","value":"Alice","status":200}]`) {
		t.Errorf("by scope %s", got.body)
	}
	got = st.want(t, http.StatusOK, "POST", path+"/compare", `{"expectations":[{"scope":"nt:name","claim":"name","value":"Alice"}]}`)
	if !strings.Contains(got.body, `{"scope":"nt:name","claim":"name",`) {
		t.Errorf("compared by scope %s", got.body)
	}
	st.want(t, http.StatusBadRequest, "POST", path+"/compare", `{"expectations":[{"scope":"nt:phone","claim":"name","value":"Alice"}]}`)
	st.want(t, http.StatusNoContent, "DELETE", path+"/properties/nt:name", "")
	if got := st.want(t, http.StatusOK, "GET", path+"/properties/name", ""); strings.Contains(got.body, "Alice") || !strings.Contains(got.body, `"status":403`) {
		t.Errorf("revoked %s", got.body)
	}
	st.want(t, http.StatusNoContent, "DELETE", path, "")
	st.want(t, http.StatusNotFound, "DELETE", path, "")
	if got := st.want(t, http.StatusOK, "POST", "/people/bulk", `{"requests":[{"subject":"`+st.mine.subject+`","claims":["name"]},{"subject":"nobody","claims":["name"]}]}`); strings.Count(got.body, `"status":403}`) < 2 {
		t.Errorf("bulk %s", got.body)
	}
}

// The public reference: there is always exactly one template that is the default. What it is
// to ask for is said once; requests that name nothing are made by it.
func TestAnEnvironmentBeginsWithADefaultTemplate(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.want(t, http.StatusCreated, "POST", "/api/envs", `{"name":"fresh"}`).member(t, "id").(string)
	templates := func() (all []templateOut) {
		t.Helper()
		var e struct{ Templates []templateOut }
		if err := json.Unmarshal([]byte(st.want(t, http.StatusOK, "GET", env, "").body), &e); err != nil {
			t.Fatal(err)
		}
		return e.Templates
	}
	first := templates()
	if len(first) != 1 || !first[0].Default || !first[0].Enabled || first[0].Name != "Default" || first[0].MaxUsages != 1 || len(first[0].Claims)+len(first[0].Scopes) != 0 {
		t.Fatalf("%+v", first)
	}
	st.want(t, http.StatusBadRequest, "DELETE", env+"/templates/"+first[0].ID, "")
	st.want(t, http.StatusOK, "POST", env+"/templates", `{"name":"other","claim_definitions":[{"claim":"birth_date"}]}`)
	if all := templates(); len(all) != 2 || all[0].Default != (all[0].ID == first[0].ID) || all[1].Default != (all[1].ID == first[0].ID) {
		t.Errorf("another template takes the default's place by itself: %+v", all)
	}
	st.want(t, http.StatusNoContent, "PATCH", env+"/templates/"+first[0].ID, `{"claim_definitions":[{"claim":"name"}]}`)
	for _, one := range templates() {
		if one.Default && (len(one.Claims) != 1 || one.Claims[0].Claim != "name") {
			t.Errorf("%+v", one)
		}
	}
}

func TestARequestThatNamesNothingIsMadeByTheDefaultTemplate(t *testing.T) {
	st := lite(t)
	first, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.Template, error) {
		all, err := tx.Templates(t.Context(), st.mine.Env.ID)
		return all[slices.IndexFunc(all, func(one store.Template) bool { return one.Name == "Default" })], err
	})
	if err != nil {
		t.Fatal(err)
	}
	path, body := "/api/envs/"+st.mine.Env.ID+"/templates/"+first.ID, `{"env":"`+st.mine.Env.ID+`"}`
	st.want(t, http.StatusNoContent, "PATCH", path, `{"is_default":true}`)
	if got := st.want(t, http.StatusBadRequest, "POST", "/api/requests", body); !strings.Contains(got.body, "the default template asks for nothing yet") {
		t.Error(got.body)
	}
	st.want(t, http.StatusNoContent, "PATCH", path, `{"claim_definitions":[{"claim":"name"}]}`)
	if got := st.want(t, http.StatusCreated, "POST", "/api/requests", body); got.member(t, "template") != "Default" || !strings.Contains(got.body, `"claims":["name"]`) {
		t.Error(got.body)
	}
}

func TestTheDefaultTemplateStays(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID + "/templates"
	got := st.want(t, http.StatusOK, "POST", env, `{"name":"first","is_default":true}`)
	id := got.member(t, "id").(string)
	for _, c := range []struct{ method, path, body string }{
		{"DELETE", "/" + id, ""}, {"PATCH", "/" + id, `{"is_default":false}`}, {"PATCH", "/" + id, `{"enabled":false}`}, {"PATCH", "/" + id, `{"name":""}`},
		{"PATCH", "/" + id, `{"install_message_sms":"no link"}`}, {"POST", "", `{"name":"first"}`}, {"POST", "", `{"name":"x","claim_definitions":[{"claim":"nonsense"}]}`},
	} {
		st.want(t, http.StatusBadRequest, c.method, env+c.path, c.body)
	}
	st.want(t, http.StatusNoContent, "PATCH", env+"/"+st.mine.template, `{"enabled":true,"is_default":true}`)
	st.want(t, http.StatusNoContent, "DELETE", env+"/"+id, "")
}

// The public reference: the body of a change may contain any of the fields of a Template.
func TestATemplateIsWrittenBackAsItWasRead(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID
	read := func() (all []map[string]any) {
		t.Helper()
		var e struct{ Templates []map[string]any }
		if err := json.Unmarshal([]byte(st.want(t, http.StatusOK, "GET", env, "").body), &e); err != nil {
			t.Fatal(err)
		}
		return e.Templates
	}
	for i, one := range read() {
		path := env + "/templates/" + one["id"].(string)
		one["headline"] = "Who are you?"
		st.want(t, http.StatusNoContent, "PATCH", path, store.JSON(one))
		if got := read()[i]; !reflect.DeepEqual(got, one) {
			t.Errorf("want %v\nhave %v", one, got)
		}
		one["created_at"] = "1999-12-31T00:00:00Z"
		st.want(t, http.StatusNoContent, "PATCH", path, store.JSON(one))
		if got := read()[i]; got["created_at"] == one["created_at"] {
			t.Error("when it was made was changed")
		}
		one["id"] = "another"
		if got := st.want(t, http.StatusBadRequest, "PATCH", path, store.JSON(one)); !strings.Contains(got.body, "id: want the id of the path") {
			t.Error(got.body)
		}
	}
}

func TestNamesAreCompared(t *testing.T) {
	st := lite(t)
	path := "/people/" + st.mine.subject + "/compare"
	for expected, want := range map[string]float64{"Alice": 1, "alice": 0.5, "Bob": 0} {
		got := st.want(t, http.StatusOK, "POST", path, `{"expectations":[{"claim":"name","value":"`+expected+`"}]}`)
		if got.member(t, "confidence") != want || !strings.Contains(got.body, `"actual":"Alice"`) || !strings.Contains(got.body, `"match":`+map[bool]string{true: "true", false: "false"}[want > 0.5]) {
			t.Errorf("%s: %s", expected, got.body)
		}
	}
	for _, body := range []string{`{}`, `{"expectations":[{"claim":"birth_date","value":"1980-02-29"}]}`, `{"expectations":[{"claim":"name","value":""}]}`} {
		st.want(t, http.StatusBadRequest, "POST", path, body)
	}
	st.want(t, http.StatusNoContent, "DELETE", "/people/"+st.mine.subject+"/properties/name", "")
	if got := st.want(t, http.StatusOK, "POST", path, `{"expectations":[{"claim":"name","value":"Alice"}]}`); strings.Contains(got.body, `"actual":"Alice"`) || got.member(t, "confidence") != 0.0 {
		t.Errorf("taken back: %s", got.body)
	}
}

func TestATemplateSaysNothingThatNobodyFollows(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID + "/templates"
	for body, want := range map[string]string{
		`"claim_definitions":[{"claim":"gps_location"}]`:                                       "no method of this product proves gps_location",
		`"scope_definitions":[{"scope":"nt:location:gps"}]`:                                    "no method of this product proves nt:location:gps",
		`"scope_definitions":[{"scope":"nt:name","restrict_email_domains":["example.com"]}]`:   "restrict_email_domains stands with nt:email",
		`"scope_definitions":[{"scope":"nt:email","restrict_email_domains":["@example.com"]}]`: "restrict_email_domains",
		`"scope_definitions":[{"scope":"nt:email","restrict_email_domains":["a b.example"]}]`:  "restrict_email_domains",
		`"qr_headline":"a\u0000b"`:                      "qr_headline",
		`"headline":"` + strings.Repeat("x", 401) + `"`: "headline",
	} {
		if got := st.want(t, http.StatusBadRequest, "POST", env, `{"name":"n",`+body+`}`); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", body, got.body)
		}
	}
}

// A template's members of the public API are taken and given back: phone is another name
// of phone_number.
func TestATemplateAsksForAddressesAndSelfies(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID
	st.want(t, http.StatusOK, "POST", env+"/templates", `{"name":"whole","claim_definitions":[{"claim":"phone"}],
		"scope_definitions":[{"scope":"nt:email","restrict_email_domains":["example.com"]}],"require_selfie_reverification":true,"enable_selfie_only":true}`)
	got := st.want(t, http.StatusOK, "GET", env, "")
	for _, part := range []string{`"claim_definitions":[{"claim":"phone_number"}]`, `{"scope":"nt:email","restrict_email_domains":["example.com"]}`, `"require_selfie_reverification":true`, `"enable_selfie_only":true`} {
		if !strings.Contains(got.body, part) {
			t.Errorf("no %s in %s", part, got.body)
		}
	}
}

// openid stands for no claim.
func TestTakingNothingBackIsRecordedAsThat(t *testing.T) {
	st := lite(t) // which compares records with the public reference
	st.want(t, 204, "DELETE", "/people/"+st.mine.subject+"/properties/openid", "")
	if page := st.want(t, 200, "GET", "/api/audit?kind=sharing_revoked", ""); !strings.Contains(page.body, `"claims":[]`) {
		t.Error(page.body)
	}
}
