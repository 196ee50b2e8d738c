package testenv

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/template"
)

// What the directory of StartSlapd is called, and who signs in with which password.
const (
	SlapdBase             = "dc=corp,dc=example"
	SlapdPeople           = "ou=people," + SlapdBase
	SlapdGroups           = "ou=groups," + SlapdBase
	SlapdRoot             = "cn=admin," + SlapdBase
	SlapdAgent            = "cn=agent,ou=services," + SlapdBase // the least rights that a reset needs
	SlapdRootPassword     = "admin-Passw0rd1"
	SlapdAgentPassword    = "agent-Passw0rd1"
	SlapdEmployeePassword = "Init-Passw0rd1"
	SlapdHost             = "ldap.corp.example" // a name in the certificate, beside 127.0.0.1 and localhost
)

//go:embed slapd.conf.tmpl
var slapdConf string

// SlapdOptions vary the server; the zero value has password policy, hashes what is
// modified in clear, and gives the agent the right "write" on userPassword.
type SlapdOptions struct {
	People     int  // emp000000 and on, beside the named people of slapdCompany
	NoPolicy   bool // without the ppolicy overlay
	NoHash     bool // without ppolicy_hash_cleartext: a modified password is stored as it came
	UseLockout bool // ppolicy_use_lockout: a failed sign-in says that the account is locked
	MustChange bool // pwdMustChange in the default policy
	Custom     bool // people and groups are of classes of their own, with attributes of their own
	Manage     bool // the agent has the right "manage" on userPassword
	Pages      int  // the largest page that the agent is given; 0: any
	Acts       bool // the agent may change the members of groups, set attributes of people and delete them
}

// A Slapd is a real OpenLDAP server on loopback with TLS, ppolicy, memberOf, accesslog
// and a custom schema (corpTotpSecret, corpPersonalMail, corpBirthDate, corpStatus).
// Three failed sign-ins lock an account for good; passwords need ten characters.
type Slapd struct {
	Dir    string // everything it writes
	CAFile string // PEM of the throw-away authority

	options        SlapdOptions
	plain, secured int // ports
	mu             sync.Mutex
	child          *Child // nil while stopped
}

// StartSlapd starts a server for one test and stops it with the test.
func StartSlapd(t testing.TB, o SlapdOptions) *Slapd {
	t.Helper()
	s := newSlapd(t, o)
	t.Cleanup(s.remove)
	return s
}

var sharedSlapd struct {
	sync.Mutex
	servers map[SlapdOptions]*Slapd
}

// SharedSlapd returns the one server with these options of this test process,
// starting it at first. The package's TestMain must call Run.
func SharedSlapd(t testing.TB, o SlapdOptions) *Slapd {
	t.Helper()
	sharedSlapd.Lock()
	defer sharedSlapd.Unlock()
	if s := sharedSlapd.servers[o]; s != nil {
		return s
	}
	s := newSlapd(t, o)
	AtEnd(t, s.remove)
	if sharedSlapd.servers == nil {
		sharedSlapd.servers = map[SlapdOptions]*Slapd{}
	}
	sharedSlapd.servers[o] = s
	return s
}

func newSlapd(t testing.TB, o SlapdOptions) *Slapd {
	t.Helper()
	for _, program := range []string{"slapd", "slapadd", "ldapwhoami", "ldapmodify", "ldapsearch"} {
		Need(t, program)
	}
	s := &Slapd{options: o, plain: FreePort(t), secured: FreePort(t)}
	if err := s.init(); err != nil {
		s.remove()
		t.Fatal(err)
	}
	return s
}

func (s *Slapd) init() (err error) {
	if s.Dir, err = ShortDir(); err != nil {
		return err
	}
	for _, d := range []string{"db", "log", "tls"} {
		if err := os.Mkdir(filepath.Join(s.Dir, d), 0o700); err != nil {
			return err
		}
	}
	if s.CAFile, err = WriteCertificate(filepath.Join(s.Dir, "tls"), SlapdHost, "localhost", "127.0.0.1"); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	if err := s.fill(); err != nil {
		return err
	}
	return s.start()
}

func (s *Slapd) conf() string { return filepath.Join(s.Dir, "slapd.conf") }

func (s *Slapd) configure() error {
	right := "=w"
	if s.options.Manage {
		right = "manage"
	}
	var text bytes.Buffer
	err := template.Must(template.New("slapd.conf").Parse(slapdConf)).Execute(&text, map[string]any{
		"Dir": s.Dir, "Base": SlapdBase, "Root": SlapdRoot, "RootPassword": SlapdRootPassword, "Agent": SlapdAgent, "Right": right,
		"Policy": !s.options.NoPolicy, "Hash": !s.options.NoHash, "UseLockout": s.options.UseLockout, "Custom": s.options.Custom,
		"Acts": s.options.Acts, "Pages": s.options.Pages, "People": SlapdPeople, "Groups": SlapdGroups,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(s.conf(), text.Bytes(), 0o600)
}

func (s *Slapd) start() error {
	path, err := Look("slapd")
	if err != nil {
		return err
	}
	s.child, err = StartChild(Command{
		Path: path, Dir: s.Dir,
		Args: []string{"-f", s.conf(), "-h", s.StartTLSURL() + " " + s.URL(), "-d", "0"},
		Ready: func(ctx context.Context) error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.secured))
			if err != nil {
				return err
			}
			return c.Close()
		},
	})
	return err
}

// URL is the LDAPS address.
func (s *Slapd) URL() string { return "ldaps://127.0.0.1:" + strconv.Itoa(s.secured) }

// Addr is the host and port of URL.
func (s *Slapd) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.secured) }

// StartTLSURL is the other address: it takes StartTLS and refuses a sign-in before.
func (s *Slapd) StartTLSURL() string { return "ldap://127.0.0.1:" + strconv.Itoa(s.plain) }

// Stop stops the server; its data stays.
func (s *Slapd) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		s.child.Stop()
		s.child = nil
	}
}

// Start starts a stopped server again on the same ports.
func (s *Slapd) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		return
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Slapd) remove() {
	s.Stop()
	if s.Dir != "" {
		_ = os.RemoveAll(s.Dir)
	}
}

// WhoAmI signs in with OpenLDAP's own client and reports whether that worked: the
// proof of a reset that owes nothing to the code under test.
func (s *Slapd) WhoAmI(dn, password string) error {
	_, err := s.tool("", "ldapwhoami", "-D", dn, "-w", password)
	return err
}

// Modify makes the changes of an LDIF text as the administrator.
func (s *Slapd) Modify(t testing.TB, ldif string) {
	t.Helper()
	if _, err := s.tool(ldif, "ldapmodify", "-D", SlapdRoot, "-w", SlapdRootPassword); err != nil {
		t.Fatal(err)
	}
}

// Values reads an attribute of one entry as the administrator; texts that LDIF writes
// in base64 stay so.
func (s *Slapd) Values(t testing.TB, dn, attribute string) []string {
	t.Helper()
	return s.search(t, SlapdRoot, dn, "base", "(objectClass=*)", attribute)
}

// Changes lists the successful writes to an entry that one account made, oldest
// first, from the server's own access log: "modify", "add" and so on. A password
// changed by RFC 3062 is a "modify" there. What ppolicy writes after a failed sign-in
// is the administrator's.
func (s *Slapd) Changes(t testing.TB, dn, by string) []string {
	t.Helper()
	return s.search(t, "cn=accesslog", "cn=accesslog", "sub", "(&(objectClass=auditWriteObject)(reqDN="+dn+")(reqAuthzID="+by+"))", "reqType")
}

// Lock locks an account by failed sign-ins.
func (s *Slapd) Lock(t testing.TB, dn string) {
	t.Helper()
	for range 3 {
		if s.WhoAmI(dn, "not the password") == nil {
			t.Fatal("a wrong password was accepted")
		}
	}
}

func (s *Slapd) search(t testing.TB, as, base, scope, filter, attribute string) []string {
	t.Helper()
	out, err := s.tool("", "ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-D", as, "-w", SlapdRootPassword, "-b", base, "-s", scope, filter, attribute)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(line, attribute+":"); ok {
			values = append(values, strings.TrimSpace(strings.TrimPrefix(v, ":")))
		}
	}
	return values
}

// tool runs a client of OpenLDAP against the LDAPS address.
func (s *Slapd) tool(stdin, name string, args ...string) (string, error) {
	path, err := Look(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-x", "-H", s.URL()}, args...)...)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.CAFile)
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, said.String())
	}
	return string(out), nil
}
