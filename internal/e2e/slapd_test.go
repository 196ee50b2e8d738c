package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// corp is the shared OpenLDAP server; each test hires people of its own.
func corp(t *testing.T) *testenv.Slapd {
	t.Helper()
	return testenv.SharedSlapd(t, testenv.SlapdOptions{})
}

// A person is somebody in the shared OpenLDAP server.
type person struct{ uid, dn, mail, private string }

// unused is a name that is not taken yet: the one given, or in a further round of the same
// tests, which share servers with the first one, with a letter more.
func unused(name string, taken func(string) bool) string {
	for free, letter := name, 'b'; ; letter++ {
		if !taken(free) {
			return free
		}
		free = name + string(letter)
	}
}

// hire adds a person who can sign in, with a private address and further attributes.
func hire(t *testing.T, s *testenv.Slapd, uid, more string) person {
	t.Helper()
	uid = unused(uid, func(uid string) bool { return s.Has(t, uid) })
	p := person{uid, testenv.SlapdDN(uid), uid + "@corp.example", uid + "@home.example"}
	s.Modify(t, fmt.Sprintf("dn: %s\nchangetype: add\nobjectClass: inetOrgPerson\nobjectClass: corpPerson\nuid: %s\ncn: Person %s\nsn: %s\nmail: %s\ncorpPersonalMail: %s\nuserPassword: %s\n%s",
		p.dn, uid, uid, uid, p.mail, p.private, testenv.SlapdEmployeePassword, more))
	return p
}

// writes are what the agent changed of a person, by the server's own access log.
func (p person) writes(t *testing.T, s *testenv.Slapd) []string {
	t.Helper()
	return s.Changes(t, p.dn, testenv.SlapdAgent)
}

func TestAnEmployeeInOpenLDAPGetsBackIn(t *testing.T) {
	t.Parallel()
	s := corp(t)
	rita, lotte, mona := hire(t, s, "rita", ""), hire(t, s, "lotte", ""), hire(t, s, "mona", "corpTotpSecret: JBSWY3DPEHPK3PXP\n")
	v := sharedEdge(t).environment(t, "openldap", "ldap")
	v.startAgent(slapdAgent(s))
	b := testenv.Chromium(t)
	j := v.on(b)

	j.start(rita.mail, "password")
	b.Reload() // in the middle: it goes on
	j.prove(v.code(rita.private, 0))
	b.Reload()
	secret := j.reset()
	if err := s.WhoAmI(rita.dn, secret); err != nil {
		t.Errorf("the temporary password does not sign in: %v", err)
	}
	if s.WhoAmI(rita.dn, testenv.SlapdEmployeePassword) == nil {
		t.Error("the old password still signs in")
	}
	j.pressAgain()
	if got := rita.writes(t, s); !slices.Equal(got, []string{"modify"}) {
		t.Errorf("the directory logged %v, want one modify", got)
	}
	j.acknowledge(secret)

	s.Lock(t, lotte.dn)
	if s.WhoAmI(lotte.dn, testenv.SlapdEmployeePassword) == nil {
		t.Fatal("three wrong passwords do not lock")
	}
	j.start(lotte.mail, "unlock")
	j.prove(v.code(lotte.private, 0))
	j.press("Your account is unlocked")
	if err := s.WhoAmI(lotte.dn, testenv.SlapdEmployeePassword); err != nil {
		t.Errorf("after the unlock: %v", err)
	}

	j.start(mona.mail, "mfa")
	j.prove(v.code(mona.private, 0))
	j.press("Your authenticators were removed")
	if got := s.Values(t, mona.dn, "corpTotpSecret"); got != nil {
		t.Errorf("the authenticator is still there: %v", got)
	}
	if err := s.WhoAmI(mona.dn, testenv.SlapdEmployeePassword); err != nil {
		t.Errorf("removing authenticators touched the password: %v", err)
	}
}
