package e2e

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// A journey is one person with a browser on a recovery site.
type journey struct {
	t    *testing.T
	b    *testenv.Browser
	site string
}

// start types the address and chooses what is needed.
func (j journey) start(email, action string) {
	j.t.Helper()
	j.b.Open(j.site + "/")
	j.b.Type("#email", email)
	j.b.Click("main button")
	j.b.WaitText("What do you need?")
	j.b.Click(fmt.Sprintf("label:has([value=%s])", action))
	j.b.Click("main form button")
	j.b.Wait(`document.querySelector('#code')`)
}

// prove types the code.
func (j journey) prove(code string) {
	j.t.Helper()
	j.b.Type("#code", code)
	j.b.Click("main form button")
	j.b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready`)
}

// reset presses the button and returns the secret that the page shows.
func (j journey) reset() string {
	j.t.Helper()
	j.b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready`)
	j.b.Click("#perform")
	j.b.Wait(`document.querySelector('[data-do=show]') && !document.querySelector('[data-do=show]').hidden`)
	j.b.Click("[data-do=show]")
	j.b.Wait(`document.querySelector('.shown span')`)
	return j.b.Eval(`[...document.querySelectorAll('.shown span')].map(e => e.textContent).join('')`)
}

// press presses the button of an operation without a secret and waits for words.
func (j journey) press(words string) {
	j.t.Helper()
	j.b.Click("#perform")
	j.b.WaitText(words)
}

// pressAgain sends the form of the button once more and returns the status.
func (j journey) pressAgain() int {
	j.t.Helper()
	text := j.b.Eval(`fetch(location.pathname.replace(/\/$/, '') + '/perform', {method: 'POST', body: new URLSearchParams(new FormData(document.querySelector('form'))), redirect: 'manual'}).then(r => r.status)`)
	n, err := strconv.Atoi(text)
	if err != nil {
		j.t.Fatalf("status %q", text)
	}
	return n
}
