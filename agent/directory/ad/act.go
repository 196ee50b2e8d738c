package ad

import (
	"context"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Acts implements directory.Actor: a domain can do all of them, as far as the agent's
// account may.
func (d *Directory) Acts() []protocol.Operation {
	var all []protocol.Operation
	for _, row := range protocol.Acts {
		all = append(all, row.Operation)
	}
	return all
}

// Foresee implements directory.Actor.
func (d *Directory) Foresee(ctx context.Context, id string, act protocol.Task) (directory.Foreseen, error) {
	var seen directory.Foreseen
	err := d.atPDC(ctx, func(c *ldapconn.Conn) error {
		step, err := d.step(ctx, c, id, act)
		seen = step.seen
		return err
	})
	return seen, err
}

// Act implements directory.Actor: one request at the controller that passwords are set at.
func (d *Directory) Act(ctx context.Context, id string, act protocol.Task) error {
	return d.atPDC(ctx, func(c *ldapconn.Conn) error {
		s, err := d.step(ctx, c, id, act)
		switch {
		case err != nil || len(s.seen.Changes) == 0:
			return err
		case s.modify == nil:
			return explainAct(c.Delete(ctx, s.dn))
		}
		return explainAct(c.Modify(ctx, s.modify))
	})
}

// A step is one account operation on one account as it is now.
type step struct {
	seen   directory.Foreseen
	dn     string              // of the account
	modify *ldap.ModifyRequest // nil: the account is deleted
}

// step reads the account and says what the operation would do to it.
func (d *Directory) step(ctx context.Context, c *ldapconn.Conn, id string, act protocol.Task) (step, error) {
	e, err := d.withRights(ctx, c, id)
	if err != nil {
		return step{}, err
	}
	s := step{dn: e.DN}
	switch act.Operation {
	case protocol.Enable:
		return s, s.switchTo(e, true)
	case protocol.Disable:
		return s, s.switchTo(e, false)
	case protocol.SetMustChange:
		return s, d.mustChange(ctx, c, &s, e, id)
	case protocol.AddToGroup, protocol.RemoveFromGroup:
		return s, d.member(ctx, c, &s, act)
	case protocol.DeleteAccount:
		return s, d.remove(ctx, c, &s, e)
	}
	return s, protocol.Err(protocol.CodeUnsupported, "this kind of directory cannot do "+string(act.Operation))
}

// switchTo enables or disables. The old value is deleted and the new one added, so that
// a bit that somebody else sets meanwhile is not taken back.
func (s *step) switchTo(e *ldap.Entry, on bool) error {
	was := bits(e, "userAccountControl")
	is := was | uacDisabled
	if on {
		is = was &^ uacDisabled
	}
	if is == was {
		return nil
	}
	if !mayWrite(e, "userAccountControl") {
		return lacks("Write userAccountControl")
	}
	s.modify = ldap.NewModifyRequest(e.DN, nil)
	s.modify.Delete("userAccountControl", []string{e.GetAttributeValue("userAccountControl")})
	s.modify.Add("userAccountControl", []string{strconv.FormatInt(int64(int32(is)), 10)})
	s.seen.Changes = []protocol.Difference{{What: protocol.WhatEnabled, Before: strconv.FormatBool(!on), After: strconv.FormatBool(on)}}
	return nil
}

// mustChange has the domain ask for a new password at the next sign-in.
func (d *Directory) mustChange(ctx context.Context, c *ldapconn.Conn, s *step, e *ldap.Entry, id string) error {
	last, err := d.must(ctx, c, id, "pwdLastSet")
	if err != nil || last.GetAttributeValue("pwdLastSet") == "0" {
		return err
	}
	acl, err := parseDescriptor(e.GetRawAttributeValue("nTSecurityDescriptor"))
	switch {
	case bits(e, "userAccountControl")&uacNeverExpires != 0:
		return protocol.Err(protocol.CodeUnsupportedAccountState, "the password of this account never expires, so the domain would not ask for a new one")
	case err == nil && mayNotChange(acl.aces):
		return protocol.Err(protocol.CodeUnsupportedAccountState, "the account is set to 'user cannot change password', so it could not sign in any more").For(protocol.ReasonCannotChange)
	case !mayWrite(e, "pwdLastSet"):
		return lacks("Write pwdLastSet")
	}
	s.modify = ldap.NewModifyRequest(e.DN, nil)
	s.modify.Replace("pwdLastSet", []string{"0"})
	s.seen.Changes = []protocol.Difference{{What: protocol.WhatMustChange, Before: "false", After: "true"}}
	return nil
}

// remove deletes the account, where the access lists do not say that the agent may not.
func (d *Directory) remove(ctx context.Context, c *ldapconn.Conn, s *step, e *ldap.Entry) error {
	dom, err := readDomain(ctx, c)
	if err != nil {
		return err
	}
	held, _, err := mayDelete(ctx, c, dom.token, e)
	switch {
	case err != nil:
		return err
	case held == directory.HeldNo:
		return lacks(needDelete.name)
	}
	s.seen.Changes = []protocol.Difference{{What: protocol.WhatAccount, Before: e.DN}}
	return nil
}

// member changes the list of members of one group.
func (d *Directory) member(ctx context.Context, c *ldapconn.Conn, s *step, act protocol.Task) error {
	dom, err := readDomain(ctx, c)
	if err != nil {
		return err
	}
	e, err := findGroup(ctx, c, dom, act.Params[protocol.ParamGroup])
	if err != nil {
		return err
	}
	g, err := groupOf(e)
	if err != nil {
		return err
	}
	s.seen.Group = &directory.ActGroup{ID: g.ID, Name: g.Name, DN: e.DN}
	if s.seen.Group.Privileged, err = powers(ctx, c, dom, e, g); err != nil {
		return err
	}
	in, err := c.Entry(ctx, e.DN, ldapconn.Equal("member", s.dn), "objectGUID")
	add := act.Operation == protocol.AddToGroup
	if err != nil || (in != nil) == add {
		return err
	}
	if !mayWrite(e, "member") {
		return protocol.Err(protocol.CodePermissionDenied, "the agent's account lacks the right 'Write member' on the group "+g.Name+"; delegate it on the group").For(protocol.ReasonRights)
	}
	s.modify = ldap.NewModifyRequest(e.DN, nil)
	if add {
		s.modify.Add("member", []string{s.dn})
		s.seen.Changes = []protocol.Difference{{What: protocol.WhatGroup, After: g.Name}}
	} else {
		s.modify.Delete("member", []string{s.dn})
		s.seen.Changes = []protocol.Difference{{What: protocol.WhatGroup, Before: g.Name}}
	}
	return nil
}

// findGroup finds the one group with an id, or with a name that no other group has.
func findGroup(ctx context.Context, c *ldapconn.Conn, dom domain, named string) (*ldap.Entry, error) {
	attributes := actGroupAttributes()
	if id, _, err := ldapconn.ParseUUID(named); err == nil {
		e, err := c.Entry(ctx, guidDN(id), "(objectCategory=group)", attributes...)
		if err == nil && e == nil {
			err = protocol.Err(protocol.CodeBadRequest, "the domain has no group with this id")
		}
		return e, err
	}
	filter := ldapconn.And("(objectCategory=group)", ldapconn.Or(ldapconn.Equal("cn", named), ldapconn.Equal("sAMAccountName", named)))
	found, err := c.Search(ctx, ldapconn.Request(dom.base, ldap.ScopeWholeSubtree, 2, filter, attributes...))
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, protocol.Err(protocol.CodeBadRequest, "the domain has no group of this name")
	case len(found) > 1:
		return nil, protocol.Err(protocol.CodeBadRequest, "several groups have this name; name the group by its immutable id")
	}
	return found[0], nil
}

// actGroupAttributes are what an operation looks at in a group.
func actGroupAttributes() []string {
	return append([]string{"adminCount", "allowedAttributesEffective"}, groupAttributes...)
}

// powers says why members of a group are administrators: by the group itself, or by one
// that it is in. It fails closed where those cannot be read.
func powers(ctx context.Context, c *ldapconn.Conn, dom domain, e *ldap.Entry, g group) (string, error) {
	if n := e.GetAttributeValue("adminCount"); n != "" && n != "0" {
		return "its adminCount is " + n, nil
	}
	above := []sid{g.sid}
	r := ldapconn.Request(dom.base, ldap.ScopeWholeSubtree, 0, ldapconn.And("(objectCategory=group)", memberOf(e.DN)), groupAttributes...)
	err := c.Pages(ctx, r, maxPage, func(up *ldap.Entry) error {
		one, err := groupOf(up)
		above = append(above, one.sid)
		return err
	})
	for _, s := range above {
		if name := privilegedGroup(s); name != "" {
			return "it is, or is a member of, " + name, err
		}
	}
	return "", err
}

// mayWrite reports whether the controller says that the agent may write an attribute.
func mayWrite(e *ldap.Entry, attribute string) bool {
	return containsFold(e.GetAttributeValues("allowedAttributesEffective"), attribute)
}

// explainAct turns a controller's refusal into words for administrators.
func explainAct(err error) error {
	code, words := ldapconn.Diagnostic(err)
	number, _, _ := strings.Cut(words, ":")
	switch code {
	case ldap.LDAPResultInsufficientAccessRights:
		return ldapconn.Forbidden(err, "the agent's account lacks a right that the operation needs; docs/directories.md lists them")
	case ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultEntryAlreadyExists:
		return ldapconn.Explain(err, protocol.CodeUnavailable, "somebody else changed the account at the same moment; try again")
	case ldap.LDAPResultNotAllowedOnNonLeaf:
		return ldapconn.Explain(err, protocol.CodeUnsupportedAccountState, "the account has objects below it; delete those first")
	case ldap.LDAPResultConstraintViolation, ldap.LDAPResultUnwillingToPerform:
		return ldapconn.Explain(err, protocol.CodeUnsupportedAccountState, "the controller refuses the change ("+number8(number)+"); an account without a password that fits the policy cannot be enabled")
	case ldap.LDAPResultNoSuchObject:
		return ldapconn.Explain(err, protocol.CodeAccountNotFound, "the account is gone")
	}
	return err
}

// Acts implements directory.Actor.
func (f *Forest) Acts() []protocol.Operation { return f.domains[0].Acts() }

// Foresee implements directory.Actor. A group is looked for in the account's own domain.
func (f *Forest) Foresee(ctx context.Context, id string, act protocol.Task) (directory.Foreseen, error) {
	return at(ctx, f, id, func(d *Directory) (directory.Foreseen, error) { return d.Foresee(ctx, id, act) })
}

// Act implements directory.Actor.
func (f *Forest) Act(ctx context.Context, id string, act protocol.Task) error {
	_, err := at(ctx, f, id, func(d *Directory) (struct{}, error) { return struct{}{}, d.Act(ctx, id, act) })
	return err
}

var (
	_ directory.Actor      = (*Directory)(nil)
	_ directory.Actor      = (*Forest)(nil)
	_ directory.ActAdvisor = (*Directory)(nil)
	_ directory.ActAdvisor = (*Forest)(nil)
)
