package console

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
)

// collecting returns the settings of the one collector.
func (g *rig) collecting() (d store.Destination, s export.Settings) {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Destinations(ctx, g.Env.Org)
		if err != nil || len(all) != 1 {
			g.t.Fatal(all, err)
		}
		d, s = all[0], export.Settings{}
		return json.Unmarshal(d.Settings, &s)
	})
	return d, s
}

func TestACollectorIsMadeTestedAndChangedAndItsSecretsGoNowhereElse(t *testing.T) {
	g := newRig(t)
	const path = "/console/collectors/new"
	where, got := collector(t)
	a := g.signedIn().get("/console/settings/audit").sees(200, path)
	good := url.Values{"do": {"save"}, "name": {"SIEM"}, "url": {where + "/in?token=canary-query"}, "format": {"jsonl"}, "authorization": {"Bearer canary-header"}, "kind": {"env_updated\r\norg_updated"}, "personal": {"on"}}
	for field, value := range map[string]string{"name": "", "url": "ftp://x", "format": "cef", "authorization": "a\x01b", "env": "other", "kind": "nothing", "max_bytes": "many", "ca": "x"} {
		form := maps.Clone(good)
		form[field] = []string{value}
		at := field
		if field == "ca" { // is for tls://
			at = "url"
		}
		a.get(path).fill(path, `value="save"`, form).sees(422, `href="#`+at+`"`, `id="`+at+`-error"`)
		if strings.Contains(a.body, "canary") || strings.Contains(a.body, "set.wrong") || strings.Contains(a.body, ">collector.") {
			t.Errorf("%s: a secret is shown, or words lack:\n%s", field, a.body)
		}
	}
	a.get(path).fill(path, `value="save"`, good).sees(200, "Saved", "SIEM")
	d, s := g.collecting()
	if s.Auth != "Bearer canary-header" || len(s.Kinds) != 2 || len(d.Kinds) != 2 || !s.Personal {
		t.Errorf("%+v", s.Shown())
	}
	a.fill("/console/settings/audit", "test", url.Values{"do": {"test"}}).sees(200, "SIEM took the test event")
	if b, _ := got.Load().(string); !strings.Contains(b, string(export.TestKind)) {
		t.Errorf("the collector got %q", b)
	}
	at := "/console/collectors/" + d.ID
	a.get(at).sees(200, "env_updated\norg_updated", where+"/in?********")
	if strings.Contains(a.body, "canary") {
		t.Error("a secret is shown")
	}
	kept := url.Values{"do": {"save"}, "name": {"SIEM 2"}, "url": {where + "/in?" + export.Hidden}, "format": {"ocsf"}}
	a.fill(at, `value="save"`, kept).sees(200, "Saved", "SIEM 2")
	if _, s = g.collecting(); s.Auth != "Bearer canary-header" || s.URL != where+"/in?token=canary-query" || s.Format != export.OCSF || s.Personal || s.Kinds != nil {
		t.Errorf("%+v", s.Shown())
	}
	moved := maps.Clone(kept)
	moved.Set("url", where+"/other")
	a.get(at).fill(at, `value="save"`, moved).sees(200, "Saved")
	if _, s = g.collecting(); s.Auth != "" || strings.Contains(s.URL, "canary") {
		t.Error("a secret went with another address")
	}
	if rows := g.records(audit.OrgUpdated); len(rows) != 3 || strings.Contains(strings.Join(rows, ""), "canary") {
		t.Errorf("%d %v", len(rows), rows)
	}
	a.get(at).fill(at, `value="save"`, url.Values{"do": {"other"}}).sees(404)
}

// Two owners have the page of one collector open: whoever saves last does not put back what
// the other one changed, wrong fields in between included.
func TestACollectorThatSomebodyElseChangedMeanwhileIsNotOverwritten(t *testing.T) {
	g := newRig(t)
	a := g.signedIn()
	at := "/console/collectors/" + g.collects(g.Env.Org, "SIEM", "https://siem.example/in")
	late := a.get(at).form(at, `value="save"`, url.Values{"do": {"save"}, "name": {"late"}, "url": {"https://siem.example/in"}, "format": {"jsonl"}})
	a.get(at).fill(at, `value="save"`, url.Values{"do": {"save"}, "name": {"early"}, "url": {"https://siem.example/in"}, "format": {"jsonl"}}).sees(200, "Saved")
	broken := maps.Clone(late)
	broken.Set("url", "ftp://x")
	a.do(http.MethodPost, at, broken).sees(422, "Somebody else changed these settings meanwhile", `value="early"`)
	a.do(http.MethodPost, at, late).sees(422, "Somebody else changed these settings meanwhile")
	if _, s := g.collecting(); s.Name != "early" {
		t.Errorf("the collector is %q", s.Name)
	}
	broken = a.get(at).form(at, `value="save"`, url.Values{"do": {"save"}, "name": {"later"}, "url": {"ftp://x"}, "format": {"jsonl"}})
	a.do(http.MethodPost, at, broken).sees(422, `id="url-error"`)
	a.fill(at, `value="save"`, url.Values{"do": {"save"}, "name": {"later"}, "url": {"https://siem.example/in"}, "format": {"jsonl"}}).sees(200, "Saved")
}

func TestT25_ACollectorOfAnotherOrganisationIsNotChanged(t *testing.T) {
	g := newRig(t)
	var foreign string
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.CreateOrganisation(ctx, store.Organisation{Name: "foreign"})
		foreign = o.ID
		return err
	})
	at := "/console/collectors/" + g.collects(foreign, "theirs", "http://127.0.0.1:1/")
	owner := g.signedIn()
	form := url.Values{"form": {hidden.FindStringSubmatch(owner.body)[2]}, "do": {"save"}, "name": {"x"}, "url": {"https://x.test/"}, "format": {"jsonl"}}
	owner.get(at).sees(404)
	owner.do(http.MethodPost, at, form).sees(404)
	ann := g.as(owner, staff.Admin)
	form.Set("form", hidden.FindStringSubmatch(ann.body)[2])
	ann.get("/console/collectors/new").sees(403, "Your role does not reach this")
	ann.do(http.MethodPost, "/console/collectors/new", form).sees(403)
}

func TestACollectorInABrowser(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + "/console/collectors/new?lang=de")
	b.Type("#name", "SIEM")
	b.Type("#url", "collector.example.com")
	b.Click("[value=save]")
	b.WaitText("ohne Kennwort darin")
	looked(t, b, "collector-wrong")
	b.Open(g.url + "/console/collectors/new")
	b.Type("#name", "SIEM")
	b.Type("#url", "https://collector.example.com/in")
	b.Click("[value=save]")
	b.WaitText("Saved")
	looked(t, b, "audit-collector")
}

// Whoever sees a form but not its secrets could otherwise try out words for them.
func TestP06_AStampOfAFormTellsNothingOfItsSecrets(t *testing.T) {
	g := newRig(t)
	where, _ := collector(t)
	hook := store.Webhook{Env: g.Env.ID, URL: where, Enabled: true, Authorization: "Bearer summer"}
	id := g.collects(g.Env.Org, "SIEM", where)
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		if hook.ID, err = tx.AddWebhook(ctx, hook); err == nil {
			hook, err = tx.Webhook(ctx, g.Env.ID, hook.ID)
		}
		return err
	})
	d, _ := g.collecting()
	a := g.signedIn()
	for path, kept := range map[string]string{"/console/collectors/" + id: string(d.Settings), settingsPath + "/" + g.Env.ID + "/hooks/" + hook.ID: store.JSON(hook)} {
		if a.get(path).sees(200, `name="as"`); strings.Contains(a.body, store.HashToken(kept)[:16]) {
			t.Errorf("%s: the stamp is a plain hash of what is kept", path)
		}
	}
}
