package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/internal/testenv"
)

func ds389Site(t *testing.T, s *testenv.DS389) *site {
	t.Helper()
	return newSite(t, testenv.SlapdAgentPassword, map[string]string{
		"kind": q("ldap"), "profile": q("389-ds"), "urls": `["ldaps://` + s.Addr() + `"]`, "server_name": q(testenv.DS389Name), "ca_file": q(s.CAFile),
		"bind_dn": q(testenv.SlapdAgent), "base_dns": `["` + testenv.SlapdPeople + `"]`, "mfa_attributes": `["corpTotpSecret"]`,
	})
}

// Rights that are taken away are named with the lines that give them, and the agent's own
// account is looked at as the server sees it.
func TestDoctorNamesWhatIsWrongWith389DirectoryServer(t *testing.T) {
	s := testenv.Start389(t)
	well := ds389Site(t, s)
	if r := well.examine(t, "--account", "anna"); len(r.numbers()) != 0 {
		t.Errorf("findings = %v\n%s", r.numbers(), r.text)
	}
	for name, c := range map[string]struct {
		keys   []string
		number int
		says   string
	}{
		"wrong base DN": {[]string{"base_dns", `["ou=peolpe,dc=corp,dc=example"]`}, doctor.NoSuchBase, "ou=people,dc=corp,dc=example"},
		"untrusted CA":  {[]string{"ca_file", ""}, doctor.ServerUntrusted, "1. "},
		"another name":  {[]string{"server_name", q("ldap.corp.example")}, doctor.ServerOtherName, "ldap.corp.example"},
		"wrong name":    {[]string{"bind_dn", q("cn=nobody,dc=corp,dc=example")}, doctor.SignInWrong, ""},
	} {
		t.Run(name, func(t *testing.T) { well.with(c.keys...).expect(t, c.number, c.says) })
	}
	for _, c := range []struct {
		at, acl string
		number  int
	}{{testenv.SlapdBase, "postern reset", doctor.RightMissing}, {"cn=config", "postern policy", doctor.RightOptional}} {
		for _, aci := range s.Values(t, c.at, "aci") {
			if strings.Contains(aci, `"`+c.acl+`"`) {
				s.Modify(t, "dn: "+c.at+"\nchangetype: modify\ndelete: aci\naci: "+aci+"\n")
			}
		}
		var paste []string
		testenv.Eventually(t, "the lines are told without "+c.acl, func() bool { // the server goes by a rule a moment after it has it
			_, _, paste = well.examine(t, "--account", "anna").step(c.number)
			return len(paste) > 0
		})
		s.Modify(t, strings.Join(paste, "\n")+"\n")
		testenv.Eventually(t, "nothing is found after the lines were run", func() bool { return len(well.examine(t, "--account", "anna").numbers()) == 0 })
	}
	flag := func(verb string) {
		s.Modify(t, "dn: "+testenv.SlapdAgent+"\nchangetype: modify\n"+verb+": nsAccountLock\nnsAccountLock: true\n")
	}
	flag("add")
	well.expect(t, doctor.SignInDisabled, "inactivated")
	flag("delete")
	s.Lock(t, testenv.SlapdAgent)
	well.expect(t, doctor.SignInLocked, "locked by failed sign-ins")
}

// OpenLDAP tells that an account is locked only where its administrator wants that, and
// that a password must be changed always.
func TestDoctorNamesWhyOpenLDAPRefusesTheAgentsAccount(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{UseLockout: true, MustChange: true})
	well := slapdSite(t, s)
	s.Modify(t, "dn: "+testenv.SlapdAgent+"\nchangetype: modify\nadd: pwdReset\npwdReset: TRUE\n")
	well.expect(t, doctor.SignInMustChange, "nothing but change its password")
	s.Modify(t, "dn: "+testenv.SlapdAgent+"\nchangetype: modify\ndelete: pwdReset\n")
	if r := well.examine(t); slices.Contains(r.numbers(), doctor.SignInMustChange) {
		t.Errorf("changed: %s", r.text)
	}
	s.Lock(t, testenv.SlapdAgent)
	well.expect(t, doctor.SignInLocked, "locked by failed sign-ins")
}
