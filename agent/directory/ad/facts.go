package ad

import (
	"context"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// factAttributes are what the guard's facts are read from.
var factAttributes = []string{
	"objectGUID", "objectSid", "primaryGroupID", "tokenGroups", "adminCount", "userAccountControl", "accountExpires", "lastLogonTimestamp", "logonCount",
	"msDS-User-Account-Control-Computed", "msDS-ResultantPSO", "msDS-SecondaryKrbTgtNumber",
}

// wordAttributes are what passwords may have no part of: sAMAccountName and displayName
// by the domain's complexity (MS-SAMR 3.1.1.7.2), the others by filters beside it.
var wordAttributes = []string{"sAMAccountName", "userPrincipalName", "displayName", "cn", "givenName", "sn", "mail"}

// Facts implements directory.Writer. It fails closed: an account whose groups cannot
// be read has no facts.
func (d *Directory) Facts(ctx context.Context, id string) (directory.Facts, error) {
	var f directory.Facts
	err := d.atPDC(ctx, func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		if err != nil {
			return err
		}
		e, err := d.must(ctx, c, id, slices.Concat(factAttributes, wordAttributes)...)
		if err != nil {
			return err
		}
		f, err = facts(ctx, c, dom, e)
		return err
	})
	return f, err
}

func facts(ctx context.Context, c *ldapconn.Conn, dom domain, e *ldap.Entry) (directory.Facts, error) {
	f := directory.Facts{
		DN: e.DN, NeverSignedIn: neverSignedIn(e),
		Disabled: disabled(e, time.Now()),
		Locked:   locked(e),
		Expired:  bits(e, "userAccountControl")&uacDisabled == 0 && disabled(e, time.Now()),
		Lasting:  bits(e, "userAccountControl")&uacNeverExpires != 0,
	}
	for _, n := range wordAttributes {
		f.Words = append(f.Words, e.GetAttributeValues(n)...)
	}
	var err error
	if f.ID, err = guidText(e.GetRawAttributeValue("objectGUID")); err != nil {
		return f, unreadable("objectGUID of " + e.DN)
	}
	own, err := parseSID(e.GetRawAttributeValue("objectSid"))
	if err != nil {
		return f, unreadable("objectSid of " + e.DN)
	}
	token, err := tokenOf(e)
	if err != nil {
		return f, err
	}
	groups, err := groupsOf(ctx, c, dom, e)
	if err != nil {
		return f, err
	}
	for _, g := range groups {
		token[g.sid] = true
	}
	f.Groups = names(groups)
	f.Privileged = privileged(e, own, token)
	f.Self = dom.token[own]
	f.Policy, err = dom.policyOf(ctx, c, e)
	return f, err
}

// neverSignedIn reports whether nobody signed in yet. The first sign-in sets
// lastLogonTimestamp at once, on every controller; logonCount, which each controller
// counts for itself, stands there from the beginning, so that an account whose attributes
// may not be read is never taken for a new one.
func neverSignedIn(e *ldap.Entry) bool {
	last := e.GetAttributeValue("lastLogonTimestamp")
	return (last == "" || last == "0") && e.GetAttributeValue("logonCount") == "0"
}

// locked reports whether failed sign-ins locked the account. lockoutTime can be stale
// when the lock has run out, so the computed bit decides.
func locked(e *ldap.Entry) bool {
	return bits(e, "msDS-User-Account-Control-Computed")&uacLockout != 0
}
