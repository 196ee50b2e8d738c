package site

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// everywhere walks one person through pages of every kind and calls see at each.
func everywhere(t *testing.T, g *rig, see func(p *person, where string)) {
	t.Helper()
	g.walk.notMe["tok"] = &operation.Objection{Account: "Ada Lovelace", Action: protocol.ActionPassword, At: time.Now()}
	p := g.person()
	see(p.get("/"), "start")
	see(p.get("/?op=x"), "malformed hint")
	see(p.get("/nothing"), "no page")
	see(p.get("/not-me?token=tok"), "objection")
	see(p.get("/not-me?token=other"), "no objection")
	see(p.get("/r/AAAAAAAAAAAAAAAAAAAAAA"), "no session")
	see(p.get("/?id_token=forged"), "bad link")
	see(p.started("ada@acme.example"), "choose")
	see(p.send("/choose", url.Values{"op": {"password"}}), "prove")
	see(p.send("/code", url.Values{"code": {"1"}}), "wrong code")
	see(p.send("/code", url.Values{"code": {rightCode}}), "ready")
	see(p.send("/perform", nil), "no key")
	see(p.get(strings.TrimSuffix(p.at.Path, "/perform")+"/state"), "state")
	see(p.get("/theme.css"), "theme")
	see(p.get("/robots.txt"), "robots")
}

func TestP05_NoRequestHeaderBecomesAnAddress(t *testing.T) {
	g := newRig(t)
	const evil = "evil.example"
	inner := g.serve
	g.serve = nil
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = evil
		for _, h := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "X-Host", "X-Forwarded-Prefix", "X-Original-URL", "X-Rewrite-URL"} {
			r.Header.Set(h, evil)
		}
		r.Header.Set("X-Forwarded-Proto", evil)
		r.Header.Set("Forwarded", "host="+evil+";proto=https")
		r.Header.Set("Referer", "https://"+evil+"/")
		inner.ServeHTTP(w, r)
	}))
	defer srv.Close()
	g.url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	everywhere(t, g, func(p *person, where string) {
		for name, values := range p.header {
			if strings.Contains(strings.Join(values, " "), evil) {
				t.Errorf("%s: header %s: %v", where, name, values)
			}
		}
		if strings.Contains(p.body, evil) {
			t.Errorf("%s: the page says %s", where, evil)
		}
	})
}

func TestP05_UnplacedAndPlainRequestsAreNotServed(t *testing.T) {
	g := newRig(t)
	for _, req := range []Request{
		{}, {Env: g.env.ID}, {Origin: "https://recover.example"},
		{Env: g.env.ID, Origin: "http://recover.example"}, {Env: g.env.ID, Origin: "ftp://localhost"}, {Env: g.env.ID, Origin: "https://x/y"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		g.site.ServeHTTP(w, r.WithContext(WithRequest(r.Context(), req)))
		if w.Code != http.StatusMisdirectedRequest || len(w.Result().Cookies()) > 0 {
			t.Errorf("%+v: status %d", req, w.Code)
		}
	}
}

func TestP05_CookiesAreBoundToTheHostOverTLS(t *testing.T) {
	g := newRig(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	g.site.ServeHTTP(w, r.WithContext(WithRequest(r.Context(), Request{Env: g.env.ID, Origin: "https://recover.example"})))
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies", len(cookies))
	}
	c := cookies[0]
	if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite == http.SameSiteNoneMode || c.SameSite == 0 {
		t.Errorf("cookie %s", c)
	}
}

func TestP24_EveryAnswerHasTheHeaders(t *testing.T) {
	g := newRig(t)
	everywhere(t, g, func(p *person, where string) {
		for name, want := range map[string]string{
			"Content-Security-Policy": page.Policy, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", where, name, got, want)
			}
		}
		if regexp.MustCompile(`(?i)<script(?: type="module")?>|\son[a-z]+=|\sstyle=|javascript:`).MatchString(p.body) {
			t.Errorf("%s: inline script or style:\n%s", where, p.body)
		}
	})
}

// posts are all addresses that take forms, and what each needs.
func posts(id string) map[string]url.Values {
	return map[string]url.Values{
		"/start": {"email": {"ada@acme.example"}}, "/r/" + id + "/choose": {"op": {"unlock"}}, "/r/" + id + "/code": {"code": {rightCode}},
		"/r/" + id + "/resend": {}, "/r/" + id + "/perform": {}, "/r/" + id + "/acknowledge": {}, "/r/" + id + "/cancel": {}, "/not-me": {"token": {"tok"}},
	}
}

func TestP24_FormsOfOtherSitesDoNothing(t *testing.T) {
	g := newRig(t)
	g.walk.notMe["tok"] = &operation.Objection{Action: protocol.ActionPassword}
	p := g.person().started("ada@acme.example")
	id := g.walk.only()
	good := hidden.FindStringSubmatch(p.body)[2]
	for name, bend := range map[string]func(r *http.Request, v url.Values){
		"another origin": func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "https://evil.example") },
		"a sandbox": func(r *http.Request, _ url.Values) {
			r.Header.Set("Origin", "null")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		},
		"a sandbox of an old browser": func(r *http.Request, v url.Values) { r.Header.Set("Origin", "null"); v.Set("form", "guess") },
		"origin's prefix":             func(r *http.Request, _ url.Values) { r.Header.Set("Origin", g.url+".evil.example") },
		"another site":                func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"sister site":                 func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"no token":                    func(_ *http.Request, v url.Values) { v.Del("form") },
		"two tokens":                  func(_ *http.Request, v url.Values) { v.Add("form", good) },
		"another's token": func(_ *http.Request, v url.Values) {
			v.Set("form", hidden.FindStringSubmatch(g.person().get("/").body)[2])
		},
		"token in address": func(r *http.Request, v url.Values) { v.Del("form"); r.URL.RawQuery = "form=" + good },
	} {
		for path, values := range posts(id) {
			v := url.Values{"form": {good}}
			for k, x := range values {
				v[k] = x
			}
			bent, _ := http.NewRequest(http.MethodPost, g.url+path, nil)
			bent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			bent.Header.Set("Origin", g.url)
			bend(bent, v)
			r, _ := http.NewRequest(http.MethodPost, bent.URL.String(), strings.NewReader(v.Encode()))
			r.Header = bent.Header
			if p.do(r); p.status != http.StatusForbidden {
				t.Errorf("%s to %s: status %d", name, path, p.status)
			}
		}
	}
	if v, _ := g.walk.View(t.Context(), "", id, g.walk.all[id].session); v.Step != flow.StepChoose || len(g.walk.all) != 1 || g.walk.notMe["tok"].Used {
		t.Errorf("something happened: step %s, %d recoveries", v.Step, len(g.walk.all))
	}
}

func TestP24_ReadingNeverChangesAnything(t *testing.T) {
	g := newRig(t)
	g.walk.notMe["tok"] = &operation.Objection{Action: protocol.ActionPassword}
	p := g.person().ready(protocol.ActionUnlock).asIs()
	id := g.walk.only()
	for path := range posts(id) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, "PROPFIND"} {
			r, _ := http.NewRequest(method, g.url+path+"?op=unlock&code="+rightCode+"&token=tok&email=ada@acme.example", nil)
			p.do(r)
			if safe := method == http.MethodGet || method == http.MethodHead; !safe && (p.status != http.StatusMethodNotAllowed || p.header.Get("Allow") == "") {
				t.Errorf("%s %s: status %d", method, path, p.status)
			}
		}
	}
	if g.walk.all[id].Step != flow.StepReady || g.walk.performs != 0 || len(g.walk.all) != 1 || g.walk.notMe["tok"].Used {
		t.Error("reading changed something")
	}
}

func TestP24_LargeFormsAreRefused(t *testing.T) {
	g := newRig(t)
	p := g.person().get("/")
	p.post("/start", url.Values{"form": {hidden.FindStringSubmatch(p.body)[2]}, "email": {strings.Repeat("a", 17<<10)}})
	p.sees(http.StatusRequestEntityTooLarge)
}

func TestSessionsBelongToOneBrowser(t *testing.T) {
	g := newRig(t)
	mine := g.person().asked("ada@acme.example", protocol.ActionUnlock)
	id := g.walk.only()
	stranger := g.person().get("/")
	token := hidden.FindStringSubmatch(stranger.body)[2]
	stranger.get("/r/"+id).sees(404, "This recovery is not open in this browser")
	for path, values := range posts(id) {
		if !strings.HasPrefix(path, "/r/") {
			continue
		}
		values.Set("form", token)
		stranger.post(path, values).sees(404, "This recovery is not open in this browser")
	}
	mine.get("/r/"+id).sees(200, "What is the code")
	for _, bad := range []string{"/r/", "/r/x", "/r/" + id + "A", "/r/" + id + "/nothing", "/r/..", "/r/" + strings.Repeat("%2e", 22)} {
		if mine.get(bad); mine.status != 404 {
			t.Errorf("%s: %d", bad, mine.status)
		}
	}
}

var varying = regexp.MustCompile(`[A-Za-z0-9_-]{22,43}|\d\d:\d\d|\d{4}-\d\d-\d\dT[0-9:]+Z`)

// The look of an answer, without what differs between any two: ids, tokens, times.
func (p *person) structure() string {
	h := p.header.Clone()
	h.Del("Date")
	for i, c := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = varying.ReplaceAllString(c, "*")
	}
	h.Set("Location", varying.ReplaceAllString(h.Get("Location"), "*"))
	return fmt.Sprint(p.status, h, varying.ReplaceAllString(p.body, "*"))
}

func TestP09_T30_KnownAndUnknownAddressesLookTheSameUpToTheCode(t *testing.T) {
	walkAs := func(g *rig, address string) (seen []string, sizes []int) {
		p := g.person().asIs()
		note := func(p *person) *person {
			seen, sizes = append(seen, p.structure()), append(sizes, len(p.body))
			return p
		}
		follow := func() *person { return note(note(p).get(p.header.Get("Location"))) }
		p.get("/").send("/start", url.Values{"email": {address}})
		follow().send("/choose", url.Values{"op": {"password"}})
		follow().send("/code", url.Values{"code": {"00000000"}})
		note(p).send("/resend", nil)
		note(p).send("/code", url.Values{"code": {"00000001"}})
		note(p)
		return seen, sizes
	}
	g := newRig(t)
	known, sizes := walkAs(g, "ada@acme.example")
	for _, other := range []string{"eve@acme.example", "nobody@other.example", "ada+x@acme.example"} {
		got, gotSizes := walkAs(g, other)
		if !slices.Equal(sizes, gotSizes) {
			t.Errorf("%s: sizes %v, want %v", other, gotSizes, sizes)
		}
		for i := range known {
			if got[i] != known[i] {
				t.Errorf("%s differs at answer %d:\n%s\n%s", other, i, got[i], known[i])
			}
		}
	}
	for _, page := range known {
		if strings.Contains(page, "Lovelace") {
			t.Error("the name was shown before the first proof")
		}
	}
}

func TestP08_RepeatedAndMalformedParametersAreRefused(t *testing.T) {
	g := newRig(t)
	const dir = "11111111-1111-4111-8111-111111111111"
	p := g.person()
	for _, bad := range []string{
		"email=a&email=b", "flow=recover&flow=enroll", "flow=evil", "op=reset", "op=", "dir=1", "dir=" + dir + "x", "email%5B%5D=a", "op%5B0%5D=mfa", "id_token%5B%5D=x",
		"lang=de&lang=en", "id_token=a&id_token=b", "email=" + strings.Repeat("a", 255), strings.Repeat("op=mfa&", 40),
	} {
		if p.get("/?" + bad); p.status != http.StatusBadRequest {
			t.Errorf("%s: status %d", bad, p.status)
		}
	}
	var got flow.Start
	g.walk.admit = func(s flow.Start) error { got = s; return nil }
	p.get("/?email=ada@acme.example&dir="+dir+"&dir="+strings.Replace(dir, "1", "2", 1)+"&op=mfa&op=password&flow=enroll&utm_source=mail").sees(200, `value="ada@acme.example"`)
	p.send("/start", url.Values{"email": {"ada@acme.example"}})
	if len(got.Intent.Directories) != 2 || !slices.Equal(got.Intent.Actions, []protocol.Action{"mfa", "password"}) || got.Intent.Flow != "enroll" {
		t.Errorf("intent %+v", got.Intent)
	}
}

func TestP22_NothingInAnAddressLeadsElsewhere(t *testing.T) {
	g := newRig(t)
	p := g.person().asked("ada@acme.example", protocol.ActionUnlock).asIs()
	for _, trick := range []string{
		"//evil.example", "/\\evil.example", "/%2f%2fevil.example", "/https:/evil.example", "/start/../..//evil.example", "/r/%2f%2fevil.example", "/;@evil.example",
		"/?next=https://evil.example", "/?redirect_uri=//evil.example", "/?lang=//evil.example", "/?lang=de%0d%0aLocation:%20https://evil.example", "/start?url=//evil.example", "/r/" + g.walk.only() + "?return=//evil.example",
		"/static/../..//evil.example", "/not-me?token=//evil.example", "/.", "/./", "/../", "/r/./x", "/R/" + g.walk.only(),
	} {
		r, err := http.NewRequest(http.MethodGet, g.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(trick, "?")
		r.URL.Opaque, r.URL.RawQuery = strings.TrimPrefix(g.url, "http:")+path, query
		p.do(r)
		if l := p.header.Get("Location"); l != "" && (!strings.HasPrefix(l, "/") || strings.HasPrefix(l, "//") || strings.Contains(l, "evil")) {
			t.Errorf("%s leads to %q", trick, l)
		}
		for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(p.body, -1) {
			if !strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "#") || strings.HasPrefix(m[1], "//") || strings.HasPrefix(m[1], "/\\") {
				t.Errorf("%s: the page links to %q", trick, m[1])
			}
		}
	}
}

func TestValuesAreEscapedWhereverTheyStand(t *testing.T) {
	g := newRig(t)
	const attack = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	g.settings(func(e *store.Environment) { e.PublicName = "Acme" + attack })
	g.walk.known[attack+"@acme.example"] = "Ada" + attack
	g.walk.offer.Directories = append(g.walk.offer.Directories, flow.DirectoryChoice{ID: "22222222-2222-4222-8222-222222222222", Name: "Plant" + attack, Actions: g.walk.offer.Actions})
	g.walk.notMe[attack] = &operation.Objection{Account: attack, Action: protocol.ActionMFA, At: time.Now()}
	p := g.person()
	clean := func(where string) {
		t.Helper()
		if strings.Contains(p.body, "<script>alert") || strings.Contains(p.body, "<img src=x") {
			t.Errorf("%s reflects:\n%s", where, p.body)
		}
	}
	p.get("/?email=" + url.QueryEscape(attack))
	clean("start")
	p.get("/not-me?token=" + url.QueryEscape(attack))
	clean("objection")
	p.get("/" + url.PathEscape(attack))
	clean("not found")
	p.started(attack + "@acme.example")
	clean("choose")
	p.send("/choose", url.Values{"op": {"unlock"}})
	clean("directory")
	p.send("/choose", url.Values{"directory": {g.walk.offer.Directories[1].ID}}).send("/code", url.Values{"code": {attack}})
	clean("wrong code")
	p.send("/code", url.Values{"code": {rightCode}}).sees(200)
	clean("ready")
}

func TestT27_TheSealedResultGoesToItsSessionOnlyAndIsDeleted(t *testing.T) {
	g := newRig(t)
	p := g.person().ready(protocol.ActionPassword)
	recipient := "ABAAAQACBGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU" // the curve's base point
	p.send("/perform", url.Values{"recipient": {recipient}}).sees(200, "Your password was reset", "data-sealed=")
	if strings.Contains(p.body, g.walk.secret.Reveal()) {
		t.Error("the page holds the secret in clear")
	}
	id := g.walk.only()
	sealed := regexp.MustCompile(`data-sealed="([^"]+)"`).FindStringSubmatch(p.body)[1]
	if p.get("/r/" + id); !strings.Contains(p.body, sealed) {
		t.Error("a reload lost the result")
	}
	if s := g.person().get("/r/" + id); s.status != 404 || strings.Contains(s.body, sealed) {
		t.Error("another browser got the result")
	}
	p.send("/acknowledge", nil).sees(200, "You are done", `data-forget="`+id+`"`)
	if p.get("/r/" + id); strings.Contains(p.body, sealed) {
		t.Error("the result is still there")
	}
}

func TestObjectionActsByPostOnly(t *testing.T) {
	g := newRig(t)
	g.walk.notMe["tok"] = &operation.Objection{Account: "Ada", Action: protocol.ActionPassword, At: time.Now()}
	p := g.person().get("/not-me?token=tok&lang=de").sees(200, "Haben Sie das nicht veranlasst?", "das Passwort des Kontos Ada", `href="/not-me?lang=en&amp;token=tok"`)
	if g.walk.notMe["tok"].Used {
		t.Fatal("reading the page acted")
	}
	p.send("/not-me", nil).sees(200, "Die Wiederherstellung Ihres Kontos ist gesperrt")
	p.get("/not-me?token=tok").sees(200, "Recovery of your account is blocked")
	p.get("/not-me").sees(404, "This link does not work any more")
	p.get("/not-me?token=tok&token=tok").sees(404)
}

func TestFailuresCoverEveryErrorOfFlow(t *testing.T) {
	for _, err := range []error{recovery.ErrNotFound, recovery.ErrNotAdmitted, recovery.ErrRateLimited, recovery.ErrTooMany, recovery.ErrUnavailable} {
		if f := failureOf(fmt.Errorf("wrapped: %w", err)); f.status >= 500 && !errors.Is(err, recovery.ErrUnavailable) {
			t.Errorf("%v is answered with %d", err, f.status)
		}
	}
}

func FuzzHints(f *testing.F) {
	f.Add("email=a@b&op=mfa&dir=11111111-1111-4111-8111-111111111111&flow=enroll")
	f.Add("op[]=mfa&email=x&email=y")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		in, err := parseHints(q)
		if err != nil {
			return
		}
		if len(in.Directories) > maxHints || len(in.Actions) > len(protocol.Actions) || len(in.Email) > maxAddress {
			t.Errorf("%q: %+v", raw, in)
		}
		again := url.Values{}
		for _, h := range hiddenFields(in) {
			again.Add(h.Name, h.Value)
		}
		back, err := parseHints(again)
		if err != nil || !slices.Equal(back.Directories, in.Directories) || !slices.Equal(back.Actions, in.Actions) || back.Flow != in.Flow {
			t.Errorf("%q does not survive a form: %+v, %v", raw, back, err)
		}
	})
}
