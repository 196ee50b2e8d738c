package demo

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	ldapkind "github.com/postern-id/postern/agent/directory/ldap"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// open starts a demo directory for the test.
func open(t testing.TB) *Directory {
	t.Helper()
	d, err := Open(t.Context(), Config{CAFile: filepath.Join(t.TempDir(), "ca.pem")})
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

// client is a go-ldap connection to the demo's server.
func client(t testing.TB, d *Directory) *ldap.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.CA())
	c, err := ldap.DialURL("ldaps://"+d.Address(), ldap.DialWithTLSConfig(&tls.Config{RootCAs: roots}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func person(uid string) directorytest.Person {
	for _, e := range employees {
		if e.uid == uid {
			return directorytest.Person{ID: idOf(e.dn()), DN: e.dn(), Identifier: e.mail(), Name: e.name, Password: InitialPassword}
		}
	}
	panic("no employee " + uid)
}

func TestConformance(t *testing.T) {
	s, err := serve(t.Context(), "", newTree("the agent's password"), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, s.ca, 0o600); err != nil {
		t.Fatal(err)
	}
	f := directorytest.Fixture{
		Open: func(t *testing.T, at directorytest.Target) directory.Directory {
			pem, err := os.ReadFile(at.CAFile)
			if err != nil {
				t.Fatal(err)
			}
			password := at.Password
			if password == "" {
				password = "the agent's password"
			}
			cfg := mapping(&server{address: at.Addr, ca: pem}, password, testLog(t))
			d, err := ldapkind.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Addr: s.address, CAFile: caFile,
		SignIn: func(dn, password string) error {
			if a, _ := s.tree.signIn(dn, password); a.code != ldap.LDAPResultSuccess {
				return fmt.Errorf("result %d", a.code)
			}
			return nil
		},
		Lock: func(t *testing.T, dn string) {
			for range maxFailures {
				s.tree.signIn(dn, "wrong")
			}
		},
		Changes: func(t *testing.T, dn string) int { return s.tree.writes(dn) },
		Touch:   func(t *testing.T, dn string) { touch(s.tree, dn) },
		Meddle: func(t *testing.T, dn, password string) {
			s.tree.change(dn, "cn=somebody else", func(n *node) answer { return setPassword(n, password, s.tree.stamp(n, "cn=somebody else")) })
		},
		HasMFA: func(t *testing.T, dn string) bool { return len(s.tree.find(dn).get(attrTotpSecret)) > 0 },
		Lacks:  []directorytest.Part{directorytest.Others, directorytest.Backup},
		People: len(employees), Person: person("anna.berg"), MFA: person("anna.berg"), Disabled: person("dora.dunn"),
		Chief: person("boris.keller"), Deputy: person("minjun.kim"), Ambiguous: SharedAddress, Group: "Sales", Nested: administrators, MinLength: minLength,
		Spares: []directorytest.Person{person("wang.xiuying"), person("mohammed.alahmad"), person("olena.shevchenko"), person("sakura.tanaka"), person("anika.sharma")},
		Contacts: protocol.Contacts{Mail: []string{"anna.berg@home.example"}, Primary: []string{"anna.berg@lindenhof.example"}, Phone: []string{"+49 30 5550101"},
			Manager: "boris.keller@lindenhof.example", Language: "de"},
		Refusals: []directorytest.Refusal{
			{Name: "too short", Person: person("juergen.mueller"), Password: "Ab1-x", Words: "too short"},
			{Name: "too plain", Person: person("juergen.mueller"), Password: "abcdefghijkl", Words: "quality"},
			{Name: "used before", Person: person("juergen.mueller"), Password: InitialPassword, Words: "used before"},
		},
	}
	directorytest.Run(t, f)
}

// touch changes an entry as an administrator would.
func touch(tr *tree, dn string) {
	tr.change(dn, baseDN, func(n *node) answer {
		n.set("title", "Boss")
		tr.stamp(n, baseDN)
		return answer{}
	})
}

func TestTheCompanyIsThere(t *testing.T) {
	d := open(t)
	c := client(t, d)
	notes := map[string]int{}
	for _, a := range Accounts() {
		if a.Email == "" || a.Name == "" || a.DN == "" {
			t.Errorf("%+v", a)
		}
		notes[a.Note]++
		_ = c.Bind(a.DN, InitialPassword)
		got, err := d.Get(t.Context(), protocol.Ref{Identifier: a.Email})
		if err != nil || len(got) != 1 || got[0].Name != a.Name {
			t.Errorf("%s: %+v, %v", a.Email, got, err)
			continue
		}
		contacts, err := d.Contacts(t.Context(), got[0].ID)
		if err != nil || strings.Join(contacts.Mail, "") != a.PersonalEmail {
			t.Errorf("%s: %+v, %v", a.Email, contacts, err)
		}
		facts, err := d.Facts(t.Context(), got[0].ID)
		if err != nil || facts.Disabled != strings.HasPrefix(a.Note, "disabled") || facts.Locked != strings.HasPrefix(a.Note, "locked") || (facts.Privileged != "") != strings.Contains(a.Note, "administrator") {
			t.Errorf("%s (%s): %+v, %v", a.Email, a.Note, facts, err)
		}
	}
	if len(notes) < 6 {
		t.Errorf("the company shows too little: %v", notes)
	}
}

func TestOpenLDAPsToolsProveAReset(t *testing.T) {
	whoami, passwd, search := testenv.Need(t, "ldapwhoami"), testenv.Need(t, "ldappasswd"), testenv.Need(t, "ldapsearch")
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	d, err := Open(t.Context(), Config{CAFile: caFile, Listen: fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	run := func(program string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"-x"}, args...)...)
		cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+caFile)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	plain, secured := "ldap://"+d.Address(), "ldaps://"+d.Address()
	anna := person("anna.berg")
	c := directory.Change{ID: anna.ID, Tasks: []protocol.Task{{Operation: protocol.GetTemporaryPassword}}, Password: protocol.NewSecret("Fresh-Passw0rd-1")}
	if _, err := d.Perform(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-ZZ", "-H", plain}, {"-H", secured}} {
		if out, err := run(whoami, append(args, "-D", anna.DN, "-w", "Fresh-Passw0rd-1")...); err != nil || strings.TrimSpace(out) != "dn:"+anna.DN {
			t.Errorf("%v: %s, %v", args, out, err)
		}
		if out, err := run(whoami, append(args, "-D", anna.DN, "-w", InitialPassword)...); err == nil {
			t.Errorf("%v: the old password still works: %s", args, out)
		}
	}
	if out, err := run(whoami, "-H", plain, "-D", anna.DN, "-w", "Fresh-Passw0rd-1"); err == nil || !strings.Contains(out, "onfidentiality") {
		t.Errorf("a sign-in in the clear: %s, %v", out, err)
	}
	// Her own change, with a password that the server makes.
	if out, err := run(passwd, "-H", secured, "-D", anna.DN, "-w", "Fresh-Passw0rd-1", "-a", "Fresh-Passw0rd-1"); err != nil || !strings.Contains(out, "New password:") {
		t.Errorf("ldappasswd: %s, %v", out, err)
	}
	if out, err := run(search, "-H", secured, "-b", baseDN, "-E", "pr=5/noprompt", "(objectClass=*)"); err == nil || strings.Contains(out, "dn: uid=") {
		t.Errorf("an anonymous search found people: %s, %v", out, err)
	}
	if out, err := run(search, "-LLL", "-H", secured, "-b", "", "-s", "base", "+"); err != nil || !strings.Contains(out, "namingContexts: "+baseDN) {
		t.Errorf("root DSE: %s, %v", out, err)
	}
}

func TestMustChangeRestrictsUntilItIsDone(t *testing.T) {
	d := open(t)
	p := person("olena.shevchenko")
	tasks, err := protocol.ParseTasks("get_temporary_password?must_change=true,unlock")
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Perform(t.Context(), directory.Change{ID: p.ID, Tasks: tasks, Password: protocol.NewSecret("Temporary-Passw0rd-1")})
	if err != nil || !r.MustChange {
		t.Fatalf("%+v, %v", r, err)
	}
	c := client(t, d)
	if err := c.Bind(p.DN, "Temporary-Passw0rd-1"); err != nil {
		t.Fatal(err)
	}
	own := ldap.NewSearchRequest(p.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil)
	if _, err := c.Search(own); !ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights) {
		t.Errorf("a search before the change: %v", err)
	}
	if _, err := c.PasswordModify(ldap.NewPasswordModifyRequest("", "Temporary-Passw0rd-1", "My-0wn-Password")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Search(own); err != nil || len(got.Entries) != 1 || got.Entries[0].GetAttributeValue("uid") == "" {
		t.Errorf("a search after the change: %v", err)
	}
}

func TestNobodyReadsOrWritesMoreThanTheirOwn(t *testing.T) {
	d := open(t)
	c := client(t, d)
	all := ldap.NewSearchRequest(baseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"*", "+", "userPassword"}, nil)
	if got, err := c.Search(all); err == nil {
		t.Errorf("anonymous: %d entries", len(got.Entries))
	}
	anna, ben := person("anna.berg"), person("juergen.mueller")
	if err := c.Bind(anna.DN, InitialPassword); err != nil {
		t.Fatal(err)
	}
	got, err := c.Search(all)
	if err != nil || len(got.Entries) != 1 || got.Entries[0].DN != anna.DN {
		t.Errorf("anna sees %d entries, %v", len(got.Entries), err)
	}
	for _, a := range got.Entries[0].Attributes {
		if strings.EqualFold(a.Name, attrTotpSecret) || strings.EqualFold(a.Name, "userPassword") {
			t.Errorf("%s can be read", a.Name)
		}
	}
	if _, err := c.PasswordModify(ldap.NewPasswordModifyRequest(ben.DN, "", "Another-Passw0rd-1")); !ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights) {
		t.Errorf("another's password: %v", err)
	}
	m := ldap.NewModifyRequest(anna.DN, nil)
	m.Replace("mail", []string{"chief@lindenhof.example"})
	if err := c.Modify(m); !ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights) {
		t.Errorf("own mail address: %v", err)
	}
	if err := c.Del(ldap.NewDelRequest(anna.DN, nil)); err == nil {
		t.Error("an entry was deleted")
	}
}

func TestTheServerTakesOnlySmallMessagesAndLoopback(t *testing.T) {
	d := open(t)
	for name, bytes := range map[string][]byte{
		"a huge length":  {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff},
		"no LDAP":        []byte("GET / HTTP/1.1\r\n\r\n"),
		"indefinite":     {0x30, 0x80, 0x02, 0x01, 0x01},
		"negative id":    {0x30, 0x05, 0x02, 0x01, 0xff, 0x42, 0x00},
		"nothing inside": {0x30, 0x00},
	} {
		c, err := net.Dial("tcp", d.Address())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(bytes); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 10)); n != 0 || err == nil {
			t.Errorf("%s: %d bytes came back, %v", name, n, err)
		}
		c.Close()
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:1389", "localhost:0", "127.0.0.1"} {
		if d, err := Open(t.Context(), Config{Listen: address}); protocol.CodeOf(err) != protocol.CodeConfiguration {
			t.Errorf("%s: %v", address, err)
			if err == nil {
				d.Close()
			}
		}
	}
}

func TestStartTLSTakesNothingThatCameBeforeForProtected(t *testing.T) {
	d := open(t)
	c, err := net.Dial("tcp", d.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	startTLS := append([]byte{0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16}, oidStartTLS...)
	smuggled := []byte{0x30, 0x0c, 0x02, 0x01, 0x02, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00}
	if _, err := c.Write(append(startTLS, smuggled...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 100)
	n, _ := c.Read(answer)
	if n < 10 || answer[9] != ldap.LDAPResultOperationsError && bytes.Contains(answer[:n], []byte(oidStartTLS)) {
		t.Errorf("StartTLS with something behind it was accepted: %x", answer[:n])
	}
	if n, err := c.Read(answer); err == nil {
		t.Errorf("the connection goes on: %x", answer[:n])
	}
}

func TestTheTableIsReadStrictly(t *testing.T) {
	cfg, err := Decode(settings.File{Name: "/x/agent.toml", Text: []byte("[directory]\nkind = \"demo\"\nlisten = \"127.0.0.1:1389\"\nca_file = \"ca.pem\"\n")})
	if err != nil || cfg.Listen != "127.0.0.1:1389" || cfg.CAFile != "/x/ca.pem" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if _, err := Decode(settings.File{Name: "agent.toml", Text: []byte("[directory]\nkind = \"demo\"\nlissen = \"x\"\n")}); protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), "listen") {
		t.Errorf("%v", err)
	}
}
