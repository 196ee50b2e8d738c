package ad

import (
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// dryAttributes are what a dry run reads of an account.
var dryAttributes = []string{
	"objectSid", "userAccountControl", "msDS-User-Account-Control-Computed", "msDS-ResultantPSO", "adminCount",
	"tokenGroups", "replPropertyMetaData", "allowedAttributesEffective", "sDRightsEffective", "nTSecurityDescriptor",
}

// daclOnly asks for the access list alone: the rest of a descriptor needs more rights.
const daclOnly = 0x4

// DryRun implements directory.Writer: it looks at the state of the account and at the
// rights of the agent on it.
func (d *Directory) DryRun(ctx context.Context, id string, tasks []protocol.Task) error {
	plan, err := planOf(tasks)
	if err != nil {
		return err
	}
	return d.atPDC(ctx, func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		if err != nil {
			return err
		}
		e, err := d.withRights(ctx, c, id)
		if err != nil {
			return err
		}
		return wouldFail(plan, e, dom.token)
	})
}

// withRights reads an account with what the agent may do to it.
func (d *Directory) withRights(ctx context.Context, c *ldapconn.Conn, id string) (*ldap.Entry, error) {
	canonical, _, err := ldapconn.ParseUUID(id)
	if err != nil {
		return nil, err
	}
	r := ldapconn.Request(guidDN(canonical), ldap.ScopeBaseObject, 0, d.filter, dryAttributes...)
	r.Controls = []ldap.Control{&ldap.ControlMicrosoftSDFlags{Criticality: true, ControlValue: daclOnly}}
	found, err := c.Search(ctx, r)
	if err != nil && !ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) {
		return nil, err
	}
	if len(found) == 0 || !d.serves(found[0].DN) {
		return nil, notFound()
	}
	return found[0], nil
}

// planOf reads tasks and refuses what no domain can do.
func planOf(tasks []protocol.Task) (directory.Plan, error) {
	plan, err := directory.PlanOf(tasks)
	if err == nil && plan.RemoveMFA {
		err = protocol.Err(protocol.CodeUnsupported, "Active Directory keeps no authenticators that could be removed")
	}
	return plan, err
}

// wouldFail finds the first reason why the plan could not be carried out.
func wouldFail(plan directory.Plan, e *ldap.Entry, token map[sid]bool) error {
	if plan.Reset && bits(e, "userAccountControl")&uacSmartcard != 0 {
		return protocol.Err(protocol.CodeUnsupportedAccountState, "the account signs in by smart card only; a password would not help").For(protocol.ReasonSmartcard)
	}
	if err := lackOfRights(plan, e, token); err != nil {
		return err
	}
	if plan.Unlock && !plan.Reset && !locked(e) {
		return protocol.Err(protocol.CodeUnsupportedAccountState, "the account is not locked").For(protocol.ReasonNotLocked)
	}
	return nil
}

// lackOfRights compares the plan with what the controller says the agent may write,
// and with the account's access list where the agent can read it.
func lackOfRights(plan directory.Plan, e *ldap.Entry, token map[sid]bool) error {
	acl, err := parseDescriptor(e.GetRawAttributeValue("nTSecurityDescriptor"))
	if err != nil {
		acl.open = true // not readable: the modify itself will tell
	}
	for _, n := range needs {
		if n.of(plan) && n.held(e, acl, token) == directory.HeldNo {
			return lacks(n.name)
		}
	}
	if plan.MustChange && mayNotChange(acl.aces) {
		return protocol.Err(protocol.CodeUnsupportedAccountState, "the account is set to 'user cannot change password', so it could never sign in after a reset that asks for a new one").For(protocol.ReasonCannotChange)
	}
	return nil
}

// mayNotChange holds for accounts marked "user cannot change password": entries that
// deny it to the person or to everyone.
func mayNotChange(aces []ace) bool {
	return slices.ContainsFunc(aces, func(a ace) bool {
		return a.deny && a.mask&controlAccess != 0 && a.right == rightChange && (a.who == sidSelf || a.who == sidEveryone)
	})
}

func lacks(right string) error {
	return protocol.Err(protocol.CodePermissionDenied, "the agent's account lacks the right '"+right+"' on this account; delegate it on the organisational unit, and see that inheritance is on for the account").For(protocol.ReasonRights)
}

// Meanings of the leading hexadecimal number of a controller's diagnostic text (MS-ERREF
// 2.2): never of the text, which differs between vendors and languages.
const (
	hexPasswordRestriction = "0000052D"
	hexNoEncryption        = "0000001F"
)

// explain turns a controller's refusal of a modify into words for administrators.
func explain(err error) error {
	code, words := ldapconn.Diagnostic(err)
	number, _, _ := strings.Cut(words, ":")
	refused := code == ldap.LDAPResultConstraintViolation || code == ldap.LDAPResultUnwillingToPerform
	switch {
	case refused && strings.EqualFold(number, hexPasswordRestriction):
		return ldapconn.Explain(err, protocol.CodePasswordPolicy, "the domain's password policy refuses the new password (length, complexity or history)")
	case refused && strings.EqualFold(number, hexNoEncryption):
		return ldapconn.Explain(err, protocol.CodeConfiguration, "the controller takes passwords over stronger encryption only")
	case code == ldap.LDAPResultConstraintViolation:
		return ldapconn.Explain(err, protocol.CodeInternal, "the controller refuses a value (LDAP result 19, "+number8(number)+")")
	case code == ldap.LDAPResultInsufficientAccessRights:
		return ldapconn.Explain(err, protocol.CodePermissionDenied, "the agent's account lacks a right on this account: Reset Password, or writing lockoutTime or pwdLastSet; delegate them on the organisational unit, and see that inheritance is on for the account")
	case code == ldap.LDAPResultNoSuchObject:
		return ldapconn.Explain(err, protocol.CodeAccountNotFound, "the account is gone")
	}
	return err
}

// number8 keeps a diagnostic number only if it is one.
func number8(s string) string {
	if len(s) != 8 || strings.Trim(strings.ToUpper(s), "0123456789ABCDEF") != "" {
		return "no number"
	}
	return s
}
