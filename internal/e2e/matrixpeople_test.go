package e2e

import (
	"regexp"
	"strings"

	"github.com/postern-id/postern/internal/testenv"
)

// ceremonyReady waits until a page may ask for a passkey or a document.
const ceremonyReady = `document.querySelector('[data-ceremony]') && !document.querySelector('[data-ceremony]').hidden && ` + ready

// linkIn waits for a mail to address, after so many others, and returns the link in it to
// a page.
func (v *environment) linkIn(address, page string, after int) (link string) {
	v.t.Helper()
	form := regexp.MustCompile(`http\S+` + page + `#\S+`)
	poll(v.t, "a link to "+page+" for "+address, func() bool {
		mails := v.mails(address) // the newest first
		for _, m := range mails[:max(0, len(mails)-after)] {
			if link = form.FindString(m.Text); link != "" {
				return true
			}
		}
		return false
	})
	return link
}

// office is a second person's browser, of the employee's width.
func (w *walk) office() *testenv.Browser {
	w.t.Helper()
	b := testenv.ChromiumTrusting(w.t, w.m.edge.caFile())
	b.Viewport(w.width, w.height)
	return b
}

// invites lets two people in who vouch for others, each with a passkey of their own.
func (w *walk) invites(office *testenv.Browser) {
	w.t.Helper()
	w.m.edge.signIn(w.t, office)
	for _, mail := range w.m.staff[w.size] {
		office.Open(w.m.edge.url + "/console/staff")
		office.Wait(`document.querySelector('#role') && ` + ready)
		office.Type("#name", "Person "+mail[:8])
		office.Type("#mail", mail)
		office.Click("form[action$='/invite'] button")
		office.Wait(`document.querySelector('#invitation') && ` + ready)
		w.passes(office, "console-staff")
		office.Open("about:blank")
		office.Open(w.m.linkIn(mail, "/approver", 0))
		office.WaitText("Opening this page has done nothing yet")
		w.passes(office, "approver-link")
		office.Click("[data-fragment] button")
		office.Wait(ceremonyReady)
		w.passes(office, "approver")
		office.Click("[data-ceremony]")
		office.WaitText("Your passkey is made")
		w.passes(office, "approver-done")
	}
}

// byPeople gets a new password because two people vouch; one is not enough, and the
// number that the employee's page shows must be typed.
func (w *walk) byPeople() {
	office := w.office()
	office.Authenticator()
	w.invites(office)
	var before []int
	for _, mail := range w.m.staff[w.size] {
		before = append(before, len(w.m.mails(mail)))
	}
	w.goes("password", "mail_code")
	w.types(0)
	w.chooses("approval")
	w.b.Wait(`document.querySelector('.number') && ` + ready)
	w.sees("approval-waits")
	number := w.b.Eval(`document.querySelector('.number').textContent.trim()`)
	for i, mail := range w.m.staff[w.size] {
		w.vouches(office, mail, number, before[i], i == 0)
		if i == 0 && w.b.Eval(`document.querySelector('#perform') !== null`) == "true" {
			w.t.Fatal("one approval was enough")
		}
	}
	w.gets()
}

// vouches is one of them, who opens the link in the mail after so many others; careless
// types another number first.
func (w *walk) vouches(office *testenv.Browser, mail, number string, after int, careless bool) {
	w.t.Helper()
	office.Open("about:blank")
	office.Open(w.m.linkIn(mail, "/approve", after))
	office.WaitText("Opening this page has done nothing yet")
	w.passes(office, "approve-link")
	office.Click("[data-fragment] button")
	office.Wait(ceremonyReady)
	text := office.Text()
	for _, part := range []string{w.given + " " + w.family, "new password", "This is not right"} {
		if !strings.Contains(text, part) {
			w.t.Errorf("the page does not say %q:\n%s", part, text)
		}
	}
	w.passes(office, "approve")
	if careless {
		office.Click("label.choice")
		office.Type("#number", "00")
		office.Click("[data-ceremony]")
		office.WaitText("Their page shows another number")
		office.Wait(ceremonyReady)
		w.passes(office, "approve-wrong")
	}
	office.Click("label.choice")
	office.Eval(`document.querySelector('#number').value = ''`)
	office.Type("#number", number)
	office.Click("[data-ceremony]")
	office.WaitText("Your approval was taken")
	w.passes(office, "approve-done")
}

// byReview hands in document and face before a camera; one person refuses them, the
// employee appeals, and another person accepts.
func (w *walk) byReview() {
	w.goes("password", "mail_code")
	w.types(0)
	w.chooses("document_review")
	w.b.WaitText("Photograph your document")
	w.b.Wait(ready)
	w.sees("capture")
	before := w.b.Eval("location.pathname")
	w.b.Click("button[value=submit]") // nothing without consent
	w.b.Wait(`document.querySelector('#consent-error')`)
	w.sees("capture-consent")
	w.b.Click("#consent")
	w.snap("front")
	w.snap("selfie")
	w.sees("capture-taken")
	w.b.Click("button[value=submit]")
	w.b.WaitText("looks at your pictures")
	w.sees("capture-waits")
	if at := w.b.Eval("location.pathname"); at != before {
		w.t.Errorf("the page is %s, not %s", at, before)
	}
	desk := w.office()
	w.refuses(desk)

	w.b.Open(w.site + before)
	w.b.WaitText("Your pictures were not accepted")
	w.sees("capture-refused")
	w.b.Click("button[value=appeal]")
	w.b.WaitText("looks at your pictures")
	w.accepts(desk)
	w.b.Open(w.site + before)
	w.gets()
}

// bothPictures waits until the pictures of a case are there.
const bothPictures = `[...document.images].filter(i => i.closest('figure')).length === 2 && [...document.images].every(i => i.complete && i.naturalWidth > 0)`

// refuses is the first reviewer.
func (w *walk) refuses(desk *testenv.Browser) {
	w.t.Helper()
	w.m.edge.signIn(w.t, desk)
	desk.WaitText("1 case waits for a reviewer")
	w.passes(desk, "review-queue")
	desk.Click("form[action*='/take'] button")
	desk.WaitText(w.given + " " + w.family)
	desk.Wait(bothPictures)
	w.passes(desk, "review-case")
	desk.Type("#reason", "the face is covered")
	desk.Click("button[value=fraud]")
	desk.WaitText("Nothing waits for you")
	w.passes(desk, "review-done")
}

// accepts is another reviewer: the first one may not decide about the appeal.
func (w *walk) accepts(desk *testenv.Browser) {
	w.t.Helper()
	desk.Open(w.m.edge.url + "/console/reviews")
	desk.WaitText("You have decided about it before")
	if strings.Contains(desk.Text(), "Give me a case") {
		w.t.Error("the first reviewer may take the appeal")
	}
	w.passes(desk, "review-own")
	w.m.edge.signIn(w.t, desk)
	desk.WaitText("Appeal")
	desk.Click("form[action*='/take'] button")
	desk.WaitText(w.given + " " + w.family)
	desk.Wait(bothPictures) // before them the buttons still move
	w.passes(desk, "review-appeal")
	desk.Eval(`document.querySelectorAll('[name=check]').forEach(c => c.click())`)
	desk.Click("button[value=accept]")
	desk.WaitText("Nothing waits for you")
}
