package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// askPeople says over the API that a code by mail and two of these people are needed.
func (c company) askPeople(t *testing.T, people ...string) {
	t.Helper()
	body := `{"methods":{"default":[["mail_code","approval"]],"approvals":{"staff":["` + strings.Join(people, `","`) + `"],"count":2}}}`
	req, err := http.NewRequest(http.MethodPatch, c.Hub+"/api/directories/"+c.Directory, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("methods: %s", resp.Status)
	}
}

// linkIn waits for a mail to address and returns the link in it to a page.
func (c company) linkIn(t *testing.T, address, page string) (link string) {
	t.Helper()
	poll(t, "a link to "+page+" for "+address, func() bool {
		for _, m := range c.mails(t, address) {
			if link = regexp.MustCompile(`http\S+` + page + `#\S+`).FindString(m); link != "" {
				return true
			}
		}
		return false
	})
	return link
}

const ceremonyReady = `document.querySelector('[data-ceremony]') && !document.querySelector('[data-ceremony]').hidden && ` + ready

// An employee gets a new password because two people vouch, each invited in the console,
// each with a passkey of their own; everything by mouse and keyboard.
func TestTwoPeopleVouchForAnEmployee(t *testing.T) {
	t.Parallel()
	c := startDemo(t)
	who := employee(t, "")
	people := []string{"ute@lindenhof.example", "max@lindenhof.example"}
	c.askPeople(t, people...)
	b := testenv.Chromium(t)
	office := b.Tab()
	office.Authenticator()
	o := newJourney(t, office, c.Site)

	office.Open(c.Console)
	office.Click("main form button")
	office.WaitText("Is recovery working?")
	for _, mail := range people {
		office.Open(c.Hub + "/console/staff")
		office.Wait(`document.querySelector('#role') && ` + ready)
		office.Type("#name", "Person "+mail[:3])
		office.Type("#mail", mail)
		office.Click("form[action$='/invite'] button")
		office.Wait(`document.querySelector('#invitation')`)
		o.looked("console-staff")
		office.Open("about:blank")
		office.Open(c.linkIn(t, mail, "/approver"))
		office.WaitText("Opening this page has done nothing yet")
		office.Click("[data-fragment] button")
		office.Wait(ceremonyReady)
		o.looked("approver")
		office.Click("[data-ceremony]")
		office.WaitText("Your passkey is made")
		o.looked("approverdone")
	}

	j := newJourney(t, b, c.Site)
	before := len(c.mails(t, who.PersonalEmail))
	j.begun(who.Email, "password")
	b.Wait(`document.querySelector('#code')`)
	code := ""
	poll(t, "a code", func() bool { code = c.newCode(t, who.PersonalEmail, before); return code != "" })
	b.Type("#code", code)
	b.Click("main form button")
	b.Wait(`document.querySelector('#method') && ` + ready)
	j.by("approval")
	b.Wait(`document.querySelector('.number')`)
	j.looked("askwait")
	number := b.Eval(`document.querySelector('.number').textContent.trim()`)

	for i, mail := range people {
		office.Open("about:blank")
		office.Open(c.linkIn(t, mail, "/approve"))
		office.WaitText("Opening this page has done nothing yet")
		o.looked("approve-link")
		office.Click("[data-fragment] button")
		office.Wait(ceremonyReady)
		if text := office.Text(); !strings.Contains(text, who.Name) || !strings.Contains(text, "new password") || !strings.Contains(text, "This is not right") {
			t.Errorf("the page does not say who asks for what:\n%s", text)
		}
		if i == 0 {
			o.looked("approve")
			office.Click("label.choice")
			office.Type("#number", "00")
			office.Click("[data-ceremony]")
			office.WaitText("Their page shows another number")
			office.Wait(ceremonyReady)
			o.looked("approve-wrong")
		}
		office.Click("label.choice")
		office.Eval(`document.querySelector('#number').value = ''`)
		office.Type("#number", number)
		office.Click("[data-ceremony]")
		office.WaitText("Your approval was taken")
		o.looked("approve-done")
		if i == 0 && b.Eval(`document.querySelector('#perform') !== null`) == "true" {
			t.Fatal("one approval was enough")
		}
	}
	b.Wait(`document.querySelector('#perform') && ` + ready)
	secret := j.reset()
	if err := c.bind(t, who.DN, secret); err != nil {
		t.Errorf("the temporary password does not sign in: %v", err)
	}
}
