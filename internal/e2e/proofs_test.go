package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// starts goes to the question how a new password is earned.
func (v *visitor) starts(email string) {
	v.t.Helper()
	v.path = ""
	v.get("/")
	v.want(http.StatusOK, "the first page")
	v.post("start", "email", email)
	v.want(http.StatusOK, "the address")
	poll(v.t, "an agent is known to the node", func() bool { return v.post("choose", "op", "password") != http.StatusServiceUnavailable })
	v.want(http.StatusOK, "the choice")
}

// way chooses a method with the visitor's key, and waits for its page.
func (v *visitor) way(method, page string) {
	v.t.Helper()
	v.until("the choice of "+method, `value="`+method+`"`)
	v.post("method", "method", method, "recipient", v.recipient())
	v.want(http.StatusOK, method)
	v.until("the page of "+method, page)
}

// until loads the recovery's page until it holds some markup.
func (v *visitor) until(what, markup string) {
	v.t.Helper()
	deadline := time.Now().Add(within)
	for !strings.Contains(v.page, markup) {
		if time.Now().After(deadline) {
			v.t.Fatalf("%s: the page says: %s", what, v.text())
		}
		<-time.After(50 * time.Millisecond)
		v.get("")
	}
}

// What pages hold when they ask for something.
const (
	asksScript = `id="request"`
	asksCode   = `name="code"`
	asksAway   = `/leave?with=`
	asksPeople = `class="number"`
)

// asked is what the page gives its script.
func (v *visitor) asked() (a ask) {
	v.t.Helper()
	text := v.attribute(`(?s)id="request">(.*?)</script>`)
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		v.t.Fatalf("the page was given %q: %v", text, err)
	}
	return a
}

// answers posts what a page's script makes.
func (v *visitor) answers(answer any) int {
	v.t.Helper()
	text, err := json.Marshal(answer)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.post("answer", "answer", string(text))
}

// query is that of the link to a wallet app.
func (a ask) query() url.Values {
	u, err := url.Parse(a.Link)
	if err != nil {
		return nil
	}
	return u.Query()
}

// byApp answers with a wallet app on the same device; the code in the fragment that the
// app sends the person back with is returned, and not redeemed.
func (v *visitor) byApp(e *edge, w *evidencetest.Wallet, a ask) (code string) {
	v.t.Helper()
	next, err := (&walletApp{T: v.t, edge: e, wallet: w}).answer(a.query())
	if err != nil {
		v.t.Fatal(err)
	}
	return responseCode(next)
}

func responseCode(address string) string {
	_, fragment, _ := strings.Cut(address, "#")
	values, err := url.ParseQuery(fragment)
	if err != nil {
		return ""
	}
	return values.Get("response_code")
}

// redeems hands the code of a wallet's answer in.
func (v *visitor) redeems(code string) int {
	return v.answers(map[string]string{"response_code": code})
}

// signsIn goes to one of the providers of the page, and back.
func (v *visitor) signsIn(bank *openid.Provider, id string) {
	v.t.Helper()
	v.do(http.MethodPost, v.returns(bank, id), v.form("answer", v.attribute(`name="answer" value="([^"]*)"`)))
}

// returns goes to a provider and comes back to the page whose form completes it. The
// address of that form is returned.
func (v *visitor) returns(bank *openid.Provider, id string) string {
	v.t.Helper()
	v.alone(http.MethodGet, v.recovery()+"/leave?with="+url.QueryEscape(id), nil)
	to := v.header.Get("Location")
	if !strings.HasPrefix(to, bank.URL) {
		v.t.Fatalf("sent to %q (%d): %s", to, v.status, v.text())
	}
	direct := &http.Client{Timeout: within, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := direct.Get(to)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = resp.Body.Close()
	v.get(strings.TrimPrefix(resp.Header.Get("Location"), v.site))
	v.want(http.StatusOK, "the return")
	back := v.attribute(`action="([^"]*/answer)"`)
	if back == "" {
		v.t.Fatalf("no form on the page of the return: %s", v.text())
	}
	return strings.TrimPrefix(back, v.site)
}

// A voucher vouches for people at an environment with a passkey.
type voucher struct {
	*evidencetest.Authenticator
	mail   string
	id     string // among the hub's staff
	public string // JSON of the key
	print  string // its fingerprint, as the page shows it
}

// console is a visitor who is signed in to the console as an owner.
func (e *edge) owner(v *environment) *visitor {
	v.t.Helper()
	p := newVisitor(v.t, e.url, e.port)
	link := strings.TrimPrefix(e.newConsoleLink(v.t), e.url)
	p.get(link)
	p.do(http.MethodPost, link, p.form())
	p.want(http.StatusOK, "the console")
	return p
}

// voucher is invited in the console by an owner and makes a passkey.
func (v *environment) voucher(owner *visitor, name string) *voucher {
	v.t.Helper()
	a := &voucher{Authenticator: evidencetest.NewAuthenticator(v.site), mail: name + "@corp.example"}
	owner.get("/console/staff")
	owner.do(http.MethodPost, "/console/staff/invite", owner.form("name", "Voucher "+name, "mail", a.mail, "role", "approver", "place", v.id+" "+v.host))
	owner.want(http.StatusOK, "the invitation")
	_, token, _ := strings.Cut(owner.attribute(`id="invitation">([^<]*)<`), "#")
	p := v.visit()
	p.get("/approver")
	p.do(http.MethodPost, "/approver", p.form("token", token))
	p.want(http.StatusOK, "the page of the invitation")
	p.do(http.MethodPost, "/approver/key", p.form("answer", string(a.Register(p.challenge()))))
	p.want(http.StatusOK, "the passkey")
	a.id, a.print = p.attribute(`id="approver-id">([^<]*)<`), p.attribute(`id="approver-print">([^<]*)<`)
	a.public = p.attribute(`(?s)id="approver-key"[^>]*>(.*?)</textarea>`)
	return a
}

// challenge is the one over which the page wants a passkey.
func (v *visitor) challenge() (c [32]byte) {
	v.t.Helper()
	m := regexp.MustCompile(`"challenge":"([^"]*)"`).FindStringSubmatch(v.attribute(`(?s)id="request">(.*?)</script>`))
	if m == nil {
		v.t.Fatalf("no challenge on the page: %s", v.text())
	}
	b, err := base64.RawURLEncoding.DecodeString(m[1])
	if err != nil || len(b) != len(c) {
		v.t.Fatalf("challenge %q: %v", m[1], err)
	}
	return [32]byte(b)
}

// vouches opens the link of the newest mail and approves with the number that the page of
// whoever asks shows.
func (a *voucher) vouches(v *environment, number string, after int) {
	v.t.Helper()
	_, token, _ := strings.Cut(v.linkIn(a.mail, "/approve", after), "#")
	p := v.visit()
	p.get("/approve")
	p.do(http.MethodPost, "/approve", p.form("token", token))
	p.want(http.StatusOK, "the page of who vouches")
	request := p.attribute(`name="request" value="([^"]*)"`)
	p.do(http.MethodPost, "/approve/request", p.form("request", request, "spoken", "yes", "number", number, "answer", string(a.Assert(p.challenge()))))
	p.want(http.StatusOK, "the approval")
	if !strings.Contains(p.text(), "Your approval was taken") {
		v.t.Fatalf("%s vouched, and the page says: %s", a.mail, p.text())
	}
}

// knows enters the key of somebody who vouches at the agent's own machine.
func (a *agent) knows(p *voucher) {
	a.t.Helper()
	hash := p.Credential().Hash()
	cmd := exec.CommandContext(soon(a.t), programs.agent, "approver", "add", "--config", a.config(),
		"--id", p.id, "--person", "person-of-"+p.mail, "--fingerprint", hex.EncodeToString(hash[:]))
	cmd.Stdin = strings.NewReader(p.public)
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("approver add: %v\n%s", err, out)
	}
}
