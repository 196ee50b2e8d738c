package ldap

import (
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// ForeseeSet implements directory.Setter.
func (d *Directory) ForeseeSet(ctx context.Context, id string, set directory.Set) (seen directory.Foreseen, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.setting(ctx, c, id, set)
		if err == nil && len(s.seen.Changes) > 0 {
			err = d.maySet(ctx, c, s.entry, set.Attribute)
		}
		if seen = s.seen; err != nil {
			seen.Changes = nil
		}
		return err
	})
	return seen, err
}

// Set implements directory.Setter.
func (d *Directory) Set(ctx context.Context, id string, set directory.Set) error {
	return d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.setting(ctx, c, id, set)
		if err != nil || s.modify == nil {
			return err
		}
		return ldapconn.ExplainSet(c.Modify(ctx, s.modify))
	})
}

// Values implements directory.Setter.
func (d *Directory) Values(ctx context.Context, id, attribute string) (values []string, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		e, err := d.find(ctx, c, id, attribute)
		if err == nil {
			values = entry{e}.Values(attribute)
		}
		return err
	})
	return values, err
}

// setting reads the account and the schema, and says what setting would do.
func (d *Directory) setting(ctx context.Context, c *ldapconn.Conn, id string, set directory.Set) (s step, err error) {
	names, err := fits(ctx, c, set)
	if slices.ContainsFunc(names, d.cfg.uses) {
		return s, protocol.Err(protocol.CodePermissionDenied, whyUsed).For(protocol.ReasonAttributeOff)
	}
	if err != nil {
		return s, err
	}
	if s.entry, err = d.find(ctx, c, id, set.Attribute); err != nil {
		return s, err
	}
	s.seen.Evidence = slices.ContainsFunc(names, d.cfg.evidence)
	if s.seen.Changes = ldapconn.Differs(set, entry{s.entry}.Values(set.Attribute)); len(s.seen.Changes) > 0 {
		s.modify = ldap.NewModifyRequest(s.entry.DN, nil)
		s.modify.Replace(set.Attribute, set.Values)
	}
	return s, nil
}

// maySet tries the right as a dry run of a recovery does. A server that says nothing of
// rights says it when the attribute is set.
func (d *Directory) maySet(ctx context.Context, c *ldapconn.Conn, e *ldap.Entry, attribute string) error {
	r, err := d.rightToWrite(ctx, c, e, attribute, "write", string(protocol.SetAttribute))
	if err == nil && r.Held == directory.HeldNo {
		err = protocol.Err(protocol.CodePermissionDenied, "the agent's account may not write the attribute; docs/directories.md has the lines that let it").For(protocol.ReasonRights)
	}
	return err
}

const whyUsed = "the agent's file uses this attribute for signing in, locks, memberships or to tell accounts; it is not set from outside"

// uses reports whether the file maps an attribute to signing in, locks, memberships or
// what an account is.
func (cfg Config) uses(attribute string) bool {
	names := slices.Concat(cfg.MFAAttributes, cfg.MemberAttributes, cfg.UnlockAttributes, []string{
		cfg.IDAttribute, cfg.UUIDAttribute, cfg.ChangeAttribute, cfg.ManagerAttribute, cfg.DisabledAttribute, cfg.MemberOfAttribute, cfg.LoginAttribute,
		cfg.PasswordAttribute, cfg.PasswordChangedAttribute, cfg.LockAttribute, cfg.MustChangeAttribute,
	})
	return containsFold(names, attribute) || ldapconn.InFilter(cfg.Filter, attribute)
}

// evidence reports whether recoveries go by an attribute: they look accounts up by it,
// compare it with documents, or send to it.
func (cfg Config) evidence(attribute string) bool {
	return containsFold(slices.Concat(cfg.Identifiers, cfg.NameAttributes, cfg.MailAttributes, cfg.PhoneAttributes,
		[]string{cfg.BirthDateAttribute, cfg.GivenNameAttribute, cfg.FamilyNameAttribute}), attribute)
}

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// fits compares the values with what the server's schema says of the attribute, and returns
// all names of that: the file may know it by another one. A server that shows no schema
// says it when the attribute is set.
func fits(ctx context.Context, c *ldapconn.Conn, set directory.Set) (names []string, err error) {
	names = []string{set.Attribute}
	root, err := c.Entry(ctx, "", "(objectClass=*)", "subschemaSubentry")
	if err != nil || root == nil || root.GetAttributeValue("subschemaSubentry") == "" {
		return names, err
	}
	schema, err := c.Entry(ctx, root.GetAttributeValue("subschemaSubentry"), "(objectClass=subschema)", "attributeTypes")
	if err != nil || schema == nil || len(schema.GetEqualFoldAttributeValues("attributeTypes")) == 0 {
		return names, err
	}
	rule, known := ldapconn.RuleOf(schema.GetEqualFoldAttributeValues("attributeTypes"), set.Attribute)
	names = append(names, rule.Names...)
	switch {
	case !known:
		return names, ldapconn.NoValue("the directory's schema has no such attribute")
	case rule.ReadOnly:
		return names, ldapconn.NoValue("the attribute is the server's own")
	case !strings.EqualFold(rule.Names[0], set.Attribute): // the guard knows that name
		return names, ldapconn.NoValue("the directory calls the attribute " + rule.Names[0])
	case rule.Single && len(set.Values) > 1:
		return names, ldapconn.NoValue("the attribute holds one value")
	}
	return names, nil
}

var _ directory.Setter = (*Directory)(nil)
