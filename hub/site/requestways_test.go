package site

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/hub/verify/review"
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

// looksAt makes the rig's site take documents for requests, which people look at.
func (g *rig) looksAt() *review.Reviews {
	g.t.Helper()
	reviews := review.New(g.store, g.site.cfg.Log)
	g.site.cfg.Captures = reviews
	err := g.store.Tx(g.t.Context(), func(tx *store.Tx) error {
		return review.WriteSettings(g.t.Context(), tx, g.env.ID, review.Settings{Requests: true})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return reviews
}

// decided tells a request what reviewers decided.
type decided struct{ *request.Requests }

// Settle implements verify.Settler.
func (d decided) Settle(ctx context.Context, env, use, _ string, v verify.Verdict) error {
	return d.Requests.Settle(ctx, env, use, v)
}

// snap takes a picture of the capture page with the camera.
func snap(b *testenv.Browser, kind string) {
	b.Click("[data-camera=" + kind + "]")
	b.Wait(`document.querySelector('[data-snap=` + kind + `]') && !document.querySelector('[data-snap=` + kind + `]').disabled`)
	b.Click("[data-snap=" + kind + "]")
	b.Wait(`document.querySelector('#` + kind + `').files.length === 1`)
}

func TestAPersonPhotographsADocumentAndComesBackByTheLink(t *testing.T) {
	g := newRig(t)
	reviews := g.looksAt()
	q, r, _ := g.asks(reviews)
	reviews.Flow, reviews.Watcher = decided{q}, q
	b := testenv.Chromium(t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
	b.Viewport(390, 844)
	b.Open(request.Link(r))
	b.Click("main form button")
	b.WaitText("Your date of birth")
	b.Click("main .row form:first-child button")
	b.Click("label:has([value=document_review])")
	b.Click("main form button")
	b.WaitText("Photograph your document")
	g.looked(b, "request-capture")
	b.Click("button[value=submit]")
	b.Wait(`document.querySelector('#consent-error')`)
	b.Click("#consent")
	snap(b, "front")
	snap(b, "selfie")
	b.Click("button[value=submit]")
	b.WaitText("looks at your pictures")
	g.looked(b, "request-wait")

	decide := func(reviewer string, verdict review.Verdict) {
		t.Helper()
		id, err := reviews.Take(t.Context(), g.env.ID, reviewer)
		if err != nil {
			t.Fatal(err)
		}
		checks, reason := review.Checklist, ""
		if verdict != review.Accept {
			checks, reason = nil, "the face is covered"
		} else if err := reviews.Transcribe(t.Context(), g.env.ID, id, reviewer, review.Facts{Kind: review.Card, Given: "Jürgen", Family: "Müller", Birth: "1980-02-29", Number: "T22", Country: "D"}); err != nil {
			t.Fatal(err)
		}
		if err := reviews.Decide(t.Context(), g.env.ID, id, reviewer, verdict, reason, checks, audit.Principal{Role: "owner"}); err != nil {
			t.Fatal(err)
		}
	}
	decide("S-ann", review.Unusable)
	b.WaitText("Your pictures were not accepted") // by itself
	g.looked(b, "request-declined")
	b.Click("button[value=appeal]")
	b.WaitText("looks at your pictures")
	b.Open(g.url + "/")
	decide("S-ben", review.Accept)
	b.Open(request.Link(r))
	b.Click("main form button")
	b.WaitText("Share this with")
	if text := b.Text(); !strings.Contains(text, "Jürgen Müller") || !strings.Contains(text, "DEU, T22") {
		t.Errorf("before sharing the page says %s", text)
	}
	b.Click("main .row form:first-child button")
	b.WaitText("You shared it")
	if d := g.state(q, r.ID); d.Status != request.Shared || d.Properties.BirthDate != "1980-02-29" {
		t.Errorf("shared: %+v", d)
	}
}

func TestADocumentThatIsRefusedForGoodIsSaidPlainly(t *testing.T) {
	g := newRig(t)
	reviews := g.looksAt()
	q, r, _ := g.asks(reviews)
	reviews.Flow, reviews.Watcher = decided{q}, q
	p := g.person()
	p.get(request.LinkPath)
	p.send(request.LinkPath, url.Values{"token": {r.Ticket}})
	use := p.at.Path
	p.send(use+"/agree", nil)
	p.send(use+"/method", url.Values{"method": {"document_review"}})
	if !strings.Contains(p.body, `action="`+use+`/capture"`) || !strings.Contains(p.body, "or decline") {
		t.Fatalf("%d %s", p.status, p.body)
	}
	other := g.person().asIs()
	if other.get(use + "/state"); other.status != 404 {
		t.Errorf("somebody else asks how it stands: %d", other.status)
	}
	if other.post(use+"/capture", url.Values{"what": {"appeal"}}); other.status != 404 {
		t.Errorf("somebody else hands in: %d", other.status)
	}
	v, err := q.View(t.Context(), g.env.ID, strings.TrimPrefix(use, request.LinkPath+"/"), g.sessionOf(p, use))
	if err != nil || v.Case == "" {
		t.Fatalf("%+v %v", v, err)
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		t.Fatal(err)
	}
	given := review.Given{Consent: true, Images: map[string][]byte{"front": photo.Bytes(), "selfie": photo.Bytes()}}
	if err := errors.Join(reviews.Keep(t.Context(), g.env.ID, v.Case, given), q.Answer(t.Context(), g.env.ID, v.ID, g.sessionOf(p, use), review.Submitted)); err != nil {
		t.Fatal(err)
	}
	if id, err := reviews.Take(t.Context(), g.env.ID, "S-ann"); err != nil || reviews.Decide(t.Context(), g.env.ID, id, "S-ann", review.Fraud, "a print", nil, audit.Principal{}) != nil {
		t.Fatal(err)
	}
	if err := reviews.Contest(t.Context(), g.env.ID, v.Case, false); err != nil {
		t.Fatal(err)
	}
	if p.get(use); !strings.Contains(p.body, "This was not accepted") || strings.Contains(p.body, "a print") {
		t.Errorf("%d %s", p.status, p.body)
	}
}

// sessionOf returns the secret of a person's cookie for a use.
func (g *rig) sessionOf(p *person, use string) string {
	at, err := url.Parse(g.url + use)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, c := range p.client.Jar.Cookies(at) {
		if strings.HasSuffix(c.Name, requestCookie+strings.TrimPrefix(use, request.LinkPath+"/")) {
			return c.Value
		}
	}
	return ""
}

func TestATemplatesOwnWordsStandOnThePages(t *testing.T) {
	g := newRig(t)
	q, _, _ := g.asks()
	var r store.Request
	err := g.store.Tx(t.Context(), func(tx *store.Tx) (err error) {
		body := []byte(`{"headline":"Welcome to <Acme>","accept_text":"Prove it","accepted_text":"See you on Monday"}`)
		if err := tx.AddTemplate(t.Context(), &store.Template{Env: g.env.ID, Name: "onboarding", Body: body}); err != nil {
			return err
		}
		r, err = q.Create(t.Context(), tx, request.Order{Env: g.env.ID, Origin: g.url, Template: "onboarding", Claims: []string{"name"}, MaxUses: 1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p := g.person()
	p.get(request.LinkPath)
	p.send(request.LinkPath, url.Values{"token": {r.Ticket}})
	if !strings.Contains(p.body, "<h1>Welcome to &lt;Acme&gt;</h1>") || !strings.Contains(p.body, ">Prove it</button>") {
		t.Errorf("%d %s", p.status, p.body)
	}
}
