package ldap

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// config389 is what differs from the profile.
func config389(t testing.TB, addr, caFile string) Config {
	return Config{
		Config: ldapconn.Config{
			URLs: []string{"ldaps://" + addr}, CAFile: caFile, ServerName: testenv.DS389Name, BindDN: testenv.SlapdAgent,
			Password: protocol.NewSecret(testenv.SlapdAgentPassword), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		},
		Profile: Profile389, BaseDNs: []string{testenv.SlapdPeople}, MailAttributes: []string{"corpPersonalMail"}, PhoneAttributes: []string{"mobile"},
		ManagerAttribute: "manager", LanguageAttribute: "preferredLanguage", BirthDateAttribute: "corpBirthDate",
		PrivilegedGroups: []string{"admins"}, MFAAttributes: []string{"corpTotpSecret"},
	}
}

func Test389(t *testing.T) {
	t.Parallel()
	s := testenv.Start389(t)
	person := func(uid, mail, name string) directorytest.Person {
		dn := testenv.SlapdDN(uid)
		return directorytest.Person{ID: s.ID(t, dn), DN: dn, Identifier: mail, Name: name, Password: testenv.SlapdEmployeePassword}
	}
	set := func(t *testing.T, dn, attribute, value string) {
		t.Helper()
		s.Modify(t, "dn: "+dn+"\nchangetype: modify\nreplace: "+attribute+"\n"+attribute+": "+value+"\n")
	}
	anna := person("anna", "anna@corp.example", "Anna Berg")
	touches := 0
	f := directorytest.Fixture{
		Open: func(t *testing.T, at directorytest.Target) directory.Directory {
			cfg := config389(t, at.Addr, at.CAFile)
			if at.Password != "" {
				cfg.Password = protocol.NewSecret(at.Password)
			}
			d, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Addr: s.Addr(), CAFile: s.CAFile, SignIn: s.WhoAmI, Lock: func(t *testing.T, dn string) { s.Lock(t, dn) },
		Meddle: func(t *testing.T, dn, password string) { set(t, dn, "userPassword", password) },
		Touch: func(t *testing.T, dn string) {
			changed := s.Values(t, dn, "modifyTimestamp")
			// Of what is listed only the time changes, which the server keeps in seconds.
			testenv.Eventually(t, "the entry changed in another second", func() bool {
				touches++
				set(t, dn, "displayName", fmt.Sprintf("Anna Berg%s", strings.Repeat(" ", touches)))
				return !slices.Equal(s.Values(t, dn, "modifyTimestamp"), changed)
			})
		},
		HasMFA: func(t *testing.T, dn string) bool { return len(s.Values(t, dn, "corpTotpSecret")) > 0 },
		People: 13 + 8, Person: anna, MFA: anna,
		Disabled: person("dora", "dora@corp.example", "Dora Dunn"), Chief: person("chief", "chief@corp.example", "王 秀英"), Deputy: person("deputy", "deputy@corp.example", "Девид Депутат"),
		Ambiguous: "info@corp.example", Group: "staff", Nested: "admins", MinLength: 10, ForcesMustChange: true,
		Contacts: protocol.Contacts{Mail: []string{"anna@home.example"}, Primary: []string{"anna@corp.example"}, Phone: []string{"+49 30 1234567"}, Manager: "chief@corp.example", Language: "de"},
		Refusals: []directorytest.Refusal{
			{Name: "too short", Person: person("juergen", "", ""), Password: "Ab1-x", Words: "too short"},
			{Name: "used before", Person: person("ben", "", ""), Password: testenv.SlapdEmployeePassword, Words: "used before"},
		},
		Hands: hands(s, usual), Restorable: restorable389,
	}
	for i := range 6 {
		f.Spares = append(f.Spares, person(fmt.Sprintf("emp%06d", i), fmt.Sprintf("emp%06d@corp.example", i), fmt.Sprintf("Employee %d", i)))
	}
	directorytest.Run(t, f)
}

func restorable389(t *testing.T) directorytest.Restorable {
	s := testenv.Start389(t)
	touches := 0
	return directorytest.Restorable{
		Open: func(t *testing.T) directory.Directory { return openAt(t, config389(t, s.Addr(), s.CAFile)) },
		Add: func(t *testing.T, login string) directorytest.Person {
			t.Helper()
			return addPerson(t, s, usual, login)
		},
		Touch: func(t *testing.T, dn string) {
			t.Helper()
			touches++
			s.Modify(t, fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: displayName\ndisplayName: touched %d\n", dn, touches))
		},
		Keep: func(t *testing.T) { t.Helper(); s.Keep(t) },
		Back: func(t *testing.T) { t.Helper(); s.Restore(t) },
	}
}

// The server refuses a password that has three letters in a row of one of six attributes
// (passwordCheckSyntax): whoever makes one is told all of their values.
func TestP16_FactsHaveEveryWordThat389RefusesInAPassword(t *testing.T) {
	t.Parallel()
	s := testenv.Start389(t)
	d, dn := openAt(t, config389(t, s.Addr(), s.CAFile)), testenv.SlapdDN("anna")
	s.Modify(t, "dn: "+dn+"\nchangetype: modify\nadd: ou\nou: Workshop\n-\nreplace: givenName\ngivenName: Wilhelmina\n")
	id := s.ID(t, dn)
	facts, err := d.Facts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	tasks := []protocol.Task{{Operation: protocol.GetTemporaryPassword}}
	perform := func(part string) error {
		stamp, err := d.Stamp(t.Context(), id, tasks)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Perform(t.Context(), directory.Change{ID: id, Tasks: tasks, Password: protocol.NewSecret("Aa9-kqxwv" + part + "zkqxw7w"), Stamp: stamp})
		return err
	}
	for _, part := range []string{"ann", "erg", "hop", "lmi", "xam"} {
		if err := perform(part); protocol.CodeOf(err) != protocol.CodePasswordPolicy {
			t.Errorf("a password with %q: %v", part, err)
		}
		if !strings.Contains(strings.ToLower(strings.Join(facts.Words, " ")), part) {
			t.Errorf("nobody is told of %q: %q", part, facts.Words)
		}
	}
	if err := perform("vvw"); err != nil {
		t.Error(err)
	}
}
