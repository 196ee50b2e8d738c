package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// A rig is a site over plain HTTP on loopback, with a real store behind it.
type rig struct {
	t     *testing.T
	walk  *walk
	site  *Site
	store *store.Store
	env   store.Environment
	links *token.Links
	url   string // "http://localhost:12345"
	serve http.Handler
}

type fixedKey []byte

func (k fixedKey) PresignKey(context.Context, string) ([]byte, error)      { return k, nil }
func (k fixedKey) LinkLife(context.Context, string) (time.Duration, error) { return 0, nil }

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, walk: newWalk(), store: storetest.Open(t, storetest.SQLite(t))}
	g.links = &token.Links{Keys: fixedKey("0123456789abcdef0123456789abcdef")}
	err := g.store.Tx(t.Context(), func(tx *store.Tx) error {
		org, err := tx.CreateOrganisation(t.Context(), store.Organisation{Name: "acme"})
		if err == nil {
			g.env, err = tx.CreateEnvironment(t.Context(), store.Environment{Org: org.ID, Name: "prod", PublicName: "Acme & Sons", Microsite: store.Microsite{Accent: "#0a6b5c"}})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	g.site = New(Config{
		Recoveries: g.walk, Proofs: g.walk, Handovers: g.walk, Changes: g.walk, Notices: g.walk, Links: g.links, Store: g.store,
		Wallets: wallet.New(wallet.Config{Store: g.store, Now: time.Now}),
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	g.serve = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.site.ServeHTTP(w, r.WithContext(WithRequest(r.Context(), Request{Env: g.env.ID, Origin: g.url, Client: "192.0.2.7"})))
	})
	srv := httptest.NewServer(g.serve)
	t.Cleanup(func() { srv.Close(); g.site.Wait(context.Background()) })
	g.url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return g
}

// settings changes the environment, and forgets the old one.
func (g *rig) settings(change func(*store.Environment)) {
	g.t.Helper()
	change(&g.env)
	if err := g.store.Tx(g.t.Context(), func(tx *store.Tx) error { return tx.UpdateEnvironment(g.t.Context(), g.env) }); err != nil {
		g.t.Fatal(err)
	}
	g.site.looks.forget()
}

// A person uses the site without scripts, as a browser that keeps cookies.
type person struct {
	*rig
	client *http.Client
	status int
	header http.Header
	body   string
	at     *url.URL
}

func (g *rig) person() *person {
	jar, _ := cookiejar.New(nil)
	return &person{rig: g, client: &http.Client{Jar: jar}}
}

// asIs does not follow redirects.
func (p *person) asIs() *person {
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return p
}

func (p *person) do(r *http.Request) *person {
	p.t.Helper()
	res, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.status, p.header, p.body, p.at = res.StatusCode, res.Header, string(b), res.Request.URL
	return p
}

func (p *person) get(path string) *person {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(r)
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// send posts the form whose action ends in action, with its hidden fields, from the page
// that the person is at.
func (p *person) send(action string, fields url.Values) *person {
	p.t.Helper()
	form := regexp.MustCompile(`(?s)<form method="post" action="([^"]*` + action + `[^"]*)".*?</form>`).FindStringSubmatch(p.body)
	if form == nil {
		p.t.Fatalf("no form %q at %s:\n%s", action, p.at, p.body)
	}
	values := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(form[0], -1) {
		values.Add(m[1], unescape(m[2]))
	}
	maps.Copy(values, fields)
	return p.post(unescape(form[1]), values)
}

func (p *person) post(path string, values url.Values) *person {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(values.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", p.url)
	return p.do(r)
}

func unescape(s string) string { return strings.NewReplacer("&amp;", "&", "&#43;", "+").Replace(s) }

// sees fails the test unless the page has the status and every text.
func (p *person) sees(status int, texts ...string) *person {
	p.t.Helper()
	if p.status != status {
		p.t.Errorf("at %s: status %d, want %d", p.at, p.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			p.t.Errorf("at %s: no %q in\n%s", p.at, text, p.body)
		}
	}
	return p
}

// started walks to the choice.
func (p *person) started(address string) *person {
	p.t.Helper()
	return p.get("/").send("/start", url.Values{"email": {address}}).sees(200, "What do you need?")
}

// asked walks to the code.
func (p *person) asked(address string, a protocol.Action) *person {
	p.t.Helper()
	return p.started(address).send("/choose", url.Values{"op": {string(a)}}).sees(200, "What is the code that we sent you?")
}

// ready walks to the button.
func (p *person) ready(a protocol.Action) *person {
	p.t.Helper()
	return p.asked("ada@acme.example", a).send("/code", url.Values{"code": {"2718 2818"}}).sees(200, "Ada Lovelace")
}

func TestEmployeeUnlocksAnAccountWithoutScripts(t *testing.T) {
	g := newRig(t)
	p := g.person().get("/").sees(200, "What is your work email address?", "Acme &amp; Sons", "Step 1 of 4")
	p.ready(protocol.ActionUnlock).sees(200, "Unlock your account now?", "Step 4 of 4")
	p.send("/perform", nil).sees(200, "Your account is unlocked", "Sign in with your password as usual")
	if strings.Contains(p.body, "When you sign in for the first time") {
		t.Error("an unlocked account keeps its password, the page says otherwise")
	}
	p.send("/acknowledge", nil).sees(200, "You are done")
	if got := p.header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data %q at the end", got)
	}
	if g.walk.performs != 1 {
		t.Errorf("%d operations, want 1", g.walk.performs)
	}
}

func TestSecretWithoutScriptsIsNeverAskedFor(t *testing.T) {
	g := newRig(t)
	p := g.person().ready(protocol.ActionPassword).sees(200, "<noscript>", "JavaScript must be switched on")
	p.send("/perform", nil).sees(422, "This browser cannot make the key")
	if g.walk.performs != 0 {
		t.Error("an operation was asked for without a key")
	}
}

func TestTypedTextStaysAndErrorsStandTwice(t *testing.T) {
	g := newRig(t)
	p := g.person().get("/").send("/start", url.Values{"email": {"  "}})
	p.sees(422, "<title>Error: What is your work", `role="alert"`, `href="#email"`, `id="email-error"`, `aria-invalid="true"`)
	p.send("/start", url.Values{"email": {"no address"}}).sees(422, `value="no address"`, "in the form name@example.com")
	p.started("ada@acme.example").send("/choose", url.Values{}).sees(422, "Choose what you need", `href="#op"`)
	p.send("/choose", url.Values{"op": {"unlock"}}).send("/code", url.Values{"code": {"1 2 3"}})
	p.sees(422, `value="1 2 3"`, "You have 4 tries left.", `href="#code"`, `autocomplete="one-time-code"`)
	p.send("/code", url.Values{"code": {"8765 4321"}}).sees(422, `value=""`, "You have 3 tries left.")
	p.send("/code", url.Values{"code": {""}}).sees(422, "Type the code from the mail")
	if strings.Contains(p.body, "tries left") {
		t.Error("an empty code counts as a try")
	}
}

func TestSecondQuestionOnlyWhereThereAreSeveralDirectories(t *testing.T) {
	g := newRig(t)
	unlock := []protocol.Action{protocol.ActionUnlock}
	g.walk.offer.Directories = []flow.DirectoryChoice{
		{ID: "11111111-1111-4111-8111-111111111111", Name: "Office", Actions: g.walk.offer.Actions},
		{ID: "22222222-2222-4222-8222-222222222222", Name: "Plant <3>", Actions: unlock},
	}
	p := g.person().started("ada@acme.example").send("/choose", url.Values{"op": {"unlock"}})
	p.sees(200, "Which account is it about?", "Plant &lt;3&gt;")
	p.send("/choose", url.Values{"directory": {"22222222-2222-4222-8222-222222222222"}}).sees(200, "What is the code")
	p = g.person().started("ada@acme.example").send("/choose", url.Values{"op": {"mfa"}})
	p.sees(200, "What is the code") // only one directory offers it
	p = g.person().started("ada@acme.example")
	p.send("/choose", url.Values{"op": {"mfa"}, "directory": {"22222222-2222-4222-8222-222222222222"}})
	p.sees(422, "This is not possible for the account that you chose")
}

func TestTooManyCodesSayUntilWhen(t *testing.T) {
	g := newRig(t)
	p := g.person().asked("ada@acme.example", protocol.ActionUnlock)
	for range 4 {
		p.send("/code", url.Values{"code": {"11111111"}})
	}
	p.send("/code", url.Values{"code": {"11111111"}}).sees(429, "Too many wrong codes", `<time datetime="`)
	p.get(p.at.Path).sees(429, "Too many wrong codes")
}

func TestAnotherCodeSaysWhen(t *testing.T) {
	g := newRig(t)
	p := g.person().asked("ada@acme.example", protocol.ActionUnlock).sees(200, "You can ask for another code at", "data-until=")
	p.send("/resend", nil).sees(429, "Another code cannot be sent yet", `href="#no-mail"`)
	g.walk.edit(g.walk.only(), func(r *walked) { r.Code.ResendAt = time.Now().Add(-time.Second) })
	p.send("/resend", nil).sees(200, "another code is on its way")
	p.sees(200, "ask for another one")
	g.walk.edit(g.walk.only(), func(r *walked) { r.Code.SendsLeft, r.Code.ResendAt = 0, time.Now().Add(50*time.Minute) })
	p.get(p.at.Path).sees(200, "as many codes as we send within an hour", `from <time datetime="`, "your help desk can check")
	for _, other := range []string{"ask for another one", "Send another code", "You can ask for another code"} {
		if strings.Contains(p.body, other) {
			t.Errorf("no code is left to send, and the page says %q", other)
		}
	}
}

func TestSlowOperationShowsHonestWaiting(t *testing.T) {
	g := newRig(t)
	g.walk.hold = make(chan struct{})
	p := g.person().ready(protocol.ActionUnlock).send("/perform", nil)
	p.sees(200, "We are unlocking your account", `<noscript><meta http-equiv="refresh" content="4"></noscript>`, `data-say="10" hidden`)
	id := g.walk.only()
	for _, c := range []struct {
		since time.Duration
		want  string
	}{{12 * time.Second, `data-say="10">This takes longer`}, {31 * time.Second, `data-say="30">There is still no answer`}} {
		g.walk.edit(id, func(r *walked) { r.Since = time.Now().Add(-c.since) })
		p.get("/r/"+id).sees(200, c.want)
	}
	if got := p.get("/r/" + id + "/state").body; got != `{"step":"performing","at":"performing"}` {
		t.Error("state:", got)
	}
	close(g.walk.hold)
	g.site.Wait(t.Context())
	p.get("/r/"+id).sees(200, "Your account is unlocked")
}

// A browser that gives up must not end what the agent does (style §6).
func TestOperationOutlivesTheRequest(t *testing.T) {
	g := newRig(t)
	g.walk.hold = make(chan struct{})
	p := g.person().ready(protocol.ActionUnlock)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodPost, g.url+"/r/"+g.walk.only()+"/perform", strings.NewReader(url.Values{"form": {hidden.FindStringSubmatch(p.body)[2]}}.Encode())).WithContext(ctx)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range p.client.Jar.Cookies(p.at) {
		r.AddCookie(c)
	}
	cancel()
	g.serve.ServeHTTP(httptest.NewRecorder(), r)
	close(g.walk.hold)
	g.site.Wait(t.Context())
	p.get("/r/"+g.walk.only()).sees(200, "Your account is unlocked")
}

func TestEveryOutcomeSaysWhatToDoNow(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*walked)
		want []string
	}{
		{"unknown", func(r *walked) { r.Step = flow.StepUnknown }, []string{"We do not know yet whether it worked", "Please do not try again"}},
		{"failed", func(r *walked) { r.Step, r.Problem = flow.StepFailed, recovery.ProblemPolicy }, []string{"nothing was changed", "do not allow a new password now"}},
		{"refused", func(r *walked) { r.Step, r.Problem = flow.StepRefused, recovery.ProblemNotAllowed }, []string{"This cannot be done here", "special rights"}},
		{"vetoed", func(r *walked) {
			r.Step, r.Problem, r.Message = flow.StepRefused, recovery.ProblemVetoed, "Call <b>HR</b>"
		}, []string{"Call &lt;b&gt;HR&lt;/b&gt;"}},
		{"unchanged", func(r *walked) { r.Step, r.Problem = flow.StepReady, recovery.ProblemUnavailable }, []string{"nothing was changed. You can try again", "cannot be reached", "Unlock my account"}},
		{"silent", func(r *walked) { r.Step, r.Problem = flow.StepReady, recovery.ProblemVetoed }, []string{"nothing was changed. You can try again", "A custom integration failed", "Unlock my account"}},
		{"later", func(r *walked) { r.Step, r.RetryAt = flow.StepReady, time.Now().Add(time.Minute) }, []string{"You can try again at <time"}},
		{"expired", func(r *walked) { r.Step, r.Ended = flow.StepEnded, recovery.EndExpired }, []string{"The time has run out"}},
		{"voided", func(r *walked) { r.Step, r.Ended = flow.StepEnded, recovery.EndVoided }, []string{"This recovery was stopped"}},
		{"ended", func(r *walked) { r.Step = flow.StepEnded }, []string{"This recovery has ended"}},
		{"unsealed", func(r *walked) { r.Clear = true }, []string{"passed through our service unprotected"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t)
			g.walk.outcome = c.end
			g.person().ready(protocol.ActionUnlock).send("/perform", nil).sees(200, c.want...)
		})
	}
}

func TestEveryProblemHasWordsInEveryLanguage(t *testing.T) {
	g := newRig(t)
	for _, problem := range []recovery.Problem{recovery.ProblemUnavailable, recovery.ProblemNotAllowed, recovery.ProblemNotLocked, recovery.ProblemNothing, recovery.ProblemPolicy, recovery.ProblemVetoed, recovery.ProblemLimit, recovery.ProblemBlocked, recovery.ProblemNoMethod, recovery.ProblemDeclined, recovery.ProblemHeld, recovery.ProblemInternal} {
		for _, lang := range []string{"en", "de"} {
			v := &visit{site: g.site, r: httptest.NewRequest(http.MethodGet, "/?lang="+lang, nil), lang: lang, look: g.site.nameless("x")}
			s := v.screen(flow.View{})
			for _, key := range []string{"problem." + string(problem), "problem." + string(problem) + ".next"} {
				if !s.Has(key) {
					t.Errorf("%s: no text for %s", lang, key)
				}
			}
		}
	}
}

func TestEveryMethodHasWordsInEveryLanguage(t *testing.T) {
	for _, row := range policy.MethodTable {
		for _, l := range locale.Languages() {
			keys := []string{"method." + string(row.Method), "method." + string(row.Method) + ".hint"}
			if row.Form != policy.FormCode {
				keys = append(keys, "ask.title."+string(row.Method), "ask.text."+string(row.Method))
			}
			for _, key := range keys {
				if !(page.Words{Language: l}).Has(key) {
					t.Errorf("%s lacks %s", l.Code(), key)
				}
			}
		}
	}
}

func TestAPersonChoosesHowToProveAndMayChooseAgain(t *testing.T) {
	g := newRig(t)
	g.walk.methods = []flow.MethodChoice{
		{Method: policy.MailCode, Form: policy.FormCode}, {Method: policy.TOTP, Form: policy.FormCode}, {Method: policy.Passkey, Form: policy.FormScript, Bound: true}}
	p := g.person().started("ada@acme.example").send("/choose", url.Values{"op": {"password"}})
	p.sees(200, "How would you like to prove that it is you?", "A code by mail", "authenticator app", `value="passkey" required data-bound`)
	p.send("/method", nil).sees(422, "Choose one of these")
	p.send("/method", url.Values{"method": {"passkey"}}).sees(422, "This way needs a browser with JavaScript")
	p.send("/method", url.Values{"method": {"totp"}}).sees(200, "Which code does your authenticator app show?", "Prove it another way")
	if strings.Contains(p.body, "Send another code") {
		t.Error("a code that nobody sends can be sent again")
	}
	p.get(p.at.Path+"/method").sees(200, "How would you like to prove that it is you?")
	p.send("/method", url.Values{"method": {"mail_code"}}).sees(200, "What is the code that we sent you?", "Send another code")
	p.send("/code", url.Values{"code": {rightCode}}).sees(200, "Reset your password now?")
	p.get(p.at.Path+"/method").sees(200, "Reset your password now?")
}

func TestAScriptIsGivenItsRequestAndItsAnswerIsBounded(t *testing.T) {
	g := newRig(t)
	p := g.person().asked("ada@acme.example", protocol.ActionPassword)
	g.walk.edit(g.walk.only(), func(r *walked) {
		offer(policy.Passkey)(r)
		r.Ask.Request = json.RawMessage(`{"challenge":"</script><script>alert(1)"}`)
	})
	p.get(p.at.Path).sees(200, "Use your passkey", `<script type="application/json" id="request">{"challenge":"\u003c/script`)
	if got := p.header.Get("Permissions-Policy"); !strings.Contains(got, "publickey-credentials-get=(self)") || !strings.Contains(got, "camera=()") {
		t.Errorf("features: %s", got)
	}
	p.send("/answer", url.Values{"answer": {`{"not":"right"}`}}).sees(422, "This did not prove that it is you")
	p.send("/answer", url.Values{"answer": {strings.Repeat("x", maxAnswer+1)}}).sees(422, "This did not prove that it is you")
	p.send("/answer", url.Values{"answer": {strings.Repeat("%", 4*maxAnswer)}}).sees(413)
	g.walk.edit(g.walk.only(), func(r *walked) { r.Ask.Open = false })
	p.get(p.at.Path).sees(200, "One moment", `data-at="prove passkey false false"`)
	p.get(p.at.Path+"/state").sees(200, `"at":"prove passkey false false"`)
}

func TestEveryActionHasWordsOnEveryPage(t *testing.T) {
	for _, row := range protocol.Actions {
		for _, l := range locale.Languages() {
			w := page.Words{Language: l}
			for _, form := range []string{
				"action.%s", "action.%s.hint", "ready.%s.title", "ready.%s.text", "ready.%s.button", "performing.title.%s", "done.title.%s",
				"notme.what.%s", "console.action.%s", "mail.notice.subject.%s", "mail.notice.what.%s",
			} {
				if key := fmt.Sprintf(form, row.Action); !w.Has(key) {
					t.Errorf("%s lacks %s", l.Code(), key)
				}
			}
			if key := "done.label." + string(row.Action); slices.ContainsFunc(row.Operations, protocol.Operation.Secret) && !w.Has(key) {
				t.Errorf("%s lacks %s", l.Code(), key)
			}
		}
	}
}

func TestCancelEndsARecoveryAtEveryStep(t *testing.T) {
	g := newRig(t)
	g.person().started("ada@acme.example").send("/cancel", nil).sees(200, "You cancelled", "Start again")
	g.person().asked("ada@acme.example", protocol.ActionMFA).send("/cancel", nil).sees(200, "You cancelled")
	g.person().ready(protocol.ActionMFA).send("/cancel", nil).sees(200, "You cancelled", "tell your help desk")
}

func TestFlowChangesWordsOnly(t *testing.T) {
	g := newRig(t)
	p := g.person().get("/?flow=enroll").sees(200, "Welcome to Acme &amp; Sons", "Account set-up")
	p.send("/start", url.Values{"email": {"ada@acme.example"}}).sees(200, "My first password", "Account set-up")
	p.send("/choose", url.Values{"op": {"password"}}).send("/code", url.Values{"code": {rightCode}})
	p.sees(200, "Get your first password now?", "Get my first password")
	g.person().get("/?flow=recover").sees(200, "Locked out of your account")
}

func TestLanguageIsAskedForKeptAndSwitched(t *testing.T) {
	g := newRig(t)
	p := g.person().get("/?email=ada%40acme.example&lang=de").sees(200, `<html lang="de" dir="ltr">`, "Wie lautet Ihre berufliche", `href="/?email=ada%40acme.example&amp;lang=en"`)
	p.send("/start", url.Values{"email": {"ada@acme.example"}}).sees(200, "Was brauchen Sie?")
	if got := p.at.Query().Get("lang"); got != "de" {
		t.Errorf("the address lost the language: %s", p.at)
	}
	p.get(p.at.Path).sees(200, "Was brauchen Sie?") // the recovery remembers it
	r, _ := http.NewRequest(http.MethodGet, g.url+"/", nil)
	r.Header.Set("Accept-Language", "de-CH, en;q=0.5")
	g.person().do(r).sees(200, "Wie lautet")
	g.settings(func(e *store.Environment) { e.Microsite.Languages = []string{"en"} })
	p = g.person().do(r).sees(200, "What is your")
	if strings.Contains(p.body, "hreflang") {
		t.Error("a switch to a language that the environment does not offer")
	}
}

func TestEnvironmentShowsItsOwnLook(t *testing.T) {
	g := newRig(t)
	p := g.person().get("/")
	theme := regexp.MustCompile(`/theme\.css\?v=[0-9a-f]+`).FindString(p.body)
	p.get(theme).sees(200, "--accent:#0a6b5c", "--on-accent:#ffffff", "prefers-color-scheme:dark")
	if got := p.header.Get("Cache-Control"); got != forever {
		t.Errorf("theme by its content: Cache-Control %q", got)
	}
	if got := p.get("/theme.css").header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("theme by its name: Cache-Control %q", got)
	}
	p.get("/logo").sees(404)
	svg := `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`
	if err := g.store.Tx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.SetLogo(t.Context(), g.env.ID, store.NewLogo("mobile", "image/svg+xml", []byte(svg))),
			tx.SetLogo(t.Context(), g.env.ID, store.NewLogo("qr", "image/png", []byte("of the codes"))))
	}); err != nil {
		t.Fatal(err)
	}
	g.site.looks.forget()
	logo := regexp.MustCompile(`/logo\?v=[0-9a-f]+`).FindString(p.get("/").body)
	p.get(logo + "0").sees(404)
	p.get("/logo?v="+store.NewLogo("", "", []byte("of the codes")).Sum).sees(200, "of the codes")
	p.get(logo)
	if p.body != svg || p.header.Get("Cache-Control") != forever || p.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(p.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("logo: %q %v", p.body, p.header)
	}
}

func TestOutageIsSaidBeforeAnythingIsAsked(t *testing.T) {
	g := newRig(t)
	g.walk.offer.Unavailable = true
	p := g.person().get("/").sees(200, "The directory cannot be reached at the moment")
	p.started("ada@acme.example").sees(200, "The directory cannot be reached at the moment")
	p.send("/choose", url.Values{"op": {"unlock"}}).sees(200, "The directory cannot be reached at the moment")
}

func TestTwoRecoveriesInOneBrowserDoNotEndEachOther(t *testing.T) {
	g := newRig(t)
	p := g.person().asked("ada@acme.example", protocol.ActionUnlock)
	first := p.at.Path
	p.asked("ada@acme.example", protocol.ActionMFA)
	p.get(first).sees(200, "What is the code")
	for range 5 {
		p.started("ada@acme.example")
	}
	if n := len(slices.DeleteFunc(p.client.Jar.Cookies(p.at), func(c *http.Cookie) bool { return !strings.HasPrefix(c.Name, sessionCookie) })); n > maxSessions {
		t.Errorf("%d sessions in one browser, want at most %d", n, maxSessions)
	}
	p.get(first).sees(404, "This recovery is not open in this browser")
}

func TestFirstPageIsSmall(t *testing.T) {
	g := newRig(t)
	p := g.person().get("/")
	total := len(p.body)
	for _, ref := range regexp.MustCompile(`(?:href|src)="(/(?:static|theme|logo)[^"]*)"`).FindAllStringSubmatch(p.body, -1) {
		total += len(p.get(unescape(ref[1])).sees(200).body)
	}
	total += len(p.get(g.site.files.Path("seal.js")).sees(200).body)
	const most = 35 << 10
	if total > most {
		t.Errorf("first page has %d bytes uncompressed in all, want at most %d", total, most)
	}
	css := p.get(g.site.files.Path("page.css")).body
	if len(css) > 12<<10 {
		t.Errorf("stylesheet has %d bytes", len(css))
	}
	t.Logf("first page: %d bytes in all, stylesheet %d", total, len(css))
}

func TestStoreAwaySaysSoUnderTheRightName(t *testing.T) {
	g := newRig(t)
	p := g.person().asked("ada@acme.example", protocol.ActionUnlock)
	g.walk.fail = recovery.ErrUnavailable
	p.get(p.at.Path).sees(503, "We cannot go on at the moment", "Acme &amp; Sons", "quote this number", "Load the page again")
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	g.walk.fail = nil
	p.get(p.at.Path).sees(200, "What is the code") // and goes on
	g.walk.fail = io.ErrUnexpectedEOF
	p.get(p.at.Path).sees(500, "Something went wrong on our side", "quote this number")
}
