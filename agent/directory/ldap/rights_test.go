package ldap

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

const everything = "get_temporary_password?must_change=true,unlock"

// rightsOf reads the rights on an account and fails on what the agent should not have.
func rightsOf(t *testing.T, d *Directory, id string) directory.Rights {
	t.Helper()
	r, err := d.Rights(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Excess) > 0 {
		t.Errorf("excess: %+v", r.Excess)
	}
	return r
}

// missing are the names of the rights that are not there.
func missing(r directory.Rights) []string {
	var names []string
	for _, n := range r.Needs {
		if n.Held != directory.HeldYes {
			names = append(names, n.Name)
		}
	}
	return names
}

// reconfigure changes the server's file and starts it anew.
func reconfigure(t *testing.T, s *testenv.Slapd, change func(string) string) {
	t.Helper()
	file := filepath.Join(s.Dir, "slapd.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next := change(string(text))
	if next == string(text) {
		t.Fatal("nothing changed")
	}
	s.Stop()
	if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}

func TestP15_EachRightThatIsTakenAwayIsNamedWithTheLineThatGivesIt(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 3, MustChange: true})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	id := testenv.SlapdID(testenv.SlapdDN("anna"))
	if got := missing(rightsOf(t, d, id)); len(got) > 0 {
		t.Fatalf("with the documented rights %q are missing", got)
	}
	const agent = `by dn.exact="` + testenv.SlapdAgent + `"`
	for _, c := range []struct{ rule, right, name, tasks string }{
		{"access to attrs=userPassword\n", agent + " =w", "write userPassword", "get_temporary_password"},
		{"access to attrs=pwdReset,pwdAccountLockedTime\n", agent + " write", "write pwdAccountLockedTime", everything},
		{"access to attrs=corpTotpSecret\n", agent + " =sw", "write corpTotpSecret", "remove_all_mfa"},
	} {
		before := ""
		reconfigure(t, s, func(text string) string {
			before = text
			head, tail, ok := strings.Cut(text, c.rule)
			if !ok {
				t.Fatalf("no rule %q", c.rule)
			}
			return head + c.rule + strings.Replace(tail, c.right, agent+" =s", 1)
		})
		r := rightsOf(t, d, id)
		if !slices.Contains(missing(r), c.name) {
			t.Errorf("%s: missing are %q", c.name, missing(r))
		}
		if err := d.DryRun(t.Context(), id, tasks(t, c.tasks)); protocol.CodeOf(err) != protocol.CodePermissionDenied || !strings.Contains(err.Error(), "may not write") {
			t.Errorf("a dry run without %s: %v", c.name, err)
		}
		reconfigure(t, s, func(text string) string {
			at := strings.Index(text, "access to attrs=userPassword")
			for _, n := range r.Missing() {
				text = text[:at] + strings.Join(n.Fix, "\n") + "\n" + text[at:]
			}
			return text
		})
		if got := missing(rightsOf(t, d, id)); len(got) > 0 {
			t.Errorf("with the lines that were told %q are missing", got)
		}
		reconfigure(t, s, func(string) string { return before })
	}
}

// A flag that says FALSE is asked about, too, and says FALSE afterwards.
func TestP15_AskingForARightChangesNothingWhateverValueThereIs(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 3, MustChange: true})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	anna := testenv.SlapdDN("anna")
	s.Modify(t, "dn: "+anna+"\nchangetype: modify\nreplace: pwdReset\npwdReset: FALSE\n")
	before := s.Values(t, anna, "entryCSN")
	if got := missing(rightsOf(t, d, testenv.SlapdID(anna))); len(got) > 0 {
		t.Errorf("missing are %q", got)
	}
	if err := d.DryRun(t.Context(), testenv.SlapdID(anna), tasks(t, everything)); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	if got := s.Values(t, anna, "pwdReset"); !slices.Equal(got, []string{"FALSE"}) {
		t.Errorf("pwdReset: %q", got)
	}
	if after := s.Values(t, anna, "entryCSN"); len(after) != 1 || !slices.Equal(before, after) {
		t.Errorf("the entry changed: %q, then %q", before, after)
	}
}

// What hides accounts from the agent, or ends a list of them early, is told as well, and the
// line for it shows no secret.
func TestP15_WhatTheAgentCannotReadIsNamedWithTheLineThatShowsIt(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 3})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	id := testenv.SlapdID(testenv.SlapdDN("anna"))
	const rules, limit = "access to attrs=userPassword\n", `limits dn.exact="` + testenv.SlapdAgent + `" size=unlimited time=unlimited` + "\n"
	for name, take := range map[string]func(string) string{
		"read entryCSN and displayName or cn": func(text string) string {
			return strings.Replace(text, rules, "access to attrs=entryCSN by * none\n"+rules, 1)
		},
		"list all accounts": func(text string) string {
			return strings.Replace(strings.Replace(text, "sizelimit 500", "sizelimit 5", 1), limit, "", 1)
		},
	} {
		before := ""
		reconfigure(t, s, func(text string) string { before = text; return take(text) })
		r := rightsOf(t, d, id)
		if got := missing(r); !slices.Equal(got, []string{name}) {
			t.Errorf("missing are %q, want %q", got, name)
		}
		reconfigure(t, s, func(text string) string {
			at := strings.Index(text, "access to attrs=")
			for _, n := range r.Missing() {
				text = text[:at] + strings.Join(n.Fix, "\n") + "\n" + text[at:]
			}
			return text
		})
		if got := missing(rightsOf(t, d, id)); len(got) > 0 {
			t.Errorf("with the lines that were told %q are missing", got)
		}
		reconfigure(t, s, func(string) string { return before })
	}
}

func TestP15_On389EachRightThatIsTakenAwayIsNamedWithTheLinesThatGiveIt(t *testing.T) {
	s := testenv.Start389(t)
	d := openAt(t, config389(t, s.Addr(), s.CAFile))
	dn := testenv.SlapdDN("anna")
	id := s.ID(t, dn)
	if got := missing(rightsOf(t, d, id)); len(got) > 0 {
		t.Fatalf("with the documented rights %q are missing", got)
	}
	photographed(t, s, d, id, dn)
	for _, n := range []string{"userPassword", "passwordHistory", "corpTotpSecret"} {
		if got := s.ValuesAs(t, testenv.SlapdAgent, testenv.SlapdAgentPassword, dn, n); len(got) > 0 {
			t.Errorf("the agent reads %s", n)
		}
	}
	for _, c := range []struct{ at, acl, name, tasks string }{
		{testenv.SlapdBase, "postern reset", "write userPassword", "get_temporary_password"},
		{testenv.SlapdBase, "postern unlock", "write accountUnlockTime", ""},
		{testenv.SlapdBase, "postern mfa", "write corpTotpSecret", ""},
		{policyDN389, "postern policy", "read the password policy " + policyDN389, ""},
		{"", "", "list all accounts", ""},
	} {
		if c.at == "" {
			s.Modify(t, "dn: cn=config\nchangetype: modify\nreplace: nsslapd-sizelimit\nnsslapd-sizelimit: 5\n-\nreplace: nsslapd-pagedsizelimit\nnsslapd-pagedsizelimit: 5\n")
			c.at = testenv.SlapdBase
		}
		for _, aci := range s.Values(t, c.at, "aci") {
			if strings.Contains(aci, `"`+c.acl+`"`) {
				s.Modify(t, "dn: "+c.at+"\nchangetype: modify\ndelete: aci\naci: "+aci+"\n")
			}
		}
		var r directory.Rights
		testenv.Eventually(t, c.name+" is missing", func() bool { // the server goes by rules of cn=config a moment later
			r = rightsOf(t, d, id)
			return slices.Contains(missing(r), c.name)
		})
		if c.tasks != "" {
			if err := d.DryRun(t.Context(), id, tasks(t, c.tasks)); protocol.CodeOf(err) != protocol.CodePermissionDenied {
				t.Errorf("a dry run without %s: %v", c.name, err)
			}
		}
		for _, n := range r.Needs {
			if n.Held == directory.HeldNo {
				s.Modify(t, strings.Join(n.Fix, "\n")+"\n")
			}
		}
		testenv.Eventually(t, "nothing is missing with the lines that were told", func() bool { return len(missing(rightsOf(t, d, id))) == 0 })
	}
}

// The rules that the tests prove are those that people copy.
func TestP15_TheDocumentedRulesOf389AreTheTestedOnes(t *testing.T) {
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	tested, err := os.ReadFile("../../../internal/testenv/ds389.ldif")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(tested)) {
		if strings.HasPrefix(line, "aci: ") {
			n++
			if !strings.Contains(string(text), strings.NewReplacer("@BASE@", "dc=corp,dc=example", "@AGENT@", "cn=postern,ou=services,dc=corp,dc=example").Replace(line)) {
				t.Errorf("not documented: %s", line)
			}
		}
	}
	if n != 5 {
		t.Errorf("%d rules", n)
	}
}
