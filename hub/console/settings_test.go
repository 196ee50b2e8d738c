package console

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// fill posts the form of the page that holds a text, with its hidden fields.
func (a *admin) fill(path, holds string, fields url.Values) *admin {
	a.t.Helper()
	return a.do(http.MethodPost, path, a.form(path, holds, fields))
}

func (a *admin) form(path, holds string, fields url.Values) url.Values {
	a.t.Helper()
	for _, form := range regexp.MustCompile(`(?s)<form method="post" action="`+regexp.QuoteMeta(path)+`".*?</form>`).FindAllString(a.body, -1) {
		if !strings.Contains(form, holds) {
			continue
		}
		values := url.Values{}
		for _, m := range regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)">`).FindAllStringSubmatch(form, -1) {
			values.Set(m[1], m[2])
		}
		maps.Copy(values, fields)
		return values
	}
	a.t.Fatalf("no form of %s with %s in\n%s", path, holds, a.body)
	return nil
}

// upload posts a form that brings a file.
func (a *admin) upload(path string, values url.Values, file []byte) *admin {
	a.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, list := range values {
		for _, v := range list {
			_ = w.WriteField(name, v)
		}
	}
	f, err := w.CreateFormFile("file", "list")
	if err != nil {
		a.t.Fatal(err)
	}
	_, _ = f.Write(file)
	_ = w.Close()
	return a.do(http.MethodPost, path, nil, func(r *http.Request) {
		n, err := http.NewRequest(http.MethodPost, a.url+path, &b)
		if err != nil {
			a.t.Fatal(err)
		}
		r.Body, r.ContentLength = n.Body, n.ContentLength
		r.Header.Set("Content-Type", w.FormDataContentType())
		r.Header.Set("Origin", a.url)
	})
}

func (g *rig) methods() policy.Methods {
	g.t.Helper()
	d, err := store.Get(g.t.Context(), g.store, func(tx *store.Tx) (store.Directory, error) {
		return tx.Directory(g.t.Context(), g.Env.ID, g.Directory.ID)
	})
	if err != nil {
		g.t.Fatal(err)
	}
	s, err := directory.Settings(d)
	if err != nil {
		g.t.Fatal(err)
	}
	return s.Methods
}

func (g *rig) records(kind audit.Kind) (details []string) {
	g.t.Helper()
	rows, err := store.Get(g.t.Context(), g.store, func(tx *store.Tx) ([]audit.Record, error) {
		return audit.List(g.t.Context(), tx, g.Env.Org, store.AuditFilter{Count: 100})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Kind == kind {
			details = append(details, store.JSON(r))
		}
	}
	return details
}

func TestTheThreeSwitchesAreSetForEverybodyAndForAGroup(t *testing.T) {
	g := newRig(t)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.PutGroups(ctx, g.Env.ID, g.Directory.ID, []protocol.Group{{ID: "g-1", Name: "Finance"}, {ID: "g-2", Name: "Sales"}})
	})
	path := "/console/settings/" + g.Env.ID + "/directories/" + g.Directory.ID
	a := g.signedIn().get("/console/settings").sees(200, path, "Trust and credentials")
	a.get(path).sees(200, "To get a password back · To unlock an account", "<dd>a code by mail</dd>")
	a.fill(path, `value="everybody"`, url.Values{}).sees(422, "With every switch off nobody could reset anything", `href="#switches-everybody"`)
	a.fill(path, `value="everybody"`, url.Values{"by_mail": {"on"}, "require_code": {"on"}}).
		sees(200, "Saved", "<dd>a code by mail and a code of an authenticator app</dd>", "<dt>To change one’s own recovery options</dt><dd>a code by mail</dd>")
	a.fill(path, `value="new"`, url.Values{"group": {"Fiance"}, "by_sms": {"on"}}).sees(422, "the directory has no group Fiance", `href="#group"`, `value="Fiance"`)
	a.fill(path, `value="new"`, url.Values{"group": {""}, "by_sms": {"on"}}).sees(422, "type its name")
	a.fill(path, `value="new"`, url.Values{"group": {"finance"}, "by_sms": {"on"}}).
		sees(200, "Members of Finance", "<dd>a code by text message</dd>", "this environment sends no text messages")
	a.fill(path, `value="g-1"`, url.Values{"by_sms": {"on"}, "by_mail": {"on"}}).sees(200, "a code by mail, or a code by text message")
	m := g.methods()
	if got := m.ResetRules(); len(got) != 2 || !got[0].RequireCode || got[1].Group.ID != "g-1" || !got[1].ByMail || !got[1].BySMS || got[1].RequireCode {
		t.Errorf("%+v", got)
	}
	if rows := g.records(audit.DirectoryUpdated); len(rows) != 3 || !strings.Contains(rows[0], "sms_code") {
		t.Errorf("%d audit rows: %v", len(rows), rows)
	}
}

func TestRulesAreMadeChangedMovedAndRemoved(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/directories/" + g.Directory.ID
	a := g.signedIn().get(path+"/rules/new").sees(200, "Ways of proving")
	a.fill(path+"/rules/new", "way0", url.Values{"do": {"save"}, "action": {"mfa"}}).sees(422, "tick at least one thing", `href="#ways"`)
	a.fill(path+"/rules/new", "way0", url.Values{"do": {"save"}, "way0": {"passkey"}}).sees(422, "Choose what the rule is for", `value="passkey" checked`)
	a.fill(path+"/rules/new", "way0", url.Values{"do": {"save"}, "action": {"mfa"}, "way0": {"passkey", "mail_code"}, "way1": {"approval"}, "way2": {"mail_code", "passkey"}}).
		sees(200, "To clear an authenticator</dt><dd>a passkey and a code by mail, or people who vouch</dd>")
	a.get(path+"/rules/new").fill(path+"/rules/new", "way0", url.Values{"do": {"save"}, "group": {"Finance"}, "way0": {"passkey"}}).sees(200, "Members of Finance", "nobody can begin to add one")
	if m := g.methods(); len(m.Rules) != 2 || m.Rules[0].Group == nil || m.Rules[1].Action != "mfa" || len(m.Rules[1].Accept) != 2 {
		t.Fatalf("%+v", m)
	}
	a.get(path+"/rules/1").fill(path+"/rules/1", "way0", url.Values{"do": {"earlier"}}).sees(200, "The order has changed")
	if m := g.methods(); m.Rules[0].Action != "mfa" {
		t.Errorf("%+v", m.Rules)
	}
	old := g.admin()
	old.client = a.client
	old.get(path + "/rules/0")
	a.get(path+"/rules/1").fill(path+"/rules/1", "way0", url.Values{"do": {"remove"}}).sees(200, "Removed")
	old.fill(path+"/rules/0", "way0", url.Values{"do": {"remove"}}).sees(422, "Somebody else changed these settings meanwhile")
	a.get(path+"/rules/default").fill(path+"/rules/default", "way0", url.Values{"do": {"save"}, "way0": {"digital_credential"}}).sees(200, "nobody is trusted to issue one")
	if m := g.methods(); len(m.Rules) != 1 || m.Default[0][0] != policy.DigitalCredential {
		t.Errorf("%+v", m)
	}
	a.get(path + "/rules/7").sees(404)
}

func TestWhoVouchesIsSetAndWhatIsWrongStandsBesideItsField(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/directories/" + g.Directory.ID
	a := g.signedIn().get(path)
	for _, x := range []struct{ staff, count, says, field string }{
		{"boss", "1", "boss is not a mail address", "#staff"},
		{"a@x.example", "three", "type a number from 1 to 5", "#count"},
		{"a@x.example", "2", "2 are asked for, but only 1 are named", "#count"},
		{"a@x.example A@x.example", "1", "stands twice", "#staff"},
	} {
		a.fill(path, `name="staff"`, url.Values{"staff": {x.staff}, "count": {x.count}}).sees(422, x.says, `href="`+x.field+`"`, x.staff)
	}
	a.fill(path, `name="staff"`, url.Values{"staff": {"a@x.example\r\nb@x.example"}, "count": {"2"}, "manager": {"on"}}).sees(200, "Saved")
	if p := g.methods().Vouchers(); len(p.Staff) != 2 || p.Count != 2 || !p.Manager {
		t.Errorf("%+v", p)
	}
}

func TestT25_SettingsOfAnotherOrganisationAreNotThere(t *testing.T) {
	g := newRig(t)
	var other store.Environment
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.CreateOrganisation(ctx, store.Organisation{Name: "Other"})
		if err != nil {
			return err
		}
		other, err = tx.CreateEnvironment(ctx, store.Environment{Org: o.ID, Name: "theirs"})
		return err
	})
	a := g.signedIn()
	token := hidden.FindStringSubmatch(a.body)[2]
	for _, path := range []string{"/trust", "/providers/new", "/directories/" + g.Directory.ID, "/directories/" + g.Directory.ID + "/rules/new"} {
		at := "/console/settings/" + other.ID + path
		a.get(at).sees(404)
		if path != "/trust" {
			a.do(http.MethodPost, at, url.Values{"form": {token}, "do": {"save"}, "name": {"x"}}).sees(404)
		}
	}
	a.upload("/console/settings/"+other.ID+"/trust", url.Values{"form": {token}, "do": {"documents"}, "document": {"pid"}}, nil).sees(404)
}

func TestTrustIsImportedShownWithItsEndAndTakenBack(t *testing.T) {
	g := newRig(t)
	authority, err := evidencetest.NewAuthority("XX", "Demo authority", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	path := "/console/settings/" + g.Env.ID + "/trust"
	a := g.signedIn().get(path).sees(200, "Nobody yet")
	add := func(fields url.Values, file []byte) *admin {
		t.Helper()
		return a.upload(path, a.form(path, `value="add"`, fields), file)
	}
	add(url.Values{"name": {""}, "kind": {"pem"}}, authority.PEM()).sees(422, "type 1 to 200 letters", `href="#name"`)
	add(url.Values{"name": {"Demo"}, "kind": {"pem"}}, []byte("no PEM")).sees(422, "no authority could be read", `href="#file"`)
	add(url.Values{"name": {"Demo"}, "kind": {"vical"}}, []byte("x")).sees(422, "needs the PEM certificate", `href="#root"`)
	add(url.Values{"name": {"Demo list"}, "kind": {"pem"}}, authority.PEM()).sees(200, "Added", "Demo list", "Demo authority", "SHA-256", "1 authority")
	a.upload(path, a.form(path, `value="documents"`, url.Values{}), nil).sees(422, "tick at least one kind")
	a.upload(path, a.form(path, `value="documents"`, url.Values{"document": {"pid"}}), nil).sees(200, "Saved")
	if strings.Contains(a.body, `value="mdl" checked`) || !strings.Contains(a.body, `value="pid" checked`) {
		t.Error("the kinds are not kept")
	}
	a.get(path).sees(200, `value="prefer" checked`)
	a.upload(path, a.form(path, `value="status"`, url.Values{"status": {"require"}, "hosts": {"https://status.example.org/1"}}), nil).sees(422, "one on each line", `href="#hosts"`, `value="require" checked`, "https://status.example.org/1")
	a.upload(path, a.form(path, `value="status"`, url.Values{"status": {"sometimes"}}), nil).sees(404)
	a.get(path)
	a.upload(path, a.form(path, `value="status"`, url.Values{"status": {"require"}, "hosts": {"Status.example.org\r\nb.example:8443"}}), nil).sees(200, "Saved", `value="require" checked`, "status.example.org\nb.example:8443")
	a.upload(path, a.form(path, `value="remove"`, nil), nil).sees(200, "Removed", "Nobody yet")
	if rows := g.records(audit.EnvUpdated); len(rows) != 4 || strings.Contains(strings.Join(rows, ""), "BEGIN") {
		t.Errorf("%v", rows)
	}
	now := time.Now()
	page := new(trusted)
	for state, ends := range map[string]time.Time{"ok": now.Add(61 * 24 * time.Hour), "soon": now.Add(59 * 24 * time.Hour), "ended": now} {
		if c := page.judge(certificate{Fingerprint: "x", Ends: ends}, now); c.State != state {
			t.Errorf("%s: %s", state, c.State)
		}
	}
	if page.Soon != 2 {
		t.Errorf("%d are warned of", page.Soon)
	}
}

func TestAProviderIsConnectedTestedChangedAndItsSecretNeverShown(t *testing.T) {
	g := newRig(t)
	op := openid.New(t)
	list := "/console/settings/" + g.Env.ID + "/providers"
	a := g.signedIn().get(list).sees(200, "None is connected").get(list+"/new").sees(200, "Connect a service")
	good := url.Values{"do": {"save"}, "name": {"Acme ID"}, "issuer": {op.URL}, "client_id": {"recovery"}, "client_secret": {"canary-secret"}, "directory": {g.Directory.ID}, "claim_birthdate": {"dob"}}
	for field, value := range map[string]string{"name": "", "issuer": "login.example.com", "client_id": "a b", "client_secret": "", "directory": "", "scopes": "profile"} {
		form := maps.Clone(good)
		form[field] = []string{value}
		anchor := field
		if field == "directory" {
			delete(form, field)
			anchor = "directories"
		}
		a.fill(list+"/new", "client_secret", form).sees(422, `href="#`+anchor+`"`, "Nothing was changed yet")
	}
	a.fill(list+"/new", "client_secret", good).sees(200, "Saved", "Acme ID", "One is kept and never shown")
	at := a.at.Path
	if strings.Contains(a.body, "canary") {
		t.Error("the secret is shown")
	}
	a.fill(at, "Test it now", url.Values{"do": {"test"}}).sees(200, "The service answers", "1 key that signs")
	kept := maps.Clone(good)
	kept["client_secret"], kept["name"] = []string{""}, []string{"Acme"}
	a.fill(at, "client_secret", kept).sees(200, "Saved", ">Acme<")
	moved := maps.Clone(kept)
	moved["issuer"] = []string{op.URL + "/"}
	a.fill(at, "client_secret", moved).sees(422, "It is asked for again whenever the address", `href="#client_secret"`)
	moved["client_secret"] = []string{"another"}
	a.fill(at, "client_secret", moved).sees(200, "Saved").fill(at, "Test it now", url.Values{"do": {"test"}}).sees(200, "cannot be used now", "names itself otherwise")
	var s provider.Settings
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.IdentityProviders(ctx, g.Env.ID)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return json.Unmarshal(all[0].Body, &s)
	})
	if s.ClientSecret != "another" || s.Claims["birthdate"] != "dob" {
		t.Errorf("%+v", s.Shown())
	}
	a.get(at).fill(at, "Disconnect", url.Values{"do": {"remove"}}).sees(200, "Removed", "None is connected")
	if rows := g.records(audit.EnvUpdated); len(rows) != 4 || strings.Contains(strings.Join(rows, ""), "canary") {
		t.Errorf("%d %v", len(rows), rows)
	}
}

func TestEveryMethodAndActionHasWordsOnThePagesOfSettings(t *testing.T) {
	for _, l := range locale.Languages() {
		var keys []string
		for _, row := range policy.MethodTable {
			keys = append(keys, "set.method."+string(row.Method))
		}
		for _, row := range protocol.Actions {
			keys = append(keys, "set.ways.to."+string(row.Action))
		}
		for _, key := range keys {
			if !l.Has(key) {
				t.Errorf("%s lacks %s", l.Code(), key)
			}
		}
	}
}
