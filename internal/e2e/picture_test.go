package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/postern-id/postern/internal/testenv"
)

const appHost = "app.example.com"

// desk is a browser at a desk to which the application's host leads.
func desk(t *testing.T, app *httptest.Server) *testenv.Browser {
	t.Helper()
	b := testenv.Chromium(t, "ignore-certificate-errors=true", fmt.Sprintf("host-resolver-rules=MAP %s:443 127.0.0.1:%s, MAP *.localhost 127.0.0.1", appHost, portOf(app.URL)))
	b.Viewport(1280, 800)
	return b
}

// frontend is the application: it shows what it was brought, and a sign-in in a frame.
func frontend(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if to := r.URL.Query().Get("frame"); to != "" {
			_, _ = fmt.Fprintf(w, `<!doctype html><title>app</title><h1>app</h1><iframe width="900" height="900" src="%s"></iframe>`, strings.ReplaceAll(to, "&", "&amp;"))
			return
		}
		_, _ = io.WriteString(w, `<!doctype html><title>app</title><h1>back at the app</h1>`)
	}))
	t.Cleanup(s.Close)
	return s
}

// At a desk the page shows a picture. A phone reads it and shows a code, which is typed at
// the desk; the proof is made on the phone, and the desk goes back by itself.
func TestT13_AtADeskAPhoneProvesAndThePageGoesBackByItself(t *testing.T) {
	t.Parallel()
	v, app := relied(t, "picture"), frontend(t)
	callback := "https://" + appHost + "/callback"
	g := v.goClient(goCase{"client_secret_basic", "query", "ES256", ""}, callback)
	begin := func(verifier string) string {
		return g.conf.AuthCodeURL("the-state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("n"))
	}
	d, verifier := desk(t, app), oauth2.GenerateVerifier()
	d.Open(begin(verifier))
	d.Wait(`document.querySelector('svg.qr') && document.documentElement.dataset.ready`)
	viewed(t, d, "authorize-picture")
	link := d.Eval(`document.querySelector('#link').href`)

	p := testenv.Chromium(t, "ignore-certificate-errors=true", "host-resolver-rules=MAP *.localhost 127.0.0.1")
	p.Viewport(390, 844)
	p.Open(link)
	p.WaitText("Prove that it is you")
	p.Click("main form button")
	p.WaitText("Did you start this?")
	viewed(t, p, "signin-phone-ask")
	p.Click("main a.button")
	p.Wait(`document.querySelector('.number')`)
	viewed(t, p, "signin-phone-code")
	code := p.Eval(`document.querySelector('.number').textContent`)

	d.Wait(`document.querySelector('#code')`) // by itself
	viewed(t, d, "authorize-typecode")
	d.Type("#code", "000 001")
	d.Click("main form button")
	d.Wait(`document.querySelector('#code-error')`)
	viewed(t, d, "authorize-typecode-wrong")
	d.Type("#code", code)
	d.Click("main form button")
	d.WaitText("It goes on on your phone")
	viewed(t, d, "authorize-goeson")

	p.WaitText("The code was typed")
	viewed(t, p, "signin-phone-go")
	p.Click("main form button")
	j := v.on(p)
	p.Wait(`document.querySelector('main .row form:first-child button')`)
	p.Click("main .row form:first-child button")
	p.Wait(ceremonyReady)
	j.shows(v.wallet, 0, "mdl", j.site)
	p.Wait(`document.querySelector("form[action$='/return'] button")`)
	p.Click("form[action$='/return'] button")
	p.WaitText("You are done on this phone")
	viewed(t, p, "signin-phone-done")

	d.Wait(`location.host === '` + appHost + `'`)
	at, err := url.Parse(d.Eval(`location.href`))
	if err != nil {
		t.Fatal(err)
	}
	q := at.Query()
	if q.Get("state") != "the-state" || q.Get("iss") != v.edge.url {
		t.Fatalf("back with state %q, issuer %q, error %q", q.Get("state"), q.Get("iss"), q.Get("error"))
	}
	if _, err := g.conf.Exchange(g.ctx, q.Get("code"), oauth2.VerifierOption(verifier)); err != nil {
		t.Error(err)
	}

	t.Run("cancelled", func(t *testing.T) {
		d.Open(begin(oauth2.GenerateVerifier()))
		d.Wait(`document.querySelector('svg.qr') && document.documentElement.dataset.ready`)
		d.Click("form[action*='/cancel'] button")
		d.Wait(`location.host === '` + appHost + `' && location.search.includes('error=access_denied')`)
	})
	t.Run("in the words of a template", func(t *testing.T) {
		v.do(http.MethodPost, "/api/envs/"+v.id+"/templates", map[string]any{"name": "worded", "qr_headline": "Take your own phone, and read this picture with its camera",
			"qr_custom_text": "Have your identity card at hand. " + strings.Repeat("Donaudampfschifffahrtsgesellschaft", 4), "expiration_text": "You can do this within {{.TTL}}."}, nil)
		d.Open(begin(oauth2.GenerateVerifier()) + "&template=worded")
		d.Wait(`document.querySelector('svg.qr') && document.documentElement.dataset.ready`)
		d.WaitText("You can do this within 7 days.")
		viewed(t, d, "authorize-picture-worded")
		d.Viewport(1280, 800)
	})
	t.Run("in a frame", func(t *testing.T) { // whose cookies the browser keeps apart
		to := strings.Replace(begin(oauth2.GenerateVerifier()), "/oauth2/authorize", "/authorize/iframe", 1) + "&theme_color=0a6b5c"
		d.Open("https://" + appHost + "/?" + url.Values{"frame": {to}}.Encode())
		poll(t, "the page in the frame asks how it stands", func() bool {
			return strings.Contains(v.edge.logs(t)["access.log"], `/poll?session=`)
		})
		if dir := os.Getenv("POSTERN_PICTURES"); dir != "" {
			d.Screenshot(filepath.Join(dir, "e2e-authorize-frame.png"))
		}
	})
	t.Run("without scripts", func(t *testing.T) {
		d.NoScripts()
		d.Open(begin(oauth2.GenerateVerifier()))
		d.Wait(`document.querySelector('svg.qr')`)
		link := d.Eval(`document.querySelector('#link').href`)
		p.Open(link)
		p.WaitText("Prove that it is you")
		p.Click("main form button")
		p.WaitText("Did you start this?")
		d.Wait(`document.querySelector('#code')`) // the page loads itself again
		p.Click("main form button")
		p.WaitText("It was ended")
		d.Click("form[action*='/refuse'] button") // which was too late
		d.Wait(`location.host === '` + appHost + `' && location.search.includes('error=access_denied')`)
	})
	for name, text := range v.edge.logs(t) {
		for _, canary := range []string{q.Get("code"), link[strings.IndexByte(link, '#')+1:], "MUSTERMANN", g.conf.ClientSecret} {
			if strings.Contains(text, canary) {
				t.Errorf("%s holds %.20q", name, canary)
			}
		}
	}
}
