package ad

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// A need is a right on the account itself that a part of a plan needs.
type need struct {
	name      string // as dry runs and administrators' tools call it
	what      string // what needs it
	of        func(directory.Plan) bool
	right     string // GUID of an extended right, or
	attribute string // an attribute to write
	guid      string // of that attribute, in the schema
	mask      uint32 // or a bit that no GUID narrows
	sddl      string // as Samba writes that
	dsacls    string // as dsacls names it
}

// userClass is the GUID of the class user in the schema.
const userClass = "bf967aba-0de6-11d0-a285-00aa003049e2"

// needs is the table of rights on accounts, in the order of the documentation.
var needs = []need{
	{
		name: "Reset Password", what: string(protocol.GetTemporaryPassword), of: func(p directory.Plan) bool { return p.Reset },
		right: rightReset, dsacls: "CA;Reset Password;user",
	},
	{
		name: "write lockoutTime", what: string(protocol.Unlock), of: func(p directory.Plan) bool { return p.Unlock },
		attribute: "lockoutTime", guid: "28630ebf-41d5-11d1-a9c1-0000f80367c1", dsacls: "WP;lockoutTime;user",
	},
	{
		name: "write pwdLastSet", what: "must_change", of: func(p directory.Plan) bool { return p.MustChange },
		attribute: "pwdLastSet", guid: "bf967a0a-0de6-11d0-a285-00aa003049e2", dsacls: "WP;pwdLastSet;user",
	},
}

// held compares the need with what the controller says that the agent may write, and
// with the account's access list where the agent can read it.
func (n need) held(e *ldap.Entry, acl accessList, token map[sid]bool) directory.Held {
	if n.attribute != "" {
		return yesIf(mayWrite(e, n.attribute))
	}
	if acl.open {
		return directory.HeldUnknown
	}
	allowed, _ := acl.verdict(token, n.right)
	return yesIf(allowed)
}

func yesIf(b bool) directory.Held {
	if b {
		return directory.HeldYes
	}
	return directory.HeldNo
}

// Rights implements directory.Advisor.
func (d *Directory) Rights(ctx context.Context, id string) (directory.Rights, error) {
	var r directory.Rights
	err := d.advising(ctx, id, func(a *adviser) (err error) {
		r, err = a.rights(ctx)
		return err
	})
	return r, err
}

// advising calls look with an account and who the agent is.
func (d *Directory) advising(ctx context.Context, id string, look func(*adviser) error) error {
	return d.atPDC(ctx, func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		if err != nil {
			return err
		}
		e, err := d.withRights(ctx, c, id)
		if err != nil {
			return err
		}
		a := adviser{d: d, c: c, dom: dom, e: e}
		if err := a.self(ctx); err != nil {
			return err
		}
		return look(&a)
	})
}

// An adviser looks at one account.
type adviser struct {
	d   *Directory
	c   *ldapconn.Conn
	dom domain
	e   *ldap.Entry
	who string // the agent's account, for lines
	sid sid
}

func (a *adviser) rights(ctx context.Context) (directory.Rights, error) {
	r := directory.Rights{Agent: a.who, Account: a.e.DN}
	acl, err := parseDescriptor(a.e.GetRawAttributeValue("nTSecurityDescriptor"))
	if err != nil {
		acl.open = true
	}
	for _, n := range needs {
		r.Needs = append(r.Needs, a.onAccount(n, acl))
	}
	r.Needs = append(r.Needs, a.readable("nTSecurityDescriptor", []string{"dry run"}, true), a.readable("tokenGroups", []string{"every operation"}, false),
		a.readable("replPropertyMetaData", []string{"every operation"}, false))
	for _, look := range []func(context.Context) (directory.Right, error){a.policies, a.deletions} {
		one, err := look(ctx)
		if err != nil {
			return r, err
		}
		r.Needs = append(r.Needs, one)
	}
	r.Excess, err = a.excess(ctx)
	return r, err
}

// self finds the account that the agent signs in with.
func (a *adviser) self(ctx context.Context) error {
	a.who = a.d.cfg.BindDN
	_, login, found := strings.Cut(a.who, `\`)
	if !found { // a name that stands in no userPrincipalName is taken for name@domain all the same
		login, _, _ = strings.Cut(a.who, "@")
	}
	filter := ldapconn.Or(ldapconn.Equal("userPrincipalName", a.who), ldapconn.Equal("sAMAccountName", login), ldapconn.Equal("distinguishedName", a.who))
	those, err := a.c.Search(ctx, ldapconn.Request(a.dom.base, ldap.ScopeWholeSubtree, 2, filter, "objectSid", "userPrincipalName"))
	if err != nil || len(those) != 1 {
		return err // of another domain of the forest: lines name it, and no SID
	}
	a.sid, _ = parseSID(those[0].GetRawAttributeValue("objectSid"))
	if upn := those[0].GetAttributeValue("userPrincipalName"); upn != "" && ldapconn.SameDN(a.who, those[0].DN) {
		a.who = upn
	}
	return nil
}

// onAccount looks at a right on the account itself.
func (a *adviser) onAccount(n need, acl accessList) directory.Right {
	r := directory.Right{Name: n.name, For: []string{n.what}, Held: n.held(a.e, acl, a.dom.token)}
	if r.Held == directory.HeldNo {
		_, denied := acl.verdict(a.dom.token, n.right)
		a.advise(&r, n, acl, n.right != "" && denied)
	}
	return r
}

// advise says why a right on the account is missing, and gives the line that grants it.
func (a *adviser) advise(r *directory.Right, n need, acl accessList, denied bool) {
	switch {
	case denied:
		r.Why = "an entry in the account's access list denies it"
	case acl.protected:
		r.Why = "the account inherits no rights from its organisational unit, as those of administrators and former administrators do; switch inheritance on for it (Advanced Security Settings), or leave it to its administrators"
	default:
		r.Why = "it is not delegated on the organisational unit"
	}
	r.Fix = []string{a.grant(a.unit(), n)}
}

// unit is where rights are delegated: the configured base that holds the account, or the
// container that it stands in.
func (a *adviser) unit() string {
	for _, base := range a.d.cfg.BaseDNs {
		if ldapconn.Within(a.e.DN, base) && !ldapconn.SameDN(base, a.dom.base) {
			return base
		}
	}
	return above(a.e.DN)
}

// above is the DN of what an entry stands in, spelled as it was.
func above(dn string) string {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++ // the next one is part of the name
		case ',':
			return dn[i+1:]
		}
	}
	return ""
}

// grant is the line that delegates a right on a unit.
func (a *adviser) grant(unit string, n need) string {
	if !a.dom.samba {
		return fmt.Sprintf(`dsacls %s /I:S /G %s`, quotedDN(unit), quoted(a.who+":"+n.dsacls))
	}
	what := "CR;" + n.right
	switch {
	case n.attribute != "":
		what = "WP;" + n.guid
	case n.mask != 0:
		what = n.sddl + ";"
	}
	sddl := fmt.Sprintf("(OA;CIIO;%s;%s;%s)", what, userClass, a.sid)
	return fmt.Sprintf(`samba-tool dsacl set --action=allow --objectdn=%s --sddl="%s"`, quotedDN(unit), sddl)
}

// quoted puts a name into quotes for a command line. Names with quotes of their own are
// for people to finish.
func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// quotedDN is quoted for a DN. Whoever may name a unit writes no commands for the
// administrator who pastes the line: what a shell would follow between quotes stands
// there in hex (RFC 4514, section 2.4).
func quotedDN(dn string) string {
	var b strings.Builder
	for i := 0; i < len(dn); i++ {
		c := dn[i]
		escaped := c == '\\' && i+1 < len(dn)
		if escaped {
			i++
			c = dn[i]
		}
		switch {
		case c < ' ' || strings.IndexByte("\"$`%!", c) >= 0 || escaped && c == '\\':
			fmt.Fprintf(&b, `\%02x`, c)
		case escaped:
			b.WriteString(dn[i-1 : i+1])
		default:
			b.WriteByte(c)
		}
	}
	return quoted(b.String())
}

// readable looks whether the agent was shown an attribute that is always there.
func (a *adviser) readable(attribute string, what []string, optional bool) directory.Right {
	r := directory.Right{Name: "read " + attribute, For: what, Optional: optional, Held: yesIf(len(a.e.GetRawAttributeValue(attribute)) > 0)}
	if r.Held == directory.HeldYes {
		return r
	}
	r.Why = "every authenticated user may read it unless somebody took that away"
	switch {
	case a.dom.samba:
	case attribute == "tokenGroups":
		r.Fix = []string{fmt.Sprintf(`net localgroup "Windows Authorization Access Group" %s /add`, quoted(a.who))}
	case attribute == "nTSecurityDescriptor":
		r.Fix = []string{fmt.Sprintf(`dsacls %s /I:S /G %s`, quotedDN(a.unit()), quoted(a.who+":RC;;user"))}
	default:
		r.Fix = []string{fmt.Sprintf(`dsacls %s /I:S /G %s`, quotedDN(a.unit()), quoted(a.who+":RP;"+attribute+";user"))}
	}
	return r
}

// policies looks whether stricter password policies can be read.
func (a *adviser) policies(ctx context.Context) (directory.Right, error) {
	dn := "CN=Password Settings Container,CN=System," + a.dom.base
	r := directory.Right{Name: "read " + dn, For: []string{"length of stricter password policies"}, Optional: true}
	seen, err := a.c.Search(ctx, ldapconn.Request(dn, ldap.ScopeSingleLevel, 1, ldapconn.Present("msDS-MinimumPasswordLength"), "cn"))
	if err != nil && !ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) && !ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights) {
		return r, err
	}
	switch {
	case len(seen) > 0:
		r.Held = directory.HeldYes
		return r, nil
	case a.e.GetAttributeValue("msDS-ResultantPSO") != "":
		r.Held, r.Why = directory.HeldNo, "one applies to this account and cannot be read; a temporary password that it refuses fails with a plain message"
	default:
		r.Held, r.Why = directory.HeldUnknown, "none can be seen: there are none, or the agent's account may not read them"
	}
	r.Fix = []string{a.list(dn, "/I:T", ":GR", "(A;CI;RPLCLORC;;;%s)")}
	return r, nil
}

// deletedObjects is where deleted objects are, below a domain.
const deletedObjects = "CN=Deleted Objects,"

// deletions looks whether deleted objects can be listed. The container counts as deleted
// itself.
func (a *adviser) deletions(ctx context.Context) (directory.Right, error) {
	dn := deletedObjects + a.dom.base
	r := directory.Right{Name: "list " + dn, For: []string{"deletions between full passes"}, Optional: true}
	search := deletions(a.dom)
	search.Scope = ldap.ScopeBaseObject
	found, err := a.c.Search(ctx, search)
	if err != nil && !ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) && !ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights) {
		return r, err
	}
	r.Held = yesIf(len(found) > 0 && len(found[0].GetRawAttributeValue("objectGUID")) > 0)
	if r.Held == directory.HeldNo {
		r.Why = "only administrators may list it; a deleted account disappears with the next full pass, at the latest after a day"
		if !a.dom.samba {
			r.Fix = []string{fmt.Sprintf(`dsacls %s /takeOwnership`, quotedDN(dn))}
		}
		r.Fix = append(r.Fix, a.list(dn, "/I:T", ":LCRP", "(A;CI;LCRPLO;;;%s)"))
	}
	return r, nil
}

// inPython is the line that does on Samba what samba-tool does, on an object that counts as
// deleted, which that does not find.
const inPython = `python3 -c 'import ldb; from samba.auth import system_session; from samba.dcerpc import security; from samba.ndr import ndr_pack, ndr_unpack; ` +
	`from samba.param import LoadParm; from samba.samdb import SamDB; lp = LoadParm(); lp.load_default(); db = SamDB(lp=lp, session_info=system_session(lp)); dn = r"%s"; ` +
	`sd = ndr_unpack(security.descriptor, db.search(dn, ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=["show_deleted:1", "sd_flags:1:15"])[0]["nTSecurityDescriptor"][0]); ` +
	`sd.dacl_add(security.descriptor.from_sddl("D:%s", security.dom_sid(db.get_domain_sid())).dacl.aces[0]); m = ldb.Message(ldb.Dn(db, dn)); ` +
	`m["sd"] = ldb.MessageElement(ndr_pack(sd), ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor"); db.modify(m, ["show_deleted:1", "sd_flags:1:4"])'`

// list is the line that lets the agent look into a container.
func (a *adviser) list(dn, inherit, rights, sddl string) string {
	if a.dom.samba && strings.HasPrefix(dn, deletedObjects) {
		return fmt.Sprintf(inPython, strings.ReplaceAll(strings.Trim(quotedDN(dn), `"`), "'", `\27`), fmt.Sprintf(sddl, a.sid))
	}
	if a.dom.samba {
		return fmt.Sprintf(`samba-tool dsacl set --action=allow --objectdn=%s --sddl="%s"`, quotedDN(dn), fmt.Sprintf(sddl, a.sid))
	}
	return fmt.Sprintf(`dsacls %s %s /G %s`, quotedDN(dn), inherit, quoted(a.who+rights))
}

// excess finds what the agent's account should not have.
func (a *adviser) excess(ctx context.Context) ([]directory.Right, error) {
	var all []directory.Right
	for s := range a.dom.token {
		if name := privilegedGroup(s); name != "" {
			all = append(all, directory.Right{Name: "member of " + name, Held: directory.HeldYes,
				Why: "a recovery needs none of its rights; who takes over the agent has all of them"})
		}
	}
	if bits(a.e, "sDRightsEffective") != 0 {
		all = append(all, directory.Right{Name: "change owner or access list of the account", Held: directory.HeldYes,
			Why: "it can give itself every right on the account"})
	}
	r := ldapconn.Request(a.dom.base, ldap.ScopeBaseObject, 0, "(objectClass=*)", "nTSecurityDescriptor")
	r.Controls = []ldap.Control{&ldap.ControlMicrosoftSDFlags{Criticality: true, ControlValue: daclOnly}}
	found, err := a.c.Search(ctx, r)
	if err != nil || len(found) == 0 {
		return all, err
	}
	acl, err := parseDescriptor(found[0].GetRawAttributeValue("nTSecurityDescriptor"))
	if err != nil {
		return all, nil // not readable: it cannot be told
	}
	if allowed, _ := acl.verdict(a.dom.token, rightHashes); allowed {
		all = append(all, directory.Right{Name: "Replicating Directory Changes All", Held: directory.HeldYes,
			Why: "it reads the password hashes of everybody", Fix: []string{fmt.Sprintf(`dsacls %s /R %s`, quotedDN(a.dom.base), quoted(a.who))}})
	}
	return all, nil
}
