package ad

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// Schema ids (MS-ADA, MS-ADSC) of what the rights name.
const (
	classUser  = "bf967aba-0de6-11d0-a285-00aa003049e2"
	attrUAC    = "bf967a68-0de6-11d0-a285-00aa003049e2"
	attrLast   = "bf967a0a-0de6-11d0-a285-00aa003049e2" // pwdLastSet
	attrGroup  = "bf9679c0-0de6-11d0-a285-00aa003049e2" // member
	attrPhones = "f0f8ffa5-1191-11d0-a060-00aa006c33ed" // otherTelephone
	attrMobile = "f0f8ffa3-1191-11d0-a060-00aa006c33ed"
	attrNumber = "a8df73ef-c5ea-11d1-bbcb-0080c76670c0" // employeeNumber
)

func TestActs(t *testing.T) {
	s := testenv.SharedSamba(t)
	upn, _, sidHex := agentAccount(t, s, "svc-acts")
	raw, err := hex.DecodeString(sidHex)
	if err != nil {
		t.Fatal(err)
	}
	who, err := parseSID(raw)
	if err != nil {
		t.Fatal(err)
	}
	ou := "OU=Acts," + testenv.SambaBase
	unit(t, s.Admin(t), ou)
	add := func(login string) directorytest.Person {
		t.Helper()
		dn, raw := s.AddPerson(t, ou, login, testenv.SambaEmployeePassword, nil)
		id, err := guidText(raw)
		if err != nil {
			t.Fatal(err)
		}
		return directorytest.Person{ID: id, DN: dn, Identifier: login, Password: testenv.SambaEmployeePassword}
	}
	group := func(name string, in ...string) string {
		t.Helper()
		g := ldap.NewAddRequest("CN="+name+","+ou, nil)
		g.Attribute("objectClass", []string{"group"})
		g.Attribute("sAMAccountName", []string{name})
		if err := s.Admin(t).Add(g); err != nil {
			t.Fatal(err)
		}
		for _, up := range in {
			m := ldap.NewModifyRequest(up, nil)
			m.Add("member", []string{"CN=" + name + "," + ou})
			if err := s.Admin(t).Modify(m); err != nil {
				t.Fatal(err)
			}
		}
		return "CN=" + name + "," + ou
	}
	vpn := group("Acts VPN")
	group("Acts Operators", "CN=Account Operators,CN=Builtin,"+testenv.SambaBase)
	d := openAt(t, s, as(upn), func(c *Config) { c.BaseDNs = []string{ou} })
	p, leaver := add("acts.person"), add("acts.leaver")

	for _, o := range []protocol.Operation{protocol.Disable, protocol.SetMustChange, protocol.DeleteAccount} {
		if err := d.Act(t.Context(), p.ID, protocol.Task{Operation: o}); protocol.CodeOf(err) != protocol.CodePermissionDenied {
			t.Errorf("%s without rights: %v", o, err)
		}
	}
	join := protocol.Task{Operation: protocol.AddToGroup, Params: map[string]string{protocol.ParamGroup: "Acts VPN"}}
	if _, err := d.Foresee(t.Context(), p.ID, join); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("add_to_group without rights: %v", err)
	}
	for _, attribute := range []string{attrUAC, attrLast} {
		s.Allow(t, ou, "(OA;CIIO;WP;"+attribute+";"+classUser+";"+string(who)+")")
	}
	phone := directory.Set{Attribute: "otherTelephone", Values: []string{"+49 30 1"}}
	if _, err := d.ForeseeSet(t.Context(), p.ID, phone); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("set_attribute without rights: %v", err)
	}
	for _, attribute := range []string{attrPhones, attrMobile, attrNumber} {
		s.Allow(t, ou, "(OA;CIIO;WP;"+attribute+";"+classUser+";"+string(who)+")")
	}
	s.Allow(t, ou, "(OA;CIIO;SD;;"+classUser+";"+string(who)+")")
	s.Allow(t, vpn, "(OA;;WP;"+attrGroup+";;"+string(who)+")")

	directorytest.RunActs(t, directorytest.Acts{
		Actor: d, Person: p, Leaver: leaver, Group: "Acts VPN", Powerful: "Acts Operators",
		Single: "employeeNumber", Many: "otherTelephone", Own: "thumbnailPhoto", Evidence: "mobile",
		Values: func(t *testing.T, dn, attribute string) []string {
			e, err := s.Admin(t).Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{attribute}, nil))
			if err != nil {
				t.Fatal(err)
			}
			return e.Entries[0].GetAttributeValues(attribute)
		},
		SignIn: func(dn, password string) error {
			if err := s.Bind(t, dn, password); err != nil && !strings.Contains(err.Error(), "data 773") {
				return err
			}
			return nil
		},
		MustChange: func(t *testing.T, dn string) bool { return s.Values(t, dn, "pwdLastSet")[0] == "0" },
	})
}
