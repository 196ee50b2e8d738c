package site

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
)

// screenReader notes the ticket that stands on a screen as a picture.
type screenReader struct {
	*flow.Recoveries
	ticket string
}

func (r *screenReader) HandOver(ctx context.Context, env, id, session string) (flow.Handover, error) {
	h, err := r.Recoveries.HandOver(ctx, env, id, session)
	if err == nil {
		r.ticket = h.Ticket.Reveal()
	}
	return h, err
}

// twoCodes asks for a code of the hub and one of the agent.
func (m *machine) twoCodes() *screenReader {
	m.t.Helper()
	r := &screenReader{Recoveries: m.flow}
	m.site.cfg.Handovers = r
	m.tx(func(ctx context.Context, tx *store.Tx) error {
		d, err := tx.Directory(ctx, m.env.ID, m.directory)
		if err != nil {
			return err
		}
		d.Settings.Methods = []byte(`{"default":[["mail_code","agent_code"]]}`)
		return tx.UpdateDirectory(ctx, d)
	})
	return r
}

func TestT13_TheSecretIsShownOnThePhoneThatProved(t *testing.T) {
	m := newMachine(t)
	screen := m.twoCodes()
	desk, phone := testenv.Chromium(t), testenv.Chromium(t)
	phone.Viewport(360, 740)
	const ready = `document.documentElement.dataset.ready`
	desk.Open(m.url + "/?op=password&lang=en")
	desk.Type("#email", "ada@acme.example")
	desk.Press("\r")
	desk.WaitText("What do you need?")
	desk.Click("label:has([value=password])")
	desk.Click("main form button")
	desk.Wait(`document.querySelector('#code') && ` + ready)
	if desk.Eval(`document.querySelector("form[action*='/phone']") === null`) != "true" {
		t.Error("a picture is offered before the first code")
	}
	desk.Type("#code", m.code(0))
	desk.Press("\r")
	desk.Wait(`document.querySelector("form[action*='/phone']") && ` + ready)
	desk.Click("form[action*='/phone'] button")
	desk.Wait(`document.querySelector('svg.qr path') && ` + ready)

	m.prepared(desk.Eval("location.pathname"))
	phone.Open(m.url + "/phone?lang=en#" + screen.ticket)
	phone.Wait(ready)
	if got := phone.Eval("location.hash"); got != "" {
		t.Errorf("the ticket stays in the address: %s", got)
	}
	inAnotherLanguage(phone, "ticket", screen.ticket)
	phone.Click("main form button")
	phone.WaitText("Did you start this?")
	for _, fact := range []string{"localhost", "I did not start this", "Chrome"} {
		if !strings.Contains(phone.Text(), fact) {
			t.Errorf("the phone does not show %q", fact)
		}
	}
	desk.WaitText("Your phone shows a code")
	if html := desk.Eval("document.documentElement.outerHTML"); strings.Contains(html, "Ada") {
		t.Error("the desk shows whom it is about")
	}
	phone.Click("main a.button")
	phone.Wait(`document.querySelector('.number') && ` + ready)
	desk.Type("#code", phone.Eval(`document.querySelector('.number').textContent`))
	desk.Press("\r")
	desk.WaitText("It goes on on your phone")
	phone.Wait(`document.querySelector('#code') && ` + ready) // by itself
	phone.Type("#code", agentsCode)
	phone.Press("\r")
	phone.Wait(`document.querySelector('#perform') && document.querySelector('[name=recipient]').value && ` + ready)
	phone.Click("#perform")
	phone.Wait(`document.querySelector('[data-do=show]') && !document.querySelector('[data-do=show]').hidden`)
	phone.Click("[data-do=show]")
	phone.Wait(`document.querySelector('.shown span')`)
	if got := shown(phone); got != given {
		t.Errorf("shown on the phone: %q", got)
	}
	desk.WaitText("It is done. The result is shown on the phone.")
	if html := desk.Eval("document.documentElement.outerHTML"); strings.Contains(html, "data-sealed") || strings.Contains(html, "Ada") {
		t.Error("the desk shows more than how it stands")
	}
}

// inAnotherLanguage reads a page in German and in English again: what it took out of its
// address is in its form still, and in no address.
func inAnotherLanguage(b *testenv.Browser, field, secret string) {
	for _, lang := range []string{"de", "en"} {
		b.Click(".langs [hreflang=" + lang + "]")
		b.Wait(`document.documentElement.lang === "` + lang + `" && document.documentElement.dataset.ready && ` +
			`document.querySelector("[name=` + field + `]")?.value === "` + secret + `" && location.hash === ""`)
	}
}

// asked has a phone that has read the picture of a sign-in.
type asked struct{ Phones }

func (asked) Read(context.Context, string, string) (SignInReading, error) {
	return SignInReading{Client: "Payroll", Code: "123456"}, nil
}

// A page that takes a secret out of its own address is read in another language where it
// is, and the secret goes along where no server sees it.
func TestALinkWithASecretIsReadInAnotherLanguage(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	for _, page := range []string{"/approve", "/approver", "/sign-in"} {
		b.Open(g.url + page + "?lang=en#a-secret.of-a_link")
		inAnotherLanguage(b, "token", "a-secret.of-a_link")
		if at := b.Eval("location.pathname"); at != page {
			t.Errorf("%s is read at %s", page, at)
		}
	}
	g.site.cfg.Phones = asked{}
	for page, status := range map[string]int{"/sign-in/phone": 200, "/sign-in/phone/code": 200, "/badge": 403} {
		g.person().get(page+"?lang=en").sees(status, `href="`+page+`?lang=de"`)
	}
}

func TestAPhoneThatReadsAPictureTooSoonPressesAgain(t *testing.T) {
	m := newMachine(t)
	screen, phone := m.twoCodes(), testenv.Chromium(t)
	release := m.holdCodes()
	desk := m.person().asked("ada@acme.example", "password").send("/code", url.Values{"code": {m.code(0)}})
	home := desk.at.Path
	desk.send("/phone", nil).sees(200, `class="qr"`)
	other := m.person().get("/phone")
	other.send("/phone", url.Values{"ticket": {screen.ticket}}).sees(409, "One moment", "press the button again")
	const ready = `document.documentElement.dataset.ready`
	phone.Open(m.url + "/phone?lang=en#" + screen.ticket)
	phone.Wait(ready)
	phone.Click("main form button")
	phone.WaitText("One moment")
	checkLayout(t, phone, "phone-soon")
	inAnotherLanguage(phone, "ticket", screen.ticket)
	phone.Wait(ready)
	release()
	m.prepared(home)
	phone.Click("main form button")
	phone.WaitText("Did you start this?")
	other.send("/phone", nil).sees(410, "not valid any more")
}

func TestATicketIsUsedByAFormAloneAndOnce(t *testing.T) {
	m := newMachine(t)
	screen := m.twoCodes()
	desk := m.person().asked("ada@acme.example", "password").send("/code", url.Values{"code": {m.code(0)}})
	home := desk.at.Path
	m.prepared(home)
	desk.send("/phone", nil).sees(200, `class="qr"`, "Only read it with your own phone", `data-rotate="30"`)
	if strings.Contains(desk.body, screen.ticket) {
		t.Error("the ticket stands on the page as text")
	}
	desk.get("/phone?ticket="+screen.ticket).sees(200, "Go on here with a recovery") // whoever looks behind the address changes nothing
	desk.get(home).sees(200, "Go on with your phone")
	other := m.person().get("/phone")
	other.send("/phone", url.Values{"ticket": {screen.ticket}}).sees(200, "Did you start this?", "people", "a•••@acme.example")
	third := m.person().get("/phone")
	third.send("/phone", url.Values{"ticket": {screen.ticket}}).sees(410, "not valid any more")
	other.get(other.at.Path+"/code").sees(200, "Type this code on the other screen", "I did not start this")
	code := regexp.MustCompile(`class="number"[^>]*>([0-9 ]+)<`).FindStringSubmatch(other.body)
	desk.get(home).sees(200, "Your phone shows a code")
	desk.send("/phone/code", url.Values{"code": {"1"}}).sees(422, "This is not the code")
	desk.send("/phone/code", url.Values{"code": {code[1]}}).sees(200, "It goes on on your phone", "http-equiv=\"refresh\"")
}
