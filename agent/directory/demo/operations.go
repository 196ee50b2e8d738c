package demo

import (
	"crypto/rand"
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
	if at := text(part(q.op, 0)); ldapconn.Within(at, groupsDN) {
		return x.server.tree.members(at, x.dn, changes)
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
	if rule, may := settable[strings.ToLower(name)]; may && op == ldap.ReplaceAttribute && ldapconn.Within(n.dn, peopleDN) {
		return replaceText(n, name, rule, values)
	}
	_, tried := settable[strings.ToLower(name)]
	if !tried && !slices.ContainsFunc(writable, func(w string) bool { return strings.EqualFold(w, name) }) || !ldapconn.Within(n.dn, peopleDN) {
		return answer{code: ldap.LDAPResultInsufficientAccessRights, words: "no write access to " + name}
	}
	switch {
	case tried && op != ldap.DeleteAttribute:
		return answer{code: ldap.LDAPResultUnwillingToPerform}
	case op == ldap.AddAttribute:
		n.set(name, append(n.get(name), values...)...)
	case op == ldap.ReplaceAttribute:
		n.set(name, values...)
	case op == ldap.DeleteAttribute:
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
