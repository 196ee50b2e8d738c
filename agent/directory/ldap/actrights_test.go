package ldap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// actSection is what docs/directories.md says of a server's rights for account operations,
// with the names of the tests in place of those that it stands for.
func actSection(t *testing.T, heading string, names ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "## Rights for account operations")
	_, after, ok2 := strings.Cut(after, "### "+heading+"\n")
	_, after, ok3 := strings.Cut(after, "\n```\n")
	block, _, ok4 := strings.Cut(after, "\n```\n")
	if !ok || !ok2 || !ok3 || !ok4 {
		t.Fatalf("no rights of %s", heading)
	}
	return strings.NewReplacer(append([]string{"cn=postern,ou=services,dc=corp,dc=example", testenv.SlapdAgent, "cn=vpn,", "cn=staff,"}, names...)...).Replace(block) + "\n"
}

// An actRig is a directory whose agent has exactly the documented rights.
type actRig struct {
	*Directory
	s    administered
	of   directory.ActScope
	id   string                    // of somebody
	off  string                    // of somebody who is disabled
	add  func(login string) string // adds somebody and returns the id
	left int                       // how many were deleted
	set  string                    // the attribute that is set
}

func (a *actRig) rights(t *testing.T) []directory.ActRight {
	t.Helper()
	all, err := a.ActRights(t.Context(), a.id, a.of)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unheld are the names of the rights that the agent lacks, which have lines and reasons.
func unheld(t *testing.T, all []directory.ActRight) (names, lines []string) {
	t.Helper()
	for _, r := range all {
		if r.Held == directory.HeldYes {
			continue
		}
		names, lines = append(names, r.Name), append(lines, strings.Join(r.Fix, "\n"))
		if r.Held != directory.HeldNo || r.Why == "" || len(r.Fix) == 0 || len(r.For) == 0 || r.Never != "" {
			t.Errorf("%+v", r)
		}
	}
	return names, lines
}

// lacks waits until the agent lacks these rights and no others, and returns their lines: 389-ds
// answers whoever changed a rule a moment before it goes by it.
func (a *actRig) lacks(t *testing.T, when string, want ...string) (lines []string) {
	t.Helper()
	var got []string
	testenv.Eventually(t, fmt.Sprintf("%s %q are missing", when, want), func() bool {
		got, lines = unheld(t, a.rights(t))
		return slices.Equal(got, want)
	})
	return lines
}

// do foresees an operation and carries it out; both must agree on whether it goes.
func (a *actRig) do(t *testing.T, id string, o protocol.Operation, group string) error {
	t.Helper()
	task := protocol.Task{Operation: o}
	if group != "" {
		task.Params = map[string]string{protocol.ParamGroup: group}
	}
	seen, foreseen := a.Foresee(t.Context(), id, task)
	if foreseen == nil && len(seen.Changes) == 0 {
		t.Errorf("%s would change nothing", o)
	}
	return agreed(t, string(o), foreseen, a.Act(t.Context(), id, task))
}

// agreed fails the test where a dry run and the change say different things, and returns what
// both say: either nothing, or that a right is missing.
func agreed(t *testing.T, what string, foreseen, done error) error {
	t.Helper()
	for _, err := range []error{foreseen, done} {
		var p *protocol.Error
		if err != nil && (!errors.As(err, &p) || p.Code != protocol.CodePermissionDenied || p.Reason != protocol.ReasonRights) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if (foreseen == nil) != (done == nil) {
		t.Errorf("%s: a dry run says %v, and the change %v", what, foreseen, done)
	}
	return done
}

// doing carries out what a right is for. What goes leaves things as they were.
func (a *actRig) doing(t *testing.T, right string) error {
	t.Helper()
	switch right {
	case "delete":
		login := fmt.Sprintf("leaver%02d", a.left)
		a.left++
		return a.do(t, a.add(login), protocol.DeleteAccount, "")
	case "write pwdReset":
		err := a.do(t, a.id, protocol.SetMustChange, "")
		if err == nil {
			a.s.Modify(t, "dn: "+testenv.SlapdDN("cleo")+"\nchangetype: modify\ndelete: pwdReset\n")
		}
		return err
	case "write pwdAccountLockedTime": // disabled by the mark of the policy, which no file names
		err := a.do(t, testenv.SlapdID(testenv.SlapdDN("dora")), protocol.Enable, "")
		if err == nil {
			a.s.Modify(t, "dn: "+testenv.SlapdDN("dora")+"\nchangetype: modify\nreplace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n")
		}
		return err
	case "write " + a.set:
		set := directory.Set{Attribute: a.set, Values: []string{"+49 30 1"}}
		_, foreseen := a.ForeseeSet(t.Context(), a.id, set)
		err := agreed(t, "set", foreseen, a.Set(t.Context(), a.id, set))
		if err == nil {
			err = a.Set(t.Context(), a.id, directory.Set{Attribute: a.set})
		}
		return err
	case "write members of " + a.of.Groups[0]:
		err := a.do(t, a.id, protocol.AddToGroup, "staff")
		if err == nil {
			err = a.do(t, a.id, protocol.RemoveFromGroup, "staff")
		}
		return err
	}
	off, on := a.do(t, a.id, protocol.Disable, ""), a.do(t, a.off, protocol.Enable, "")
	if off == nil && on == nil {
		off, on = a.do(t, a.id, protocol.Enable, ""), a.do(t, a.off, protocol.Disable, "")
	}
	if (off == nil) != (on == nil) {
		t.Errorf("one of two goes: %v, %v", off, on)
	}
	return off
}

// noHashes looks at everybody as the agent's account.
func (a *actRig) noHashes(t *testing.T) {
	t.Helper()
	secrets := []string{"userPassword", "pwdHistory", "passwordHistory", "corpTotpSecret"}
	err := a.pool.Do(t.Context(), "", func(c *ldapconn.Conn) error {
		found, err := c.Search(t.Context(), ldapconn.Request(testenv.SlapdPeople, 2, 0, "(uid=*)", append([]string{"*", "+"}, secrets...)...))
		if err == nil && len(found) < 10 {
			t.Errorf("%d people", len(found))
		}
		for _, e := range found {
			for _, n := range secrets {
				if len(e.GetEqualFoldRawAttributeValues(n)) > 0 {
					t.Errorf("the agent reads %s of %s", n, e.DN)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// proves takes each right away and gives it back by the lines that are told then. take removes
// one, give applies lines, and back makes things as they were documented.
func (a *actRig) proves(t *testing.T, names []string, take func(*testing.T, string), give func(*testing.T, string), back func(*testing.T)) {
	t.Helper()
	a.lacks(t, "with the documented rights")
	for _, name := range names {
		right, _, _ := strings.Cut(name, ", ") // several rules for one right
		take(t, name)
		lines := a.lacks(t, "without "+name, right)
		if a.doing(t, right) == nil {
			t.Errorf("without %s it goes", name)
		}
		give(t, lines[0])
		a.lacks(t, "with the lines that were told")
		if err := a.doing(t, right); err != nil {
			t.Errorf("with the lines for %s: %v", name, err)
		}
		back(t)
	}
	a.noHashes(t)
}

func everyAct(group, attribute string) directory.ActScope {
	of := directory.ActScope{Groups: []string{group}, Attributes: []string{attribute}}
	for _, row := range protocol.Acts {
		of.Operations = append(of.Operations, row.Operation)
	}
	return of
}

const firstRule = "access to attrs=userPassword\n"

// provesOnSlapd puts the documented rules, and no others for account operations, into a
// server's file. rules are parts of them by the names of the rights that they give.
func (a *actRig) provesOnSlapd(t *testing.T, s *testenv.Slapd, block string, rules map[string]string) {
	t.Helper()
	reconfigure(t, s, func(text string) string {
		const agent = `by dn.exact="` + testenv.SlapdAgent + `" `
		head, tail, _ := strings.Cut(text, "access to attrs=pwdReset,pwdAccountLockedTime\n")
		text = head + "access to attrs=pwdReset,pwdAccountLockedTime\n" + strings.Replace(tail, agent+"write", agent+"read", 1)
		return strings.Replace(text, firstRule, block+firstRule, 1)
	})
	var names []string
	for name, part := range rules {
		names = append(names, name)
		if strings.Count(block, part) != 1 {
			t.Fatalf("%q stands %d times in\n%s", part, strings.Count(block, part), block)
		}
	}
	if n := strings.Count(block, "\n"); n != len(rules) {
		t.Errorf("%d rules, of which %d are tried", n, len(rules))
	}
	slices.Sort(names)
	before := ""
	take := func(t *testing.T, name string) {
		t.Helper()
		reconfigure(t, s, func(text string) string {
			before = text
			head, tail, _ := strings.Cut(text, rules[name])
			_, after, _ := strings.Cut(tail, "\n")
			return head[:strings.LastIndex(head, "\n")+1] + after
		})
	}
	give := func(t *testing.T, line string) {
		t.Helper()
		for told := range strings.SplitSeq(line, "\n") {
			if !strings.Contains(block, told+"\n") {
				t.Errorf("not documented: %s", told)
			}
		}
		reconfigure(t, s, func(text string) string { return strings.Replace(text, firstRule, line+"\n# as told\n"+firstRule, 1) })
	}
	a.proves(t, names, take, give, func(t *testing.T) { t.Helper(); reconfigure(t, s, func(string) string { return before }) })
}

func TestP15_LeastPrivilegeOfAccountOperationsOnSlapd(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 8, MustChange: true})
	s.Modify(t, "dn: "+testenv.SlapdDN("ben")+"\nchangetype: modify\nreplace: userPassword\nuserPassword: Another-one-2031\n") // that there is a history
	a := &actRig{
		Directory: openAt(t, configFor(t, s.Addr(), s.CAFile)), s: s, of: everyAct("cn=staff,"+testenv.SlapdGroups, "telephoneNumber"),
		id: testenv.SlapdID(testenv.SlapdDN("cleo")), off: testenv.SlapdID(testenv.SlapdDN("lea")), set: "telephoneNumber",
		add: func(login string) string { return addPerson(t, s, usual, login).ID },
	}
	a.provesOnSlapd(t, s, actSection(t, "OpenLDAP"), map[string]string{
		"write corpStatus": "attrs=corpStatus ", "write pwdAccountLockedTime": "attrs=pwdAccountLockedTime ", "write pwdReset": "attrs=pwdReset ",
		"delete, the entry": "attrs=entry ", "delete, what the branch holds": "attrs=children ",
		"write members of cn=staff," + testenv.SlapdGroups: "attrs=member ", "write telephoneNumber": "attrs=telephoneNumber ",
	})
	if r := rightsOf(t, a.Directory, a.id); len(r.Excess) > 0 {
		t.Errorf("%+v", r.Excess)
	}
	c, err := ldap.DialURL(s.URL(), ldap.DialWithTLSConfig(&tls.Config{InsecureSkipVerify: true})) // the test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(testenv.SlapdAgent, testenv.SlapdAgentPassword); err != nil {
		t.Fatal(err)
	}
	add := ldap.NewAddRequest(testenv.SlapdDN("made.up"), nil)
	for name, value := range map[string]string{"objectClass": "inetOrgPerson", "uid": "made.up", "cn": "x", "sn": "x"} {
		add.Attribute(name, []string{value})
	}
	if err := c.Add(add); !ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights) {
		t.Errorf("who may delete adds an account: %v", err)
	}
}

// customOf is the documented configuration of a schema of its own, at a test's server.
func customOf(t *testing.T, s *testenv.Slapd) Config {
	t.Helper()
	cfg, err := Decode(settings.File{Name: "/x/agent.toml", Text: []byte(documentedCustom(t))})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Config = configFor(t, s.Addr(), s.CAFile).Config
	return cfg
}

func TestP15_LeastPrivilegeOfAccountOperationsInASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 8, MustChange: true, Custom: true})
	a := &actRig{
		Directory: openAt(t, customOf(t, s)), s: s, of: everyAct("cn=staff,"+testenv.SlapdGroups, "title"),
		id: testenv.SlapdNumber(testenv.SlapdDN("cleo")), off: testenv.SlapdNumber(testenv.SlapdDN("lea")), set: "title",
		add: func(login string) string { return addPerson(t, s, acme, login).ID },
	}
	block := actSection(t, "OpenLDAP", "attrs=member ", "attrs=acmeMate ", "telephoneNumber", "title")
	var kept []string // the agent reads no marks of the policy that the file does not name
	for line := range strings.Lines(block) {
		if !strings.Contains(line, "attrs=pwdAccountLockedTime ") {
			kept = append(kept, line)
		}
	}
	a.provesOnSlapd(t, s, strings.Join(kept, ""), map[string]string{
		"write corpStatus": "attrs=corpStatus ", "write pwdReset": "attrs=pwdReset ",
		"delete, the entry": "attrs=entry ", "delete, what the branch holds": "attrs=children ",
		"write members of cn=staff," + testenv.SlapdGroups: "attrs=acmeMate ", "write title": "attrs=title ",
	})
}

func TestP15_LeastPrivilegeOfAccountOperationsOn389(t *testing.T) {
	t.Parallel()
	s := testenv.Start389(t)
	a := &actRig{
		Directory: openAt(t, config389(t, s.Addr(), s.CAFile)), s: s, of: everyAct("cn=staff,"+testenv.SlapdGroups, "telephoneNumber"),
		id: s.ID(t, testenv.SlapdDN("cleo")), off: s.ID(t, testenv.SlapdDN("dora")), set: "telephoneNumber",
		add: func(login string) string { return addPerson(t, s, usual, login).ID },
	}
	if got, _ := unheld(t, a.rights(t)); len(got) != 4 {
		t.Errorf("without any of these rights %q are missing", got)
	}
	block := actSection(t, "389 Directory Server")
	s.Modify(t, block)
	names := []string{"write nsAccountLock", "delete", "write members of cn=staff," + testenv.SlapdGroups, "write telephoneNumber"}
	if n := strings.Count(block, "\naci: "); n != len(names) {
		t.Errorf("%d rules, of which %d are tried", n, len(names))
	}
	take := func(t *testing.T, name string) {
		t.Helper()
		acl, at := map[string]string{"delete": "delete accounts", names[2]: "write member"}[name], testenv.SlapdPeople
		if acl == "" {
			acl = name
		}
		if name == names[2] {
			at = "cn=staff," + testenv.SlapdGroups
		}
		for _, aci := range s.Values(t, at, "aci") {
			if strings.Contains(aci, `"postern `+acl+`"`) {
				s.Modify(t, "dn: "+at+"\nchangetype: modify\ndelete: aci\naci: "+aci+"\n")
			}
		}
	}
	a.proves(t, names, take, func(t *testing.T, lines string) {
		t.Helper()
		if _, aci, _ := strings.Cut(lines, "\naci: "); !strings.Contains(block, aci) {
			t.Errorf("not documented: %s", lines)
		}
		s.Modify(t, lines+"\n")
	}, func(*testing.T) {})
}

// The whole suite of account operations on a schema of its own, by the documented
// configuration and the documented rights.
func TestActsInASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 8, MustChange: true, Custom: true})
	reconfigure(t, s, func(text string) string {
		block := actSection(t, "OpenLDAP", "attrs=member ", "attrs=acmeMate ", "telephoneNumber", "title,acmeLanguage,acmePhone")
		return strings.Replace(text, firstRule, block+firstRule, 1)
	})
	p, leaver := person("cleo", "cleo@corp.example", ""), person("emp000005", "", "")
	p.ID, leaver.ID = testenv.SlapdNumber(p.DN), testenv.SlapdNumber(leaver.DN)
	directorytest.RunActs(t, directorytest.Acts{
		Actor: openAt(t, customOf(t, s)), Person: p, Leaver: leaver, Group: "staff", Powerful: "deputies",
		SignIn: func(dn, password string) error { // no server looks at a mark of the schema's own
			if err := s.WhoAmI(dn, password); err != nil {
				return err
			}
			if slices.Contains(s.Values(t, dn, "corpStatus"), "left") {
				return errors.New("left")
			}
			return nil
		},
		MustChange: func(t *testing.T, dn string) bool { return slices.Equal(s.Values(t, dn, "pwdReset"), []string{"TRUE"}) },
		Single:     "acmeLanguage", Many: "title", Own: "corpTotpSecret", Evidence: "acmePhone",
		Values: valuesOf(s),
	})
}

func TestActsOn389(t *testing.T) {
	t.Parallel()
	s := testenv.Start389(t)
	s.Modify(t, strings.Replace(actSection(t, "389 Directory Server"), `(targetattr="telephoneNumber")`, `(targetattr="telephoneNumber || employeeNumber || mobile")`, 1))
	p, leaver := person("cleo", "cleo@corp.example", ""), person("emp000005", "", "")
	p.ID, leaver.ID = s.ID(t, p.DN), s.ID(t, leaver.DN)
	directorytest.RunActs(t, directorytest.Acts{
		Actor: openAt(t, config389(t, s.Addr(), s.CAFile)), Person: p, Leaver: leaver, Group: "staff", Powerful: "deputies", SignIn: s.WhoAmI,
		Single: "employeeNumber", Many: "telephoneNumber", Own: "corpTotpSecret", Evidence: "mobile", Values: valuesOf(s),
	})
}

// What is refused whatever the rights are is said so, and what a file switches off is not
// looked at. A value of another syntax tells of the right where a text does not.
func TestT20_RightsOfAccountOperationsSayWhatIsNeverDone(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 1, Acts: true})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	id := testenv.SlapdID(testenv.SlapdDN("cleo"))
	of := everyAct("cn=staff,"+testenv.SlapdGroups, "telephoneNumber")
	of.Groups = append(of.Groups, testenv.SlapdID("cn=nobody,"+testenv.SlapdGroups), "cn=deputies,"+testenv.SlapdGroups, "cn=none,"+testenv.SlapdGroups, "staff", "cn=staff,dc=elsewhere", testenv.SlapdPeople)
	of.Attributes = append(of.Attributes, "mobile", "displayName", "noSuchThing", "corpStatus", "manager", "fax", "secretary")
	all, err := d.ActRights(t.Context(), id, of)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]directory.ActRight{}
	for _, r := range all {
		said[r.Of] = r
	}
	for of, words := range map[string]string{
		testenv.SlapdID("cn=nobody," + testenv.SlapdGroups): "no such group", "cn=deputies," + testenv.SlapdGroups: "makes administrators", "cn=none," + testenv.SlapdGroups: "no such group",
		"staff": "no such group", "cn=staff,dc=elsewhere": "no such group", testenv.SlapdPeople: "no such group",
		"mobile": "recoveries go by", "displayName": "recoveries go by", "noSuchThing": "no such attribute", "corpStatus": "signing in", "manager": "signing in", "fax": "calls the attribute",
	} {
		if r, ok := said[of]; !ok || !strings.Contains(r.Never, words) {
			t.Errorf("%s: %+v, want words on %q", of, r, words)
		}
	}
	for of, want := range map[string]directory.Held{"telephoneNumber": directory.HeldYes, "secretary": directory.HeldNo, "cn=staff," + testenv.SlapdGroups: directory.HeldYes} {
		if r := said[of]; r.Never != "" || r.Held != want {
			t.Errorf("%s: %+v, want %s", of, r, want)
		}
	}
	staff := s.Values(t, "cn=staff,"+testenv.SlapdGroups, "entryUUID")
	byID, err := d.ActRights(t.Context(), id, directory.ActScope{Operations: []protocol.Operation{protocol.AddToGroup}, Groups: staff})
	if err != nil || len(byID) != 1 || byID[0].Held != directory.HeldYes || byID[0].Never != "" {
		t.Errorf("a group named by its id: %+v, %v", byID, err)
	}
	none, err := d.ActRights(t.Context(), id, directory.ActScope{Groups: []string{"x"}, Attributes: []string{"mobile"}})
	if err != nil || len(none) > 0 {
		t.Errorf("nothing is switched on: %+v, %v", none, err)
	}
	_, err = d.ActRights(t.Context(), "00000000-0000-4000-8000-000000000000", of)
	if protocol.CodeOf(err) != protocol.CodeAccountNotFound {
		t.Errorf("rights on nobody: %v", err)
	}
	if n := len(s.Changes(t, testenv.SlapdDN("cleo"), testenv.SlapdAgent)); n != 0 {
		t.Errorf("%d changes in the server's log", n)
	}
}

// An account that has ended is told apart from one that somebody switched off.
func TestAnAccountThatHasEndedOnSlapdIsDisabledAndExpired(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 1})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	for _, uid := range []string{"cleo", "dora", "lea"} { // dora is locked by an administrator, lea left
		s.Modify(t, "dn: "+testenv.SlapdDN(uid)+"\nchangetype: modify\nadd: pwdEndTime\npwdEndTime: 20200101000000Z\n")
	}
	s.Modify(t, "dn: "+testenv.SlapdDN("ben")+"\nchangetype: modify\nadd: pwdStartTime\npwdStartTime: 20990101000000Z\n")
	s.Modify(t, "dn: "+testenv.SlapdDN("anna")+"\nchangetype: modify\nadd: pwdEndTime\npwdEndTime: 20990101000000Z\n")
	for uid, want := range map[string]directory.Facts{
		"cleo": {Disabled: true, Expired: true}, "dora": {Disabled: true}, "lea": {Disabled: true}, "ben": {Disabled: true}, "anna": {},
	} {
		f, err := d.Facts(t.Context(), testenv.SlapdID(testenv.SlapdDN(uid)))
		if err != nil || f.Disabled != want.Disabled || f.Expired != want.Expired {
			t.Errorf("%s: %+v, %v", uid, f, err)
		}
	}
	seen, err := d.Foresee(t.Context(), testenv.SlapdID(testenv.SlapdDN("cleo")), protocol.Task{Operation: protocol.Enable})
	if protocol.CodeOf(err) != protocol.CodeUnsupportedAccountState || len(seen.Changes) > 0 {
		t.Errorf("enabling what has ended: %+v, %v", seen, err)
	}
}

// A group is looked at by the attribute that its class has.
func TestRightsOnGroupsOfOtherClasses(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 1})
	people := map[string]string{"unique": "objectClass: groupOfUniqueNames\nuniqueMember: " + testenv.SlapdDN("anna"), "posix": "objectClass: posixGroup\ngidNumber: 7"}
	for name, lines := range people {
		s.Modify(t, "dn: cn="+name+","+testenv.SlapdGroups+"\nchangetype: add\ncn: "+name+"\n"+lines+"\n")
	}
	for name, c := range map[string]struct{ groups, attribute string }{"unique": {GroupsMember, "uniqueMember"}, "posix": {GroupsMemberUID, "memberUid"}} {
		cfg := configFor(t, s.Addr(), s.CAFile)
		cfg.Groups = c.groups
		d, dn := openAt(t, cfg), "cn="+name+","+testenv.SlapdGroups
		look := func() directory.ActRight {
			t.Helper()
			all, err := d.ActRights(t.Context(), testenv.SlapdID(testenv.SlapdDN("cleo")), directory.ActScope{Operations: []protocol.Operation{protocol.AddToGroup}, Groups: []string{dn}})
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			return all[0]
		}
		r := look()
		if want := `access to dn.exact="` + dn + `" attrs=` + c.attribute + " "; r.Held != directory.HeldNo || len(r.Fix) != 1 || !strings.HasPrefix(r.Fix[0], want) {
			t.Fatalf("%s: %+v", name, r)
		}
		reconfigure(t, s, func(text string) string { return strings.Replace(text, firstRule, r.Fix[0]+"\n"+firstRule, 1) })
		if r := look(); r.Held != directory.HeldYes {
			t.Errorf("%s, granted: %+v", name, r)
		}
		join := protocol.Task{Operation: protocol.AddToGroup, Params: map[string]string{protocol.ParamGroup: name}}
		if err := d.Act(t.Context(), testenv.SlapdID(testenv.SlapdDN("cleo")), join); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
