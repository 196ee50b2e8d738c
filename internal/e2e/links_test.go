package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

func TestP06_T32_APresignedLinkAdmitsToWhatItSaysOnce(t *testing.T) {
	t.Parallel()
	s := corp(t)
	otto, petra := hire(t, s, "otto", ""), hire(t, s, "petra", "")
	v := sharedEdge(t).environment(t, "links", "ldap")
	v.startAgent(slapdAgent(s))
	v.do(http.MethodPatch, "/api/envs/"+v.id, map[string]any{"microsite": map[string]any{"require_presigned": true}}, nil)

	p := v.visit()
	if p.get("/"); p.status != http.StatusForbidden || !strings.Contains(p.text(), "Please open the link that you were given") {
		t.Errorf("without a link: %d %s", p.status, p.text())
	}
	if p.do("POST", "/start", p.form("email", otto.mail)); p.status != http.StatusForbidden {
		t.Errorf("an address without a link: %d %s", p.status, p.text())
	}
	link := strings.TrimPrefix(v.presign(map[string]any{"email": otto.mail, "ttl": "10m", "operations": []string{"unlock"}, "one_shot": true}), v.site)
	p.alone("GET", link, nil)
	if to, cookie := p.header.Get("Location"), p.header.Get("Set-Cookie"); p.status != http.StatusSeeOther || to != "/" || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Fatalf("the first hit: %d to %q, cookie %q", p.status, to, cookie)
	}
	for _, name := range []string{"Referrer-Policy", "Cache-Control"} {
		if got := p.header.Get(name); got != map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}[name] {
			t.Errorf("the first hit: %s is %q", name, got)
		}
	}
	p.get("/")
	if strings.Contains(p.page, "id_token") || !strings.Contains(p.page, otto.mail) {
		t.Errorf("the clean page: %s", p.page)
	}
	p.do("POST", "/start", p.form("email", petra.mail))
	if p.status == http.StatusOK || !strings.Contains(p.text(), "Your link is for another address") {
		t.Errorf("another address: %d %s", p.status, p.text())
	}
	p.do("POST", "/start", p.form("email", otto.mail))
	p.want(http.StatusOK, "the address of the link")
	if strings.Contains(p.page, `value="password"`) || !strings.Contains(p.page, `value="unlock"`) {
		t.Errorf("the link is for unlocking only: %s", p.text())
	}
	if p.post("choose", "op", "password"); p.status == http.StatusOK {
		t.Errorf("a choice that the link does not have: %d %s", p.status, p.text())
	}
	s.Lock(t, otto.dn)
	p.post("choose", "op", "unlock")
	p.prove(v.code(otto.private, 0))
	p.post("perform")
	poll(t, "the end of the operation", func() bool { return p.done() || p.get("") == 0 || p.done() })
	if err := s.WhoAmI(otto.dn, testenv.SlapdEmployeePassword); err != nil {
		t.Errorf("after the unlock: %v", err)
	}

	again := v.visit()
	again.get(link) // reading it uses nothing up, and admits to nothing any more
	again.do("POST", "/start", again.form("email", otto.mail))
	if again.status != http.StatusForbidden {
		t.Errorf("a link that was used: %d %s", again.status, again.text())
	}
}

func TestT31_TheOwnerStopsRecoveriesThatWereNotTheirs(t *testing.T) {
	t.Parallel()
	s := corp(t)
	hanna := hire(t, s, "hanna", "")
	v := sharedEdge(t).environment(t, "objections", "ldap")
	v.startAgent(slapdAgent(s))
	thief := v.visit()
	thief.begin(hanna.mail, "password")
	thief.prove(v.code(hanna.private, 0))
	thief.press()
	password := thief.finish()
	token := v.notMe(hanna.mail)

	open := v.visit() // another recovery of the same account, up to the button
	open.begin(hanna.mail, "password")
	open.prove(v.code(hanna.private, 1))

	owner := v.visit()
	for range 2 { // mail programs look behind links: nothing happens by it
		owner.get("/not-me?token=" + token)
		owner.want(http.StatusOK, "the link of the notice")
	}
	if open.get(""); !open.ready() {
		t.Fatalf("loading the link stopped a recovery: %s", open.text())
	}
	stranger := v.visit()
	if stranger.do("POST", "/not-me", stranger.form("token", token)); stranger.status != http.StatusForbidden {
		t.Errorf("a form of another site: %d", stranger.status)
	}
	owner.do("POST", "/not-me", owner.form("token", token))
	if owner.status != http.StatusOK || !strings.Contains(owner.text(), "Recovery of your account is blocked") {
		t.Fatalf("the objection: %d %s", owner.status, owner.text())
	}
	if open.press(); open.done() {
		t.Error("a voided recovery was carried out")
	}
	open.get("")
	if !strings.Contains(open.text(), "This recovery was stopped") {
		t.Errorf("the open recovery: %s", open.text())
	}
	if err := s.WhoAmI(hanna.dn, password); err != nil {
		t.Errorf("the account itself was touched: %v", err)
	}
	fresh := v.visit()
	fresh.begin(hanna.mail, "password")
	fresh.post("code", "code", v.code(hanna.private, 2))
	if fresh.ready() || !strings.Contains(fresh.text(), "Recovery is blocked for now") {
		t.Errorf("a new recovery: %s", fresh.text())
	}
	owner.get("/not-me?token=" + token)
	if strings.Contains(owner.page, `name="token"`) || !strings.Contains(owner.text(), "Recovery of your account is blocked") {
		t.Errorf("the used link: %d %s", owner.status, owner.text())
	}
	if got := hanna.writes(t, s); len(got) != 1 {
		t.Errorf("the directory logged %v, want the first reset alone", got)
	}
}
