package e2e

import (
	"net/http"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

func TestAnEmployeeInOpenLDAPGetsBackIn(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{})
	v := sharedEdge(t).environment(t, "openldap", "ldap")
	v.startAgent(slapdAgent(s))
	b := testenv.Chromium(t)
	anna, mail, private := testenv.SlapdDN("anna"), "anna@corp.example", "anna@home.example"

	j := v.on(b)
	j.start(mail, "password")
	j.prove(v.code(private, 0))
	secret := j.reset()
	if err := s.WhoAmI(anna, secret); err != nil {
		t.Errorf("the temporary password does not sign in: %v", err)
	}
	if s.WhoAmI(anna, testenv.SlapdEmployeePassword) == nil {
		t.Error("the old password still signs in")
	}
	if got := j.pressAgain(); got == http.StatusOK {
		t.Error("a second press was taken")
	}
}
