package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// A listener is the organisation's own service: it takes what is signed with the secret
// of the environment, and remembers what it was told.
type listener struct {
	t      *testing.T
	url    string
	secret string // set before anything happens

	mu     sync.Mutex
	told   []string
	forged int
}

// listens connects a service to an environment.
func (v *environment) listens() *listener {
	v.t.Helper()
	l := &listener{t: v.t}
	srv := httptest.NewUnstartedServer(l)
	at, err := net.Listen("tcp", webhookNetwork+":0")
	if err != nil {
		v.t.Fatal(err)
	}
	_ = srv.Listener.Close()
	srv.Listener = at
	srv.Start()
	v.t.Cleanup(srv.Close)
	l.url = srv.URL
	var made struct {
		Secret string `json:"webhook_shared_secret"`
	}
	v.do(http.MethodPost, "/api/envs/"+v.id+"/refresh-webhook-secret", map[string]any{}, &made)
	l.secret = made.Secret
	v.do(http.MethodPatch, "/api/envs/"+v.id, map[string]any{"add_webhooks": []any{map[string]any{"url": l.url + "/hook", "events": []string{"request", "share", "reject"}}}}, nil)
	return l
}

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte(l.secret))
	mac.Write(b)
	var body struct {
		Type    string          `json:"event_type"`
		Event   string          `json:"event"`
		Request json.RawMessage `json:"request"` // of share and reject its id alone
		Claims  []string        `json:"claims"`
	}
	var about struct{ Status string }
	err := json.Unmarshal(b, &body)
	if err == nil && body.Type == "request" {
		err = json.Unmarshal(body.Request, &about)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.secret == "" || r.Header.Get("X-Nametag-Signature") != hex.EncodeToString(mac.Sum(nil)) {
		l.forged++
		return
	}
	what := body.Type + " " + strings.Join(body.Claims, ",")
	if body.Type == "request" {
		what = body.Event + " " + about.Status
	}
	l.told = append(l.told, what)
}

// heard waits until everything was told, in whatever order deliveries took.
func (l *listener) heard(want ...string) {
	l.t.Helper()
	poll(l.t, "webhooks "+strings.Join(want, "; "), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(l.told, w) })
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forged > 0 {
		l.t.Errorf("%d webhooks were not signed", l.forged)
	}
}

// trusting lets the environment take documents of an authority that is made for it.
func (v *environment) trusting() *evidencetest.Authority {
	v.t.Helper()
	a, err := evidencetest.NewAuthority("XX", "Demo authority", time.Now())
	if err != nil {
		v.t.Fatal(err)
	}
	v.do(http.MethodPost, "/api/envs/"+v.id+"/trust", map[string]string{"name": "demo authority", "pem": string(a.PEM())}, nil)
	return a
}

// A made is a request as the API answers.
type made struct {
	ID, Status, Progress, Subject, Link string
	Properties                          struct {
		Name      string         `json:"name"`
		BirthDate string         `json:"birth_date"`
		GovtID    map[string]any `json:"govtid"`
	}
}

// asks makes a request and returns its id and link.
func (v *environment) asks(in map[string]any) (id, link string) {
	v.t.Helper()
	in["env"] = v.id
	var out struct{ ID, Link string }
	v.do(http.MethodPost, "/api/requests", in, &out)
	return out.ID, out.Link
}

func (v *environment) asked(id string) (m made) {
	v.t.Helper()
	v.do(http.MethodGet, "/api/requests/"+id, nil, &m)
	return m
}

// viewed checks a page at the width of a phone and of a desk.
func viewed(t *testing.T, b *testenv.Browser, what string) {
	t.Helper()
	for _, bad := range b.Axe() {
		t.Errorf("%s: %s", what, bad)
	}
	for size, px := range map[string][2]int64{"desk": {1280, 800}, "phone": {390, 844}} {
		b.Viewport(px[0], px[1])
		if wide := b.Eval(`String(document.documentElement.scrollWidth > innerWidth)`); wide != "false" {
			t.Errorf("%s is wider than a %s", what, size)
		}
		if dir := os.Getenv("POSTERN_PICTURES"); dir != "" {
			b.Screenshot(filepath.Join(dir, "e2e-"+what+"-"+size+".png"))
		}
	}
	b.Viewport(390, 844)
}

// An organisation asks by REST, a person shows a document in a wallet on their phone and
// shares it, and the organisation reads it, gives it back and erases the person. What the
// person sees, nobody else's browser does.
func TestT13_SomebodyProvesWhoTheyAreToAnOrganisationThatAsks(t *testing.T) {
	t.Parallel()
	v := startEdge(t, edgeConfig{Postern: webhookOption}).environment(t, "asking", "ldap")
	hook := v.listens()
	holder := walletOf(t, v.trusting(), "Erika", "Mustermann")
	const mail = "erika@private.example"
	id, link := v.asks(map[string]any{"claims": []string{"name", "birth_date", "govtid"}, "label": "Ref #41471", "email": mail})
	if mailed := v.linkIn(mail, "/request", 0); mailed != link {
		t.Errorf("mailed %s; made %s", mailed, link)
	}
	b := testenv.Chromium(t)
	b.Viewport(390, 844)
	j := v.on(b)
	b.Open(link)
	b.Click("main form button")
	b.WaitText("Your date of birth")
	viewed(t, b, "consent")
	if m := v.asked(id); m.Status != "in_progress" || m.Progress != "link_opened" {
		t.Errorf("opened: %+v", m)
	}
	b.Click("main .row form:first-child button")
	b.Wait(ceremonyReady)
	viewed(t, b, "wallet")
	j.shows(holder, 0, "mdl", v.site)
	b.WaitText("Share this with")
	viewed(t, b, "share")
	page := b.Eval("location.pathname")
	if m := v.asked(id); m.Subject != "" || m.Properties.Name != "" || m.Progress != "id_scanned" {
		t.Errorf("before the person shared it: %+v", m)
	}

	other := testenv.Chromium(t)
	other.Open(v.site + page)
	other.WaitText("This link does not work")
	if strings.Contains(other.Text(), "Mustermann") {
		t.Error("another browser sees what was proven")
	}
	b.Click("main .row form:first-child button")
	b.WaitText("You shared it")
	viewed(t, b, "shared")
	other.Open(link)
	other.Click("main form button")
	other.WaitText("This link does not work")

	m := v.asked(id)
	if m.Status != "shared" || m.Properties.Name != "Erika Mustermann" || m.Properties.BirthDate != "1980-02-29" || m.Properties.GovtID["document_number"] != "D-1" {
		t.Errorf("shared: %+v", m)
	}
	person := "/people/" + m.Subject
	if _, body, err := v.try(http.MethodGet, person+"/properties/name", nil); err != nil || !strings.Contains(string(body), `"value":"Erika Mustermann"`) {
		t.Errorf("%s %v", body, err)
	}
	if _, body, err := v.try(http.MethodPost, person+"/compare", map[string]any{"expectations": []any{map[string]string{"claim": "name", "value": "Erika Mustermann"}}}); err != nil || !strings.Contains(string(body), `"confidence":1`) {
		t.Errorf("%s %v", body, err)
	}
	hook.heard("request_created pending", "request_link_opened in_progress", "request_app_opened in_progress", "scan_accepted in_progress", "request_accepted shared", "share birth_date,govtid,name")

	v.do(http.MethodDelete, person+"/properties/name,birth_date,govtid", nil, nil)
	if m := v.asked(id); m.Status != "revoked" || m.Properties.Name != "" {
		t.Errorf("given back: %+v", m)
	}
	hook.heard("vendor_revoke revoked", "reject birth_date,govtid,name")
	v.do(http.MethodDelete, person, nil, nil)
	if m := v.asked(id); m.Status != "person_deleted" || m.Properties.Name != "" {
		t.Errorf("erased: %+v", m)
	}
	hook.heard("vault_deleted person_deleted")
}

// Somebody without a wallet photographs a document; a reviewer reads it in the console,
// refuses it, and another one accepts it.
func TestADocumentIsReadForAnOrganisationThatAsks(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeConfig{Postern: webhookOption})
	v := e.environment(t, "reading", "ldap")
	hook := v.listens()
	v.do(http.MethodPost, "/api/envs/"+v.id+"/review", map[string]any{"requests": true}, nil)
	id, link := v.asks(map[string]any{"claims": []string{"name", "govtid"}})
	b := testenv.Chromium(t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
	b.Viewport(390, 844)
	j := v.on(b)
	b.Open(link)
	b.Click("main form button")
	b.WaitText("Country, number and last day")
	b.Click("main .row form:first-child button")
	b.WaitText("Photograph your document")
	b.Click("#consent")
	j.snap("front")
	j.snap("selfie")
	b.Click("button[value=submit]")
	b.WaitText("looks at your pictures")
	viewed(t, b, "waits")

	desk := testenv.Chromium(t)
	desk.Viewport(1280, 900)
	e.signIn(t, desk)
	desk.Click("form[action*='/take'] button")
	desk.WaitText("What the document says")
	viewed(t, desk, "case")
	desk.Type("#reason", "the face is covered")
	desk.Click("button[value=unusable]")
	desk.WaitText("Nothing waits for you")
	b.WaitText("Your pictures were not accepted")
	if m := v.asked(id); m.Status != "rejected_unusable" || m.Progress != "face_scanned" {
		t.Errorf("refused: %+v", m)
	}
	viewed(t, b, "refused")
	b.Click("button[value=appeal]")
	b.WaitText("looks at your pictures")
	if m := v.asked(id); m.Status != "rejected_appealed" {
		t.Errorf("appealed: %+v", m)
	}
	e.signIn(t, desk)
	desk.Click("form[action*='/take'] button")
	desk.WaitText("What the document says")
	desk.Eval(`document.querySelectorAll('[name=check]').forEach(c => c.click())`)
	desk.Click("button[value=accept]")
	desk.WaitText("Fill in what the document says")
	viewed(t, desk, "unread")
	for field, value := range map[string]string{"given": "Erika", "family": "Mustermann", "birth": "1964-08-12", "number": "T22000129", "country": "D", "expiry": "2099-10-31"} {
		desk.Type("#"+field, value)
	}
	desk.Click("button[value=accept]")
	desk.WaitText("Nothing waits for you")
	b.WaitText("Share this with")
	b.Click("main .row form:first-child button")
	b.WaitText("You shared it")
	if m := v.asked(id); m.Status != "shared" || m.Properties.Name != "Erika Mustermann" || m.Properties.GovtID["issuer"] != "DEU" {
		t.Errorf("shared: %+v", m)
	}
	hook.heard("scan_started in_progress", "biometric_consent in_progress", "scan_front_image_added in_progress", "scan_selfie_image_added in_progress", "scan_finished in_progress",
		"scan_rejected rejected_unusable", "scan_appealed rejected_appealed", "scan_appeal_accepted in_progress", "request_selfie_verified in_progress", "request_accepted shared")
}
