package ad

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestConformance(t *testing.T) {
	s := testenv.SharedSamba(t)
	add := func(login, name string, attributes map[string][]string) directorytest.Person {
		t.Helper()
		if attributes == nil {
			attributes = map[string][]string{}
		}
		attributes["displayName"] = []string{name}
		id, upn, dn := person(t, s, login, attributes)
		return directorytest.Person{ID: id, DN: dn, Identifier: upn, Name: name, Password: testenv.SambaEmployeePassword}
	}
	f := directorytest.Fixture{
		Open: func(t *testing.T, at directorytest.Target) directory.Directory {
			password := at.Password
			if password == "" {
				password = testenv.SambaServicePassword
			}
			d, err := Open(Config{BaseDNs: []string{testenv.SambaBase}, Filter: "(!(ou=left))", Config: ldapconn.Config{
				URLs: []string{"ldaps://" + at.Addr}, CAFile: at.CAFile, BindDN: testenv.SambaService, Password: protocol.NewSecret(password),
			}, SettleAfter: 1})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Addr: s.Addr + ":636", CAFile: s.CAFile,
		SignIn: func(dn, password string) error {
			if err := s.Bind(t, dn, password); err != nil && !strings.Contains(err.Error(), "data 773") {
				return err
			}
			return nil
		},
		Lock:    func(t *testing.T, dn string) { s.Lock(t, dn) },
		Changes: func(t *testing.T, dn string) int { return passwordWrites(t, s, dn) },
		Meddle:  func(t *testing.T, dn, password string) { s.SetPassword(t, dn, password) },
		Touch:   func(t *testing.T, dn string) { touch(t, s, dn) },
		Hands:   hands(s), Restorable: restorable,
		Lacks: []directorytest.Part{directorytest.Authenticators},

		Person: add("c.person", "Çelik, Ümit \"U\" <c>", map[string][]string{
			"mail": {"c.person@mail.example"}, "otherMailbox": {"c.person@home.example"}, "mobile": {"+15550101"},
			"manager": {"CN=Anna Berg," + testenv.SambaStaff}, "preferredLanguage": {"tr"},
		}),
		Disabled: directorytest.Person{DN: "CN=Dora Disabled," + testenv.SambaStaff, Identifier: "dora", Name: "Dora Disabled"},
		Chief:    directorytest.Person{DN: "CN=Carla Chief," + testenv.SambaStaff, Identifier: "chief", Name: "Carla Chief"},
		Deputy:   directorytest.Person{DN: "CN=Denis Deputy," + testenv.SambaStaff, Identifier: "deputy", Name: "Denis Deputy"},
		Forbidden: directorytest.Person{
			DN: "CN=Vera Vendor," + testenv.SambaPartners, Identifier: "vera", Name: "Vera Vendor", Password: testenv.SambaEmployeePassword,
		},
		Ambiguous: "two@corp.example",
		Contacts: protocol.Contacts{
			Mail: []string{"c.person@home.example"}, Primary: []string{"c.person@mail.example"}, Phone: []string{"+15550101"},
			Manager: "Anna.Berg@corp.example", Language: "tr",
		},
		Group: "Conformance", Nested: "Tier0-Outer", MinLength: 10,
	}
	for _, login := range []string{"c.spare0", "c.spare1", "c.spare2", "c.spare3"} {
		f.Spares = append(f.Spares, add(login, login, nil))
	}
	add("c.two.a", "Two A", map[string][]string{"mail": {"two@corp.example"}})
	add("c.two.b", "Two B", map[string][]string{"proxyAddresses": {"smtp:two@corp.example"}})
	_, d := open(t)
	for _, p := range []*directorytest.Person{&f.Disabled, &f.Chief, &f.Deputy, &f.Forbidden} {
		p.ID = idOf(t, d, p.Identifier)
	}
	group := ldap.NewAddRequest("CN=Conformance,"+testenv.SambaStaff, nil)
	group.Attribute("objectClass", []string{"group"})
	group.Attribute("member", []string{f.Person.DN})
	if err := s.Admin(t).Add(group); err != nil {
		t.Fatal(err)
	}
	fritz := directorytest.Person{ID: idOf(t, d, "fritz"), DN: "CN=Fritz Finance," + testenv.SambaStaff}
	f.Refusals = []directorytest.Refusal{
		{Name: "too short", Person: f.Person, Password: "Short-1", Words: "password policy"},
		{Name: "too simple", Person: f.Person, Password: "onlylowercaseletters", Words: "password policy"},
		{Name: "too short for the stricter policy", Person: fritz, Password: "Good-enough-4-others", Words: "password policy"},
	}
	directorytest.Run(t, f)
}

// passwordWrites is the controller's own count of password writes.
func passwordWrites(t *testing.T, s *testenv.Samba, dn string) int {
	t.Helper()
	c := s.Admin(t)
	defer func() { _ = c.Close() }()
	r, err := c.Search(ldapconn.Request(dn, ldap.ScopeBaseObject, 0, "(objectClass=*)", "replPropertyMetaData"))
	if err != nil || len(r.Entries) != 1 {
		t.Fatal(err)
	}
	writes, err := parseMetadata(r.Entries[0].GetRawAttributeValue("replPropertyMetaData"))
	if err != nil {
		t.Fatal(err)
	}
	return int(writes[attUnicodePwd].Version)
}

// The stamp in the journal is text; a write that it holds must come back as it was.
func TestStampsKeepTheirWrites(t *testing.T) {
	want := stamp{Server: "ldaps://dc:636#127.0.0.1:636", DC: "d", Now: 5, Password: write{1, "d", 1 << 62, 7}, Lock: write{4294967295, "e", 2, -1}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseStamp(string(text)); err != nil || got != want {
		t.Errorf("parseStamp = %+v, %v", got, err)
	}
}

// touch changes when an account ends, far in the future.
func touch(t *testing.T, s *testenv.Samba, dn string) {
	t.Helper()
	ends := "150000000000000000"
	if s.Values(t, dn, "accountExpires")[0] == ends {
		ends = "150000000000000001"
	}
	s.Set(t, dn, map[string][]string{"accountExpires": {ends}})
}

// hands are those of the domain's administrator.
func hands(s *testenv.Samba) *directorytest.Hands {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rename := func(t *testing.T, dn, name, above string) string {
		t.Helper()
		must(t, s.Admin(t).ModifyDN(ldap.NewModifyDNRequest(dn, "CN="+ldap.EscapeDN(name), true, above)))
		if above == "" {
			above = testenv.SambaStaff
		}
		return "CN=" + ldap.EscapeDN(name) + "," + above
	}
	return &directorytest.Hands{
		Add: func(t *testing.T, login string) directorytest.Person { return addPerson(t, s, login) },
		Delete: func(t *testing.T, dn string) {
			t.Helper()
			must(t, s.Admin(t).Del(ldap.NewDelRequest(dn, nil)))
		},
		Rename: func(t *testing.T, p directorytest.Person, name string) directorytest.Person {
			t.Helper()
			p.DN, p.Name = rename(t, p.DN, name, ""), name
			s.Set(t, p.DN, map[string][]string{"displayName": {name}})
			return p
		},
		Leave: func(t *testing.T, p directorytest.Person) directorytest.Person {
			t.Helper()
			s.Set(t, p.DN, map[string][]string{"ou": {"left"}})
			return p
		},
		Group: func(t *testing.T, name string, members ...string) string {
			t.Helper()
			dn := "CN=" + name + "," + testenv.SambaStaff
			g := ldap.NewAddRequest(dn, nil)
			g.Attribute("objectClass", []string{"group"})
			g.Attribute("member", members)
			must(t, s.Admin(t).Add(g))
			return dn
		},
		Member: func(t *testing.T, group, dn string, in bool) {
			t.Helper()
			m := ldap.NewModifyRequest(group, nil)
			if in {
				m.Add("member", []string{dn})
			} else {
				m.Delete("member", []string{dn})
			}
			must(t, s.Admin(t).Modify(m))
		},
		RenameGroup: func(t *testing.T, group, name string) string { t.Helper(); return rename(t, group, name, "") },
	}
}

func addPerson(t *testing.T, s *testenv.Samba, login string) directorytest.Person {
	t.Helper()
	id, upn, dn := person(t, s, login, map[string][]string{"displayName": {login}})
	return directorytest.Person{ID: id, DN: dn, Identifier: upn, Name: login, Password: testenv.SambaEmployeePassword}
}

// restorable is a controller of its own.
func restorable(t *testing.T) directorytest.Restorable {
	s := testenv.StartSamba(t)
	return directorytest.Restorable{
		Open:  func(t *testing.T) directory.Directory { return openAt(t, s) },
		Add:   func(t *testing.T, login string) directorytest.Person { t.Helper(); return addPerson(t, s, login) },
		Touch: func(t *testing.T, dn string) { t.Helper(); touch(t, s, dn) },
		Keep:  func(t *testing.T) { s.Keep(t) },
		Back:  func(t *testing.T) { s.Restore(t) },
	}
}
