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
	"testing"
)

// Who signs in to the directory of Start389. Branches and people are called as those of
// StartSlapd, the agent and everybody's passwords too.
const (
	DS389Root         = "cn=Directory Manager"
	DS389RootPassword = "Dm-Passw0rd-1"
	DS389Name         = "localhost" // in the server's certificate
)

//go:embed ds389.ldif
var ds389Config string

// A DS389 is a real 389 Directory Server on loopback: lockout after three failed sign-ins,
// ten characters, must-change after a reset, memberOf, content synchronisation, and the
// agent's documented rights. It needs root, and keeps a folder in /etc/dirsrv.
type DS389 struct {
	Dir    string // what it writes, but for its folder in /etc/dirsrv
	CAFile string

	instance       string
	plain, secured int
	child          *Child
}

// Start389 starts a server for one test and removes it with the test.
func Start389(t testing.TB) *DS389 {
	t.Helper()
	for _, program := range []string{"ns-slapd", "dscreate", "ldapmodify"} {
		Need(t, program)
	}
	NeedRoot(t)
	s := &DS389{plain: FreePort(t), secured: FreePort(t)}
	s.instance = "postern" + strconv.Itoa(s.plain)
	t.Cleanup(s.remove)
	if err := s.init(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *DS389) init() (err error) {
	if s.Dir, err = ShortDir(); err != nil {
		return err
	}
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return err
	}
	for _, d := range []string{"/run/dirsrv", "/run/lock/dirsrv"} { // systemd-tmpfiles makes them elsewhere
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := s.create(); err != nil {
		return err
	}
	s.CAFile = filepath.Join("/etc/dirsrv", "slapd-"+s.instance, "ca.crt")
	if err := s.start(); err != nil {
		return err
	}
	people, groups := company389()
	if err := s.modify(people + strings.NewReplacer("@BASE@", SlapdBase, "@AGENT@", SlapdAgent).Replace(ds389Config)); err != nil {
		return err
	}
	s.Stop() // plugins begin with the server
	if err := s.start(); err != nil {
		return err
	}
	return s.modify(groups) // after the plugin that keeps memberOf
}

// shim runs dscreate where there is no systemd, which it would call otherwise.
const shim = `import sys,runpy,lib389.paths as p
p.Paths.with_systemd=property(lambda self: False)
sys.argv=["dscreate","-v","from-file",sys.argv[1]]; runpy.run_path("/usr/sbin/dscreate",run_name="__main__")`

func (s *DS389) create() error {
	var inf strings.Builder
	fmt.Fprintf(&inf, "[general]\nconfig_version = 2\nfull_machine_name = %s\nstrict_host_checking = False\nsystemd = False\nstart = False\nselinux = False\n[slapd]\n", DS389Name)
	fmt.Fprintf(&inf, "instance_name = %s\nuser = root\ngroup = root\nport = %d\nsecure_port = %d\nroot_dn = %s\nroot_password = %s\nself_sign_cert = True\n",
		s.instance, s.plain, s.secured, DS389Root, DS389RootPassword)
	for key, dir := range map[string]string{"db_dir": "db", "db_home_dir": "dbhome", "ldif_dir": "ldif", "backup_dir": "bak", "log_dir": "log", "lock_dir": "lock", "run_dir": "run", "tmp_dir": "tmp"} {
		path := filepath.Join(s.Dir, dir)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		fmt.Fprintf(&inf, "%s = %s\n", key, path)
	}
	fmt.Fprintf(&inf, "[backend-userroot]\nsuffix = %s\ncreate_suffix_entry = True\nsample_entries = no\n", SlapdBase)
	file := filepath.Join(s.Dir, "inst.inf")
	if err := os.WriteFile(file, []byte(inf.String()), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*startWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/bin/python3", "-c", shim, file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("dscreate: %w: %s", err, out[max(0, len(out)-logTail):])
	}
	return nil
}

func (s *DS389) start() error {
	path, err := Look("ns-slapd")
	if err != nil {
		return err
	}
	s.child, err = StartChild(Command{
		Path: path, Dir: s.Dir, Args: []string{"-D", "/etc/dirsrv/slapd-" + s.instance, "-i", filepath.Join(s.Dir, "run", "pid"), "-d", "0"},
		Ready: func(ctx context.Context) error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
			if err != nil {
				return err
			}
			return c.Close()
		},
	})
	return err
}

// Addr is the host and port of LDAPS.
func (s *DS389) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.secured) }

// Stop stops the server; its data stays.
func (s *DS389) Stop() {
	if s.child != nil {
		s.child.Stop()
		s.child = nil
	}
}

func (s *DS389) remove() {
	s.Stop()
	if s.Dir != "" {
		_ = os.RemoveAll(s.Dir)
	}
	_ = os.RemoveAll("/etc/dirsrv/slapd-" + s.instance)
}

// WhoAmI signs in with OpenLDAP's own client. Who must change the password is let in, and
// refused everything else.
func (s *DS389) WhoAmI(dn, password string) error {
	_, err := s.tool("", "ldapwhoami", "-D", dn, "-w", password)
	if err != nil && strings.Contains(err.Error(), "ldap_parse_result: Server is unwilling to perform (53)") {
		return nil
	}
	return err
}

// Modify makes the changes of an LDIF text as the administrator.
func (s *DS389) Modify(t testing.TB, ldif string) {
	t.Helper()
	if err := s.modify(ldif); err != nil {
		t.Fatal(err)
	}
}

func (s *DS389) modify(ldif string) error {
	_, err := s.tool(ldif, "ldapmodify", "-D", DS389Root, "-w", DS389RootPassword)
	return err
}

// Values reads an attribute of one entry as the administrator.
func (s *DS389) Values(t testing.TB, dn, attribute string) []string {
	t.Helper()
	return s.ValuesAs(t, DS389Root, DS389RootPassword, dn, attribute)
}

// ValuesAs is Values as somebody else.
func (s *DS389) ValuesAs(t testing.TB, as, password, dn, attribute string) []string {
	t.Helper()
	out, err := s.tool("", "ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-D", as, "-w", password, "-b", dn, "-s", "base", "(objectClass=*)", attribute)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(out) {
		if name, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, attribute) {
			values = append(values, strings.TrimSpace(strings.TrimPrefix(v, ":")))
		}
	}
	return values
}

// ID is the canonical id of an entry.
func (s *DS389) ID(t testing.TB, dn string) string {
	t.Helper()
	v := s.Values(t, dn, "nsUniqueId")
	if len(v) != 1 {
		t.Fatalf("nsUniqueId of %s: %v", dn, v)
	}
	d := strings.ReplaceAll(v[0], "-", "")
	return d[:8] + "-" + d[8:12] + "-" + d[12:16] + "-" + d[16:20] + "-" + d[20:]
}

// Lock locks an account by failed sign-ins.
func (s *DS389) Lock(t testing.TB, dn string) {
	t.Helper()
	for range 4 {
		if s.WhoAmI(dn, "not the password") == nil {
			t.Fatal("a wrong password was accepted")
		}
	}
}

// Keep copies what the server has, for Restore. It stops and starts the server.
func (s *DS389) Keep(t testing.TB) {
	t.Helper()
	s.swap(t, "db", "kept")
}

// Restore puts the server back to what Keep has copied.
func (s *DS389) Restore(t testing.TB) {
	t.Helper()
	s.swap(t, "kept", "db")
}

func (s *DS389) swap(t testing.TB, from, to string) {
	t.Helper()
	s.Stop()
	_ = os.RemoveAll(filepath.Join(s.Dir, to))
	if err := os.CopyFS(filepath.Join(s.Dir, to), os.DirFS(filepath.Join(s.Dir, from))); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// tool runs a client of OpenLDAP against the LDAPS address. Those turn the name localhost
// into the machine's, which the certificate does not have: they do not look at it.
func (s *DS389) tool(stdin, name string, args ...string) (string, error) {
	path, err := Look(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-x", "-H", "ldaps://" + s.Addr()}, args...)...)
	cmd.Env = append(os.Environ(), "LDAPTLS_REQCERT=never")
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, said.String())
	}
	return string(out), nil
}

// company389 writes the people and the groups of the company as additions.
func company389() (people, groups string) {
	var b strings.Builder
	b.WriteString("dn: cn=schema\nchangetype: modify\nadd: attributeTypes\n")
	for i, n := range []string{"corpTotpSecret", "corpPersonalMail", "corpBirthDate"} {
		fmt.Fprintf(&b, "attributeTypes: ( 2.999.1.%d NAME '%s' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )\n", i+1, n)
	}
	b.WriteString("-\nadd: objectClasses\nobjectClasses: ( 2.999.2.1 NAME 'corpPerson' SUP top AUXILIARY MAY ( corpTotpSecret $ corpPersonalMail $ corpBirthDate ) )\n\n")
	for _, ou := range []string{"people", "groups", "services"} {
		fmt.Fprintf(&b, "dn: ou=%s,%s\nchangetype: add\nobjectClass: organizationalUnit\nou: %s\n\n", ou, SlapdBase, ou)
	}
	fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\ncn: agent\nuserPassword: %s\n\n", SlapdAgent, SlapdAgentPassword)
	members := map[string][]string{"admins": {"cn=deputies," + SlapdGroups}}
	for _, p := range people389() {
		dn := slapdDN(p.uid)
		fmt.Fprintf(&b, "%schangetype: add\nobjectClass: inetOrgPerson\nobjectClass: corpPerson\n%s%s%smail: %s\nuserPassword: %s\n",
			line("dn", dn), line("uid", p.uid), line("cn", p.cn), line("sn", p.cn[strings.LastIndexByte(p.cn, ' ')+1:]), p.mail, SlapdEmployeePassword)
		for _, m := range p.more {
			b.WriteString(m + "\n")
		}
		b.WriteString("\n")
		for _, g := range p.groups {
			members[g] = append(members[g], dn)
		}
	}
	return b.String(), groups389(members)
}

func groups389(members map[string][]string) string {
	var b strings.Builder
	for _, g := range slapdGroups {
		fmt.Fprintf(&b, "dn: cn=%s,%s\nchangetype: add\nobjectClass: groupOfNames\ncn: %s\n", g, SlapdGroups, g)
		for _, m := range members[g] {
			b.WriteString(line("member", m))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// people389 are the company without what ppolicy alone knows, and eight employees.
func people389() []person {
	var all []person
	for _, p := range people {
		p.uid = strings.ReplaceAll(p.uid, "ü", "ue") // by default a uid has seven bits
		var more []string
		for _, m := range p.more {
			switch {
			case p.uid == "dora":
				more = append(more, "nsAccountLock: true")
			case !strings.HasPrefix(m, "pwd") && !strings.HasPrefix(m, "corpStatus"):
				more = append(more, m)
			}
		}
		p.more = more
		all = append(all, p)
	}
	for i := range 8 {
		uid := fmt.Sprintf("emp%06d", i)
		all = append(all, person{uid, fmt.Sprintf("Employee %d", i), uid + "@corp.example", nil, []string{"staff"}})
	}
	return all
}
