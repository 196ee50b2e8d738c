package console

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// looked checks the page that is open with axe, on a phone and on a desk.
func looked(t *testing.T, b *testenv.Browser, name string) {
	t.Helper()
	for size, wide := range map[string][2]int64{"phone": {390, 844}, "desk": {1280, 800}} {
		b.Viewport(wide[0], wide[1])
		for _, v := range b.Axe() {
			t.Errorf("%s, %s: %s", name, size, v)
		}
		if b.Eval(`document.documentElement.scrollWidth > innerWidth`) == "true" {
			t.Errorf("%s scrolls sideways on a %s", name, size)
		}
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			b.Screenshot(filepath.Join(dir, name+"-"+size+".png"))
		}
	}
}

// Each page of settings is usable by everybody, on a phone too, and in a longer language.
func TestSettingsInABrowserOnAPhoneAndADesk(t *testing.T) {
	g := newRig(t)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.PutGroups(ctx, g.Env.ID, g.Directory.ID, []protocol.Group{{ID: "g-1", Name: "Finance"}})
	})
	op := openid.New(t)
	authority, err := evidencetest.NewAuthority("XX", "Demo authority", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	base := "/console/settings/" + g.Env.ID
	ways := base + "/directories/" + g.Directory.ID
	a := g.signedIn().get(base + "/trust")
	a.upload(base+"/trust", a.form(base+"/trust", `value="add"`, url.Values{"name": {"Demo list"}, "kind": {"pem"}}), authority.PEM()).sees(http.StatusOK)
	a.get(base+"/providers/new").fill(base+"/providers/new", "client_secret",
		url.Values{"do": {"save"}, "name": {"Acme ID"}, "issuer": {op.URL}, "client_id": {"recovery"}, "client_secret": {"secret"}, "directory": {g.Directory.ID}}).sees(http.StatusOK)
	provided := a.at.Path

	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + "/console/settings")
	looked(t, b, "settings")
	b.Open(g.url + "/console/settings/audit")
	looked(t, b, "audit-empty")
	agent := g.enrol("dc-agent-1", 1)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.AgentWitnessed(ctx, g.Env.ID, agent.ID, store.Witness{Size: 3, Checkpoint: "note"})
	})
	g.collects(g.Env.Org, "SIEM", "http://127.0.0.1:1/in")
	b.Open(g.url + "/console/settings/audit?lang=de")
	b.Click(`[value=test]`)
	b.WaitText("hat das Testereignis nicht angenommen")
	looked(t, b, "audit")
	b.Open(g.url + ways)
	b.Type("#group", "Finance")
	b.Click(`form:has(#group) [name=by_sms]`)
	b.Click(`form:has(#group) button`)
	b.WaitText("Members of Finance")
	looked(t, b, "ways")
	b.Click(`form:has([value=everybody]) [name=by_mail]`)
	b.Click(`form:has([value=everybody]) button`)
	b.WaitText("Nothing was changed yet")
	looked(t, b, "ways-wrong")
	b.Open(g.url + ways + "/rules/new?lang=de")
	b.Click("#action")
	looked(t, b, "rule")
	b.Open(g.url + base + "/trust")
	b.WaitText("Demo list")
	looked(t, b, "trust")
	b.Type("#hosts", "https://no.host/")
	b.Click(`form:has([name=status]) button`)
	b.Wait(`document.querySelector('[aria-invalid=true], .errors')`) // the hint says the same words before
	looked(t, b, "trust-wrong")
	b.Open(g.url + base + "/providers")
	looked(t, b, "providers")
	b.Open(g.url + provided)
	b.Click(`[value=test]`)
	b.WaitText("The service answers")
	b.Wait(`document.readyState === 'complete' && document.querySelector('details')`)
	b.Eval(`document.querySelector('details').open = true`)
	looked(t, b, "provider")
}
