package demo

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// A textRule is what the company's schema says of an attribute that the agent may set.
type textRule struct {
	single bool
	phone  bool // digits and what stands between them
}

// settable are the attributes of people that administrators may have set.
var settable = map[string]textRule{
	"telephonenumber": {phone: true}, "mobile": {phone: true}, "displayname": {single: true}, "title": {}, "departmentnumber": {},
	"employeenumber": {single: true}, "roomnumber": {}, "preferredlanguage": {single: true}, "postaladdress": {},
}

// replaceText sets one of them, or refuses as a server with a schema would.
func replaceText(n *node, name string, rule textRule, values []string) answer {
	for i, text := range values {
		switch {
		case rule.phone && strings.Trim(text, "+0123456789 ()-./") != "":
			return answer{code: ldap.LDAPResultInvalidAttributeSyntax, words: name + ": value #0 invalid per syntax"}
		case slices.Contains(values[:i], text):
			return answer{code: ldap.LDAPResultAttributeOrValueExists}
		case rule.single && i > 0:
			return answer{code: ldap.LDAPResultConstraintViolation, words: name + ": multiple values provided"}
		}
	}
	n.set(name, values...)
	return answer{}
}
