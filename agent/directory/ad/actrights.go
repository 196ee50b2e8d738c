package ad

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// guidMember is the attribute member of groups, in the schema.
const guidMember = "bf9679c0-0de6-11d0-a285-00aa003049e2"

// needDelete is what deleting an account needs.
var needDelete = need{name: "Delete", mask: deleteObject, sddl: "SD", dsacls: "SD;;user"}

// actNeeds are the rights on accounts that account operations need, in the order of the
// documentation. Deleting, groups and attributes are looked at on their own.
var actNeeds = []struct {
	need
	operations []protocol.Operation
}{
	{
		need{name: "write userAccountControl", attribute: "userAccountControl", guid: "bf967a68-0de6-11d0-a285-00aa003049e2", dsacls: "WP;userAccountControl;user"},
		[]protocol.Operation{protocol.Enable, protocol.Disable},
	},
	{
		need{name: "write pwdLastSet", attribute: "pwdLastSet", guid: "bf967a0a-0de6-11d0-a285-00aa003049e2", dsacls: "WP;pwdLastSet;user"},
		[]protocol.Operation{protocol.SetMustChange},
	},
}

// ActRights implements directory.ActAdvisor.
func (d *Directory) ActRights(ctx context.Context, id string, of directory.ActScope) (all []directory.ActRight, err error) {
	err = d.advising(ctx, id, func(a *adviser) (err error) {
		all, err = a.acts(ctx, of)
		return err
	})
	return all, err
}

func (a *adviser) acts(ctx context.Context, of directory.ActScope) (all []directory.ActRight, err error) {
	acl, err := parseDescriptor(a.e.GetRawAttributeValue("nTSecurityDescriptor"))
	if err != nil {
		acl.open = true
	}
	for _, n := range actNeeds {
		if what := of.Among(n.operations...); len(what) > 0 {
			r := a.onAccount(n.need, acl)
			r.For = what
			all = append(all, directory.ActRight{Right: r})
		}
	}
	if what := of.Among(protocol.DeleteAccount); len(what) > 0 {
		r := directory.Right{Name: needDelete.name, For: what}
		denied := false
		if r.Held, denied, err = mayDelete(ctx, a.c, a.dom.token, a.e); err != nil {
			return all, err
		}
		if r.Held == directory.HeldNo {
			a.advise(&r, needDelete, acl, denied)
		}
		all = append(all, directory.ActRight{Right: r})
	}
	return a.onOthers(ctx, of, acl, all)
}

// onOthers adds the rights on each group and on each attribute.
func (a *adviser) onOthers(ctx context.Context, of directory.ActScope, acl accessList, all []directory.ActRight) ([]directory.ActRight, error) {
	if what := of.Among(protocol.AddToGroup, protocol.RemoveFromGroup); len(what) > 0 {
		for _, named := range of.Groups {
			r, err := a.onGroup(ctx, named, what)
			if err != nil {
				return all, err
			}
			all = append(all, r)
		}
	}
	if what := of.Among(protocol.SetAttribute); len(what) > 0 {
		for _, attribute := range of.Attributes {
			r, err := a.onAttribute(ctx, attribute, acl, what)
			if err != nil {
				return all, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// mayDelete looks whether the access lists let the agent delete an object: by a right on it,
// or by one on what it stands in (MS-ADTS 3.1.1.5.5). denied says that an entry forbids it.
func mayDelete(ctx context.Context, c *ldapconn.Conn, token map[sid]bool, e *ldap.Entry) (held directory.Held, denied bool, err error) {
	acl, bad := parseDescriptor(e.GetRawAttributeValue("nTSecurityDescriptor"))
	if bad != nil || acl.open {
		return directory.HeldUnknown, false, nil
	}
	allowed, denied := acl.decides(token, deleteObject, "")
	if allowed {
		return directory.HeldYes, false, nil
	}
	r := ldapconn.Request(above(e.DN), ldap.ScopeBaseObject, 0, "(objectClass=*)", "nTSecurityDescriptor")
	r.Controls = []ldap.Control{&ldap.ControlMicrosoftSDFlags{Criticality: true, ControlValue: daclOnly}}
	found, err := c.Search(ctx, r)
	if err != nil || len(found) == 0 {
		return directory.HeldUnknown, false, err
	}
	if acl, bad = parseDescriptor(found[0].GetRawAttributeValue("nTSecurityDescriptor")); bad != nil || acl.open {
		return directory.HeldUnknown, false, nil
	}
	allowed, _ = acl.decides(token, deleteChild, userClass)
	return yesIf(allowed), denied, nil
}

// onGroup looks at the right to change the members of a group that the file names.
func (a *adviser) onGroup(ctx context.Context, named string, what []string) (directory.ActRight, error) {
	r := directory.ActRight{Right: directory.Right{Name: "write member of " + named, For: what, Held: directory.HeldUnknown}, Of: named}
	e, err := a.group(ctx, named)
	if err != nil {
		return r, err
	}
	if e == nil {
		r.Never = "the account's own domain has no such group that the agent can see; guard.act_groups takes ids and distinguished names"
		return r, nil
	}
	g, err := groupOf(e)
	if err != nil {
		return r, err
	}
	why, err := powers(ctx, a.c, a.dom, e, g)
	if err != nil {
		return r, err
	}
	if why != "" {
		r.Never = "the group makes administrators of its members: " + why
	}
	if r.Held = yesIf(mayWrite(e, "member")); r.Held == directory.HeldNo {
		r.Why, r.Fix = "it is not delegated on the group", []string{a.grantMember(e.DN)}
	}
	return r, nil
}

// group finds a group as the file names it; nil if there is none.
func (a *adviser) group(ctx context.Context, named string) (*ldap.Entry, error) {
	dn := strings.TrimSpace(named)
	if id, _, err := ldapconn.ParseUUID(dn); err == nil {
		dn = guidDN(id)
	} else if !ldapconn.SameDN(dn, dn) {
		return nil, nil
	}
	e, err := a.c.Entry(ctx, dn, "(objectCategory=group)", actGroupAttributes()...)
	if ldapconn.IsCode(err, ldap.LDAPResultReferral) || ldapconn.IsCode(err, ldap.LDAPResultInvalidDNSyntax) { // of another domain, or of none
		return nil, nil
	}
	return e, err
}

// grantMember is the line that delegates the members of one group.
func (a *adviser) grantMember(dn string) string {
	if !a.dom.samba {
		return fmt.Sprintf(`dsacls %s /G %s`, quotedDN(dn), quoted(a.who+":WP;member"))
	}
	return fmt.Sprintf(`samba-tool dsacl set --action=allow --objectdn=%s --sddl="(OA;;WP;%s;;%s)"`, quotedDN(dn), guidMember, a.sid)
}

// onAttribute looks at the right to set an attribute of the account.
func (a *adviser) onAttribute(ctx context.Context, attribute string, acl accessList, what []string) (directory.ActRight, error) {
	r := directory.ActRight{Right: directory.Right{Name: "write " + attribute, For: what, Held: directory.HeldUnknown}, Of: attribute}
	schema, err := schemaOf(ctx, a.c, attribute)
	var no *protocol.Error
	switch {
	case a.d.uses(attribute):
		r.Never = whyUsed
	case a.d.evidence(attribute):
		r.Never = directory.WhyEvidence
	case errors.As(err, &no) && no.Reason == protocol.ReasonValue:
		r.Never = no.Message
	case err != nil:
		return r, err
	}
	if r.Never != "" || schema == nil {
		return r, nil
	}
	n := need{name: r.Name, attribute: attribute, dsacls: "WP;" + attribute + ";user"}
	if n.guid, err = guidText(schema.GetRawAttributeValue("schemaIDGUID")); err != nil {
		return r, unreadable("schemaIDGUID of " + attribute)
	}
	r.Right = a.onAccount(n, acl)
	r.For = slices.Clone(what)
	return r, nil
}
