package site

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
)

// sendsAway connects a real provider, whose client may come back to the rig.
func (g *rig) sendsAway() (*openid.Provider, *provider.Verifier) {
	g.t.Helper()
	op := openid.New(g.t)
	op.Page, op.Redirects = true, []string{g.url + provider.ReturnPath}
	hooks, err := webhook.New(webhook.Config{Store: g.store, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		g.t.Fatal(err)
	}
	set := provider.Settings{Name: "Bank ID", Issuer: op.URL, ClientID: op.ClientID, ClientSecret: op.Secret, Requests: true}
	if err := set.Check(); err != nil {
		g.t.Fatal(err)
	}
	err = g.store.Tx(g.t.Context(), func(tx *store.Tx) error {
		return tx.AddIdentityProvider(g.t.Context(), &store.IdentityProvider{Env: g.env.ID, Body: []byte(store.JSON(set))})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	v := provider.New(provider.Config{Store: g.store, Client: hooks.Client(), Now: time.Now})
	g.site.cfg.Providers = v
	return op, v
}

// A look checks the page of a browser for its rules, and takes pictures for people where
// a folder is named.
func (g *rig) looked(b *testenv.Browser, name string) {
	g.t.Helper()
	if bad := b.Axe(); len(bad) > 0 {
		g.t.Errorf("accessibility of %s: %q", name, bad)
	}
	for size, px := range map[string][2]int64{"desk": {1280, 800}, "phone": {390, 844}} {
		b.Viewport(px[0], px[1])
		if wide := b.Eval(`String(document.documentElement.scrollWidth > innerWidth)`); wide != "false" {
			g.t.Errorf("%s is wider than a %s", name, size)
		}
		if dir := os.Getenv("POSTERN_PICTURES"); dir != "" {
			b.Screenshot(filepath.Join(dir, name+"-"+size+".png"))
		}
	}
}

func TestAPersonChoosesHowToProveAndComesBackFromAnotherService(t *testing.T) {
	g := newRig(t)
	op, away := g.sendsAway()
	q, r, _ := g.asks(away)
	b := testenv.Chromium(t)
	b.Open(request.Link(r))
	b.Click("main form button")
	b.WaitText("Your date of birth")
	b.Click("main .row form:first-child button")
	b.WaitText("How would you like to prove it?")
	g.looked(b, "request-ways")
	b.Click("main form button") // nothing chosen
	b.WaitText("Choose one of these")
	b.Click("label:has([value=identity_provider])")
	b.Click("main form button")
	b.WaitText("Sign in with Bank ID")
	g.looked(b, "request-away")
	b.Click("main a[href$='/method']")
	b.WaitText("How would you like to prove it?")
	b.Click("label:has([value=digital_credential])")
	b.Click("main form button")
	b.WaitText("Show your digital identity document")
	b.Click("main a[href$='/method']")
	b.Click("label:has([value=identity_provider])")
	b.Click("main form button")
	b.WaitText("Sign in with Bank ID")

	op.SignIn(map[string]any{"given_name": "Jürgen", "family_name": "Müller", "birthdate": "1980-02-29"})
	b.Click("main a.button")
	b.Wait(`document.querySelector('#signin')`)
	b.Click("#signin")
	b.WaitText("Share this with")
	if text := b.Text(); !strings.Contains(text, "Jürgen Müller") || strings.Contains(text, "document") {
		t.Errorf("before sharing the page says %s", text)
	}
	b.Click("main .row form:first-child button")
	b.WaitText("You shared it")
	if d := g.state(q, r.ID); d.Status != request.Shared || d.Properties.Name != "Jürgen Müller" || d.Properties.GovtID != nil {
		t.Errorf("shared: %+v", d)
	}
}

// What a service sends somebody back with is of use to the browser that left alone.
func TestT13_AnotherBrowserCannotComeBackInPlaceOfThePersonWhoLeft(t *testing.T) {
	g := newRig(t)
	_, away := g.sendsAway()
	q, r, _ := g.asks(away)
	p := g.person()
	p.get(request.LinkPath)
	p.send(request.LinkPath, url.Values{"token": {r.Ticket}})
	use := p.at.Path
	p.send(use+"/agree", nil)
	p.send(use+"/method", url.Values{"method": {"identity_provider"}})
	if !strings.Contains(p.body, "Sign in with Bank ID") {
		t.Fatalf("%d %s", p.status, p.body)
	}
	other := g.person().asIs()
	if other.get(use + "/leave?with=x"); other.status != 404 {
		t.Errorf("somebody without the session is sent away: %d", other.status)
	}
	id := strings.TrimPrefix(use, request.LinkPath+"/")
	other.get(provider.ReturnPath + "?code=c&state=" + url.QueryEscape(requestState+id+".x"))
	if !strings.Contains(other.body, `action="`+use+`/answer"`) {
		t.Fatalf("%d %s", other.status, other.body)
	}
	values := url.Values{"answer": {`{"code":"c","state":"` + requestState + id + `.x"}`}}
	for _, m := range hidden.FindAllStringSubmatch(other.body, -1) {
		if m[1] != "answer" {
			values.Set(m[1], unescape(m[2]))
		}
	}
	if other.post(use+"/answer", values); other.status != 404 {
		t.Errorf("another browser answered: %d", other.status)
	}
	if d := g.state(q, r.ID); d.Status != request.InProgress {
		t.Errorf("%+v", d)
	}
}
