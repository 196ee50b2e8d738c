package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory/demo"
	"github.com/postern-id/postern/internal/testenv"
)

// sample returns somebody of the demo's company.
func sample(t *testing.T, uid string) demo.Account {
	t.Helper()
	for _, a := range demo.Accounts() {
		if strings.HasPrefix(a.Email, uid+"@") {
			return a
		}
	}
	t.Fatalf("nobody is called %s", uid)
	return demo.Account{}
}

// clickLink opens the link to a page in the newest mail of the mailbox, as people do.
func (c company) clickLink(t *testing.T, b *testenv.Browser, address, page string) {
	t.Helper()
	poll(t, "a link to "+page, func() bool { return strings.Contains(strings.Join(c.mails(t, address), "\n"), page+"#") })
	b.Open(c.Mailbox)
	link := fmt.Sprintf("article a[href*='%s#']", page)
	b.Wait(`document.querySelector("` + link + `")`)
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		b.Screenshot(filepath.Join(dir, "mailbox.png"))
	}
	for _, v := range b.Axe() {
		t.Errorf("the mailbox: %s", v)
	}
	b.Eval(`document.querySelectorAll('a').forEach(a => a.target = '')`) // this browser has one tab
	b.Click(link)
	b.WaitText("Opening this page has done nothing yet")
	b.Click("[data-fragment] button")
	b.Wait(ceremonyReady)
}

// On a computer without passkeys, with nothing but mouse and keyboard: somebody vouches.
func TestTheDemoLetsSomebodyVouchByMouse(t *testing.T) {
	t.Parallel()
	c := startDemo(t)
	who := sample(t, "siobhan.oneill")
	b := testenv.Chromium(t)
	max := b.Tab()
	max.Open(c.Approver)
	max.WaitText("Opening this page has done nothing yet")
	max.Click("[data-fragment] button")
	max.Wait(ceremonyReady)
	max.Click("[data-ceremony]")
	max.WaitText("Your passkey is made")

	j := newJourney(t, b, c.Site)
	j.start(who.Email, "unlock")
	j.enter(c.code(t, who.PersonalEmail, 0))
	b.Wait(`document.querySelector('#method, .number') && ` + ready)
	if b.Eval(`document.querySelector('#method') !== null`) == "true" {
		j.by("approval")
	}
	b.Wait(`document.querySelector('.number')`)
	number := b.Eval(`document.querySelector('.number').textContent.trim()`)

	c.clickLink(t, max, "max.winter@lindenhof.example", "/approve")
	max.Click("label.choice")
	max.Type("#number", number)
	max.Click("[data-ceremony]")
	max.WaitText("Your approval was taken")
	if err := c.bind(t, who.DN, demo.InitialPassword); err == nil {
		t.Error("not locked before the button")
	}
	b.Wait(`document.querySelector('#perform') && ` + ready)
	j.press("Your account is unlocked")
	if err := c.bind(t, who.DN, demo.InitialPassword); err != nil {
		t.Errorf("still locked: %v", err)
	}
}

// A passkey is added and used on a computer that has none.
func TestTheDemoLendsAPasskey(t *testing.T) {
	t.Parallel()
	c := startDemo(t)
	who := employee(t, "")
	b := testenv.Chromium(t)
	j := newJourney(t, b, c.Site)
	j.options(c, who)
	b.Click("form:has([value=passkey]) button")
	b.Wait(ceremonyReady)
	b.Click("[data-ceremony]")
	b.WaitText("Add another way")

	b.Open(c.Site + "/")
	b.Type("#email", who.Email)
	b.Click("main button")
	b.WaitText("What do you need?")
	b.Click("label:has([value=password])")
	b.Click("main form button")
	b.Wait(`document.querySelector('#method') && ` + ready + ` && document.querySelector('[name=recipient]').value`)
	b.Click("label:has([value=passkey])")
	b.Click("main form button")
	b.Wait(ceremonyReady)
	b.Click("[data-ceremony]")
	if err := c.bind(t, who.DN, j.reset()); err != nil {
		t.Errorf("the temporary password does not sign in: %v", err)
	}
}

// file puts a picture into a field of the capture page, as if it were chosen.
func (j *journey) file(field, name string) {
	j.t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		j.t.Fatal(err)
	}
	j.b.Eval(fmt.Sprintf(`(() => {
		const files = new DataTransfer();
		files.items.add(new File([Uint8Array.from(atob(%q), (c) => c.charCodeAt(0))], 'back.png', { type: 'image/png' }));
		const input = document.querySelector('#%s');
		input.files = files.files;
		input.dispatchEvent(new Event('change'));
	})()`, base64.StdEncoding.EncodeToString(raw), field))
}

// Pictures are taken with the camera, and an administrator decides about them.
func TestTheDemosReviewQueueIsTriedByMouse(t *testing.T) {
	t.Parallel()
	c := startDemo(t)
	who := sample(t, "anna.berg")
	b := testenv.Chromium(t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
	b.Viewport(390, 844)
	desk := testenv.Chromium(t)
	j := newJourney(t, b, c.Site)
	j.start(who.Email, "mfa")
	j.enter(c.code(t, who.PersonalEmail, 0))
	b.WaitText("Photograph your document")
	b.Click("#consent")
	j.snap("front")
	j.snap("selfie")
	j.file("back", "testdata/licence.png")
	b.Wait(`document.querySelector('[name=barcode]').value !== ''`)
	for _, v := range b.Axe() {
		t.Errorf("capture: %s", v)
	}
	b.Click("button[value=submit]")
	b.WaitText("looks at your pictures")

	desk.Open(c.Console)
	desk.Click("main form button")
	desk.WaitText("Is recovery working?")
	desk.Open(c.Hub + "/console/reviews")
	desk.WaitText("1 case waits for a reviewer")
	desk.Click("form[action*='/take'] button")
	desk.WaitText(who.Name)
	desk.Wait(`[...document.images].filter(i => i.closest('figure')).length === 3`)
	desk.WaitText("D1234567") // what the bar code says
	desk.Eval(`document.querySelectorAll('[name=check]').forEach(c => c.click())`)
	desk.Click("button[value=accept]")
	desk.WaitText("Nothing waits for you")
	b.Reload()
	b.Wait(`document.querySelector('#perform') && ` + ready)
	j.press("authenticators were removed")
}
