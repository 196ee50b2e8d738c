package e2e

import (
	"fmt"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// A journey is one person with a browser on a recovery site.
type journey struct {
	t    *testing.T
	b    *testenv.Browser
	site string

	pressed string // the form of the last press
}

func newJourney(t *testing.T, b *testenv.Browser, site string) *journey {
	return &journey{t: t, b: b, site: site}
}

// start types the address and chooses what is needed.
func (j *journey) start(email, action string) {
	j.t.Helper()
	j.b.Open(j.site + "/")
	j.b.Type("#email", email)
	j.goOn(action)
}

// goOn sends the first page as it is, and chooses what is needed.
func (j *journey) goOn(action string) {
	j.t.Helper()
	j.b.Click("main button")
	j.b.WaitText("What do you need?")
	j.b.Click(fmt.Sprintf("label:has([value=%s])", action))
	j.b.Click("main form button")
	j.b.Wait(`document.querySelector('#code') || document.querySelector('#method') && document.documentElement.dataset.ready`)
	if j.b.Eval(`document.querySelector('#code') === null`) == "true" {
		j.b.Click("label:has([value=mail_code])")
		j.b.Click("main form button")
		j.b.Wait(`document.querySelector('#code')`)
	}
}

// enter types the code, whatever comes of it.
func (j *journey) enter(code string) {
	j.t.Helper()
	j.b.Eval(`document.querySelector('#code').value = ''`)
	j.b.Type("#code", code)
	j.b.Click("main form button")
	j.b.Wait(`document.body && !document.querySelector('#code')`)
}

// prove types the code, and waits for the button.
func (j *journey) prove(code string) {
	j.t.Helper()
	j.enter(code)
	j.b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready`)
}

// reset presses the button and returns the secret that the page shows.
func (j *journey) reset() string {
	j.t.Helper()
	j.b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready && document.querySelector('[name=recipient]').value`)
	j.pressed = j.b.Eval(`new URLSearchParams(new FormData(document.querySelector('form[data-recipient]'))).toString()`)
	j.b.Click("#perform")
	j.b.Wait(`document.querySelector('[data-do=show]') && !document.querySelector('[data-do=show]').hidden`)
	j.b.Click("[data-do=show]")
	j.b.Wait(`document.querySelector('.shown span')`)
	return j.b.Eval(`[...document.querySelectorAll('.shown span')].map(e => e.textContent).join('')`)
}

// press presses the button of an operation without a secret and waits for words.
func (j *journey) press(words string) {
	j.t.Helper()
	j.b.Click("#perform")
	j.b.WaitText(words)
}

// pressAgain sends the same press once more. The site leads to what came of the first
// one; whether the directory was touched again is the test's own question.
func (j *journey) pressAgain() {
	j.t.Helper()
	before := j.result()
	got := j.b.Eval(`fetch(location.pathname + '/perform', {method: 'POST', body: new URLSearchParams("` + j.pressed + `")}).then(async r => r.status + ' ' + (await r.text()).match(/data-sealed="([^"]*)"/)?.[1])`)
	if got != "200 "+before || before == "" {
		j.t.Errorf("a second press shows %q, want the result of the first one", got)
	}
}

// result is the sealed result that the page holds.
func (j *journey) result() string {
	j.t.Helper()
	return j.b.Eval(`document.querySelector('[data-sealed]').dataset.sealed`)
}

// acknowledge says that the secret was used: it is gone, here and from the hub.
func (j *journey) acknowledge(secret string) {
	j.t.Helper()
	page := j.b.Eval(`location.pathname`)
	j.b.Click("form[action$='/acknowledge'] button")
	j.b.Wait(`!document.querySelector('[data-sealed]') && document.documentElement.dataset.ready`)
	j.b.Open(j.site + page)
	j.b.Wait(`document.documentElement.dataset.ready`)
	if j.b.Eval(`document.querySelector('[data-sealed]') !== null || document.documentElement.outerHTML.includes('`+secret+`')`) != "false" {
		j.t.Error("the result is still there after it was acknowledged")
	}
}
