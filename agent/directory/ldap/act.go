package ldap

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Acts implements directory.Actor. Whether the server has a password policy is known only
// when it is asked: Foresee says so then.
func (d *Directory) Acts() []protocol.Operation {
	all := []protocol.Operation{protocol.Enable, protocol.Disable, protocol.SetMustChange, protocol.SetAttribute, protocol.DeleteAccount}
	if d.cfg.Groups != GroupsNone {
		all = append(all, protocol.AddToGroup, protocol.RemoveFromGroup)
	}
	return all
}

// Foresee implements directory.Actor.
func (d *Directory) Foresee(ctx context.Context, id string, act protocol.Task) (seen directory.Foreseen, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.step(ctx, c, id, act)
		if err == nil && len(s.seen.Changes) > 0 {
			err = d.mayDo(ctx, c, &s)
		}
		if seen = s.seen; err != nil {
			seen.Changes = nil
		}
		return err
	})
	return seen, err
}

// mayDo tries the rights that a step needs, as a dry run of a recovery does.
func (d *Directory) mayDo(ctx context.Context, c *ldapconn.Conn, s *step) error {
	if s.modify == nil {
		r, err := d.rightToDelete(ctx, c, s.state)
		if err == nil && r.Held == directory.HeldNo {
			err = lacks("delete the account")
		}
		return err
	}
	e := s.entry
	if !ldapconn.SameDN(s.modify.DN, e.DN) { // a group, of which no value matters
		e = &ldap.Entry{DN: s.modify.DN}
	}
	for _, change := range s.modify.Changes {
		name := change.Modification.Type
		r, err := d.rightToWrite(ctx, c, e, name, "write", "")
		if err != nil {
			return err
		}
		if r.Held == directory.HeldNo {
			return lacks("write " + name)
		}
	}
	return nil
}

func lacks(what string) error {
	return protocol.Err(protocol.CodePermissionDenied, "the agent's account may not "+what+"; docs/directories.md has the lines that let it").For(protocol.ReasonRights)
}

// Act implements directory.Actor: one request.
func (d *Directory) Act(ctx context.Context, id string, act protocol.Task) error {
	return d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.step(ctx, c, id, act)
		switch {
		case err != nil || len(s.seen.Changes) == 0:
			return err
		case s.modify == nil:
			return explainAct(c.Delete(ctx, s.state.entry.DN))
		}
		return explainAct(c.Modify(ctx, s.modify))
	})
}

// A step is one account operation on one account as it is now.
type step struct {
	state
	seen   directory.Foreseen
	modify *ldap.ModifyRequest // nil: the account is deleted
}

// step reads the account and says what the operation would do to it.
func (d *Directory) step(ctx context.Context, c *ldapconn.Conn, id string, act protocol.Task) (s step, err error) {
	if s.state, err = d.readState(ctx, c, id); err != nil {
		return s, err
	}
	switch act.Operation {
	case protocol.Enable:
		return s, d.enable(&s)
	case protocol.Disable:
		return s, d.disable(&s)
	case protocol.SetMustChange:
		return s, d.setMustChange(&s)
	case protocol.AddToGroup, protocol.RemoveFromGroup:
		return s, d.member(ctx, c, &s, act)
	case protocol.DeleteAccount:
		s.seen.Changes = []protocol.Difference{{What: protocol.WhatAccount, Before: s.entry.DN}}
		return s, nil
	}
	return s, protocol.Err(protocol.CodeUnsupported, "this kind of directory cannot do "+string(act.Operation))
}

// enable takes back both marks. A time at which the account begins or ends is not one.
func (d *Directory) enable(s *step) error {
	if !s.disabled {
		return nil
	}
	s.modify = ldap.NewModifyRequest(s.entry.DN, nil)
	if d.cfg.marked(entry{s.entry}) {
		s.modify.Delete(d.cfg.DisabledAttribute, nil)
	}
	if s.admin {
		s.modify.Delete(pwdAccountLockedTime, []string{adminLock})
	}
	if len(s.modify.Changes) == 0 {
		return protocol.Err(protocol.CodeUnsupportedAccountState, "the account begins later or has ended (pwdStartTime, pwdEndTime); change that in the directory")
	}
	s.seen.Changes = enabledTo(true)
	return nil
}

// disable sets the mark that the file names, else the administrative lock of ppolicy.
func (d *Directory) disable(s *step) error {
	if s.disabled {
		return nil
	}
	s.modify = ldap.NewModifyRequest(s.entry.DN, nil)
	switch {
	case d.cfg.DisabledAttribute != "":
		s.modify.Replace(d.cfg.DisabledAttribute, d.cfg.DisabledValues[:1])
	case s.server.policy && d.cfg.ppolicy():
		s.modify.Replace(pwdAccountLockedTime, []string{adminLock})
	default:
		return protocol.Err(protocol.CodeUnsupported, "the directory has no password policy overlay, and the file names no disabled_attribute: nothing switches an account off")
	}
	s.seen.Changes = enabledTo(false)
	return nil
}

func enabledTo(on bool) []protocol.Difference {
	return []protocol.Difference{{What: protocol.WhatEnabled, Before: strconv.FormatBool(!on), After: strconv.FormatBool(on)}}
}

// setMustChange has ppolicy ask for a new password at the next sign-in.
func (d *Directory) setMustChange(s *step) error {
	if d.cfg.MustChangeAttribute == "" {
		return protocol.Err(protocol.CodeUnsupported, "no attribute of this directory asks for a new password (must_change_attribute)")
	}
	if !d.cfg.mustChanges(s.server, s.policy) {
		return protocol.Err(protocol.CodeUnsupported, d.cfg.whyNoMustChange(s.policy))
	}
	if strings.EqualFold(first(entry{s.entry}, d.cfg.MustChangeAttribute), d.cfg.MustChangeValue) {
		return nil
	}
	s.modify = ldap.NewModifyRequest(s.entry.DN, nil)
	s.modify.Replace(d.cfg.MustChangeAttribute, []string{d.cfg.MustChangeValue})
	s.seen.Changes = []protocol.Difference{{What: protocol.WhatMustChange, Before: "false", After: "true"}}
	return nil
}

// member changes the list of members of one group.
func (d *Directory) member(ctx context.Context, c *ldapconn.Conn, s *step, act protocol.Task) error {
	e, err := d.findGroup(ctx, c, act.Params[protocol.ParamGroup])
	if err != nil {
		return err
	}
	g := d.cfg.groupOf(e)
	s.seen.Group = &directory.ActGroup{ID: g.ID, Name: g.Name, DN: e.DN}
	if s.seen.Group.Privileged, err = d.powers(ctx, c, g); err != nil {
		return err
	}
	attribute, value, err := d.membership(e, s.entry)
	if err != nil {
		return err
	}
	in, err := c.Entry(ctx, e.DN, ldapconn.Equal(attribute, value), "1.1")
	add := act.Operation == protocol.AddToGroup
	if err != nil || (in != nil) == add {
		return err
	}
	s.modify = ldap.NewModifyRequest(e.DN, nil)
	if add {
		s.modify.Add(attribute, []string{value})
		s.seen.Changes = []protocol.Difference{{What: protocol.WhatGroup, After: g.Name}}
	} else {
		s.modify.Delete(attribute, []string{value})
		s.seen.Changes = []protocol.Difference{{What: protocol.WhatGroup, Before: g.Name}}
	}
	return nil
}

// membership is how a group of this object class holds an account.
func (d *Directory) membership(group, account *ldap.Entry) (attribute, value string, err error) {
	classes := entry{group}.Values("objectClass")
	is := func(name string) bool {
		return slices.ContainsFunc(classes, func(c string) bool { return strings.EqualFold(c, name) })
	}
	switch {
	case d.cfg.Groups == GroupsMemberUID:
		if value = first(entry{account}, d.cfg.LoginAttribute); value == "" {
			return "", "", protocol.Err(protocol.CodeUnsupportedAccountState, "the account has no "+d.cfg.LoginAttribute+", by which the groups of this directory name their members")
		}
		return d.cfg.MemberAttributes[0], value, nil
	case is("groupOfUniqueNames"):
		return "uniqueMember", account.DN, nil
	}
	return d.cfg.MemberAttributes[0], account.DN, nil
}

// findGroup finds the one group with an id, or with a name that no other group has.
func (d *Directory) findGroup(ctx context.Context, c *ldapconn.Conn, named string) (*ldap.Entry, error) {
	by := ldapconn.Equal(d.cfg.GroupNameAttribute, named)
	if _, raw, err := ldapconn.ParseUUID(named); err == nil {
		by = ldapconn.Equal(d.cfg.uuidAttribute(), storedUUID(d.cfg.uuidAttribute(), raw))
	}
	bases, err := d.groupBases(ctx, c)
	if err != nil {
		return nil, err
	}
	var found []*ldap.Entry
	for _, base := range bases {
		entries, err := c.Search(ctx, ldapconn.Request(base, ldap.ScopeWholeSubtree, 2, ldapconn.And(d.cfg.GroupFilter, by), d.cfg.actGroupAttributes()...))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !slices.ContainsFunc(found, func(o *ldap.Entry) bool { return ldapconn.SameDN(o.DN, e.DN) }) { // branches may overlap
				found = append(found, e)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, protocol.Err(protocol.CodeBadRequest, "the directory has no such group")
	}
	return nil, protocol.Err(protocol.CodeBadRequest, "several groups have this name; name the group by its immutable id")
}

// actGroupAttributes are what an operation looks at in a group.
func (cfg Config) actGroupAttributes() []string {
	return []string{cfg.GroupNameAttribute, cfg.uuidAttribute(), cfg.MemberOfAttribute, "objectClass"}
}

// powers says why members of a group are administrators: by the group itself, or by one
// that it is in.
func (d *Directory) powers(ctx context.Context, c *ldapconn.Conn, g group) (string, error) {
	above := []group{g}
	var err error
	switch d.cfg.Groups {
	case GroupsMemberOf:
		above, err = d.climb(ctx, c, []string{g.dn}, d.readGroups)
	case GroupsMember:
		above, err = d.climb(ctx, c, []string{g.dn}, d.groupsWith)
		above = append(above, g)
	}
	if err != nil {
		return "", err
	}
	return d.cfg.privileged("", above), nil
}

// explainAct turns a server's refusal into words for administrators.
func explainAct(err error) error {
	switch code, _ := ldapconn.Diagnostic(err); code {
	case ldap.LDAPResultInsufficientAccessRights:
		return ldapconn.Forbidden(err, "the agent's account lacks a right that the operation needs; docs/directories.md lists them")
	case ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists:
		return ldapconn.Explain(err, protocol.CodeUnavailable, "somebody else changed the account at the same moment; try again")
	case ldap.LDAPResultObjectClassViolation:
		return ldapconn.Explain(err, protocol.CodeUnsupportedAccountState, "the directory's schema does not allow the change: a group that must have a member cannot lose its last one")
	case ldap.LDAPResultNotAllowedOnNonLeaf:
		return ldapconn.Explain(err, protocol.CodeUnsupportedAccountState, "the account has entries below it; delete those first")
	}
	return err
}

var _ directory.Actor = (*Directory)(nil)
