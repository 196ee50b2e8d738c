package ldapconn

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Equal is the filter (attribute=value) for any value (RFC 4515 §3). Every value that
// came from outside goes through it or Prefix.
func Equal(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
}

// Prefix is the filter (attribute=value*).
func Prefix(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + "*)"
}

// Present is the filter (attribute=*).
func Present(attribute string) string { return "(" + attribute + "=*)" }

// And is (&…) of complete filters.
func And(filters ...string) string { return "(&" + strings.Join(filters, "") + ")" }

// Or is (|…) of complete filters.
func Or(filters ...string) string { return "(|" + strings.Join(filters, "") + ")" }

// CheckFilter reports whether a configured filter can be parsed, CodeConfiguration if not.
func CheckFilter(filter string) error {
	if _, err := ldap.CompileFilter(filter); err != nil || !strings.HasPrefix(filter, "(") {
		return configuration("the filter cannot be read; it looks like (objectClass=inetOrgPerson): " + filter)
	}
	return nil
}

// CheckAttribute reports whether a configured name is an attribute description
// (RFC 4512 §2.5), CodeConfiguration if not. Everything that is put into a filter as
// an attribute has passed it.
func CheckAttribute(name string) error {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		other := c >= '0' && c <= '9' || c == '-' || c == ';' || c == '.'
		if !letter && (!other || i == 0) {
			return configuration("this is not the name of an attribute: " + name)
		}
	}
	if name == "" {
		return configuration("the name of an attribute is empty")
	}
	return nil
}

// InFilter reports whether a configured filter asks for an attribute. One that merely
// looks so counts too.
func InFilter(filter, attribute string) bool {
	for part := range strings.SplitSeq(filter, "(") {
		end := strings.IndexAny(part, "=~<>:;)")
		if end > 0 && strings.EqualFold(strings.TrimSpace(part[:end]), attribute) {
			return true
		}
	}
	return false
}
