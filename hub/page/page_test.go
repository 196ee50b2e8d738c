package page

import (
	"bytes"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/postern-id/postern/hub/brand"
	"github.com/postern-id/postern/hub/locale"
)

func TestPlainHTTPIsTakenOnLoopbackNamesOnly(t *testing.T) {
	for origin, want := range map[string]bool{
		"https://recover.example.com": true, "https://recover.example.com:8443": true,
		"http://localhost:8080": true, "http://acme.localhost:8080": true, "http://127.0.0.1:1": true, "http://[::1]:1": true,
		"http://recover.example.com": false, "http://localhost.evil.example": false, "http://evillocalhost": false,
		"https://recover.example.com/": false, "https://recover.example.com/x": false, "https://u@recover.example.com": false, "recover.example.com": false, "": false, "ftp://localhost": false,
	} {
		if _, ok := ParseOrigin(origin); ok != want {
			t.Errorf("%q: %v, want %v", origin, ok, want)
		}
	}
}

// visit asks for a form and returns its token and the browser's cookies.
func visit(h Host) (string, []*http.Cookie) {
	w := httptest.NewRecorder()
	token := h.FormToken(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return token, w.Result().Cookies()
}

func TestP24_FormTokensFitOneBrowser(t *testing.T) {
	h, _ := ParseOrigin("https://recover.example.com")
	token, cookies := visit(h)
	other, _ := visit(h)
	post := func(token string, cookies []*http.Cookie) error {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(url.Values{FormField: {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		return h.Check(httptest.NewRecorder(), r)
	}
	if err := post(token, cookies); err != nil {
		t.Error("own form:", err)
	}
	if post(other, cookies) == nil || post(token, nil) == nil || post("", cookies) == nil {
		t.Error("a foreign, cookieless or empty token was taken")
	}
	short := []*http.Cookie{{Name: "__Host-form", Value: "x"}} // one that an attacker could plant
	if post(formToken("x"), short) == nil {
		t.Error("a short cookie was taken")
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(cookies[0])
	w := httptest.NewRecorder()
	if h.FormToken(w, r) != token || len(w.Result().Cookies()) != 0 {
		t.Error("a second page changed the token")
	}
}

func TestTimesAreElementsAndEverythingElseIsEscaped(t *testing.T) {
	w := Words{Language: locale.Choose(nil, "en"), Always: []any{"company", "<Acme>"}}
	at := time.Now().Add(time.Minute).UTC()
	got := string(w.H("common.until", "until", at))
	if !strings.HasPrefix(got, `You can finish this until <time datetime="`) || !strings.Contains(got, `data-form="clock">`+at.Format("15:04")+" UTC</time>.") {
		t.Error(got)
	}
	got = string(w.H("notme.what.password", "at", at.Add(-48*time.Hour), "account", "a<b>\x000\x00"))
	if strings.Contains(got, "<b>") || strings.Count(got, "<time") != 1 || !strings.Contains(got, `data-form="date"`) {
		t.Error(got)
	}
	if got := string(w.H("start.intro")); !strings.Contains(got, "&lt;Acme&gt;") {
		t.Error(got)
	}
	w.Variant = "enroll"
	if got := w.T("ready.password.button"); got != "Get my first password" {
		t.Error("variant:", got)
	}
	if got := w.T("ready.unlock.button"); got != "Unlock my account" {
		t.Error("text without a variant:", got)
	}
}

func TestFilesAreKeptByTheirContentOnly(t *testing.T) {
	f := NewFiles("/static/", fstest.MapFS{"static/a.js": {Data: []byte("1")}})
	g := NewFiles("/static/", fstest.MapFS{"static/a.js": {Data: []byte("2")}})
	if f.Hash() == g.Hash() || f.Path("a.js") == g.Path("a.js") {
		t.Error("other content has the same name")
	}
	for path, want := range map[string]string{f.Path("a.js"): forever, g.Path("a.js"): "", "/static/a.js": ""} {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 200 || w.Body.String() != "1" || w.Header().Get("Cache-Control") != want || !strings.Contains(w.Header().Get("Content-Type"), "javascript") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/static/none.js", nil))
	if w.Code != 404 {
		t.Error("a file that is not there:", w.Code)
	}
}

// Text colours of the stylesheet are measured against each ground that they stand on.
func TestStylesheetHasReadableColours(t *testing.T) {
	css, err := os.ReadFile("static/page.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme")
	}
	dark, _, _ := strings.Cut(rest, "\n}\n")
	for name, scheme := range map[string]string{"light": light, "dark": dark} {
		token := func(name string) string {
			_, v, ok := strings.Cut(scheme, "--"+name+":")
			if !ok {
				t.Fatalf("no --%s", name)
			}
			v, _, _ = strings.Cut(v, ";")
			return strings.TrimSpace(v)
		}
		for _, text := range []string{"ink", "soft", "bad", "good", "warn", "link"} {
			for _, ground := range []string{"paper", "ground", "tint"} {
				if got, err := brand.Contrast(token(text), token(ground)); err != nil || got < 4.5 {
					t.Errorf("%s: %s on %s has %.2f:1 (%v)", name, text, ground, got, err)
				}
			}
		}
		for _, pair := range [][3]string{{"on-accent", "accent", "4.5"}, {"ink", "warn-tint", "4.5"}, {"warn", "warn-tint", "4.5"}} {
			if got, err := brand.Contrast(token(pair[0]), token(pair[1])); err != nil || got < 4.5 {
				t.Errorf("%s: %s on %s has %.2f:1 (%v)", name, pair[0], pair[1], got, err)
			}
		}
		if got, _ := brand.Contrast(token("edge"), token("paper")); got < 3 {
			t.Errorf("%s: edges of fields have %.2f:1", name, got)
		}
		want, err := brand.Derive("")
		if err != nil {
			t.Fatal(err)
		}
		colours := []string{want.Accent, want.OnAccent, want.Link, brand.Paper, brand.Tint, brand.Ink}
		if name == "dark" {
			colours = []string{want.NightAccent, want.OnNight, want.NightLink, brand.Night, brand.NightTint}
		}
		for i, token2 := range []string{"accent", "on-accent", "link", "paper", "tint", "ink"}[:len(colours)] {
			if token(token2) != colours[i] {
				t.Errorf("%s: --%s is %s, package brand says %s", name, token2, token(token2), colours[i])
			}
		}
	}
}

func TestAPageThatFailsReachesNobodyAndAWrittenOneHasItsLength(t *testing.T) {
	s := ParseScreens(fstest.MapFS{
		"templates/layout.html": {Data: []byte(`{{define "layout"}}<p>{{template "main" .}}</p>{{end}}`)},
		"templates/one.html":    {Data: []byte(`{{define "main"}}{{.Name}}{{end}}`)},
	}, "one")
	if _, err := s.Render("one", 7); err == nil {
		t.Error("a template that failed is no error")
	}
	if _, err := s.Render("two", nil); err == nil {
		t.Error("a page that is not there is no error")
	}
	b, err := s.Render("one", struct{ Name string }{"<Ada>"})
	if err != nil || string(b) != "<p>&lt;Ada&gt;</p>" {
		t.Fatalf("%s, %v", b, err)
	}
	for method, body := range map[string]string{http.MethodGet: string(b) + "2", http.MethodHead: ""} {
		w := httptest.NewRecorder()
		Write(w, httptest.NewRequest(method, "/", nil), http.StatusForbidden, locale.Choose(nil, "de"), b, []byte("2"))
		if w.Code != 403 || w.Body.String() != body || w.Header().Get("Content-Length") != "19" || w.Header().Get("Content-Language") != "de" {
			t.Errorf("%s: %d %q %v", method, w.Code, w.Body, w.Header())
		}
	}
}

func TestFormsWithFilesStayInMemoryAndWithinTheirBounds(t *testing.T) {
	host := Host{Origin: "https://recover.example.com"}
	w := httptest.NewRecorder()
	token := host.FormToken(w, httptest.NewRequest(http.MethodGet, "/", nil))
	post := func(token string, size int) error {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		_ = m.WriteField(FormField, token)
		f, err := m.CreateFormFile("front", "front.jpg")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(make([]byte, size))
		_ = m.Close()
		r := httptest.NewRequest(http.MethodPost, "/", &b)
		r.Header.Set("Content-Type", m.FormDataContentType())
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
		err = host.CheckFiles(httptest.NewRecorder(), r, 64<<10)
		if err == nil {
			if file, _, openErr := r.FormFile("front"); openErr != nil {
				t.Error(openErr)
			} else if _, disk := file.(*os.File); disk {
				t.Error("a file was written to the disk")
			}
		}
		return err
	}
	if err := post(token, 40<<10); err != nil {
		t.Error(err)
	}
	if err := post("guess", 100); !errors.Is(err, ErrForm) {
		t.Errorf("a token that was guessed: %v", err)
	}
	if err := post(token, 80<<10); !errors.Is(err, ErrBody) {
		t.Errorf("too large: %v", err)
	}
}

func TestHeadersOfOneAnswerAreNoOthers(t *testing.T) {
	for _, set := range []func(http.Header){Headers, DataHeaders} {
		h, other := http.Header{}, http.Header{}
		set(h)
		for name := range h {
			h.Add(name, "more")
			h[name][0] = "changed"
		}
		set(other)
		for name, values := range h {
			if name != http.CanonicalHeaderKey(name) || len(values) != 2 || values[1] != "more" || len(other[name]) != 1 || other.Get(name) == "changed" {
				t.Errorf("%s: %q, of another answer %q", name, values, other[name])
			}
		}
	}
}
