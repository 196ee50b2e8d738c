package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// A matrix is one company: a domain controller of Samba, one edge over TLS, one agent
// between them, and every way to prove who one is in one policy.
type matrix struct {
	*environment
	dc        *testenv.Samba
	agent     *agent
	authority *evidencetest.Authority
	app       *walletApp
	bank      *openid.Provider
	texts     *texts
	staff     map[string][]string // mail addresses of two people who vouch, by width

	alone sync.Mutex // held by journeys that share people, a queue or a provider with the other width
}

// A walk is one employee on the way back in, at one width.
type walk struct {
	*journey
	m       *matrix
	size    string
	width   int64
	height  int64
	given   string
	family  string
	mail    string
	private string
	dn      string
	seen    *pagesSeen
}

// pagesSeen are the pages that were checked at one width.
type pagesSeen struct {
	sync.Mutex
	names map[string]bool
}

// ways are the journeys. Each returns after the last temporary password was checked.
var ways = []struct {
	name  string
	given string // of the employee; the family name is that of the width
	alone bool
	flags []string // of the browser
	walk  func(*walk)
}{
	{name: "a driving licence, then a person identification", given: "Wilma", walk: (*walk).byWallet},
	{name: "a passkey", given: "Paula", walk: (*walk).byPasskey},
	{name: "a code by mail and an app", given: "Tomas", walk: (*walk).byMailAndApp},
	{name: "a phone of their own, two codes", given: "Smilla", walk: (*walk).byText},
	{name: "two approvers", given: "Vera", alone: true, walk: (*walk).byPeople},
	{name: "capture, review, appeal", given: "Rosa", alone: true, walk: (*walk).byReview,
		flags: []string{"use-fake-device-for-media-stream", "use-fake-ui-for-media-stream"}},
	{name: "an outside provider", given: "Olaf", alone: true, walk: (*walk).byProvider},
}

// sizes are those of a phone and a desk.
var sizes = []struct {
	name, family  string
	width, height int64
}{{"phone", "Handy", 390, 844}, {"desk", "Tisch", 1280, 800}}

// waysTogether is the company's policy: whatever a person chooses is on one list.
var waysTogether = map[string]any{
	"default": [][]string{{"digital_credential"}, {"passkey"}, {"identity_provider"}, {"mail_code", "totp"}, {"sms_code", "sms_confirm"}, {"mail_code", "approval"}, {"mail_code", "document_review"}},
	"rules":   []map[string]any{{"action": "options", "accept": [][]string{{"digital_credential"}}}},
}

// An employee of Active Directory gets back in by every way that there is, on a phone and
// at a desk, in Chromium, through the edge and a real agent; every page on the way is
// accessible.
func TestEveryWayBackInAtAPhoneAndAtADesk(t *testing.T) {
	t.Parallel()
	m := startMatrix(t)
	for i, size := range sizes {
		seen := &pagesSeen{names: map[string]bool{}}
		first := i * len(ways) / len(sizes) // so that they seldom wait for one another
		t.Run(size.name, func(t *testing.T) {
			t.Parallel()
			for _, way := range slices.Concat(ways[first:], ways[:first]) {
				t.Run(way.name, func(t *testing.T) {
					if way.alone {
						m.alone.Lock()
						defer m.alone.Unlock()
					}
					began := time.Now()
					b := testenv.ChromiumTrusting(t, m.edge.caFile(), way.flags...)
					b.Viewport(size.width, size.height)
					w := m.walk(t, b, way.given, size.family)
					w.size, w.width, w.height, w.seen = size.name, size.width, size.height, seen
					way.walk(w)
					t.Logf("%s, %d px, Samba AD: %.1f s", way.name, size.width, time.Since(began).Seconds())
				})
			}
		})
	}
}

func startMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{dc: testenv.SharedSamba(t), app: newWalletApp(t), bank: openid.New(t), texts: newTexts(t), staff: map[string][]string{}}
	m.bank.Page = true
	var err error
	if m.authority, err = evidencetest.NewAuthority("XX", "Demo authority", time.Now()); err != nil {
		t.Fatal(err)
	}
	e := startEdge(t, edgeConfig{TLS: true, Postern: "wallet_link " + m.app.url + "\nrecovery_option_wait 0s\nallow_private_webhooks 127.0.0.1/32"})
	m.app.edge = e
	m.environment = e.environment(t, "matrix", "ad")
	m.permit()
	m.do(http.MethodPost, "/api/envs/"+m.id+"/trust", map[string]string{"name": "demo authority", "pem": string(m.authority.PEM())}, nil)
	m.bank.Redirects = []string{m.site + "/provider/return"}
	m.do(http.MethodPost, "/api/envs/"+m.id+"/identity-providers", map[string]any{
		"name": "Bank ID", "issuer": m.bank.URL, "client_id": m.bank.ClientID, "client_secret": m.bank.Secret, "directories": []string{m.directory},
	}, nil)
	m.do(http.MethodPost, "/api/envs/"+m.id+"/sms", map[string]any{"url": m.texts.URL, "body": "to={to}&text={text}", "countries": []string{"DE"}}, nil)
	var everybody []string
	for _, size := range sizes {
		m.staff[size.name] = []string{"ute." + size.name + "@corp.example", "max." + size.name + "@corp.example"}
		everybody = append(everybody, m.staff[size.name]...)
		for _, way := range ways {
			m.employ(way.given, size.family)
		}
	}
	methods := map[string]any{"approvals": map[string]any{"staff": everybody, "count": 2}}
	for name, value := range waysTogether {
		methods[name] = value
	}
	m.change(map[string]any{"methods": methods})
	file := sambaAgent(m.dc)
	file.Hub = `ca_file = "` + e.caFile() + `"`
	m.agent = m.startAgent(file)
	return m
}

// login is the employee's in the directory.
func login(given, family string) string { return strings.ToLower(given + "." + family) }

func (m *matrix) employ(given, family string) {
	m.t.Helper()
	name := login(given, family)
	m.dc.AddPerson(m.t, testenv.SambaStaff, name, testenv.SambaEmployeePassword, map[string][]string{
		"givenName": {given}, "sn": {family}, "displayName": {given + " " + family}, "mail": {name + "@corp.example"}, "otherMailbox": {name + "@home.example"}})
}

// walk is the way of one employee, in a test of their own.
func (m *matrix) walk(t *testing.T, b *testenv.Browser, given, family string) *walk {
	env := *m.environment
	env.t = t
	own := &matrix{environment: &env, dc: m.dc, agent: m.agent, authority: m.authority, app: m.app, bank: m.bank, texts: m.texts, staff: m.staff}
	name := login(given, family)
	return &walk{journey: env.on(b), m: own, given: given, family: family, mail: name + "@corp.example", private: name + "@home.example",
		dn: "CN=" + name + "," + testenv.SambaStaff}
}

// sees checks the page that the employee's browser shows, once per width: no violation
// that axe finds, nothing that scrolls sideways.
func (w *walk) sees(name string) { w.t.Helper(); w.passes(w.b, name) }

func (w *walk) passes(b *testenv.Browser, name string) {
	w.t.Helper()
	w.seen.Lock()
	before := w.seen.names[name]
	w.seen.names[name] = true
	w.seen.Unlock()
	if before {
		return
	}
	for _, v := range b.Axe() {
		w.t.Errorf("%s at %d px: %s", name, w.width, v)
	}
	if b.Eval(`document.documentElement.scrollWidth > innerWidth`) == "true" {
		w.t.Errorf("%s scrolls sideways at %d px", name, w.width)
	}
	if strings.Contains(b.Text(), "Step 0") {
		w.t.Errorf("%s says that it is before the first step", name)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		b.Screenshot(filepath.Join(dir, "matrix-"+name+"-"+w.size+".png"))
	}
}

// goes opens the site, types the address and chooses what is needed and how.
func (w *walk) goes(action, method string) {
	w.t.Helper()
	w.b.Open(w.site + "/")
	w.b.Wait(ready)
	w.sees("start")
	w.b.Type("#email", w.mail)
	w.b.Click("main button")
	w.b.WaitText("What do you need?")
	w.b.Wait(ready)
	w.sees("choose")
	w.b.Click(fmt.Sprintf("label:has([value=%s])", action))
	w.b.Click("main form button")
	w.chooses(method)
}

// chooses says how to prove it, the first time or after a first proof.
func (w *walk) chooses(method string) {
	w.t.Helper()
	w.b.Wait(`document.querySelector('#method') && ` + ready + ` && (!document.querySelector('[name=recipient]') || document.querySelector('[name=recipient]').value)`)
	w.sees("method-" + method)
	w.b.Click("label:has([value=" + method + "])")
	w.b.Click("main form button")
}

// gets presses the button, and checks at the domain controller that the password that
// the page shows is the temporary one: right, and to be changed at once. The agent's own
// log has the operation.
func (w *walk) gets() {
	w.t.Helper()
	w.b.Wait(`document.querySelector('#perform') && ` + ready)
	w.sees("ready")
	before := w.performed()
	secret := w.reset()
	w.sees("secret")
	if err := w.m.dc.Bind(w.t, w.mail, secret); !said(err, "data 773") {
		w.t.Errorf("the temporary password: %v, want that it must be changed", err)
	}
	if err := w.m.dc.Bind(w.t, w.mail, testenv.SambaEmployeePassword); !said(err, "data 52e") {
		w.t.Errorf("the old password: %v, want that it is wrong", err)
	}
	if n := w.performed(); n != before+1 {
		w.t.Errorf("the agent's own log has %d operations on the account, want %d", n, before+1)
	}
	w.acknowledge(secret)
	w.sees("acknowledged")
}

// performed counts what the agent did to the employee's account, by its own log.
func (w *walk) performed() (n int) {
	w.t.Helper()
	id := w.m.dc.ID(w.t, w.dn)
	done := func(e event) bool { return e.Account == id && e.State == "done" }
	for _, e := range w.m.agent.allEvents("perform") {
		if done(e) {
			n++
		}
	}
	return n
}

// types types a code that came by mail after so many others.
func (w *walk) types(after int) {
	w.t.Helper()
	w.b.Wait(asksForACode)
	w.sees("code")
	w.b.Type("#code", w.m.code(w.private, after))
	w.b.Click("main form button")
}
