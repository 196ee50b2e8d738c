package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// snap takes one picture of the capture page with the camera.
func (j *journey) snap(kind string) {
	j.t.Helper()
	j.b.Click("[data-camera=" + kind + "]")
	j.b.Wait(fmt.Sprintf(`document.querySelector('[data-snap=%s]') && !document.querySelector('[data-snap=%s]').disabled`, kind, kind))
	j.b.Click("[data-snap=" + kind + "]")
	j.b.Wait(fmt.Sprintf(`document.querySelector('#%s').files.length === 1`, kind))
}

// accessible fails for each violation on the page.
func accessible(t *testing.T, b *testenv.Browser, what string) {
	t.Helper()
	for _, v := range b.Axe() {
		t.Errorf("%s: %s", what, v)
	}
}

// signIn opens the console by a new link: each is another reviewer.
func (e *edge) signIn(t *testing.T, b *testenv.Browser) {
	t.Helper()
	b.Open(e.newConsoleLink(t))
	b.Click("main button")
	b.WaitText("Is recovery working?")
	b.Open(e.url + "/console/reviews")
}

// Document and face before a camera, refused by one person, accepted by another.
func TestADocumentIsCapturedReviewedAndAppealedInABrowser(t *testing.T) {
	t.Parallel()
	s := corp(t)
	mara := hire(t, s, "mara", "")
	e := startEdge(t, edgeConfig{})
	v := e.environment(t, "capture", "ldap")
	v.startAgent(slapdAgent(s))
	v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code", "document_review"}}}})
	b := testenv.Chromium(t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
	b.Viewport(390, 840)
	j := v.on(b)
	j.start(mara.mail, "password")
	j.b.Type("#code", v.code(mara.private, 0))
	j.b.Click("main form button")
	j.b.WaitText("Photograph your document")
	accessible(t, b, "capture")
	before := j.b.Eval("location.pathname")

	j.b.Click("button[value=submit]") // nothing without consent
	j.b.Wait(`document.querySelector('#consent-error')`)
	j.b.Click("#consent")
	j.snap("front")
	j.snap("selfie")
	j.b.Click("button[value=submit]")
	j.b.WaitText("looks at your pictures")
	if at := j.b.Eval("location.pathname"); at != before {
		t.Errorf("the page is %s, not %s", at, before)
	}

	desk := testenv.Chromium(t)
	desk.Viewport(1280, 900)
	e.signIn(t, desk)
	desk.WaitText("1 case waits for a reviewer")
	accessible(t, desk, "the queue")
	desk.Click("form[action*='/take'] button")
	desk.WaitText("Person " + mara.uid)
	desk.Wait(`[...document.images].filter(i => i.closest('figure')).length === 2 && [...document.images].every(i => i.complete && i.naturalWidth > 0)`)
	accessible(t, desk, "the case")
	desk.Type("#reason", "the face is covered")
	desk.Click("button[value=fraud]")
	desk.WaitText("Nothing waits for you")

	j.b.Open(j.site + before)
	j.b.WaitText("Your pictures were not accepted")
	accessible(t, b, "refused")
	j.b.Click("button[value=appeal]")
	j.b.WaitText("looks at your pictures")

	desk.Open(e.url + "/console/reviews")
	desk.WaitText("You have decided about it before")
	if strings.Contains(desk.Text(), "Give me a case") {
		t.Error("the first reviewer may take the appeal")
	}
	e.signIn(t, desk)
	desk.WaitText("Appeal")
	desk.Click("form[action*='/take'] button")
	desk.WaitText("Person " + mara.uid)
	desk.Eval(`document.querySelectorAll('[name=check]').forEach(c => c.click())`)
	desk.Click("button[value=accept]")
	desk.WaitText("Nothing waits for you")

	j.b.Open(j.site + before)
	secret := j.reset()
	if err := s.WhoAmI(mara.dn, secret); err != nil {
		t.Errorf("with the new password: %v", err)
	}
	if got := mara.writes(t, s); !slices.Equal(got, []string{"modify"}) {
		t.Errorf("the directory logged %v", got)
	}
}
