package demo

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Extended operations.
const (
	oidStartTLS       = "1.3.6.1.4.1.1466.20037"  // RFC 4511 §4.14
	oidPasswordModify = "1.3.6.1.4.1.4203.1.11.1" // RFC 3062
	oidWhoAmI         = "1.3.6.1.4.1.4203.1.11.3" // RFC 4532
)

// maxPages bounds the unfinished searches of one session.
const maxPages = 8

// bind signs in by name and password (RFC 4511 §4.2). A failed sign-in leaves the
// session with nobody signed in.
func (x *session) bind(q request) bool {
	x.dn, x.restricted = "", false
	name, credentials := text(part(q.op, 1)), part(q.op, 2)
	if credentials == nil || credentials.ClassType != ber.ClassContext || credentials.Tag != 0 {
		return x.send(q.id, result(ldap.ApplicationBindResponse, answer{code: ldap.LDAPResultAuthMethodNotSupported}))
	}
	password := text(credentials)
	if name == "" && password == "" { // anonymous: may read the root DSE
		return x.send(q.id, result(ldap.ApplicationBindResponse, answer{}))
	}
	if password == "" {
		return x.send(q.id, result(ldap.ApplicationBindResponse, answer{code: ldap.LDAPResultUnwillingToPerform, words: "unauthenticated bind (DN with no password) disallowed"}))
	}
	a, restricted := x.server.tree.signIn(name, password)
	if a.code == ldap.LDAPResultSuccess {
		x.dn, x.restricted = name, restricted
	}
	return x.send(q.id, result(ldap.ApplicationBindResponse, a), a.policyControl()...)
}

// isAgent reports whether the agent's account signed in.
func (x *session) isAgent() bool { return ldapconn.SameDN(x.dn, agentDN) }

// sees reports whether the session may find an entry: the agent all, others their own.
func (x *session) sees(n *node) bool { return x.isAgent() || ldapconn.SameDN(x.dn, n.dn) }

// search answers with the entries that match (RFC 4511 §4.5), by pages if asked.
func (x *session) search(q request) bool {
	done := func(a answer, controls ...*ber.Packet) bool {
		return x.send(q.id, result(ldap.ApplicationSearchResultDone, a), controls...)
	}
	base, scope := text(part(q.op, 0)), 0
	if n, ok := number(part(q.op, 1)); ok && n >= 0 && n <= 2 {
		scope = int(n)
	}
	limit, _ := number(part(q.op, 3))
	f, ok := readFilter(part(q.op, 6), 0)
	if !ok || limit < 0 {
		return done(answer{code: ldap.LDAPResultProtocolError})
	}
	var wanted []string
	if list := part(q.op, 7); list != nil {
		for _, c := range list.Children {
			wanted = append(wanted, text(c))
		}
	}
	if base == "" {
		return x.rootDSE(q, scope, wanted)
	}
	found, exists := x.matching(base, scope, f)
	if !exists {
		return done(answer{code: ldap.LDAPResultNoSuchObject})
	}
	page, control, a := x.page(q, found)
	if a.code == ldap.LDAPResultSuccess && limit > 0 && int64(len(page)) > limit {
		page, a = page[:limit], answer{code: ldap.LDAPResultSizeLimitExceeded}
	}
	for _, n := range page {
		if !x.send(q.id, encodeEntry(n, wanted, x.mayRead)) {
			return false
		}
	}
	return done(a, control...)
}

// matching returns the entries in scope that the session sees and the filter takes.
func (x *session) matching(base string, scope int, f filter) ([]*node, bool) {
	nodes, exists := x.server.tree.below(base, scope)
	return slices.DeleteFunc(nodes, func(n *node) bool { return !x.sees(n) || !f(n.get) }), exists
}

// page takes the part of the entries that the paging control asks for (RFC 2696). The
// cookie stands for what is left, in this session.
func (x *session) page(q request, found []*node) ([]*node, []*ber.Packet, answer) {
	c, ok := q.controls[ldap.ControlTypePaging]
	if !ok {
		return found, nil, answer{}
	}
	value, err := ber.DecodePacketErr(c.value)
	size, ok := number(part(value, 0))
	if err != nil || !ok || size < 0 {
		return nil, nil, answer{code: ldap.LDAPResultProtocolError}
	}
	if cookie := text(part(value, 1)); cookie != "" {
		rest, known := x.pages[cookie]
		if !known {
			return nil, nil, answer{code: ldap.LDAPResultUnwillingToPerform, words: "paged results cookie is invalid"}
		}
		delete(x.pages, cookie)
		found = rest
	}
	next := ldap.NewControlPaging(0)
	if n := int(min(size, int64(len(found)))); n < len(found) {
		next.SetCookie(x.keepPage(found[n:]))
		found = found[:n]
	}
	return found, []*ber.Packet{next.Encode()}, answer{}
}

// keepPage remembers the rest of a search under a new cookie.
func (x *session) keepPage(rest []*node) []byte {
	if x.pages == nil || len(x.pages) >= maxPages {
		x.pages = map[string][]*node{}
	}
	cookie := hex.EncodeToString([]byte(rand.Text()[:8]))
	x.pages[cookie] = rest
	return []byte(cookie)
}

// mayRead reports whether the session may see an attribute's values. Authenticators
// can be searched for, not read.
func (x *session) mayRead(name string) bool {
	return !strings.EqualFold(name, attrTotpSecret)
}

// operational attributes come only by their name or "+".
var operational = map[string]bool{
	"entryuuid": true, "entrycsn": true, "modifytimestamp": true, "modifiersname": true, "memberof": true, "pwdchangedtime": true,
	"pwdfailuretime": true, "pwdaccountlockedtime": true, "pwdreset": true,
}

// encodeEntry encodes what was asked for of an entry.
func encodeEntry(n *node, wanted []string, mayRead func(string) bool) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "entry")
	p.AppendChild(octets(n.dn, "objectName"))
	list := ber.NewSequence("attributes")
	all := len(wanted) == 0 || slices.Contains(wanted, "*")
	for key, a := range n.attrs {
		asked := slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, key) })
		switch {
		case asked, operational[key] && slices.Contains(wanted, "+"), !operational[key] && all:
		default:
			continue
		}
		if !mayRead(a.name) {
			continue
		}
		attr, set := ber.NewSequence("attribute"), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "vals")
		attr.AppendChild(octets(a.name, "type"))
		for _, v := range a.values {
			set.AppendChild(octets(v, "value"))
		}
		attr.AppendChild(set)
		list.AppendChild(attr)
	}
	p.AppendChild(list)
	return p
}

// rootDSE answers what the server is (RFC 4512 §5.1).
func (x *session) rootDSE(q request, scope int, wanted []string) bool {
	if scope != ldap.ScopeBaseObject {
		return x.send(q.id, result(ldap.ApplicationSearchResultDone, answer{code: ldap.LDAPResultNoSuchObject}))
	}
	n := &node{attrs: map[string]attribute{}}
	n.set("objectClass", "top")
	n.set("namingContexts", baseDN)
	n.set("supportedLDAPVersion", "3")
	n.set("supportedControl", ldap.ControlTypePaging, ldap.ControlTypeBeheraPasswordPolicy)
	n.set("supportedExtension", oidStartTLS, oidPasswordModify, oidWhoAmI)
	n.set("vendorName", "Postern demo directory")
	if slices.Contains(wanted, "+") {
		wanted = append(wanted, "*")
	}
	return x.send(q.id, encodeEntry(n, wanted, x.mayRead)) && x.send(q.id, result(ldap.ApplicationSearchResultDone, answer{}))
}

// writable are what the agent's account may change, besides passwords.
var writable = []string{attrTotpSecret, "pwdReset", "pwdAccountLockedTime"}

// modify changes one entry (RFC 4511 §4.6), whole or not at all.
func (x *session) modify(q request) answer {
	if !x.isAgent() {
		return answer{code: ldap.LDAPResultInsufficientAccessRights}
	}
	changes := part(q.op, 1)
	if changes == nil || len(changes.Children) == 0 {
		return answer{code: ldap.LDAPResultProtocolError}
	}
	return x.server.tree.change(text(part(q.op, 0)), x.dn, func(n *node) answer {
		now := x.server.tree.stamp(n, x.dn)
		for _, c := range changes.Children {
			if a := x.modification(n, c, now); a.code != ldap.LDAPResultSuccess {
				return a
			}
		}
		return answer{}
	})
}

// modification makes one change of a request.
func (x *session) modification(n *node, c *ber.Packet, now time.Time) answer {
	op, ok := number(part(c, 0))
	name := text(part(part(c, 1), 0))
	set := part(part(c, 1), 1)
	if !ok || name == "" || set == nil {
		return answer{code: ldap.LDAPResultProtocolError}
	}
	var values []string
	for _, v := range set.Children {
		values = append(values, text(v))
	}
	if strings.EqualFold(name, "userPassword") {
		return modifyPassword(n, op, values, now)
	}
	if !slices.ContainsFunc(writable, func(w string) bool { return strings.EqualFold(w, name) }) || !ldapconn.Within(n.dn, peopleDN) {
		return answer{code: ldap.LDAPResultInsufficientAccessRights, words: "no write access to " + name}
	}
	switch op {
	case ldap.AddAttribute:
		n.set(name, append(n.get(name), values...)...)
	case ldap.ReplaceAttribute:
		n.set(name, values...)
	case ldap.DeleteAttribute:
		return deleteValues(n, name, values)
	default:
		return answer{code: ldap.LDAPResultUnwillingToPerform}
	}
	if strings.EqualFold(name, "pwdAccountLockedTime") && len(n.get(name)) == 0 {
		n.set("pwdFailureTime")
	}
	return answer{}
}

func deleteValues(n *node, name string, values []string) answer {
	have := n.get(name)
	left := slices.DeleteFunc(slices.Clone(have), func(v string) bool { return len(values) == 0 || slices.Contains(values, v) })
	if len(have) == 0 || len(have)-len(left) < len(values) {
		return answer{code: ldap.LDAPResultNoSuchAttribute, words: "modify/delete: " + name + ": no such value"}
	}
	n.set(name, left...)
	return answer{}
}

// modifyPassword replaces a password. Nothing else can be done to one: no value can be
// deleted, as none is told.
func modifyPassword(n *node, op int64, values []string, now time.Time) answer {
	switch {
	case !ldapconn.Within(n.dn, peopleDN):
		return answer{code: ldap.LDAPResultInsufficientAccessRights}
	case op == ldap.DeleteAttribute:
		return answer{code: ldap.LDAPResultNoSuchAttribute, words: "modify/delete: userPassword: no such value"}
	case op != ldap.ReplaceAttribute || len(values) != 1:
		return answer{code: ldap.LDAPResultUnwillingToPerform}
	}
	return setPassword(n, values[0], now)
}

// extended answers an extended request (RFC 4511 §4.12).
func (x *session) extended(q request) bool {
	switch text(part(q.op, 0)) {
	case oidStartTLS:
		return x.startTLS(q)
	case oidWhoAmI:
		p := result(ldap.ApplicationExtendedResponse, answer{})
		who := ""
		if x.dn != "" {
			who = "dn:" + x.dn
		}
		p.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, who, "responseValue"))
		return x.send(q.id, p)
	case oidPasswordModify:
		a, generated := x.passwordModify(q)
		p := result(ldap.ApplicationExtendedResponse, a)
		if generated != "" {
			value := ber.NewSequence("PasswdModifyResponseValue")
			value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, generated, "genPasswd"))
			p.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, string(value.Bytes()), "responseValue"))
		}
		return x.send(q.id, p, a.policyControl()...)
	}
	return x.send(q.id, result(ldap.ApplicationExtendedResponse, answer{code: ldap.LDAPResultProtocolError, words: "unsupported extended operation"}))
}

// startTLS begins encryption. What a client sent before it may not be taken for
// encrypted: then the connection ends.
func (x *session) startTLS(q request) bool {
	if x.encrypted || x.r.Buffered() > 0 {
		_ = x.send(q.id, result(ldap.ApplicationExtendedResponse, answer{code: ldap.LDAPResultOperationsError}))
		return false
	}
	p := result(ldap.ApplicationExtendedResponse, answer{})
	p.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, oidStartTLS, "responseName"))
	if !x.send(q.id, p) {
		return false
	}
	x.protect()
	return true
}

// passwordModify carries RFC 3062 out: the agent sets anybody's password, people their
// own with the old one. Without a new password one is made.
func (x *session) passwordModify(q request) (a answer, generated string) {
	target, old, password := x.dn, "", ""
	if value := part(q.op, 1); value != nil {
		fields, err := ber.DecodePacketErr([]byte(text(value)))
		if err != nil {
			return answer{code: ldap.LDAPResultProtocolError}, ""
		}
		for _, f := range fields.Children {
			switch f.Tag {
			case 0:
				target = text(f)
			case 1:
				old = text(f)
			case 2:
				password = text(f)
			}
		}
	}
	if password == "" {
		generated = rand.Text() + "-a1"
		password = generated
	}
	own := ldapconn.SameDN(target, x.dn) && !x.isAgent()
	if !own && (!x.isAgent() || !ldapconn.Within(target, peopleDN)) {
		return answer{code: ldap.LDAPResultInsufficientAccessRights}, ""
	}
	a = x.server.tree.change(target, x.dn, func(n *node) answer {
		if own && !n.password.is(old) {
			return refused(ldap.LDAPResultUnwillingToPerform, ldapconn.PolicySupplyOld, "unwilling to verify old password")
		}
		return setPassword(n, password, x.server.tree.stamp(n, x.dn))
	})
	if a.code != ldap.LDAPResultSuccess {
		return a, ""
	}
	x.restricted = x.restricted && !own
	return a, generated
}
