package demo

import (
	"crypto/rand"
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// maxPages bounds the unfinished searches of one session.
const maxPages = 8

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
	cookie := rand.Text()
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
