package e2e

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// relayRig is an environment where a document is enough, and somebody with a document.
func relayRig(t *testing.T, name string) (*environment, *testenv.Slapd, person, *evidencetest.Wallet) {
	t.Helper()
	s := corp(t)
	who := hire(t, s, name, "givenName: Person\n")
	authority, err := evidencetest.NewAuthority("UT", "Utopia", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v := sharedEdge(t).environment(t, name, "ldap")
	v.permit()
	v.trusts("demo", authority)
	v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"digital_credential"}}}})
	v.startAgent(slapdAgent(s))
	return v, s, who, walletOf(t, authority, "Person", who.uid)
}

// The attacker begins a recovery of the victim's account and sends the link for wallets to
// the victim, whose wallet answers it with real papers. The answer leads the victim's
// browser to a page that completes nothing, the attacker's browser is told nothing, and
// neither gets further by asking again: only the code in the fragment, in the session that
// asked, does (T13).
func TestT13_ARequestThatIsRelayedToAVictimsWalletCompletesNothing(t *testing.T) {
	t.Parallel()
	v, s, who, papers := relayRig(t, "relay")
	attacker, victim := testenv.Chromium(t), testenv.Chromium(t)
	j := v.on(attacker)
	j.askDocument(who.mail, "password")
	page := attacker.Eval("location.pathname")
	next, err := (&walletApp{T: t, edge: v.edge, wallet: papers}).answer(j.ask().query())
	if err != nil {
		t.Fatal(err)
	}

	victim.Open(next)
	victim.Wait(`document.querySelector('#astray') && !document.querySelector('#astray').hidden`)
	victim.Open(v.site + page)
	victim.Wait(ready)
	if at := victim.Eval(`document.querySelector('[data-answer], #perform, [data-sealed]') === null`); at != "true" {
		t.Errorf("the victim's browser is shown the attacker's recovery:\n%s", victim.Text())
	}
	victim.Open(v.site + "/") // a page with a form of the victim's own
	victim.Wait(ready)
	posted := victim.Eval(fmt.Sprintf(`fetch(%q, {method: 'POST', redirect: 'manual', body: new URLSearchParams({form: document.querySelector('[name=form]').value, answer: JSON.stringify({response_code: %q})})}).then(r => r.type + ' ' + r.status)`,
		page+"/answer", responseCode(next)))
	if posted != "basic 404" {
		t.Errorf("the victim's browser hands the code in: %s", posted)
	}
	for range 3 {
		attacker.Open(v.site + page)
		attacker.Wait(ceremonyReady)
	}
	if attacker.Eval(`document.querySelector('#perform') === null`) != "true" {
		t.Error("the attacker's page went on without the code")
	}
	if got := who.writes(t, s); len(got) > 0 {
		t.Errorf("the directory logged %v", got)
	}

	// What was missing was the code, and nothing else.
	attacker.Open("about:blank")
	attacker.Open(v.site + page + "#response_code=" + responseCode(next))
	secret := j.reset()
	if err := s.WhoAmI(who.dn, secret); err != nil {
		t.Errorf("with the code: %v", err)
	}
}

// A stolen cookie without the browser's key, a code in another recovery, a code twice, and
// an answer that a wallet gave to another origin.
func TestT13_AnAnswerBelongsToOneSessionOneKeyAndOneOrigin(t *testing.T) {
	t.Parallel()
	v, s, who, papers := relayRig(t, "bound")
	refused := func(p *visitor, what string) {
		t.Helper()
		if p.status == http.StatusOK && (p.ready() || p.done()) {
			t.Errorf("%s went on: %d %s", what, p.status, p.text())
		}
	}
	asks := func() *visitor {
		p := v.visit()
		p.starts(who.mail)
		p.way("digital_credential", asksScript)
		return p
	}
	one, two := asks(), asks()
	code := one.byApp(v.edge, papers, one.asked())
	two.redeems(code)
	refused(two, "the code of another recovery")
	two.redeems("")
	refused(two, "no code")
	far := v.visit() // without the cookie, by the other's address
	far.path, far.token = one.path, one.token
	far.redeems(code)
	refused(far, "another session")

	shown := 0
	for i := range one.asked().Digital {
		for _, at := range []string{"http://" + strings.Replace(v.host, "bound", "b0und", 1), "https://recover.examp1e.com"} {
			p := asks()
			d := p.asked().Digital[i]
			data, err := papers.AnswerBrowser(d.Protocol, d.Data, at, "mdl", time.Now())
			if err != nil { // a wallet that reads expected_origins refuses by itself
				continue
			}
			shown++
			p.answers(map[string]any{"protocol": d.Protocol, "data": data})
			refused(p, fmt.Sprintf("%s, shown to %s", d.Protocol, at))
		}
	}

	if shown == 0 {
		t.Error("no wallet showed anything to another origin")
	}

	one.redeems(code)
	one.want(http.StatusOK, "the session that asked")
	if !one.ready() {
		t.Fatalf("the session that asked: %s", one.text())
	}
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	thief := *one // with the cookie, without the key
	thief.key = key
	thief.press()
	refused(&thief, "another key than that of the proof")
	if got := who.writes(t, s); len(got) > 0 {
		t.Errorf("the directory logged %v", got)
	}
	one.get("")
	one.press()
	if err := s.WhoAmI(who.dn, one.finish()); err != nil {
		t.Errorf("the session that asked, with its key: %v", err)
	}
}
