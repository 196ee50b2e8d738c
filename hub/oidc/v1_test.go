package oidc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"image/png"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

const appBack = "https://app.example.com/callback"

// drawn are the pictures of the hub.
type drawn struct{}

func (drawn) Draw(text string) (string, int, error) { return factor.QR(text) }
func (drawn) PNG(text string) ([]byte, error)       { return factor.QRImage(text) }

// An app is an application of the organisation.
type app struct {
	*rig
	id, secret string
	verifier   string
}

func newApp(t *testing.T) *app {
	r := newRig(t)
	r.employee.claims = &evidence.Claims{Given: "Ann", Family: "Lee", BirthDate: "1980-02-29"}
	a := &app{rig: r, verifier: strings.Repeat("v", 43)}
	a.id, a.secret = r.add(party.OpenID, func(s *party.Settings) { *s = party.Settings{Name: "App", Redirects: []string{appBack}} })
	return a
}

// asks is the query of a request.
func (a *app) asks(more ...string) string {
	sum := sha256.Sum256([]byte(a.verifier))
	q := url.Values{"client_id": {a.id}, "redirect_uri": {appBack}, "response_type": {"code"}, "scope": {"openid"}, "state": {"the state"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "?" + q.Encode()
}

// json asks for JSON in place of a page.
func (a *app) json(client *http.Client, method, address string, into any) got {
	a.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = a.origin + address
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, address, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	g := a.do(client, req)
	isJSON(a.t, g.body, into)
	return g
}

// page follows a beginning to the page at which the browser waits.
func (a *app) page(path string) (got, string) {
	a.t.Helper()
	g := a.get(a.browser, path)
	if g.status != http.StatusSeeOther || !strings.HasPrefix(g.location.Path, "/authorize/") {
		a.t.Fatalf("not led to the page: %d %v %s", g.status, g.location, g.body)
	}
	return a.get(a.browser, g.location.String()), g.location.Path
}

var linkForm = regexp.MustCompile(`<a href="https://recover\.example\.com/sign-in#([^"]+)" id="link"`)
var tokenForm = regexp.MustCompile(`name="form" value="([^"]+)"`)

// The public reference: qr_headline stands above the picture, qr_custom_text below that
// headline, and expiration_text says until when, in the reader's language.
func TestATemplatesOwnWordsStandAroundThePicture(t *testing.T) {
	a := newApp(t)
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.AddTemplate(ctx, &store.Template{Env: a.fixture.Env.ID, Name: "onboarding",
			Body: []byte(`{"enabled":true,"qr_headline":"Your <phone>","qr_custom_text":"Bring your <b>card</b>","expiration_text":"It ends in {{.TTL}}."}`)})
	})
	page, _ := a.page("/authorize" + a.asks("template", "onboarding"))
	rest := page.body
	for _, part := range []string{"<h2>Your &lt;phone&gt;</h2>\n<p>Bring your &lt;b&gt;card&lt;/b&gt;</p>", `<svg class="qr"`, "</svg>\n<p>It ends in 7 days.</p>"} {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Fatalf("no %s in order in %s", part, page.body)
		}
		rest = after
	}
	if plain, _ := a.page("/authorize" + a.asks()); !strings.Contains(plain.body, "<h2>Or go on with your phone</h2>\n<p>") || strings.Contains(plain.body, "It ends in") {
		t.Errorf("without a template: %s", plain.body)
	}
}

// The default template is used where none is named: with words alone it has them said,
// whatever the application asks for itself.
func TestTheWordsOfADefaultThatAsksForNothingAreSaid(t *testing.T) {
	a := newApp(t)
	for _, c := range []struct {
		what, body string
		asks       []string
		said       bool
	}{
		{"nothing asked for", `{"enabled":true,"qr_headline":"Your card"}`, nil, true},
		{"asked for by the application", `{"enabled":true,"qr_headline":"Your card"}`, []string{"scope", "openid profile"}, true},
		{"asked for by the template", `{"enabled":true,"qr_headline":"Your card","claim_definitions":[{"claim":"name"}]}`, nil, true},
		{"asked for by both", `{"enabled":true,"qr_headline":"Your card","claim_definitions":[{"claim":"name"}]}`, []string{"scope", "openid profile"}, false},
		{"no words", `{"enabled":true}`, nil, false},
	} {
		a.standard(c.body)
		if page, _ := a.page("/authorize" + a.asks(c.asks...)); strings.Contains(page.body, "<h2>Your card</h2>") != c.said {
			t.Errorf("%s: %s", c.what, page.body)
		}
	}
}

func match1(t *testing.T, re *regexp.Regexp, text string) string {
	t.Helper()
	m := re.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in %s", re, text)
	}
	return m[1]
}

// reads lets a phone read the picture, and returns what it waits by.
func (a *app) reads(ticket string) string {
	a.t.Helper()
	o, err := a.provider.Open(a.t.Context(), a.fixture.Env.ID, ticket, "en", recovery.Client{UserAgent: "Phone/1", Origin: "https://" + site})
	if err != nil || o.Phone == "" || o.Use != "" {
		a.t.Fatalf("%+v %v", o, err)
	}
	return o.Phone
}

func (a *app) code(phone string) string {
	a.t.Helper()
	r, err := a.provider.Read(a.t.Context(), a.fixture.Env.ID, phone)
	if err != nil {
		a.t.Fatal(err)
	}
	return r.Code
}

// types the phone's code into the page.
func (a *app) types(page got, path, code string) got {
	a.t.Helper()
	return a.post(a.browser, path+"/confirm", url.Values{"form": {match1(a.t, tokenForm, page.body)}, "code": {code}})
}

// onPhone proves on a phone whose code was typed, and returns where that leads: nowhere.
func (a *app) onPhone(phone string) string {
	a.t.Helper()
	o, err := a.provider.GoOn(a.t.Context(), a.fixture.Env.ID, phone, "en", recovery.Client{Origin: "https://" + site})
	if err != nil {
		a.t.Fatal(err)
	}
	to, err := a.provider.FinishPerson(a.t.Context(), a.fixture.Env.ID, o.Use, o.Session, true)
	if err != nil {
		a.t.Fatal(err)
	}
	return to
}

// The older addresses and the newer ones lead to one page, with either parameter; its
// picture leads a phone on, and the browser that began takes the answer.
func TestAPhoneProvesForTheBrowserThatShowsThePicture(t *testing.T) {
	for _, path := range []string{"/oauth2/authorize", "/authorize", "/oauth/authorize", "/x/app-clip/authorize"} {
		t.Run(path, func(t *testing.T) {
			a := newApp(t)
			page, at := a.page(path + a.asks())
			phone := a.reads(match1(t, linkForm, page.body))
			if again := a.get(a.browser, "/x/app-clip"+at); !strings.Contains(again.body, `id="code"`) {
				t.Fatalf("no code is asked for: %s", again.body)
			}
			if g := a.types(page, at, " "+a.code(phone)[:3]+" "+a.code(phone)[3:]); g.status != http.StatusSeeOther {
				t.Fatalf("the code: %d %s", g.status, g.body)
			}
			if to := a.onPhone(phone); to != "" {
				t.Errorf("the phone is led to %s", to)
			}
			g := a.get(a.browser, at)
			if g.status != http.StatusSeeOther || !strings.HasPrefix(g.location.String(), appBack) || g.location.Query().Get("state") != "the state" || g.location.Query().Get("iss") != a.origin {
				t.Fatalf("%d %v %s", g.status, g.location, g.body)
			}
			code := g.location.Query().Get("code")
			if g := a.get(a.browser, at); g.status != http.StatusBadRequest {
				t.Errorf("the answer comes twice: %d", g.status)
			}
			for i, want := range []int{200, 400} {
				form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appBack}, "client_id": {a.id}, "client_secret": {a.secret}, "code_verifier": {a.verifier}}
				if g := a.post(http.DefaultClient, "/token", form); g.status != want {
					t.Errorf("redeemed %d: %d %s", i, g.status, g.body)
				}
			}
			if g := a.post(http.DefaultClient, "/logout", nil); g.status != http.StatusNoContent {
				t.Errorf("signing out: %d %s", g.status, g.body)
			}
			bare, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.origin+"/logout", nil) // clients of the public API send no form
			if err != nil {
				t.Fatal(err)
			}
			if g := a.do(http.DefaultClient, bare); g.status != http.StatusNoContent {
				t.Errorf("signing out without a body: %d %s", g.status, g.body)
			}
			a.clean(code, a.secret, phone)
		})
	}
}

// Whoever relays the picture, or the link to it, gets nobody to sign them in: without the
// code that the phone shows nothing is proven, and what somebody proves by the link of
// this browser alone stays with them.
func TestT13_ARelayedPictureSignsNobodyIn(t *testing.T) {
	a := newApp(t)
	page, at := a.page("/authorize" + a.asks())
	ticket := match1(t, linkForm, page.body)
	phone, env, by := a.reads(ticket), a.fixture.Env.ID, recovery.Client{Origin: "https://" + site}
	if _, err := a.provider.GoOn(t.Context(), env, phone, "en", by); err == nil {
		t.Fatal("a phone goes on before its code was typed")
	}
	if _, err := a.provider.Open(t.Context(), env, ticket, "en", by); err == nil {
		t.Fatal("two phones read one picture")
	}
	right := a.code(phone)
	for range 3 {
		if g := a.types(page, at, "12345"); g.status != http.StatusUnprocessableEntity && g.status != http.StatusSeeOther {
			t.Fatalf("a wrong code: %d %s", g.status, g.body)
		}
	}
	if g := a.types(page, at, right); g.status == http.StatusOK || strings.Contains(a.get(a.browser, at).body, `class="wait"`) {
		t.Errorf("the right code after three wrong ones: %d", g.status)
	}
	if _, err := a.provider.Read(t.Context(), env, phone); err == nil {
		t.Error("the phone that was turned away still waits")
	}

	next := match1(t, linkForm, a.get(a.browser, at).body)
	if next == ticket {
		t.Fatal("the picture of before is shown")
	}
	back, err := url.Parse(a.prove(strings.TrimPrefix(next, "p."))) // the link of this browser, opened in another
	if err != nil {
		t.Fatal(err)
	}
	if g := a.get(a.newBrowser(), back.RequestURI()); g.status != http.StatusBadRequest {
		t.Errorf("another browser takes the answer: %d %v", g.status, g.location)
	}
	if g := a.get(a.browser, at); g.location != nil && strings.HasPrefix(g.location.String(), appBack) {
		t.Errorf("the browser that began takes what another proved: %v", g.location)
	}
}

// Whoever has read a picture and began nothing ends it.
func TestWhoeverDisownsAPictureEndsTheSignIn(t *testing.T) {
	a := newApp(t)
	page, at := a.page("/authorize" + a.asks("response_mode", "fragment"))
	if err := a.provider.Disown(t.Context(), a.fixture.Env.ID, a.reads(match1(t, linkForm, page.body))); err != nil {
		t.Fatal(err)
	}
	if g := a.get(a.browser, at); g.location == nil || !strings.HasPrefix(g.location.String(), appBack+"#") || !strings.Contains(g.location.Fragment, "error=access_denied") {
		t.Errorf("%d %v %s", g.status, g.location, g.body)
	}
}

// Clients that ask for JSON are answered as the public API has it.
func TestAuthorizationsAnswerInJSON(t *testing.T) {
	a := newApp(t)
	var began struct {
		Env     string `json:"env_name"`
		QR      []byte `json:"qrcode"`
		Request string `json:"request"`
		Session string `json:"session_token"`
		To      string `json:"redirect_uri"`
		Return  string `json:"return"`
	}
	other := http.DefaultClient // that keeps no cookies
	g := a.json(other, "GET", "/authorize"+a.asks("return", "chrome"), &began)
	if _, err := png.Decode(bytes.NewReader(began.QR)); g.status != 200 || err != nil || began.Request == "" || began.Session == "" || began.Env == "" || began.Return != "chrome" {
		t.Fatalf("%d %v %s", g.status, err, g.body)
	}
	var state struct {
		Status int    `json:"status"`
		To     string `json:"redirect_uri"`
		Last   struct{ Event string }
	}
	poll, session := "/api/authorize/"+began.Request+"/poll", "?session="+url.QueryEscape(began.Session)
	if a.json(other, "GET", poll+session, &state); state.Status != 100 {
		t.Errorf("begun: %+v", state)
	}
	for _, wrong := range []string{"", "?session=", "?session=x", "?session=" + url.QueryEscape(a.fixture.Env.ID+".x")} {
		if a.json(other, "GET", poll+wrong, &state); state.Status != 510 {
			t.Errorf("session %q: %+v", wrong, state)
		}
	}
	var ended struct {
		To string `json:"redirect_uri"`
	}
	if g := a.json(other, "POST", "/api/authorize/"+began.Request+"/cancel?session=x", &ended); g.status != 404 {
		t.Errorf("somebody else cancels: %d", g.status)
	}
	if g := a.json(other, "POST", "/api/authorize/"+began.Request+"/cancel"+session, &ended); g.status != 200 || !strings.HasPrefix(ended.To, a.origin+"/authorize/") {
		t.Fatalf("cancelled: %d %s", g.status, g.body)
	}
	to := ended.To
	if g := a.json(other, "POST", "/api/authorize/"+began.Request+"/cancel"+session, &ended); g.status != 200 || ended.To != to { // whose answer was lost
		t.Errorf("cancelled again: %d %s", g.status, g.body)
	}
	if a.json(other, "GET", poll+session, &state); state.Status != 403 || state.To != ended.To {
		t.Errorf("after cancelling: %+v", state)
	}
	res := a.get(a.newBrowser(), ended.To)
	if res.location == nil || !strings.HasPrefix(res.location.String(), appBack+"?") || res.location.Query().Get("error") != "access_denied" {
		t.Errorf("led to %v", res.location)
	}
	var wrong struct {
		Text string `json:"error_message"`
		To   string `json:"redirect_uri"`
	}
	if g := a.json(other, "GET", "/authorize"+a.asks("response_type", "token"), &wrong); g.status != 400 || wrong.Text == "" || !strings.HasPrefix(wrong.To, appBack+"?error=") {
		t.Errorf("%d %s", g.status, g.body)
	}
	wrong.To = ""
	if g := a.json(other, "GET", "/authorize"+a.asks("redirect_uri", "https://evil.example/"), &wrong); g.status != 400 || wrong.Text == "" || wrong.To != "" {
		t.Errorf("%d %s", g.status, g.body)
	}
}

// Only the client's own pages frame a sign-in that was begun for a frame; no page frames
// another one (P24).
func TestP24_OnlyTheClientFramesASignIn(t *testing.T) {
	a := newApp(t)
	plain, _ := a.page("/authorize" + a.asks())
	if csp := plain.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || plain.header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("a page can be framed: %s", csp)
	}
	g := a.get(http.DefaultClient, "/authorize/iframe"+a.asks("theme_color", "#0a6b5c"))
	if g.status != http.StatusOK { // followed, without cookies
		t.Fatalf("%d %s", g.status, g.body)
	}
	csp := g.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "frame-ancestors https://app.example.com;") || g.header.Get("X-Frame-Options") != "" {
		t.Errorf("the frame: %s", csp)
	}
	look := regexp.MustCompile(`/oauth2/look/[0-9a-f]{6}`).FindString(g.body)
	if look != "/oauth2/look/0a6b5c" || !strings.Contains(a.get(http.DefaultClient, look).body, "--accent:#0a6b5c") {
		t.Errorf("its colour: %q", look)
	}
	if !strings.Contains(g.body, `target="_top"`) || strings.Contains(g.body, `name="form"`) {
		t.Error("the page of a frame leads on in the frame, or counts on cookies")
	}
	here := match1(t, regexp.MustCompile(`id="here" href="([^"]+)"`), g.body)
	back, err := url.Parse(a.prove(a.ticket(a.get(a.browser, html.UnescapeString(here)))))
	if err != nil {
		t.Fatal(err)
	}
	if g := a.get(a.browser, back.RequestURI()); g.location == nil || g.location.Query().Get("code") == "" {
		t.Errorf("the browser that leaves the frame: %d %v", g.status, g.location)
	}
	if g := a.get(http.DefaultClient, "/oauth2/look/%22%3B"); g.status != http.StatusNotFound {
		t.Errorf("a colour that is none: %d", g.status)
	}
}

// A phone goes straight on, and so does whoever is sent by an identity provider.
func TestAPhonesOwnBrowserGoesStraightOn(t *testing.T) {
	a := newApp(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", a.origin+"/authorize"+a.asks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (Linux; Android 14) Chrome/130.0 Mobile Safari/537.36")
	back, err := url.Parse(a.prove(a.ticket(a.do(a.browser, req))))
	if err != nil {
		t.Fatal(err)
	}
	if g := a.get(a.browser, back.RequestURI()); g.location == nil || g.location.Query().Get("code") == "" {
		t.Errorf("%d %v", g.status, g.location)
	}
}

// Forms of the page count from the page alone.
func TestP24_AForeignFormCancelsNothing(t *testing.T) {
	a := newApp(t)
	page, at := a.page("/authorize" + a.asks())
	form := url.Values{"form": {match1(t, tokenForm, page.body)}}
	for name, g := range map[string]got{
		"no token":     a.post(a.browser, at+"/cancel", url.Values{}),
		"other origin": a.post(a.browser, at+"/cancel", form, "Origin", "https://evil.example"),
		"no cookie":    a.post(a.newBrowser(), at+"/cancel", form),
		"API":          a.post(a.browser, strings.Replace(at, "/authorize/", "/api/authorize/", 1)+"/cancel", nil, "Origin", "https://evil.example"),
	} {
		if g.status < 400 {
			t.Errorf("%s: %d", name, g.status)
		}
	}
	if g := a.post(a.browser, at+"/cancel", form, "Origin", a.origin); g.status != http.StatusSeeOther {
		t.Fatalf("%d %s", g.status, g.body)
	}
	if g := a.get(a.browser, at); g.location == nil || g.location.Query().Get("error") != "access_denied" {
		t.Errorf("%d %v", g.status, g.location)
	}
}

// The browser that began says that people look at it, and can end it: then what the phone
// still proves is given to nobody.
func TestACancelledSignInEndsTheProofOnThePhone(t *testing.T) {
	a := newApp(t)
	page, at := a.page("/authorize" + a.asks())
	phone := a.reads(match1(t, linkForm, page.body))
	a.types(page, at, a.code(phone))
	o, err := a.provider.GoOn(t.Context(), a.fixture.Env.ID, phone, "en", recovery.Client{Origin: "https://" + site})
	if err != nil {
		t.Fatal(err)
	}
	a.employee.waits = true
	var state struct {
		Status int
		Review bool `json:"waiting_for_review"`
	}
	if a.json(a.browser, "GET", strings.Replace(at, "/authorize/", "/api/authorize/", 1)+"/poll", &state); state.Status != 100 || !state.Review {
		t.Errorf("while people look at it: %+v", state)
	}
	if g := a.post(a.browser, at+"/cancel", url.Values{"form": {match1(t, tokenForm, page.body)}}); g.status != http.StatusSeeOther || !a.employee.stopped {
		t.Fatalf("%d, stopped: %v", g.status, a.employee.stopped)
	}
	if _, err := a.provider.FinishPerson(t.Context(), a.fixture.Env.ID, o.Use, o.Session, true); err == nil {
		t.Error("the phone gives what nobody waits for")
	}
	if g := a.get(a.browser, at); g.location == nil || g.location.Query().Get("error") != "access_denied" || g.location.Query().Has("code") {
		t.Errorf("%d %v", g.status, g.location)
	}
}

// Who proves on a phone may find the computer asleep: it takes the answer when it wakes, and
// the code is as short-lived from then on as any.
func TestAComputerThatSleptTakesTheAnswerOfThePhone(t *testing.T) {
	a := newApp(t)
	page, at := a.page("/authorize" + a.asks())
	phone := a.reads(match1(t, linkForm, page.body))
	a.types(page, at, a.code(phone))
	a.onPhone(phone)
	a.ahead.Add(int64(10 * time.Minute))
	var state struct{ Status int }
	if a.json(a.browser, "GET", strings.Replace(at, "/authorize/", "/api/authorize/", 1)+"/poll", &state); state.Status != 200 {
		t.Errorf("when it wakes: %+v", state)
	}
	back := a.get(a.browser, at)
	if back.location == nil || back.location.Query().Get("code") == "" {
		t.Fatalf("%d %v", back.status, back.location)
	}
	a.ahead.Add(int64(61 * time.Second))
	form := url.Values{"grant_type": {"authorization_code"}, "code": {back.location.Query().Get("code")}, "redirect_uri": {appBack}, "client_id": {a.id}, "client_secret": {a.secret}, "code_verifier": {a.verifier}}
	if g := a.post(http.DefaultClient, "/token", form); g.status != 400 {
		t.Errorf("a code of a minute ago: %d", g.status)
	}
}

// Of many that come at once one takes the picture, and one the answer.
func TestOnePhoneTakesAPictureAndOneRequestTheAnswer(t *testing.T) {
	a := newApp(t)
	page, at := a.page("/authorize" + a.asks())
	ticket := match1(t, linkForm, page.body)
	phones := together(100, func() string {
		o, err := a.provider.Open(t.Context(), a.fixture.Env.ID, ticket, "en", recovery.Client{Origin: "https://" + site})
		if err != nil {
			return ""
		}
		return o.Phone
	})
	if len(phones) != 1 {
		t.Fatalf("%d phones took one picture", len(phones))
	}
	a.types(page, at, a.code(phones[0]))
	a.onPhone(phones[0])
	codes := together(100, func() string {
		req, err := http.NewRequestWithContext(t.Context(), "GET", a.origin+at, nil)
		if err != nil {
			return ""
		}
		res, err := a.browser.Do(req)
		if err != nil {
			return ""
		}
		_ = res.Body.Close()
		to, err := res.Location()
		if err != nil {
			return ""
		}
		return to.Query().Get("code")
	})
	if len(codes) != 1 {
		t.Errorf("%d answers", len(codes))
	}
}

// together does something many times at once and returns what came of it, where anything did.
func together(n int, do func() string) (got []string) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range n {
		wg.Go(func() {
			if s := do(); s != "" {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, s)
			}
		})
	}
	wg.Wait()
	return got
}
