package e2e

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
)

// invite makes an invitation to the console, as "postern staff invite" does.
func (e *edge) invite(t *testing.T, who store.Staff) string {
	t.Helper()
	link, err := hub.InviteStaff(t.Context(), hub.Config{
		DataDir: e.file("data"), MasterKeyFile: e.conf.MasterKey, StoreURL: e.conf.Store, PublicURL: e.url, Log: slog.New(slog.DiscardHandler),
	}, who, "")
	if err != nil {
		t.Fatal(err)
	}
	return link.Reveal()
}

// A helpdesk is somebody of the staff at the console.
type helpdesk struct {
	journey
	env *environment
}

// helpdesk lets somebody in by an invitation, who makes a passkey and signs in with it.
func (v *environment) helpdesk(name string) *helpdesk {
	v.t.Helper()
	h := &helpdesk{journey{t: v.t, b: testenv.Chromium(v.t), site: v.edge.url}, v}
	h.b.Authenticator()
	h.b.Open(v.edge.invite(v.t, store.Staff{Name: name, Mail: strings.ToLower(name) + "@corp.example", Role: "user"}))
	h.b.WaitText("Opening this page has done nothing yet")
	h.b.Click("[data-fragment] button")
	h.b.Wait(ceremonyReady)
	h.looked("console-join")
	h.b.Click("[data-ceremony]")
	h.b.WaitText("Sign in with my passkey")
	h.b.Wait(ceremonyReady)
	h.b.Click("[data-ceremony]")
	h.b.WaitText("Is recovery working?")
	h.looked("console-home")
	return h
}

// finds opens the page on which somebody is verified by hand.
func (h *helpdesk) finds(address string) {
	h.t.Helper()
	h.b.Open(h.site + "/console")
	h.b.Wait(ready)
	form := "form[action='/console/accounts']:has([value='" + h.env.id + "'])"
	h.b.Type(form+" input[name=q]", address)
	h.b.Click(form + " button")
	h.b.WaitText("Verify identity by hand")
	h.b.Wait(ready)
	h.b.Click("a[href*='/console/verify/']")
	h.b.WaitText("What makes you sure")
	h.b.Wait(ready)
}

// says fills in what makes them sure and confirms it with their passkey.
func (h *helpdesk) says(reason, page string) {
	h.t.Helper()
	h.b.Click("label:has([value=in_person])")
	h.b.Type("#reason", reason)
	h.b.Click("form:has(#reason) button")
	h.b.WaitText("Confirm with your passkey")
	h.b.Wait(ceremonyReady)
	h.looked(page)
	h.b.Click("[data-ceremony]")
}

func (h *helpdesk) verifies(who person) {
	h.t.Helper()
	h.finds(who.mail)
	h.says("stood before me with the badge", "manual-confirm")
	h.b.WaitText("Waits for a recovery until")
	h.b.Wait(ready)
}

// The help desk verifies an employee by hand, who then needs only the code by mail
// besides; what is taken back opens nothing; and without a word before, a number is
// matched.
func TestTheHelpDeskVerifiesEmployeesByHandAndTakesItBack(t *testing.T) {
	t.Parallel()
	s := corp(t)
	wilma, betty := hire(t, s, "wilma", ""), hire(t, s, "betty", "")
	env := startEdge(t, edgeConfig{Postern: webhookOption}).environment(t, "byhand", "ldap")
	env.startAgent(slapdAgent(s))
	hears := receive(t)
	env.do(http.MethodPatch, "/api/envs/"+env.id, map[string]any{"add_webhooks": []any{map[string]any{"url": hears.url, "events": []string{"manual_verification_revoked"}}}}, nil)
	env.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code", "manual"}}}})
	desk := env.helpdesk("Ann")
	desk.finds(wilma.mail)
	desk.looked("manual-sheet")
	desk.verifies(wilma)
	desk.looked("manual-past")
	poll(t, "a mail to the owner", func() bool {
		mails := env.mails(wilma.mail)
		return len(mails) > 0 && strings.Contains(mails[0].Text, "sure who you are")
	})

	b := testenv.Chromium(t)
	j := env.on(b)
	j.start(wilma.mail, "password")
	j.prove(env.code(wilma.private, 0))
	if secret := j.reset(); s.WhoAmI(wilma.dn, secret) != nil {
		t.Error("the temporary password does not sign in")
	}

	desk.verifies(betty)
	j.start(betty.mail, "password")
	j.prove(env.code(betty.private, 0))
	desk.b.Type("input[name=reason]", "it was not her after all")
	desk.b.Click("form[action$='/revoke'] button")
	desk.b.WaitText("it was not her after all")
	desk.looked("manual-revoked")
	poll(t, "the webhook", func() bool {
		heard := string(hears.heard())
		return strings.Contains(heard, `"event_type":"manual_verification_revoked"`) && strings.Contains(heard, "it was not her after all")
	})
	b.Click("#perform") // the page still shows the button
	b.WaitText("Waiting for the help desk")
	if got := betty.writes(t, s); len(got) != 0 {
		t.Errorf("after it was taken back the directory logged %v", got)
	}

	b.Wait(`document.querySelector('.number') && ` + ready)
	j.looked("manual-number")
	number := b.Eval(`document.querySelector('.number').textContent.trim()`)
	desk.b.Open(desk.site + "/console/waiting")
	desk.b.Wait(ready)
	desk.looked("manual-waiting")
	desk.b.Click("a[href*='/console/waiting/']")
	desk.b.Wait(`document.querySelector('#number') && ` + ready)
	desk.looked("manual-request")
	desk.b.Type("#number", number)
	desk.says("called her back", "manual-request-confirm")
	desk.b.WaitText("Nobody waits.")
	b.Wait(`document.querySelector('#perform') && ` + ready)
	if secret := j.reset(); s.WhoAmI(betty.dn, secret) != nil {
		t.Error("the temporary password does not sign in after a number was matched")
	}
	desk.b.Open(desk.site + "/console/mine")
	desk.b.WaitText("This is you")
	desk.looked("console-mine")
}
