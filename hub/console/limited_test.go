package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/terminal"
	"github.com/postern-id/postern/internal/testenv"
)

// staging adds another environment to the organisation, with a directory.
func (g *rig) staging() (e store.Environment) {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		if e, err = tx.CreateEnvironment(ctx, store.Environment{Org: g.Org.ID, Name: "staging", PublicName: "Example"}); err != nil {
			return err
		}
		_, err = tx.CreateDirectory(ctx, store.Directory{Env: e.ID, Kind: "ldap", Name: "testers"})
		return err
	})
	return e
}

// limit has somebody work in some environments only.
func (g *rig) limit(mail string, envs ...string) {
	g.t.Helper()
	id := g.memberID(mail)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetStaffEnvs(ctx, g.Org.ID, id, envs)
		return err
	})
}

// who returns somebody of the staff.
func (g *rig) who(mail string) (s store.Staff) {
	g.t.Helper()
	id := g.memberID(mail)
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) { s, err = tx.Staff(ctx, g.Org.ID, id); return err })
	return s
}

// entries counts what the log has.
func (g *rig) entries() (n int) {
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		list, err := audit.List(ctx, tx, g.Org.ID, store.AuditFilter{Count: 1000})
		n = len(list)
		return err
	})
	return n
}

// everything is a path and a form for each route, of what the first environment holds.
type everything struct {
	g             *rig
	account, page string
	form          url.Values
}

func (g *rig) everything() everything {
	kim := g.kim()
	_, id, _ := g.handedIn()
	agent := g.enrol("dc-agent-1", 1)
	return everything{g, kim.ID, id, url.Values{"env": {g.Env.ID}, "directory": {g.Directory.ID}, "account": {kim.ID}, "agent": {agent.ID}, "q": {"kim@acme.example"},
		"operation": {"disable"}, "do": {"save"}, "choice": {"password:mail_code+manual"}, "seen": {"in_person"}, "reason": {"x"}, "verdict": {"accept"}, "url": {"https://hooks.example/in"}, "name": {"x"}}}
}

func (e everything) path(pattern string) string {
	id := e.account
	if strings.HasPrefix(pattern, reviewsPath) {
		id = e.page
	}
	path := strings.NewReplacer("{env}", e.g.Env.ID, "{directory}", e.g.Directory.ID, "{rule}", "new", "{provider}", "new", "{hook}", "new", "{delivery}", "x", "{destination}", "new",
		"{client}", "new-openid", "{id}", id, "{kind}", "front", "{key}", strings.Repeat("A", 43)).Replace(pattern)
	if strings.HasPrefix(pattern, evaluationPath) {
		path += "?" + url.Values{"env": {e.g.Env.ID}, "directory": {e.g.Directory.ID}}.Encode()
	}
	return path
}

// post sends the form of a route as somebody.
func (e everything) post(a *admin, pattern, token string) *admin {
	form := url.Values{"form": {token}}
	for name, values := range e.form {
		form[name] = values
	}
	if pattern == trustPath { // its form brings a file
		return a.upload(e.path(pattern), form, []byte("x"))
	}
	return a.do(http.MethodPost, e.path(pattern), form)
}

// theirOwn are the routes that somebody is served wherever they work: what those show is
// looked at beside.
var theirOwn = []string{root, root + "/sign-out", reviewsPath, ordersPath, waitingPath, minePath, minePath + "/end", settingsPath,
	staffPath, staffPath + "/role", staffPath + "/invite", staffPath + "/remove", staffPath + "/end", terminalPath, terminalPath + "/confirm"}

// Every route of the table is tried by an administrator of another environment: what is
// not theirs does not exist, whatever is sent, and nothing is written down.
func TestT25_AMemberOfAnotherEnvironmentIsServedNothingOnAnyRoute(t *testing.T) {
	g := newRig(t)
	staging, owner := g.staging(), g.signedIn()
	far, _ := g.member(owner, staff.Admin, "far@acme.example")
	near, _ := g.member(owner, staff.Admin, "near@acme.example")
	g.member(owner, staff.User, "whole@acme.example")
	g.limit("far@acme.example", staging.ID)
	g.limit("near@acme.example", g.Env.ID)
	all := g.everything()
	token := hidden.FindStringSubmatch(far.get("/console").body)[2]
	g.ahead(time.Minute) // whoever is seen is written down once a minute
	far.get("/console")
	before := g.entries()
	for _, r := range table() {
		if r.least == open || r.pattern == root+"/sign-out" {
			continue
		}
		want := http.StatusNotFound
		if r.least == staff.Owner { // of the whole organisation
			want = http.StatusForbidden
		}
		own := slices.Contains(theirOwn, r.pattern)
		for method, served := range map[string]handler{http.MethodGet: r.get, http.MethodPost: r.post} {
			switch {
			case served == nil:
				continue
			case method == http.MethodGet:
				far.get(all.path(r.pattern))
			default:
				all.post(far, r.pattern, token)
			}
			if !own && far.status != want {
				t.Errorf("%s %s: %d, want %d", method, r.pattern, far.status, want)
			}
			for _, told := range []string{g.Env.ID, "production", g.Directory.ID, all.account, all.page, "Kim", "near@acme.example", "whole@acme.example"} {
				if strings.Contains(strings.ReplaceAll(far.body, far.at.Path, ""), told) {
					t.Errorf("%s %s tells of %q: %s", method, r.pattern, told, far.body)
				}
			}
		}
	}
	if n := g.entries(); n != before || len(g.sync.now) != 0 || len(g.acts.done) != 0 {
		t.Errorf("%d records were written, %v synchronised, %v carried out", n-before, g.sync.now, g.acts.done)
	}
	missed := 0 // and the same requests do find what is there
	for _, r := range table() {
		if r.least == open || r.least == staff.Owner || r.get == nil || slices.Contains(theirOwn, r.pattern) {
			continue
		}
		if near.get(all.path(r.pattern)); near.status == http.StatusNotFound {
			missed++
			t.Log(r.pattern, "is not found by who works there either")
		}
	}
	if missed > 2 { // a delivery and a report that there are none of
		t.Errorf("%d routes were not found by who works there", missed)
	}
	near.get("/console").sees(200, "production", "people")
	far.get("/console").sees(200, "staging", "testers")
}

// What somebody may is read at each request: who is limited while they are signed in is
// limited at once, and signed in still.
func TestT25_ASessionLosesTheEnvironmentsThatItsMemberLost(t *testing.T) {
	g := newRig(t)
	staging, owner := g.staging(), g.signedIn()
	ann, _ := g.member(owner, staff.Admin, "ann@acme.example")
	path := "/console/settings/" + g.Env.ID + "/links"
	ann.get(path).sees(200)
	g.limit("ann@acme.example", staging.ID)
	ann.get(path).sees(404)
	ann.get("/console/settings").sees(200, "staging")
	if strings.Contains(ann.body, "production") {
		t.Error("settings of an environment that they lost are listed")
	}
}

// A terminal that somebody signs in reaches where they work, and no further.
func TestT25_ACommandLineReachesTheEnvironmentsOfItsMember(t *testing.T) {
	g := newRig(t)
	staging := g.staging()
	l := newLine(t)
	path := "/cli/login/" + l.key
	ann, key := g.ann(staff.Admin)
	g.limit("ann@acme.example", staging.ID)
	ann.get(path).send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(t, ann.body)))}}).sees(200)
	ann.send(path, url.Values{"code": {terminal.Code(l.key)}, "role": {"user"}, "days": {"7"}}).sees(200)
	ann.send(path+"/confirm", url.Values{"answer": {string(key.Assert(challenge(t, ann.body)))}}).sees(200, "The terminal is signed in")
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		keys, err := tx.APIKeys(ctx, g.Org.ID)
		if len(keys) != 1 || !keys[0].Admits(staging.ID) || keys[0].Admits(g.Env.ID) || keys[0].Admits(store.AllEnvs) {
			t.Errorf("%+v", keys)
		}
		return err
	})
}

func TestAnAdministratorInvitesAndChangesWhereSomebodyWorks(t *testing.T) {
	g := newRig(t)
	staging, owner := g.staging(), g.signedIn()
	invite := func(a *admin, mail, role string, envs ...string) *admin {
		return a.get("/console/staff").send("/console/staff/invite", url.Values{"name": {"Ann"}, "mail": {mail}, "role": {role}, "envs": envs})
	}
	change := func(a *admin, mail, role string, envs ...string) *admin {
		a.get("/console/staff")
		return a.do(http.MethodPost, "/console/staff/role", a.form("/console/staff/role", g.memberID(mail), url.Values{"role": {role}, "envs": envs}))
	}
	owner.get("/console/staff").sees(200, "In which environments", "All of them, also those to come")
	invite(owner, "ann@acme.example", staff.Admin, staging.ID).sees(200, "shown only now")
	if got := g.who("ann@acme.example"); !slices.Equal(got.Envs, []string{staging.ID}) {
		t.Errorf("works in %q", got.Envs)
	}
	invite(owner, "everywhere@acme.example", staff.User, store.AllEnvs, staging.ID).sees(200, "shown only now")
	if got := g.who("everywhere@acme.example"); !slices.Equal(got.Envs, []string{store.AllEnvs}) {
		t.Errorf("all of them, and one: %q", got.Envs)
	}
	invite(owner, "nowhere@acme.example", staff.User).sees(422, "Tick at least one environment")
	invite(owner, "half@acme.example", staff.Owner, staging.ID).sees(422, "An owner works in all environments")
	change(owner, "ann@acme.example", staff.Owner, staging.ID).sees(422, "An owner works in all environments")
	change(owner, "ann@acme.example", staff.Admin).sees(422, "Tick at least one environment")
	change(owner, "ann@acme.example", staff.Admin, g.Env.ID, staging.ID).sees(200)
	if got := g.who("ann@acme.example"); len(got.Envs) != 2 || got.Role != staff.Admin {
		t.Errorf("works in %q as %s", got.Envs, got.Role)
	}
	owner.get("/console/staff?lang=de").sees(200, "In welchen Umgebungen", "In allen, auch künftigen")
	records := g.audited(audit.OrgMemberUpdated)
	if len(records) != 1 || !strings.Contains(string(records[0].Detail), `"before_envs":["`+staging.ID+`"]`) {
		t.Errorf("%+v", records)
	}
}

// Nobody gives, changes or takes away further than they reach themselves, whatever a form
// says that was not made for them.
func TestT25_AnAdministratorOfOneEnvironmentGivesThatOneOnly(t *testing.T) {
	g := newRig(t)
	staging, owner := g.staging(), g.signedIn()
	ben, _ := g.member(owner, staff.Admin, "ben@acme.example")
	g.member(owner, staff.User, "whole@acme.example")
	g.member(owner, staff.User, "tess@acme.example")
	g.limit("ben@acme.example", staging.ID)
	g.limit("tess@acme.example", staging.ID)
	ben.get("/console/staff").sees(200, "tess@acme.example", "ben@acme.example")
	for _, unseen := range []string{"whole@acme.example", "production", "All of them", "installation printed"} {
		if strings.Contains(ben.body, unseen) {
			t.Errorf("is shown %q", unseen)
		}
	}
	token := hidden.FindStringSubmatch(ben.body)[2]
	whole, tess := g.memberID("whole@acme.example"), g.memberID("tess@acme.example")
	for _, c := range []struct {
		what, path string
		form       url.Values
		status     int
	}{
		{"invites elsewhere", "invite", url.Values{"name": {"X"}, "mail": {"x@acme.example"}, "role": {"user"}, "where": {"1"}, "envs": {g.Env.ID}}, 422},
		{"invites everywhere", "invite", url.Values{"name": {"X"}, "mail": {"x@acme.example"}, "role": {"user"}, "where": {"1"}, "envs": {"*"}}, 422},
		{"invites an owner", "invite", url.Values{"name": {"X"}, "mail": {"x@acme.example"}, "role": {"owner"}}, 422},
		{"invites somebody to vouch elsewhere", "invite", url.Values{"name": {"X"}, "mail": {"x@acme.example"}, "role": {"approver"}, "place": {g.Env.ID + " recover.acme.example"}}, 404},
		{"gives an environment", "role", url.Values{"member": {tess}, "role": {"user"}, "where": {"1"}, "envs": {staging.ID, g.Env.ID}}, 422},
		{"gives all", "role", url.Values{"member": {tess}, "role": {"user"}, "where": {"1"}, "envs": {"*"}}, 422},
		{"takes all", "role", url.Values{"member": {g.memberID("ben@acme.example")}, "role": {"admin"}, "where": {"1"}, "envs": {"*"}}, 422},
		{"changes who reaches further", "role", url.Values{"member": {whole}, "role": {"limited"}}, 200},
		{"removes who reaches further", "remove", url.Values{"member": {whole}}, 200},
		{"ends their session", "end", url.Values{"session": {g.session(whole)}}, 200},
	} {
		c.form.Set("form", token)
		if ben.do(http.MethodPost, "/console/staff/"+c.path, c.form); ben.status != c.status {
			t.Errorf("%s: %d %s", c.what, ben.status, ben.body)
		}
	}
	if got := g.who("whole@acme.example"); got.Role != staff.User || !slices.Equal(got.Envs, []string{"*"}) || g.session(whole) == "" {
		t.Errorf("somebody who reaches further is %+v", got)
	}
	if got := g.who("tess@acme.example"); !slices.Equal(got.Envs, []string{staging.ID}) || g.memberID("x@acme.example") != "" {
		t.Errorf("tess works in %q", got.Envs)
	}
	ben.get("/console/staff").send("/console/staff/invite", url.Values{"name": {"New"}, "mail": {"new@acme.example"}, "role": {"user"}}).sees(200, "shown only now")
	if got := g.who("new@acme.example"); !slices.Equal(got.Envs, []string{staging.ID}) {
		t.Errorf("who is invited works in %q", got.Envs)
	}
	ben.do(http.MethodPost, "/console/staff/remove", url.Values{"form": {token}, "member": {tess}}).sees(200)
	if g.memberID("tess@acme.example") != "" {
		t.Error("somebody within their reach is not removed")
	}
}

// session is one of somebody's, "" if they are signed in nowhere.
func (g *rig) session(member string) (id string) {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ConsoleSessions(ctx, g.Org.ID)
		for _, s := range all {
			if s.Staff == member {
				id = s.ID
			}
		}
		return err
	})
	return id
}

// The page is usable by everybody, on a phone too, and in a longer language.
func TestWhereSomebodyWorksIsChosenInABrowser(t *testing.T) {
	g := newRig(t)
	staging, owner := g.staging(), g.signedIn()
	g.member(owner, staff.User, "ann@acme.example")
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + "/console/staff")
	b.WaitText("In which environments")
	looked(t, b, "staff-all")
	card := "form[action*='staff/role'] "
	if b.Eval(`document.querySelector("`+card+`.one").checkVisibility()`) == "true" {
		t.Error("single environments are asked for where all are chosen")
	}
	b.Click(card + "[value='*']")
	b.Click(card + "[value='" + staging.ID + "']")
	looked(t, b, "staff-choosing")
	b.Click(card + "button")
	b.WaitText("staging")
	b.Wait(`[...document.querySelectorAll('.hint')].some(p => p.textContent.includes('staging'))`)
	if got := g.who("ann@acme.example"); !slices.Equal(got.Envs, []string{staging.ID}) {
		t.Errorf("works in %q", got.Envs)
	}
	b.Open(g.url + "/console/staff?lang=de")
	b.WaitText("In welchen Umgebungen")
	looked(t, b, "staff-de")
	b.Click(card + "[value='" + staging.ID + "']")
	b.Click(card + "button")
	b.WaitText("Wählen Sie mindestens eine Umgebung")
	looked(t, b, "staff-wrong")
}

// An environment that was removed keeps nobody from giving the ones that they still have.
func TestWhoWorkedInARemovedEnvironmentInvitesToTheOthers(t *testing.T) {
	g := newRig(t)
	staging, owner := g.staging(), g.signedIn()
	gone := g.staging()
	ben, _ := g.member(owner, staff.Admin, "ben@acme.example")
	g.limit("ben@acme.example", staging.ID, gone.ID)
	g.tx(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteEnvironment(ctx, gone.ID) })
	ben.get("/console/staff").send("/console/staff/invite", url.Values{"name": {"Tess"}, "mail": {"tess@acme.example"}, "role": {staff.User}}).sees(200, "shown only now")
	if got := g.who("tess@acme.example"); !slices.Equal(got.Envs, []string{staging.ID}) {
		t.Errorf("works in %q", got.Envs)
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteEnvironment(ctx, staging.ID) })
	ben.get("/console").sees(200)
	ben.get("/console/staff").send("/console/staff/invite", url.Values{"name": {"Una"}, "mail": {"una@acme.example"}, "role": {staff.User}}).sees(422, "environment")
}
