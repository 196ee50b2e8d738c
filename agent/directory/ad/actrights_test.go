package ad

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// everyAct are all account operations, as a file lets them do what the tests do.
func everyAct(groups, attributes []string) directory.ActScope {
	of := directory.ActScope{Groups: groups, Attributes: attributes}
	for _, row := range protocol.Acts {
		of.Operations = append(of.Operations, row.Operation)
	}
	return of
}

// leastActs is a unit with people and a group, and an agent without any right.
type leastActs struct {
	s           *testenv.Samba
	d           *Directory
	upn, sid    string
	ou, group   string
	id, dn      string
	leaver, off string // ids of somebody who is deleted, and of somebody who is disabled
	of          directory.ActScope
}

func startLeastActs(t *testing.T) *leastActs {
	t.Helper()
	s := testenv.SharedSamba(t)
	l := &leastActs{s: s, ou: "OU=LeastActs," + testenv.SambaBase}
	var raw string
	l.upn, _, raw = agentAccount(t, s, "svc-least-acts")
	who, err := parseSID([]byte(unhex(t, raw)))
	if err != nil {
		t.Fatal(err)
	}
	l.sid = string(who)
	unit(t, s.Admin(t), l.ou)
	l.group = "CN=LeastActs VPN," + l.ou
	g := ldap.NewAddRequest(l.group, nil)
	g.Attribute("objectClass", []string{"group"})
	g.Attribute("sAMAccountName", []string{"LeastActs VPN"})
	if err := s.Admin(t).Add(g); err != nil {
		t.Fatal(err)
	}
	l.id, l.dn = l.person(t, "leastacts.person")
	l.off, _ = l.person(t, "leastacts.off")
	s.Set(t, "CN=leastacts.off,"+l.ou, map[string][]string{"userAccountControl": {"514"}})
	l.leaver, _ = l.person(t, "leastacts.leaver")
	l.d = openAt(t, s, as(l.upn), func(c *Config) { c.BaseDNs = []string{l.ou} })
	l.of = everyAct([]string{l.group}, []string{"telephoneNumber"})
	return l
}

func (l *leastActs) person(t *testing.T, login string) (id, dn string) {
	t.Helper()
	dn, raw := l.s.AddPerson(t, l.ou, login, testenv.SambaEmployeePassword, nil)
	id, err := guidText(raw)
	if err != nil {
		t.Fatal(err)
	}
	return id, dn
}

func (l *leastActs) rights(t *testing.T, of directory.ActScope) []directory.ActRight {
	t.Helper()
	all, err := l.d.ActRights(t.Context(), l.id, of)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unheld are those that the agent does not have.
func unheld(all []directory.ActRight) (missing []directory.ActRight) {
	for _, r := range all {
		if r.Held != directory.HeldYes {
			missing = append(missing, r)
		}
	}
	return missing
}

// doing carries out what a right is for, from the dry run on; each leaves things as they
// were, but for deleting.
func (l *leastActs) doing(t *testing.T, right string) error {
	t.Helper()
	do := func(id string, o protocol.Operation, params ...string) error {
		task := protocol.Task{Operation: o}
		if len(params) > 0 {
			task.Params = map[string]string{protocol.ParamGroup: params[0]}
		}
		seen, foreseen := l.d.Foresee(t.Context(), id, task)
		if foreseen == nil && len(seen.Changes) == 0 {
			t.Errorf("%s would change nothing", o)
		}
		if err := l.d.Act(t.Context(), id, task); (err == nil) != (foreseen == nil) {
			t.Errorf("%s: a dry run says %v, and the change %v", o, foreseen, err)
		}
		return foreseen
	}
	switch right {
	case "write userAccountControl":
		if off, on := do(l.id, protocol.Disable), do(l.off, protocol.Enable); off != nil || on != nil {
			if off == nil || on == nil {
				t.Errorf("one of two goes: %v, %v", off, on)
			}
			return off
		}
		return errors.Join(do(l.id, protocol.Enable), do(l.off, protocol.Disable))
	case "write pwdLastSet":
		err := do(l.id, protocol.SetMustChange)
		l.s.Set(t, l.dn, map[string][]string{"pwdLastSet": {"-1"}})
		return err
	case "Delete":
		return do(l.leaver, protocol.DeleteAccount)
	case "write member of " + l.group:
		err := do(l.id, protocol.AddToGroup, "LeastActs VPN")
		if err != nil {
			m := ldap.NewModifyRequest(l.group, nil)
			m.Add("member", []string{l.dn})
			if bad := l.s.Admin(t).Modify(m); bad != nil {
				t.Fatal(bad)
			}
		}
		out := do(l.id, protocol.RemoveFromGroup, "LeastActs VPN")
		if out != nil {
			m := ldap.NewModifyRequest(l.group, nil)
			m.Delete("member", []string{l.dn})
			if bad := l.s.Admin(t).Modify(m); bad != nil {
				t.Fatal(bad)
			}
		}
		return errors.Join(err, out)
	}
	return errors.Join(l.set(t, "+49 30 1"), l.set(t))
}

func (l *leastActs) set(t *testing.T, values ...string) error {
	t.Helper()
	set := directory.Set{Attribute: "telephoneNumber", Values: values}
	_, foreseen := l.d.ForeseeSet(t.Context(), l.id, set)
	if err := l.d.Set(t.Context(), l.id, set); (err == nil) != (foreseen == nil) {
		t.Errorf("set: a dry run says %v, and the change %v", foreseen, err)
	}
	return foreseen
}

// line is what the documentation grants a right with, and where.
func (l *leastActs) line(t *testing.T, r directory.ActRight, lines map[string]string) (dn, sddl string) {
	t.Helper()
	name, dn := r.Name, l.ou
	if r.Of == l.group {
		name, dn = "write member", l.group
	}
	sddl = strings.ReplaceAll(lines[name], "SID", l.sid)
	if len(r.Fix) != 1 || sddl == "" || !strings.Contains(r.Fix[0], `--sddl="`+sddl+`"`) || !strings.Contains(r.Fix[0], `--objectdn="`+dn+`"`) {
		t.Fatalf("%s: the line %q does not hold what is documented: %q", r.Name, r.Fix, sddl)
	}
	return dn, sddl
}

// With exactly the rights that the documentation lists every account operation works; each
// one that is taken away is named, by the dry run, by the change and with the line that gives
// it back, and no hash is shown.
func TestP15_LeastPrivilegeOfAccountOperations(t *testing.T) {
	l := startLeastActs(t)
	lines := documented(t)
	needed := unheld(l.rights(t, l.of))
	var names []string
	for _, r := range needed {
		names = append(names, r.Name)
	}
	want := []string{"write userAccountControl", "write pwdLastSet", "Delete", "write member of " + l.group, "write telephoneNumber"}
	if !slices.Equal(names, want) {
		t.Fatalf("an agent without rights lacks %q, want %q", names, want)
	}
	for _, r := range needed {
		dn, sddl := l.line(t, r, lines)
		l.s.Tool(t, "dsacl", "set", "--action=allow", "--objectdn="+dn, "--sddl="+sddl)
	}
	if m := unheld(l.rights(t, l.of)); len(m) > 0 {
		t.Fatalf("with all rights %+v are missing", m)
	}
	for _, lost := range needed {
		dn, sddl := l.line(t, lost, lines)
		l.s.Disallow(t, dn, sddl)
		if m := unheld(l.rights(t, l.of)); len(m) != 1 || m[0].Name != lost.Name || m[0].Held != directory.HeldNo || m[0].Why == "" || len(m[0].For) == 0 || m[0].Fix[0] != lost.Fix[0] {
			t.Errorf("without %s: %+v", lost.Name, m)
		}
		err := l.doing(t, lost.Name)
		var p *protocol.Error
		if !errors.As(err, &p) || p.Code != protocol.CodePermissionDenied || p.Reason != protocol.ReasonRights {
			t.Errorf("without %s: %v", lost.Name, err)
		}
		l.s.Tool(t, "dsacl", "set", "--action=allow", "--objectdn="+dn, "--sddl="+sddl)
		if err := l.doing(t, lost.Name); err != nil {
			t.Errorf("with %s again: %v", lost.Name, err)
		}
	}
	l.hashes(t)
}

// hashes looks at everybody as the agent's account, by every name of a secret.
func (l *leastActs) hashes(t *testing.T) {
	t.Helper()
	c := l.s.Dial(t)
	if err := c.Bind(l.upn, testenv.SambaServicePassword); err != nil {
		t.Fatal(err)
	}
	var secret []string
	for a := range secretAttributes {
		secret = append(secret, a)
	}
	r, err := c.Search(ldapconn.Request(l.ou, ldap.ScopeWholeSubtree, 0, "(objectClass=user)", append(secret, "*")...))
	if err != nil || len(r.Entries) != 2 {
		t.Fatal(r, err)
	}
	for _, e := range r.Entries {
		for _, a := range e.Attributes {
			if secretAttributes[strings.ToLower(a.Name)] {
				t.Errorf("the agent reads %s of %s", a.Name, e.DN)
			}
		}
	}
}

// What is refused whatever the rights are is said so, and what a file switches off is not
// looked at.
func TestT20_RightsOfAccountOperationsSayWhatIsNeverDone(t *testing.T) {
	s, d := open(t)
	id, _, _ := person(t, s, "neveracts", nil)
	all, err := d.ActRights(t.Context(), id, everyAct(
		[]string{"CN=Account Operators,CN=Builtin," + testenv.SambaBase, "CN=None," + testenv.SambaBase, "VPN", "00000000-0000-4000-8000-000000000000", "CN=Users,DC=other,DC=example"},
		[]string{"mobile", "displayName", "noSuchThing", "manager", "thumbnailPhoto", "telephoneNumber"}))
	if err != nil {
		t.Fatal(err)
	}
	never := map[string]string{}
	for _, r := range all {
		if r.Of != "" {
			never[r.Of] = r.Never
		}
	}
	for of, words := range map[string]string{
		"CN=Account Operators,CN=Builtin," + testenv.SambaBase: "adminCount", "CN=None," + testenv.SambaBase: "no such group", "VPN": "no such group",
		"00000000-0000-4000-8000-000000000000": "no such group", "CN=Users,DC=other,DC=example": "no such group",
		"mobile": "recoveries go by", "displayName": "recoveries go by", "noSuchThing": "no such attribute", "manager": "links accounts", "thumbnailPhoto": "pictures",
	} {
		if !strings.Contains(never[of], words) || words == "" {
			t.Errorf("%s: %q, want words on %q", of, never[of], words)
		}
	}
	if why := never["telephoneNumber"]; why != "" {
		t.Errorf("telephoneNumber: %s", why)
	}
	none, err := d.ActRights(t.Context(), id, directory.ActScope{Groups: []string{"x"}, Attributes: []string{"mobile"}})
	if err != nil || len(none) > 0 {
		t.Errorf("nothing is switched on: %+v, %v", none, err)
	}
	_, err = d.ActRights(t.Context(), "00000000-0000-4000-8000-000000000000", directory.ActScope{})
	if protocol.CodeOf(err) != protocol.CodeAccountNotFound {
		t.Errorf("rights on nobody: %v", err)
	}
}

// Who may delete the children of a unit may delete the account; a denial of the account's own
// is named as one.
func TestDeletingGoesByTheUnitToo(t *testing.T) {
	s := testenv.SharedSamba(t)
	upn, _, sid := agentAccount(t, s, "svc-child")
	ou := "OU=Children," + testenv.SambaBase
	unit(t, s.Admin(t), ou)
	dn, raw := s.AddPerson(t, ou, "child.person", testenv.SambaEmployeePassword, nil)
	id, err := guidText(raw)
	if err != nil {
		t.Fatal(err)
	}
	d := openAt(t, s, as(upn))
	remove := directory.ActScope{Operations: []protocol.Operation{protocol.DeleteAccount}}
	look := func() directory.ActRight {
		t.Helper()
		all, err := d.ActRights(t.Context(), id, remove)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	grant(t, s, dn, rawACE(t, aceDenied, 0, deleteObject, "", "", sid))
	if r := look(); r.Held != directory.HeldNo || !strings.Contains(r.Why, "denies") {
		t.Errorf("denied: %+v", r)
	}
	revoke(t, s, dn, sid, "")
	grant(t, s, ou, rawACE(t, aceAllowedObject, 0, deleteChild, userClass, "", sid))
	if r := look(); r.Held != directory.HeldYes {
		t.Errorf("a right on the unit: %+v", r)
	}
	if err := d.Act(t.Context(), id, protocol.Task{Operation: protocol.DeleteAccount}); err != nil {
		t.Error(err)
	}
}

// On Microsoft's server the lines are those of dsacls; nothing here can run them.
func TestLinesOfAccountOperationsForMicrosoftsServer(t *testing.T) {
	a := adviser{
		d: &Directory{cfg: Config{}}, dom: domain{base: "DC=corp,DC=example"}, who: `CORP\svc-postern`, sid: "S-1-5-21-1-2-3-1104",
		e: ldap.NewEntry(`CN=Berg\, Anna,OU=Staff,DC=corp,DC=example`, nil),
	}
	text := section(t, "## Rights for account operations")
	lines := []string{a.grant(a.unit(), needDelete), a.grantMember("CN=VPN,OU=Groups,DC=corp,DC=example"), a.grant(a.unit(), need{attribute: "telephoneNumber", dsacls: "WP;telephoneNumber;user"})}
	for _, n := range actNeeds {
		lines = append(lines, a.grant(a.unit(), n.need))
	}
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the documentation lacks %s", line)
		}
	}
	if n := strings.Count(text, "\ndsacls "); n != len(lines) {
		t.Errorf("the documentation has %d lines, the code %d", n, len(lines))
	}
}
