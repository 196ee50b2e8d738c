package ldap

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// configFor is the mapping of the test company.
func configFor(t testing.TB, addr, caFile string) Config {
	return Config{
		Config: ldapconn.Config{
			URLs: []string{"ldaps://" + addr}, CAFile: caFile, BindDN: testenv.SlapdAgent,
			Password: protocol.NewSecret(testenv.SlapdAgentPassword), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		},
		BaseDNs: []string{testenv.SlapdPeople}, MailAttributes: []string{"corpPersonalMail"}, PhoneAttributes: []string{"mobile"},
		ManagerAttribute: "manager", LanguageAttribute: "preferredLanguage", BirthDateAttribute: "corpBirthDate",
		PrivilegedGroups: []string{"admins"}, DisabledAttribute: "corpStatus", DisabledValues: []string{"left"},
		MFAAttributes: []string{"corpTotpSecret"}, DefaultPolicy: "cn=default,ou=policies," + testenv.SlapdBase, ServerHashes: true,
	}
}

// openAt opens a directory that the test closes.
func openAt(t testing.TB, cfg Config) *Directory {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// person names an account of the test company.
func person(uid, mail, name string) directorytest.Person {
	dn := testenv.SlapdDN(uid)
	return directorytest.Person{ID: testenv.SlapdID(dn), DN: dn, Identifier: mail, Name: name, Password: testenv.SlapdEmployeePassword}
}

// fixture runs the suite on a server of its own.
func fixture(t *testing.T, o testenv.SlapdOptions, change func(*Config)) directorytest.Fixture {
	t.Helper()
	o.People = 8
	s := testenv.StartSlapd(t, o)
	admin := func(t *testing.T, dn, attribute, value string) {
		s.Modify(t, "dn: "+dn+"\nchangetype: modify\nreplace: "+attribute+"\n"+attribute+": "+value+"\n")
	}
	f := directorytest.Fixture{
		Open: func(t *testing.T, at directorytest.Target) directory.Directory {
			cfg := configFor(t, at.Addr, at.CAFile)
			if at.Password != "" {
				cfg.Password = protocol.NewSecret(at.Password)
			}
			if change != nil {
				change(&cfg)
			}
			d, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Addr: s.Addr(), CAFile: s.CAFile, SignIn: s.WhoAmI, Lock: func(t *testing.T, dn string) { s.Lock(t, dn) },
		Changes: func(t *testing.T, dn string) int { return len(s.Changes(t, dn, testenv.SlapdAgent)) },
		Meddle:  func(t *testing.T, dn, password string) { admin(t, dn, "userPassword", password) },
		Touch:   func(t *testing.T, dn string) { admin(t, dn, "title", "Boss") },
		HasMFA:  func(t *testing.T, dn string) bool { return len(s.Values(t, dn, "corpTotpSecret")) > 0 },
		People:  13 + 8, Person: person("anna", "anna@corp.example", "Anna Berg"),
		Disabled: person("dora", "dora@corp.example", "Dora Dunn"), Chief: person("chief", "chief@corp.example", "王 秀英"), Deputy: person("deputy", "deputy@corp.example", "Девид Депутат"),
		Ambiguous: "info@corp.example", Group: "staff", Nested: "admins", MinLength: 10, MFA: person("anna", "anna@corp.example", "Anna Berg"),
		Contacts: protocol.Contacts{Mail: []string{"anna@home.example"}, Primary: []string{"anna@corp.example"}, Phone: []string{"+49 30 1234567"}, Manager: "chief@corp.example", Language: "de"},
		Refusals: []directorytest.Refusal{
			{Name: "too short", Person: person("jürgen", "", ""), Password: "Ab1-x", Words: "too short"},
			{Name: "too short for a policy of its own", Person: person("fritz", "", ""), Password: "Ab1-xxxxxxxxxxxxxx", Words: "24 characters"},
			{Name: "used before", Person: person("ben", "", ""), Password: testenv.SlapdEmployeePassword, Words: "used before"},
			{Name: "old password is asked for", Person: person("sam", "", ""), Password: "Ab1-xxxxxxxxxxxxxx", Words: "pwdSafeModify"},
		},
	}
	w := usual
	if o.Custom {
		w = acme
	}
	f.Hands = hands(s, w)
	f.Restorable = func(t *testing.T) directorytest.Restorable { return restorable(t, o, change) }
	for _, n := range []string{"0", "1", "2", "3", "4", "5"} {
		p := person("emp00000"+n, "emp00000"+n+"@corp.example", "")
		p.Name = "Employee " + n + " of team0" + n
		f.Spares = append(f.Spares, p)
	}
	return f
}

func TestSlapd(t *testing.T) {
	t.Parallel()
	directorytest.Run(t, fixture(t, testenv.SlapdOptions{MustChange: true}, nil))
}

func TestSlapdInTwoSteps(t *testing.T) {
	t.Parallel()
	f := fixture(t, testenv.SlapdOptions{MustChange: true, NoHash: true, UseLockout: true}, func(cfg *Config) {
		cfg.ServerHashes = false
		cfg.Groups = GroupsMember
	})
	directorytest.Run(t, f)
}

func TestSlapdWithoutPolicy(t *testing.T) {
	t.Parallel()
	f := fixture(t, testenv.SlapdOptions{NoPolicy: true}, nil)
	f.Lock, f.Refusals, f.MinLength, f.Lacks = nil, nil, 0, []directorytest.Part{directorytest.Lockout}
	f.Disabled = person("lea", "lea@corp.example", "Lea Lopez")
	directorytest.Run(t, f)
}

func TestMustChangeIsNotPromisedWhereThePolicyIgnoresIt(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 3})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	about, err := d.Describe(t.Context())
	if err != nil || about.Traits.CanMustChange {
		t.Errorf("%+v, %v", about, err)
	}
	full := tasks(t, "get_temporary_password?must_change=true,unlock")
	if err := d.DryRun(t.Context(), testenv.SlapdID(testenv.SlapdDN("emp000001")), full); protocol.CodeOf(err) != protocol.CodeUnsupported {
		t.Errorf("under the default policy: %v", err)
	}
	// wanda's own policy has pwdMustChange.
	wanda := directory.Change{ID: testenv.SlapdID(testenv.SlapdDN("wanda")), Tasks: full, Password: protocol.NewSecret("Another-Passw0rd-9")}
	if r, err := d.Perform(t.Context(), wanda); err != nil || !r.MustChange {
		t.Errorf("under a policy of its own: %+v, %v", r, err)
	}
}

func TestAPasswordAdministratorsPasswordsAreStillChecked(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{Manage: true, MustChange: true})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	c := directory.Change{ID: testenv.SlapdID(testenv.SlapdDN("anna")), Tasks: tasks(t, "get_temporary_password"), Password: protocol.NewSecret("Ab1-x")}
	if _, err := d.Perform(t.Context(), c); protocol.CodeOf(err) != protocol.CodePasswordPolicy {
		t.Errorf("a short password, which the server would take: %v", err)
	}
	c.Password = protocol.NewSecret("Another-Passw0rd-9")
	if r, err := d.Perform(t.Context(), c); err != nil || !r.MustChange {
		t.Errorf("the server itself asks for a new password: %+v, %v", r, err)
	}
	c.ID = testenv.SlapdID(testenv.SlapdDN("sam"))
	if _, err := d.Perform(t.Context(), c); err != nil {
		t.Errorf("pwdSafeModify does not bind a password administrator: %v", err)
	}
}

func tasks(t *testing.T, text string) []protocol.Task {
	t.Helper()
	list, err := protocol.ParseTasks(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestCustomSchemaIsMapped(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 3})
	cfg := configFor(t, s.Addr(), s.CAFile)
	cfg.IDAttribute, cfg.Identifiers, cfg.NameAttributes = "employeeNumber", []string{"uid"}, []string{"cn"}
	cfg.Filter, cfg.ChangeAttribute, cfg.Groups = "(employeeNumber=*)", modifyTimestamp, GroupsNone
	d := openAt(t, cfg)
	got, err := d.Get(t.Context(), protocol.Ref{Identifier: "emp000002"})
	if err != nil || len(got) != 1 || got[0].ID != "2" || got[0].Name != "Employee 2" || len(got[0].Identifiers) != 1 || got[0].UpdatedAt.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := d.Get(t.Context(), protocol.Ref{Identifier: "anna"}); err != nil || len(got) != 0 {
		t.Errorf("an account outside of the filter: %+v, %v", got, err)
	}
	var ids []string
	if _, err := d.List(t.Context(), "", 10, func(p directory.Page) error {
		for _, a := range p.Accounts {
			ids = append(ids, a.ID)
		}
		return nil
	}); err != nil || strings.Join(ids, ",") != "0,1,2" {
		t.Errorf("listed %v, %v", ids, err)
	}
}

func TestGroupSchemesAgree(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{})
	s.Modify(t, "dn: cn=posix,"+testenv.SlapdGroups+"\nchangetype: add\nobjectClass: posixGroup\ngidNumber: 7\ncn: posix\nmemberUid: deputy\n")
	names := func(scheme, filter string) string {
		cfg := configFor(t, s.Addr(), s.CAFile)
		cfg.Groups, cfg.GroupFilter = scheme, filter
		got, err := openAt(t, cfg).Get(t.Context(), protocol.Ref{Identifier: "deputy"})
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %+v, %v", scheme, got, err)
		}
		var out []string
		for _, g := range got[0].Groups {
			out = append(out, g.Name)
		}
		return strings.Join(out, " ")
	}
	for scheme, want := range map[string]string{GroupsMemberOf: "deputies admins", GroupsMember: "deputies admins", GroupsNone: ""} {
		if got := names(scheme, ""); got != want {
			t.Errorf("%s: %q, want %q", scheme, got, want)
		}
	}
	if got := names(GroupsMemberUID, ""); got != "posix" {
		t.Errorf("memberUid: %q", got)
	}
}

func TestBirthDatesLeaveOnlyAsKeyedHash(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 3})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	dates := func() (anna, juergen string) {
		t.Helper()
		_, err := d.List(t.Context(), "", 100, func(p directory.Page) error {
			for _, a := range p.Accounts {
				switch a.ID {
				case testenv.SlapdID(testenv.SlapdDN("anna")):
					anna = a.BirthDate
				case testenv.SlapdID(testenv.SlapdDN("jürgen")):
					juergen = a.BirthDate
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return anna, juergen
	}
	if a, j := dates(); a != "" || j != "" {
		t.Errorf("without a key: %q, %q", a, j)
	}
	key := []byte("a key of this directory")
	d.UseBirthDateKey(key)
	if a, j := dates(); a != protocol.BirthDateHash(key, testenv.SlapdID(testenv.SlapdDN("anna")), "1985-03-09") ||
		j != protocol.BirthDateHash(key, testenv.SlapdID(testenv.SlapdDN("jürgen")), "1970-01-31") {
		t.Errorf("with a key: %q, %q", a, j)
	}
}

func TestP16_ThePolicyOfTheAccountIsRead(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 3})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	for uid, want := range map[string]int{"anna": 10, "fritz": 24} {
		got, err := d.Facts(t.Context(), testenv.SlapdID(testenv.SlapdDN(uid)))
		if err != nil || got.Policy.MinLength != want || !got.Policy.Complexity {
			t.Errorf("%s: %+v, %v; want %d characters", uid, got.Policy, err, want)
		}
	}
}

func TestTheAgentKnowsItself(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{})
	s.Modify(t, "dn: "+testenv.SlapdAgent+"\nchangetype: modify\nadd: objectClass\nobjectClass: extensibleObject\n-\nadd: mail\nmail: agent@corp.example\n")
	cfg := configFor(t, s.Addr(), s.CAFile)
	cfg.BaseDNs, cfg.Filter, cfg.PrivilegedAccounts = []string{testenv.SlapdBase}, "(mail=*)", []string{"UID=cleo, " + testenv.SlapdPeople}
	d := openAt(t, cfg)
	accounts, err := d.Get(t.Context(), protocol.Ref{Identifier: "agent@corp.example"})
	if err != nil || len(accounts) != 1 {
		t.Fatalf("%+v, %v", accounts, err)
	}
	if got, err := d.Facts(t.Context(), accounts[0].ID); err != nil || !got.Self {
		t.Errorf("the agent's own account: %+v, %v", got, err)
	}
	if got, err := d.Facts(t.Context(), testenv.SlapdID(testenv.SlapdDN("cleo"))); err != nil || got.Self || got.Privileged == "" {
		t.Errorf("a listed administrator: %+v, %v", got, err)
	}
}

func TestP15_TheAgentsRightsReachNoHashAndNoAuthenticator(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 3})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	c := directory.Change{ID: testenv.SlapdID(testenv.SlapdDN("emp000002")), Tasks: tasks(t, "get_temporary_password"), Password: protocol.NewSecret("Another-Passw0rd-9")}
	if _, err := d.Perform(t.Context(), c); err != nil { // so that there is a history
		t.Fatal(err)
	}
	for _, uid := range []string{"emp000002", "anna"} {
		err := d.pool.Do(t.Context(), "", func(conn *ldapconn.Conn) error {
			e, err := conn.Entry(t.Context(), testenv.SlapdDN(uid), "(objectClass=*)", "*", "+", userPassword, "pwdHistory", "corpTotpSecret")
			if err != nil {
				return err
			}
			for _, a := range e.Attributes {
				if strings.EqualFold(a.Name, userPassword) || strings.EqualFold(a.Name, "pwdHistory") || strings.EqualFold(a.Name, "corpTotpSecret") {
					t.Errorf("%s: the agent reads %s", uid, a.Name)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAnAdministratorsLockIsNeverLifted(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	id, dn := testenv.SlapdID(testenv.SlapdDN("dora")), testenv.SlapdDN("dora")
	for _, text := range []string{"get_temporary_password", "unlock", "get_temporary_password,unlock"} {
		tasks := tasks(t, text)
		c := directory.Change{ID: id, Tasks: tasks}
		if strings.HasPrefix(text, "get") {
			c.Password = protocol.NewSecret("Another-Passw0rd-9")
		}
		_, perform := d.Perform(context.WithoutCancel(t.Context()), c)
		for what, err := range map[string]error{"dry run": d.DryRun(t.Context(), id, tasks), "perform": perform} {
			if protocol.CodeOf(err) != protocol.CodeUnsupportedAccountState {
				t.Errorf("%s of %s: %v", what, text, err)
			}
		}
	}
	if got := s.Values(t, dn, "pwdAccountLockedTime"); len(got) != 1 || got[0] != adminLock {
		t.Errorf("the lock is now %v", got)
	}
	if n := s.Changes(t, dn, testenv.SlapdAgent); len(n) != 0 {
		t.Errorf("the account was changed: %v", n)
	}
}
