package e2e

import (
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

func TestWithoutScriptsAnAccountIsUnlockedAndAPasswordPageSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	s := corp(t)
	nils, nora := hire(t, s, "nils", ""), hire(t, s, "nadja", "")
	v := sharedEdge(t).environment(t, "noscript", "ldap")
	v.startAgent(slapdAgent(s))
	b := testenv.Chromium(t)
	b.NoScripts()
	j := v.on(b)

	s.Lock(t, nils.dn)
	j.start(nils.mail, "unlock")
	j.enter(v.code(nils.private, 0))
	j.press("Your account is unlocked")
	if err := s.WhoAmI(nils.dn, testenv.SlapdEmployeePassword); err != nil {
		t.Errorf("after the unlock: %v", err)
	}

	j.start(nora.mail, "password")
	j.enter(v.code(nora.private, 0))
	b.WaitText("JavaScript")
	b.Click("#perform")
	b.Wait(`document.querySelector('#no-key:not([hidden])')`)
	if got := nora.writes(t, s); got != nil {
		t.Errorf("a press without a key changed the directory: %v", got)
	}
}
