package demo

import (
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// remove deletes one person's entry (RFC 4511 §4.8).
func (x *session) remove(q request) answer {
	dn := text(q.op)
	if !x.isAgent() || !ldapconn.Within(dn, peopleDN) || ldapconn.SameDN(dn, peopleDN) {
		return answer{code: ldap.LDAPResultInsufficientAccessRights}
	}
	return x.server.tree.remove(dn, x.dn)
}

// remove takes an entry out of the tree and out of its groups, as the server's
// refint overlay would.
func (t *tree) remove(dn, by string) answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := ldapconn.FoldDN(dn)
	if t.nodes[key] == nil {
		return answer{code: ldap.LDAPResultNoSuchObject}
	}
	delete(t.nodes, key)
	t.order = slices.DeleteFunc(t.order, func(k string) bool { return k == key })
	for _, k := range t.order {
		t.lessLocked(k, "member", dn, by)
	}
	return answer{}
}

// members changes the list of members of a group, and memberOf of who is in it.
func (t *tree) members(group, by string, changes *ber.Packet) answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := ldapconn.FoldDN(group)
	if t.nodes[key] == nil {
		return answer{code: ldap.LDAPResultNoSuchObject}
	}
	if len(changes.Children) != 1 {
		return answer{code: ldap.LDAPResultUnwillingToPerform, words: "one change of a group at a time"}
	}
	op, ok := number(part(changes.Children[0], 0))
	what := part(changes.Children[0], 1)
	set := part(what, 1)
	if !ok || set == nil || len(set.Children) != 1 || !strings.EqualFold(text(part(what, 0)), "member") {
		return answer{code: ldap.LDAPResultInsufficientAccessRights, words: "no write access to this attribute of a group"}
	}
	who := text(set.Children[0])
	person := ldapconn.FoldDN(who)
	if t.nodes[person] == nil || !ldapconn.Within(who, peopleDN) {
		return answer{code: ldap.LDAPResultConstraintViolation}
	}
	switch {
	case op == ldap.AddAttribute && t.moreLocked(key, "member", t.nodes[person].dn, by):
		t.moreLocked(person, "memberOf", t.nodes[key].dn, by)
	case op == ldap.AddAttribute:
		return answer{code: ldap.LDAPResultAttributeOrValueExists}
	case op == ldap.DeleteAttribute && t.lessLocked(key, "member", who, by):
		t.lessLocked(person, "memberOf", group, by)
	case op == ldap.DeleteAttribute:
		return answer{code: ldap.LDAPResultNoSuchAttribute}
	default:
		return answer{code: ldap.LDAPResultUnwillingToPerform}
	}
	return answer{}
}

// moreLocked adds a DN to an attribute of an entry, and reports whether it was not there.
func (t *tree) moreLocked(key, name, dn, by string) bool {
	n := t.nodes[key].clone()
	if slices.ContainsFunc(n.get(name), func(v string) bool { return ldapconn.SameDN(v, dn) }) {
		return false
	}
	n.set(name, append(slices.Clone(n.get(name)), dn)...)
	t.stamp(n, by)
	t.nodes[key] = n
	return true
}

// lessLocked removes a DN from an attribute of an entry, and reports whether it was there.
func (t *tree) lessLocked(key, name, dn, by string) bool {
	n := t.nodes[key].clone()
	left := slices.DeleteFunc(slices.Clone(n.get(name)), func(v string) bool { return ldapconn.SameDN(v, dn) })
	if len(left) == len(n.get(name)) {
		return false
	}
	n.set(name, left...)
	t.stamp(n, by)
	t.nodes[key] = n
	return true
}
