package ad

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// as opens the domain for a service account.
func as(upn string) func(*Config) {
	return func(c *Config) { c.BindDN = upn }
}

// section is the rest of docs/directories.md from a heading on.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), heading)
	if !ok {
		t.Fatalf("docs/directories.md lacks %s", heading)
	}
	return after
}

// documented are the lines of docs/directories.md that grant the rights, by their names
// in the table of this package, as Samba writes them.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| .* \\| ([^|]*) \\| `(\\([^`]*\\))` \\|").FindAllStringSubmatch(string(text), -1) {
		lines[m[1]] = m[2]
	}
	return lines
}

func held(r directory.Rights, name string) directory.Right {
	i := slices.IndexFunc(r.Needs, func(n directory.Right) bool { return n.Name == name || strings.HasPrefix(n.Name, name) })
	if i < 0 {
		return directory.Right{}
	}
	return r.Needs[i]
}

// With exactly the rights that the documentation lists everything works; each one that is
// taken away is named, by the dry run, by the change itself and with the line that gives
// it back.
func TestLeastPrivilege(t *testing.T) {
	s := testenv.SharedSamba(t)
	lines := documented(t)
	upn, _, sid := agentAccount(t, s, "svc-least")
	unit(t, s.Admin(t), "OU=Least,"+testenv.SambaBase)
	ou := "OU=Least," + testenv.SambaBase
	dn, raw := s.AddPerson(t, ou, "least.person", testenv.SambaEmployeePassword, nil)
	id, err := guidText(raw)
	if err != nil {
		t.Fatal(err)
	}
	d := openAt(t, s, as(upn), func(c *Config) { c.BaseDNs = []string{ou} })
	rights := func() directory.Rights {
		t.Helper()
		r, err := d.Rights(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := rights()
	var missing []string
	for _, m := range before.Missing() {
		missing = append(missing, m.Name)
	}
	if !slices.Equal(missing, []string{"Reset Password", "write lockoutTime", "write pwdLastSet"}) || before.Agent != upn || !strings.EqualFold(before.Account, dn) || len(before.Excess) > 0 {
		t.Fatalf("an account without rights: %+v", before)
	}
	text, err := parseSID([]byte(unhex(t, sid)))
	if err != nil {
		t.Fatal(err)
	}
	give := func(m directory.Right) { // what the line says is what the documentation says, and it works
		t.Helper()
		want := strings.ReplaceAll(lines[m.Name], "SID", string(text))
		if len(m.Fix) != 1 || want == "" || !strings.Contains(m.Fix[0], `--sddl="`+want+`"`) || !strings.Contains(m.Fix[0], `--objectdn="`+ou+`"`) {
			t.Fatalf("%s: the line %q does not hold what is documented: %q", m.Name, m.Fix, want)
		}
		s.Tool(t, "dsacl", "set", "--action=allow", "--objectdn="+ou, "--sddl="+want)
	}
	for _, m := range before.Missing() {
		give(m)
	}
	if r := rights(); len(r.Missing()) > 0 || len(r.Excess) > 0 {
		t.Fatalf("with all rights: %+v", r)
	}
	s.Lock(t, dn)
	if err := d.DryRun(t.Context(), id, reset); err != nil {
		t.Errorf("dry run with all rights: %v", err)
	}
	if _, err := d.Perform(t.Context(), change(t, d, id, reset, "Fresh-start-2031")); err != nil {
		t.Errorf("with all rights: %v", err)
	}
	for _, lost := range before.Missing() {
		n := needs[slices.IndexFunc(needs, func(n need) bool { return n.name == lost.Name })]
		revoke(t, s, ou, sid, n.right+n.guid)
		r := rights()
		if m := r.Missing(); len(m) != 1 || m[0].Name != lost.Name || m[0].Why == "" {
			t.Errorf("without %s: %+v", lost.Name, r)
		}
		for what, err := range map[string]error{
			"dry run": d.DryRun(t.Context(), id, reset), "change": performed(t, d, change(t, d, id, reset, "Fresh-start-2032")),
		} {
			var p *protocol.Error
			if !errors.As(err, &p) || p.Code != protocol.CodePermissionDenied || p.Reason != protocol.ReasonRights || !strings.Contains(p.Message, "'"+lost.Name+"'") {
				t.Errorf("%s without %s: %v", what, lost.Name, err)
			}
		}
		give(held(r, lost.Name))
	}
	optional(t, s, d, id)
}

func performed(t *testing.T, d *Directory, c directory.Change) error {
	t.Helper()
	_, err := d.Perform(t.Context(), c)
	return err
}

// optional takes on the rights without which everything works.
func optional(t *testing.T, s *testenv.Samba, d *Directory, id string) {
	t.Helper()
	psc, gone := "CN=Password Settings Container,CN=System,"+testenv.SambaBase, "CN=Deleted Objects,"+testenv.SambaBase
	look := func(name string) directory.Right {
		t.Helper()
		r, err := d.Rights(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return held(r, name)
	}
	for name, at := range map[string]string{"list " + gone: gone, "read " + psc: psc} {
		if r := look(name); r.Held == directory.HeldYes || !r.Optional || r.Why == "" || len(r.Fix) == 0 {
			t.Errorf("%s: %+v", name, r)
		}
		line := look(name).Fix[0]
		s.Paste(t, line)
		sddl := regexp.MustCompile(`\(A;CI;[^)]*\)`).FindString(line)
		if r := look(name); r.Held != directory.HeldYes || r.Why != "" {
			t.Errorf("%s, granted: %+v", name, r)
		}
		s.Disallow(t, at, sddl)
	}
	// Without the sight of deletions nothing is called deleted, until a full pass.
	l := listSince(t, d, "")
	dn, _ := s.AddPerson(t, "OU=Least,"+testenv.SambaBase, "least.leaver", testenv.SambaEmployeePassword, nil)
	l = listSince(t, d, l.state)
	if l.full || len(l.accounts) != 1 {
		t.Errorf("who joined: %+v", l)
	}
	hands(s).Delete(t, dn)
	if l = listSince(t, d, edit(t, l.state, func(s *state) { s.Marks[0].Witnesses = nil })); l.full || len(l.gone) > 0 {
		t.Errorf("who left: %+v", l)
	}
	if l = listSince(t, d, edit(t, l.state, func(s *state) { s.Full -= int64(sweepEvery.Seconds()) })); !l.full || len(l.accounts) != 1 {
		t.Errorf("after a day: %+v", l)
	}
}

func TestRightsSayWhyAndWhatIsTooMuch(t *testing.T) {
	s, d := open(t)
	id, _, dn := person(t, s, "rights.person", nil)
	_, _, sid := agentAccount(t, s, "svc-other")
	ownSID := serviceSID(t, s)
	look := func(d *Directory) directory.Rights {
		t.Helper()
		r, err := d.Rights(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	grant(t, s, dn, rawACE(t, aceDeniedObject, 0, controlAccess, rightReset, "", ownSID))
	if r := held(look(d), "Reset Password"); r.Held != directory.HeldNo || !strings.Contains(r.Why, "denies") {
		t.Errorf("denied: %+v", r)
	}
	editACL(t, s, dn, func(control uint16, aces [][]byte) (uint16, [][]byte) {
		return control | daclProtected, slices.DeleteFunc(aces, func(a []byte) bool { return a[1]&0x10 != 0 || a[0] == aceDeniedObject })
	})
	if r := held(look(d), "write pwdLastSet"); r.Held != directory.HeldNo || !strings.Contains(r.Why, "inherits no rights") {
		t.Errorf("without inheritance: %+v", r)
	}
	if r := look(openAt(t, s, as("chief@corp.example"), func(c *Config) { c.Password = protocol.NewSecret(testenv.SambaEmployeePassword) })); !slices.ContainsFunc(r.Excess, func(x directory.Right) bool { return x.Name == "member of Domain Admins" && x.Why != "" }) {
		t.Errorf("an administrator as agent: %+v", r.Excess)
	}
	grant(t, s, testenv.SambaBase, rawACE(t, aceAllowedObject, 0, controlAccess, rightHashes, "", sid))
	defer revoke(t, s, testenv.SambaBase, sid, "")
	r := look(openAt(t, s, as("svc-other@corp.example")))
	if len(r.Excess) != 1 || !strings.Contains(r.Excess[0].Why, "password hashes") || len(r.Excess[0].Fix) != 1 {
		t.Errorf("an agent that replicates: %+v", r.Excess)
	}
	_, err := d.Rights(t.Context(), "00000000-0000-4000-8000-000000000000")
	if protocol.CodeOf(err) != protocol.CodeAccountNotFound {
		t.Errorf("rights on nobody: %v", err)
	}
}

func serviceSID(t *testing.T, s *testenv.Samba) string {
	t.Helper()
	r, err := s.Admin(t).Search(ldapconn.Request(testenv.SambaBase, ldap.ScopeWholeSubtree, 0, ldapconn.Equal("userPrincipalName", testenv.SambaService), "objectSid"))
	if err != nil || len(r.Entries) != 1 {
		t.Fatal(err)
	}
	return hexOf(r.Entries[0].GetRawAttributeValue("objectSid"))
}

// On Microsoft's server the lines are those of dsacls; nothing here can run them.
func TestLinesForMicrosoftsServer(t *testing.T) {
	a := adviser{
		d: &Directory{cfg: Config{}}, dom: domain{base: "DC=corp,DC=example"}, who: `CORP\svc-postern`, sid: "S-1-5-21-1-2-3-1104",
		e: ldap.NewEntry(`CN=Berg\, Anna,OU=Staff,DC=corp,DC=example`, nil),
	}
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, n := range needs {
		lines = append(lines, a.grant(a.unit(), n))
	}
	lines = append(lines, a.list("CN=Deleted Objects,DC=corp,DC=example", "/I:T", ":LCRP", ""), a.list("CN=Password Settings Container,CN=System,DC=corp,DC=example", "/I:T", ":GR", ""))
	for _, line := range lines {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the documentation lacks %s", line)
		}
	}
}

// Whoever may name a unit writes no command for the administrator who pastes the line.
func TestNamesOfUnitsAreNoCommandsInTheLinesToPaste(t *testing.T) {
	for dn, want := range map[string]string{
		`OU=Staff,DC=corp`:           `"OU=Staff,DC=corp"`,
		`OU=Smith\, Müller,DC=corp`:  `"OU=Smith\, Müller,DC=corp"`,
		`OU=$(reboot),DC=corp`:       `"OU=\24(reboot),DC=corp"`,
		"OU=`reboot`,DC=corp":        `"OU=\60reboot\60,DC=corp"`,
		`OU=a\" & calc & \",DC=corp`: `"OU=a\22 & calc & \22,DC=corp"`,
		`OU=a\\$x,DC=corp`:           `"OU=a\5c\24x,DC=corp"`,
		`OU=%ComSpec%,DC=corp`:       `"OU=\25ComSpec\25,DC=corp"`,
		"OU=a\nreboot,DC=corp":       `"OU=a\0areboot,DC=corp"`,
		`OU=a\0Ab,DC=corp`:           `"OU=a\0Ab,DC=corp"`,
	} {
		got := quotedDN(dn)
		if got != want {
			t.Errorf("quotedDN(%q) = %s, want %s", dn, got, want)
		}
		if !ldapconn.SameDN(dn, strings.Trim(got, `"`)) {
			t.Errorf("%s is not %q any more", got, dn)
		}
	}
}

// The rights never show a password's hash, whatever is asked for.
func TestP02_TheAgentsAccountReadsNoHashes(t *testing.T) {
	s := testenv.SharedSamba(t)
	c := s.Dial(t)
	if err := c.Bind(testenv.SambaService, testenv.SambaServicePassword); err != nil {
		t.Fatal(err)
	}
	var secret []string
	for a := range secretAttributes {
		secret = append(secret, a)
	}
	secret = append(secret, "*", "msDS-KeyCredentialLink", "pekList", "currentValue")
	r, err := c.Search(ldapconn.Request(testenv.SambaBase, ldap.ScopeWholeSubtree, 0, "(objectClass=user)", secret...))
	if err != nil || len(r.Entries) < 10 {
		t.Fatal(err)
	}
	none := func(how string, entries []*ldap.Entry) {
		t.Helper()
		for _, e := range entries {
			for _, a := range e.Attributes {
				if secretAttributes[strings.ToLower(a.Name)] && len(a.Values) > 0 {
					t.Errorf("%s: %s of %s", how, a.Name, e.DN)
				}
			}
		}
	}
	none("a search", r.Entries)
	if _, err := c.DirSync(ldapconn.Request(testenv.SambaBase, ldap.ScopeWholeSubtree, 0, "(objectClass=user)", secret...), 0, 0, nil); err == nil {
		t.Error("the agent's account may replicate")
	}
	r, err = c.DirSync(ldapconn.Request(testenv.SambaBase, ldap.ScopeWholeSubtree, 0, "(objectClass=user)", secret...), dirSyncFlags, 0, nil)
	if err != nil || len(r.Entries) < 10 {
		t.Fatal(err)
	}
	none("DirSync", r.Entries)
}
