package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/postern-id/postern/agent/directory/demo"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/internal/testenv"
)

// methods says over the API how people of the demo's directory prove who they are. A
// code by mail is enough to enrol something.
func (c company) methods(t *testing.T, combinations string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPatch, c.Hub+"/api/directories/"+c.Directory, strings.NewReader(`{"methods":{"default":`+combinations+`,"rules":[{"action":"options","accept":[["mail_code"]]}]}}`))
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

// ready waits until the page's scripts have run.
const ready = `document.documentElement.dataset.ready`

// by chooses a method where several are offered.
func (j *journey) by(method string) {
	j.t.Helper()
	j.b.Wait(`document.querySelector('#method') && ` + ready)
	j.b.Click("label:has([value=" + method + "])")
	j.b.Click("main form button")
}

// options opens my recovery options with a code by mail.
func (j *journey) options(c company, who demo.Account) {
	j.t.Helper()
	before := len(c.mails(j.t, who.PersonalEmail))
	j.b.Open(j.site + "/options")
	j.b.Type("#email", who.Email)
	j.b.Click("main button")
	j.b.Wait(`document.querySelector('#code, #method')`)
	if j.b.Eval(`document.querySelector('#method') !== null`) == "true" {
		j.by("mail_code")
		j.b.Wait(`document.querySelector('#code')`)
	}
	code := ""
	poll(j.t, "a code", func() bool { code = c.newCode(j.t, who.PersonalEmail, before); return code != "" })
	j.b.Type("#code", code)
	j.b.Click("main form button")
	j.b.WaitText("Add another way")
	j.b.Wait(ready)
}

// newCode returns the code of the newest mail beyond the first n, "" if there is none.
func (c company) newCode(t *testing.T, address string, n int) string {
	mails := c.mails(t, address)
	for _, m := range mails[:max(len(mails)-n, 0)] {
		if d := regexp.MustCompile(`(?m)^\s+(\d{4}) ?(\d{4})\s*$`).FindStringSubmatch(m); d != nil {
			return d[1] + d[2]
		}
	}
	return ""
}

// looked checks a page for accessibility at the width of a phone and of a desk, and keeps
// pictures where SCREENSHOTS names a folder.
func (j *journey) looked(name string) {
	j.t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"phone", 360, 740}, {"desk", 1280, 900}} {
		j.b.Viewport(size.width, size.height)
		for _, v := range j.b.Axe() {
			j.t.Errorf("%s, %s: %s", name, size.name, v)
		}
		if wide := j.b.Eval(`document.documentElement.scrollWidth > innerWidth`); wide == "true" {
			j.t.Errorf("%s scrolls sideways on a %s", name, size.name)
		}
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			j.b.Screenshot(filepath.Join(dir, name+"-"+size.name+".png"))
		}
	}
}

// The demo lets what is new count at once, so that nobody waits 72 hours for this test;
// the wait itself is tested where the clock can be moved.
func TestRecoveryOptionsOfEveryKindAndACodeOfTheSheetIsReplaced(t *testing.T) {
	t.Parallel()
	c := startDemo(t)
	c.methods(t, `[["mail_code"],["saved_code"]]`)
	who := employee(t, "")
	b := testenv.Chromium(t)
	j := newJourney(t, b, c.Site)
	j.options(c, who)
	b.Click("form:has([value=totp]) button")
	b.Wait(`document.querySelector('.key')`)
	j.looked("options-app")
	key := b.Eval(`[...document.querySelectorAll('.key span')].map(e => e.textContent).join('')`)
	code := func() string {
		code, err := totp.GenerateCode(key, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	used := code()
	b.Type("#code", used)
	b.Click("main form button")
	b.WaitText("Authenticator app")
	b.Click("form:has([value=saved_code]) button")
	b.Wait(`document.querySelectorAll('.codes code').length === 6`)
	j.looked("options-codes")
	saved := b.Eval(`document.querySelector('.codes code').textContent`)
	if file := b.Eval(`fetch(document.querySelector('[data-download]').href).then(r => r.text()).catch(e => 'blocked')`); file != "blocked" && !strings.Contains(file, saved) {
		t.Errorf("the file holds %q", file)
	}
	b.Click("a.button:not([data-download])")
	b.WaitText("6 codes left")
	b.Click("form:has([value=mail]) button")
	b.Wait(`document.querySelector('#address')`)
	j.looked("options-mail")
	b.Type("#address", "second@home.example")
	b.Click("main form button")
	b.Wait(`document.querySelector('#code')`)
	j.looked("options-confirm")
	own := ""
	poll(t, "a code at the new address", func() bool { own = c.newCode(t, "second@home.example", 0); return own != "" })
	b.Type("#code", own)
	b.Click("main form button")
	b.WaitText("Recovery mail address")
	b.Click(".factor a")
	b.WaitText("Remove it")
	j.looked("option")

	// With the code of the sheet; what was used is replaced on the last page.
	j.begun(who.Email, "password")
	j.by("saved_code")
	b.Wait(`document.querySelector('#code')`)
	b.Type("#code", strings.ToLower(saved))
	b.Click("main form button")
	b.Wait(`document.querySelector('#perform') && ` + ready)
	j.reset()
	b.Click("form[action$='/saved-code'] button")
	b.Wait(`document.querySelectorAll('.codes code').length === 1`)
	j.looked("options-code")
	if again := b.Eval(`document.querySelector('.codes code').textContent`); again == saved {
		t.Error("the same code again")
	}
}

// begun goes to the question how to prove who one is.
func (j *journey) begun(email, action string) {
	j.t.Helper()
	j.b.Open(j.site + "/")
	j.b.Type("#email", email)
	j.b.Click("main button")
	j.b.WaitText("What do you need?")
	j.b.Click("label:has([value=" + action + "])")
	j.b.Click("main form button")
}

// T17: my recovery options are shut without a verification of their own, and nothing is
// written by looking.
func TestT17_RecoveryOptionsAreShutBeforeTheProof(t *testing.T) {
	t.Parallel()
	c := startDemo(t)
	who := employee(t, "")
	port := mustPort(t, c)
	v := newVisitor(t, c.Site, port)
	v.get("/options")
	v.want(http.StatusOK, "the entrance")
	v.do("POST", "/start", v.form("email", who.Email, "flow", "options"))
	v.want(http.StatusOK, "the address")
	here := v.recovery()
	for _, path := range []string{"/options", "/options/add", "/options/passkey", "/options/x"} {
		v.get(here + path)
		if strings.Contains(v.page, "Add another way") {
			t.Errorf("%s is open: %s", path, v.text())
		}
	}
	for _, form := range []url.Values{v.form("kind", "saved_code"), v.form("kind", "totp"), v.form("kind", "passkey")} {
		v.do("POST", here+"/options/add", form)
		if strings.Contains(v.page, `class="codes"`) || strings.Contains(v.page, `class="key"`) || strings.Contains(v.page, "data-ceremony") {
			t.Errorf("%v adds something: %s", form, v.text())
		}
	}
	v.do("POST", here+"/saved-code", v.form())
	if strings.Contains(v.page, `class="codes"`) {
		t.Error("a saved code for nobody")
	}
}

func mustPort(t *testing.T, c company) int {
	t.Helper()
	port, err := strconv.Atoi(c.port)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// T3: the agent takes a passkey only by an operation that bears its hash, proven anew by
// evidence that the agent itself checks.
func TestT03_APasskeyIsConfirmedAtTheAgentOfAStrictDirectory(t *testing.T) {
	t.Parallel()
	s := corp(t)
	frida := hire(t, s, "frida", "")
	v := sharedEdge(t).environment(t, "keyring", "ldap")
	v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"agent_code"}}}})
	conf := slapdAgent(s)
	conf.SMTP = fmt.Sprintf("host = %q\nfrom = \"recovery@corp.example\"\ntls = \"off\"", v.edge.mail.Addr())
	conf.Evidence = fmt.Sprintf("[evidence]\norigins = [%q]\n[[evidence.group]]\ngroup = \"*\"\nrequire_agent_verifiable = true\nmethods = [[\"agent_code\"], [\"passkey\"]]\n", v.site)
	a := v.startAgent(conf)
	b := testenv.Chromium(t)
	b.Authenticator()
	j := v.on(b)
	b.Open(j.site + "/options")
	b.Type("#email", frida.mail)
	b.Click("main button")
	b.Wait(`document.querySelector('#code')`)
	b.Type("#code", v.code(frida.private, 0))
	b.Click("main form button")
	b.WaitText("Add another way")
	b.Wait(ready)
	b.Click("form:has([value=passkey]) button")
	b.Wait(`document.querySelector('[data-ceremony]') && !document.querySelector('[data-ceremony]').hidden`)
	b.Click("[data-ceremony]")
	b.WaitText("Counts from")
	options := b.Eval("location.pathname")
	b.Click(".factor a")
	b.WaitText("Confirm this passkey")
	j.looked("option-passkey")
	sent := v.codes(frida.private)
	b.Click("form[action$='/agent'] button")
	b.Wait(`document.querySelector('#code')`)
	b.Type("#code", v.code(frida.private, sent))
	b.Click("main form button")
	b.Wait(`document.querySelector('#perform') && ` + ready)
	j.looked("enroll-key")
	j.press("Your passkey is confirmed")
	b.Open(j.site + options)
	b.WaitText("it counts from")
	j.looked("options-confirmed")
	if got := frida.writes(t, s); len(got) > 0 {
		t.Errorf("the directory was changed: %v", got)
	}
	keyring := func() int {
		keys, err := known.ReadKeyring(filepath.Join(a.dir, "state"))
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	if n := keyring(); n != 1 {
		t.Fatalf("%d passkeys at the agent", n)
	}
	b.Click(".factor a")
	b.WaitText("Remove it")
	b.Click("form[action$='/remove'] button")
	poll(t, "the passkey left the agent", func() bool { return keyring() == 0 })
}
