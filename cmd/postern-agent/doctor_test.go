package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// site is an agent's file for a real directory, by its keys.
type site struct {
	dir  string
	keys map[string]string // of [directory], as TOML writes values
	more string            // further tables
}

func newSite(t *testing.T, password string, keys map[string]string) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), keys: keys, more: "[guard]\nbase_dns = [\"dc=corp,dc=example\"]\nno_notice = \"allow\"\n"}
	s.secret(t, password)
	keys["bind_password_file"] = `"password"`
	return s
}

func (s *site) secret(t *testing.T, password string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
}

// with is the site with other keys; an empty value leaves a key out.
func (s *site) with(keys ...string) *site {
	all := map[string]string{}
	for k, v := range s.keys {
		all[k] = v
	}
	for i := 0; i < len(keys); i += 2 {
		if all[keys[i]] = keys[i+1]; keys[i+1] == "" {
			delete(all, keys[i])
		}
	}
	return &site{dir: s.dir, keys: all, more: s.more}
}

func (s *site) file(t *testing.T) string {
	t.Helper()
	text := "state_dir = 'state'\n[directory]\n"
	for k, v := range s.keys {
		text += k + " = " + v + "\n"
	}
	path := filepath.Join(s.dir, "agent.toml")
	if err := os.WriteFile(path, []byte(text+s.more), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// told is the report for programs.
type told struct {
	Steps []struct {
		Area, What, Detail string
		Lines, Paste       []string
		Write              []string
		Table              string
		Finding            struct {
			Number   int
			Severity doctor.Severity
			Fix      string
		}
	}
	Untried []string
	text    string
}

// examine runs the command.
func (s *site) examine(t *testing.T, args ...string) told {
	t.Helper()
	r := execute(t, "", append([]string{"doctor", "--log-level", "error", "--json", "--config", s.file(t)}, args...)...)
	var out told
	if err := json.Unmarshal([]byte(r.out), &out); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	for _, s := range out.Steps {
		out.text += fmt.Sprintf("%3d %s %s: %s %q\n", s.Finding.Number, s.Area, s.What, s.Detail, s.Paste)
	}
	if r.code != doctor.ExitProblems { // the agent is not enrolled
		t.Errorf("exit %d", r.code)
	}
	return out
}

// ours are findings of what these tests leave out: an enrolment, and notices.
var ours = []int{doctor.NotEnrolled, doctor.NoticesOff}

// numbers are those of problems and warnings.
func (r told) numbers() (all []int) {
	for _, s := range r.Steps {
		if s.Finding.Severity != "" && s.Finding.Severity != doctor.Note && !slices.Contains(ours, s.Finding.Number) {
			all = append(all, s.Finding.Number)
		}
	}
	return all
}

// step is everything that the report says of one finding.
func (r told) step(number int) (detail, lines string, paste []string) {
	for _, s := range r.Steps {
		if s.Finding.Number == number {
			detail += s.Detail + "\n"
			lines += strings.Join(s.Lines, "\n") + "\n"
			paste = append(paste, s.Paste...)
		}
	}
	return detail, lines, paste
}

// expect examines a site and wants one finding, and what it says.
func (s *site) expect(t *testing.T, number int, says ...string) {
	t.Helper()
	r := s.examine(t)
	detail, lines, _ := r.step(number)
	if !slices.Equal(r.numbers(), []int{number}) {
		t.Errorf("findings = %v, want %d alone\n%s", r.numbers(), number, r.text)
	}
	for _, want := range says {
		if !strings.Contains(detail+lines, want) {
			t.Errorf("%d lacks %q:\n%s%s", number, want, detail, lines)
		}
	}
}

// front ends TLS with a certificate of its own before a server.
func front(t *testing.T, upstream string, from, to time.Time) (addr, ca string) {
	t.Helper()
	return frontThat(t, upstream, from, to, func(answer []byte) []byte { return answer })
}

// frontThat changes what the server answers on the way.
func frontThat(t *testing.T, upstream string, from, to time.Time, change func([]byte) []byte) (addr, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "front"}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca = write(t, "front.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			go relay(down, upstream, change)
		}
	}()
	return ln.Addr().String(), ca
}

func relay(down net.Conn, upstream string, change func([]byte) []byte) {
	defer down.Close()
	up, err := tls.Dial("tcp", upstream, &tls.Config{InsecureSkipVerify: true}) // the test's own server
	if err != nil {
		return
	}
	defer up.Close()
	go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
	chunk := make([]byte, 64<<10)
	for {
		n, err := up.Read(chunk)
		if _, failed := down.Write(change(chunk[:n])); err != nil || failed != nil {
			return
		}
	}
}

func q(text string) string { return fmt.Sprintf("%q", text) }

func sambaSite(t *testing.T, s *testenv.Samba) *site {
	t.Helper()
	return newSite(t, testenv.SambaServicePassword, map[string]string{
		"kind": q("ad"), "urls": `["` + s.URL() + `"]`, "ca_file": q(s.CAFile), "bind_dn": q(testenv.SambaService), "base_dns": `["` + testenv.SambaStaff + `"]`,
	})
}

func TestDoctorNamesWhatIsWrongWithADomainController(t *testing.T) {
	s := testenv.SharedSamba(t)
	well := sambaSite(t, s)
	if r := well.examine(t); len(r.numbers()) != 0 || !strings.Contains(r.text, "the PDC emulator") {
		t.Errorf("findings = %v\n%s", r.numbers(), r.text)
	}
	for name, c := range map[string]struct {
		keys   []string
		number int
		says   []string
	}{
		"misspelt key":    {[]string{"base_dn", q(testenv.SambaStaff)}, doctor.DirectorySettings, []string{`did you mean "base_dns"?`}},
		"no such name":    {[]string{"urls", `["ldaps://dc1.invalid"]`}, doctor.ServerName, []string{"dc1.invalid"}},
		"nobody there":    {[]string{"urls", `["ldaps://127.0.0.1:1"]`}, doctor.ServerAway, []string{"connection refused"}},
		"untrusted CA":    {[]string{"ca_file", ""}, doctor.ServerUntrusted, []string{"1. ", "issued by", "ca_file"}},
		"another name":    {[]string{"server_name", q("dc9.corp.example")}, doctor.ServerOtherName, []string{"dc9.corp.example", " for "}},
		"no TLS":          {[]string{"urls", `["ldaps://` + s.Addr + `:389"]`}, doctor.ServerNoTLS, nil},
		"one of two away": {[]string{"urls", `["` + s.URL() + `", "ldaps://127.0.0.1:1"]`}, doctor.OneServerAway, []string{"303"}},
		"wrong base DN":   {[]string{"base_dns", `["OU=Staf,DC=corp,DC=example"]`}, doctor.NoSuchBase, []string{"what exists is DC=corp,DC=example", "OU=Staff,DC=corp,DC=example"}},
		"another suffix":  {[]string{"base_dns", `["OU=Staff,DC=other,DC=example"]`}, doctor.NoSuchBase, []string{"DC=corp,DC=example"}},
		"no password":     {[]string{"bind_password_file", q("secrets/none")}, doctor.PasswordUnread, []string{"bind_password_file cannot be used", "secrets/none: no such file"}},
		"nobody matches":  {[]string{"filter", q("(employeeType=nobody)")}, doctor.NobodyListed, nil},
	} {
		t.Run(name, func(t *testing.T) { well.with(c.keys...).expect(t, c.number, c.says...) })
	}
}

func TestDoctorNamesWhyTheDomainRefusesTheAgentsAccount(t *testing.T) {
	s := testenv.SharedSamba(t)
	const password = "Agent-Passw0rd-2031"
	well := sambaSite(t, s)
	well.secret(t, password)
	for name, c := range map[string]struct {
		change func(dn string)
		number int
		data   string
	}{
		"disabled":    {func(dn string) { s.Set(t, dn, map[string][]string{"userAccountControl": {"514"}}) }, doctor.SignInDisabled, "533"},
		"ended":       {func(dn string) { s.Set(t, dn, map[string][]string{"accountExpires": {"132539328000000000"}}) }, doctor.SignInEnded, "701"},
		"must change": {func(dn string) { s.Set(t, dn, map[string][]string{"pwdLastSet": {"0"}}) }, doctor.SignInMustChange, "773"},
		"locked":      {func(dn string) { s.Lock(t, dn) }, doctor.SignInLocked, "775"},
		"wrong":       {func(dn string) { s.SetPassword(t, dn, "Another-Passw0rd-2031") }, doctor.SignInWrong, "52e"},
	} {
		t.Run(name, func(t *testing.T) {
			login := "svc-" + strings.ReplaceAll(name, " ", "-")
			dn, _ := s.AddPerson(t, testenv.SambaPartners, login, password, nil)
			c.change(dn)
			well.with("bind_dn", q(login+"@corp.example")).expect(t, c.number, "data "+c.data)
		})
	}
}

// pasted takes a line of the report apart, as a shell would.
var pasted = regexp.MustCompile(`^samba-tool dsacl set --action=allow --objectdn="([^"]+)" --sddl="([^"]+)"$`)

func TestDoctorPrintsTheLinesThatGiveMissingRights(t *testing.T) {
	s := testenv.SharedSamba(t)
	const password = "Agent-Passw0rd-2031"
	s.AddPerson(t, testenv.SambaPartners, "svc-doctor", password, nil)
	site := sambaSite(t, s).with("bind_dn", q("svc-doctor@corp.example"))
	site.secret(t, password)
	r := site.examine(t, "--account", "anna.berg")
	detail, _, paste := r.step(doctor.RightMissing)
	for _, op := range []string{"get_temporary_password", "unlock", "must_change"} {
		if !strings.Contains(detail, "for "+op) {
			t.Errorf("nothing is said of the right for %s:\n%s", op, detail)
		}
	}
	if len(paste) != 3 {
		t.Fatalf("lines = %q", paste)
	}
	for _, line := range paste {
		m := pasted.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("the line cannot be run: %s", line)
		}
		s.Tool(t, "dsacl", "set", "--action=allow", "--objectdn="+m[1], "--sddl="+m[2])
	}
	if r := site.examine(t, "--account", "anna.berg"); len(r.numbers()) != 0 {
		t.Errorf("after the lines were run: %v\n%s", r.numbers(), r.text)
	}
}

func TestDoctorSpeaksOfOneAccount(t *testing.T) {
	s := testenv.SharedSamba(t)
	site := sambaSite(t, s)
	_, _ = s.AddPerson(t, testenv.SambaStaff, "doctor.lasting", testenv.SambaEmployeePassword, map[string][]string{"description": {"x"}})
	defer s.Tool(t, "user", "delete", "doctor.lasting") // others try anybody
	s.Set(t, "CN=doctor.lasting,"+testenv.SambaStaff, map[string][]string{"userAccountControl": {"66048"}})
	for account, number := range map[string]int{
		"doctor.lasting": doctor.PasswordLasting, "chief": doctor.GuardRefuses, "nobody.at.all": doctor.NoSuchAccount,
	} {
		if r := site.examine(t, "--account", account); !slices.Contains(r.numbers(), number) {
			t.Errorf("%s: %v, want %d\n%s", account, r.numbers(), number, r.text)
		}
	}
	r := site.examine(t, "--account", "anna.berg")
	if detail, _, _ := r.step(doctor.OperationNotNow); !strings.Contains(detail, "not locked") {
		t.Errorf("unlock of somebody who is not locked: %s", r.text)
	}
	if !strings.Contains(r.text, "at least 10 characters") {
		t.Errorf("the password policy is not told: %s", r.text)
	}
	admin := site.with("bind_dn", q(testenv.SambaAdmin))
	admin.secret(t, testenv.SambaAdminPassword)
	if detail, _, _ := admin.examine(t, "--account", "anna.berg").step(doctor.RightExcess); detail == "" {
		t.Error("nothing is said of an agent that is an administrator")
	}
}

func slapdSite(t *testing.T, s *testenv.Slapd) *site {
	t.Helper()
	return newSite(t, testenv.SlapdAgentPassword, map[string]string{
		"kind": q("ldap"), "urls": `["` + s.URL() + `"]`, "ca_file": q(s.CAFile), "bind_dn": q(testenv.SlapdAgent), "base_dns": `["` + testenv.SlapdPeople + `"]`,
	})
}

func TestDoctorNamesWhatIsWrongWithOpenLDAP(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	well := slapdSite(t, s)
	if r := well.examine(t); len(r.numbers()) != 0 {
		t.Errorf("findings = %v\n%s", r.numbers(), r.text)
	}
	now := time.Now()
	ending, endingCA := front(t, s.Addr(), now.Add(-time.Hour), now.Add(5*24*time.Hour))
	ended, endedCA := front(t, s.Addr(), now.Add(-48*time.Hour), now.Add(-time.Hour))
	for name, c := range map[string]struct {
		keys   []string
		number int
		says   []string
	}{
		"wrong base DN":            {[]string{"base_dns", `["ou=peolpe,dc=corp,dc=example"]`}, doctor.NoSuchBase, []string{"ou=people,dc=corp,dc=example"}},
		"untrusted CA":             {[]string{"ca_file", ""}, doctor.ServerUntrusted, []string{"throw-away test CA"}},
		"wrong name":               {[]string{"bind_dn", q("cn=nobody,dc=corp,dc=example")}, doctor.SignInWrong, nil},
		"certificate that ends":    {[]string{"urls", `["ldaps://` + ending + `"]`, "ca_file", q(endingCA)}, doctor.ServerCertEnds, []string{"in 4 days"}},
		"certificate that ended":   {[]string{"urls", `["ldaps://` + ended + `"]`, "ca_file", q(endedCA)}, doctor.ServerCertOld, []string{"1. CN=front"}},
		"StartTLS at the TLS port": {[]string{"urls", `["ldap://` + s.Addr() + `"]`, "start_tls", "true"}, doctor.ServerNoTLS, nil},
	} {
		t.Run(name, func(t *testing.T) { well.with(c.keys...).expect(t, c.number, c.says...) })
	}
	t.Run("over StartTLS all is well", func(t *testing.T) {
		if r := well.with("urls", `["`+s.StartTLSURL()+`"]`, "start_tls", "true").examine(t); len(r.numbers()) != 0 {
			t.Errorf("findings = %v\n%s", r.numbers(), r.text)
		}
	})
}

func TestDoctorPrintsTheWholeListOfBaseDNsWhereOnlyALetterIsWrong(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	well := slapdSite(t, s)
	const people, groups = testenv.SlapdPeople, testenv.SlapdGroups
	for wrong, want := range map[string]string{
		`["ou=peolpe,dc=corp,dc=example"]`:                                             `base_dns = ["` + people + `"]`,
		`["` + groups + `", "ou=peolpe,dc=corp,dc=example"]`:                           `base_dns = ["` + groups + `", "` + people + `"]`,
		`["ou=peolpe,dc=corp,dc=example", "ou=gruops,dc=corp,dc=example"]`:             `base_dns = ["` + people + `", "` + groups + `"]`,
		`["ou=people,dc=corp,dc=exmaple"]`:                                             `base_dns = ["` + people + `"]`,
		`["ou=peolpe,dc=corp,dc=exmaple"]`:                                             `base_dns = ["` + people + `"]`,
		`["cn=people,dc=corp,dc=example"]`:                                             `base_dns = ["` + people + `"]`,
		`["ou=employees,dc=corp,dc=example"]`:                                          "",
		`["ou=berlin,dc=corp,dc=example"]`:                                             "",
		`["ou=berlin,ou=people,dc=corp,dc=exmaple"]`:                                   "",
		`["` + people + `", "ou=employees,dc=corp,dc=example"]`:                        "",
		`["ou=peolpe,dc=corp,dc=example", "ou=employees,dc=corp,dc=example"]`:          "",
		`["` + people + `"]` + "\ngroup_base_dns = [\"ou=gruops,dc=corp,dc=example\"]": `group_base_dns = ["` + groups + `"]`,
	} {
		r := well.with("base_dns", wrong).examine(t)
		var lines []string
		for _, step := range r.Steps {
			lines = append(lines, step.Write...)
		}
		if detail, _, _ := r.step(doctor.NoSuchBase); detail == "" || strings.Join(lines, "\n") != want {
			t.Errorf("%s: lines %q, want %q\n%s", wrong, lines, want, r.text)
		}
	}
}

func TestDoctorPrintsTheNameOfACertificateAndTheBranchesThatAreListed(t *testing.T) {
	domain := sambaSite(t, testenv.SharedSamba(t)).with("server_name", q("dc9.corp.example"))
	bounds := slapdSite(t, testenv.SharedSlapd(t, testenv.SlapdOptions{}))
	bounds.more = "[guard]\nno_notice = \"allow\"\n"
	for number, c := range map[int]struct {
		site *site
		want string
	}{
		doctor.ServerOtherName: {domain, `server_name = "dc1.corp.example"`},
		doctor.GuardUnbounded:  {bounds, `base_dns = ["` + testenv.SlapdPeople + `"]`},
	} {
		r := c.site.examine(t)
		var lines []string
		for _, step := range r.Steps {
			lines = append(lines, step.Write...)
		}
		if detail, _, _ := r.step(number); detail == "" || strings.Join(lines, "\n") != c.want {
			t.Errorf("%d: lines %q, want %q\n%s", number, lines, c.want, r.text)
		}
	}
}

func TestDoctorLooksAtTheBranchesOfTheGuard(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	const people, groups = testenv.SlapdPeople, testenv.SlapdGroups
	for names, want := range map[string]struct{ line, says string }{
		`"ou=peolpe,dc=corp,dc=example"`:                        {`base_dns = ["` + people + `"]`, "ou=peolpe,dc=corp,dc=example does not exist"},
		`"` + groups + `", "ou=people,dc=corp,dc=exmaple"`:      {`base_dns = ["` + groups + `", "` + people + `"]`, "dc=exmaple does not exist"},
		`"` + people + `", "ou=employees,dc=corp,dc=example"`:   {"", "ou=employees,dc=corp,dc=example does not exist"},
		`"OU=People, DC=corp,DC=example", "dc=corp,dc=example"`: {"", ""},
		`"dc=example"`: {"", ""}, // nobody sees it, and it is above
		`"` + people + `", "ou=staff,dc=lab,dc=test"`:                                     {"", ""}, // of another directory, whose agent has the same table
		`"ou=people,dc=lab,dc=test", "` + people + `", "ou=employees,dc=corp,dc=example"`: {"", "ou=employees,dc=corp,dc=example does not exist"},
		`"ou=people,dc=lab,dc=test", "` + people + `", "ou=gruops,dc=corp,dc=example"`:    {`base_dns = ["ou=people,dc=lab,dc=test", "` + people + `", "` + groups + `"]`, "ou=gruops,dc=corp,dc=example does not exist"},
		`"ou=staff,dc=lab,dc=test"`:                                                       {"", "ou=staff,dc=lab,dc=test does not exist"}, // else nobody is let through
	} {
		site := slapdSite(t, s)
		site.more = "[guard]\nbase_dns = [" + names + "]\nno_notice = \"allow\"\n"
		r := site.examine(t)
		detail, _, _ := r.step(doctor.NoSuchBranch)
		if (detail == "") != (want.says == "") || !strings.Contains(detail, want.says) {
			t.Errorf("%s: %q, want %q\n%s", names, detail, want.says, r.text)
		}
		var line, table string
		for _, step := range r.Steps {
			line, table = line+strings.Join(step.Write, "\n"), table+step.Table
		}
		if line != want.line || (table == "guard") != (line != "") {
			t.Errorf("%s: [%s] %q, want %q", names, table, line, want.line)
		}
		if want.says == "" && len(r.numbers()) != 0 {
			t.Errorf("%s: findings = %v\n%s", names, r.numbers(), r.text)
		}
	}
}

func TestDoctorSaysOfWhichBaseDNsNoAccountWasTried(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	const people, groups = testenv.SlapdPeople, testenv.SlapdGroups
	both := slapdSite(t, s).with("base_dns", `["`+people+`", "`+groups+`"]`, "group_base_dns", `["`+groups+`"]`)
	if r := both.examine(t); !slices.Equal(r.Untried, []string{groups}) {
		t.Errorf("untried = %q\n%s", r.Untried, r.text)
	}
	if r := execute(t, "", "doctor", "--log-level", "error", "--config", both.file(t)); !strings.Contains(r.out, "No account was tried below "+groups) {
		t.Errorf("the report for people does not say so:\n%s", r.out)
	}
	if r := slapdSite(t, s).examine(t); len(r.Untried) != 0 {
		t.Errorf("one base DN: untried = %q", r.Untried)
	}
	if r := both.examine(t, "--account", "anna.berg"); len(r.Untried) != 0 {
		t.Errorf("a named account: untried = %q", r.Untried)
	}
}

func TestDoctorPrintsColoursOnlyWhereTheyAreWanted(t *testing.T) {
	path := write(t, "agent.toml", "state_dir='"+t.TempDir()+"'\n[directory]\nkind='demo'\n")
	if r := execute(t, "", "doctor", "--config", path); strings.Contains(r.out, "\x1b") || !strings.Contains(r.out, "(201)") {
		t.Errorf("%+v", r)
	}
	if r := execute(t, "", "doctor", "--config", path, "--color", "always"); !strings.Contains(r.out, "\x1b") {
		t.Errorf("%+v", r)
	}
	if r := execute(t, "", "doctor", "--config", path, "--color", "sometimes"); r.code != exitFailed || !strings.Contains(r.err, "auto, always or never") {
		t.Errorf("%+v", r)
	}
	zip := filepath.Join(t.TempDir(), "x.zip")
	for i, want := range []int{doctor.ExitProblems, exitFailed} { // it never writes over a file
		if r := execute(t, "", "check", "--config", path, "--bundle", zip); r.code != want || i == 1 && !strings.Contains(r.err, "file exists") {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if info, err := os.Stat(zip); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func TestPolicyTestSaysWhatTheGuardDoesAndWhy(t *testing.T) {
	s := testenv.SharedSamba(t)
	site := sambaSite(t, s)
	site.more = `[guard]
base_dns = ["` + testenv.SambaStaff + `"]
operations = ["get_temporary_password"]
no_notice = "allow"
[evidence]
origins = ["https://recover.example.com"]
[[evidence.group]]
group = "*"
require_agent_verifiable = true
methods = [["passkey"], ["approval"]]
approvals = 2
delay = "1h"
`
	path := site.file(t)
	for account, want := range map[string]struct {
		code int
		says []string
	}{
		"anna.berg": {exitOK, []string{"passes   guard.base_dns", "carried out, with evidence that the agent checks: passkey, or approval (approval by 2 persons), held for 1h", "unlock ", "not among guard.operations"}},
		"chief":     {exitFailed, []string{"REFUSES  built-in administrators"}},
		"dora":      {exitFailed, []string{"REFUSES  disabled accounts"}},
		"nobody":    {exitFailed, []string{"0 accounts are found"}},
	} {
		r := execute(t, "", "policy", "test", "--log-level", "error", "--config", path, "--account", account)
		for _, says := range want.says {
			if r.code != want.code || !strings.Contains(r.out+r.err, says) {
				t.Errorf("%s lacks %q: %+v", account, says, r)
			}
		}
	}
	if r := execute(t, "", "policy", "test", "--log-level", "error", "--config", path, "--account", "anna.berg", "--json"); !strings.Contains(r.out, `"allowed": true`) || !json.Valid([]byte(r.out)) {
		t.Errorf("%+v", r)
	}
	if r := execute(t, "", "policy", "--config", path, "--account", "x"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}
