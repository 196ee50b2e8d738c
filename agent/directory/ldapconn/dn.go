package ldapconn

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// SameDN reports whether two distinguished names name one entry, whatever their
// spelling (RFC 4514). A text that is no DN is the same as nothing.
func SameDN(a, b string) bool {
	x, err := ldap.ParseDN(a)
	if err != nil || len(x.RDNs) == 0 {
		return false
	}
	y, err := ldap.ParseDN(b)
	return err == nil && x.EqualFold(y)
}

// Within reports whether dn is base or stands below it.
func Within(dn, base string) bool {
	d, err := ldap.ParseDN(dn)
	if err != nil || len(d.RDNs) == 0 {
		return false
	}
	b, err := ldap.ParseDN(base)
	return err == nil && len(b.RDNs) > 0 && (b.EqualFold(d) || b.AncestorOfFold(d))
}

// FoldDN returns a spelling that two DNs of one entry share, for keys of maps. A text
// that is no DN is folded as it is.
func FoldDN(dn string) string {
	d, err := ldap.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	return strings.ToLower(d.String())
}
