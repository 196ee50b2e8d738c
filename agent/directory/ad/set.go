package ad

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// ForeseeSet implements directory.Setter.
func (d *Directory) ForeseeSet(ctx context.Context, id string, set directory.Set) (directory.Foreseen, error) {
	var seen directory.Foreseen
	err := d.atPDC(ctx, func(c *ldapconn.Conn) error {
		s, err := d.setting(ctx, c, id, set)
		seen = s.seen
		return err
	})
	return seen, err
}

// Set implements directory.Setter.
func (d *Directory) Set(ctx context.Context, id string, set directory.Set) error {
	return d.atPDC(ctx, func(c *ldapconn.Conn) error {
		s, err := d.setting(ctx, c, id, set)
		if err != nil || s.modify == nil {
			return err
		}
		return ldapconn.ExplainSet(c.Modify(ctx, s.modify))
	})
}

// Values implements directory.Setter.
func (d *Directory) Values(ctx context.Context, id, attribute string) (values []string, err error) {
	err = d.atPDC(ctx, func(c *ldapconn.Conn) error {
		e, err := d.must(ctx, c, id, attribute)
		if err == nil {
			values = e.GetEqualFoldAttributeValues(attribute)
		}
		return err
	})
	return values, err
}

// setting reads the account and the schema, and says what setting would do.
func (d *Directory) setting(ctx context.Context, c *ldapconn.Conn, id string, set directory.Set) (step, error) {
	if d.uses(set.Attribute) {
		return step{}, protocol.Err(protocol.CodePermissionDenied, whyUsed).For(protocol.ReasonAttributeOff)
	}
	if err := fits(ctx, c, set); err != nil {
		return step{}, err
	}
	e, err := d.withRights(ctx, c, id)
	if err != nil {
		return step{}, err
	}
	s := step{dn: e.DN}
	now, err := d.must(ctx, c, id, set.Attribute)
	if err != nil {
		return s, err
	}
	s.seen.Evidence = d.evidence(set.Attribute)
	if s.seen.Changes = ldapconn.Differs(set, now.GetEqualFoldAttributeValues(set.Attribute)); len(s.seen.Changes) == 0 {
		return s, nil
	}
	if !mayWrite(e, set.Attribute) {
		return s, lacks("Write " + set.Attribute)
	}
	s.modify = ldap.NewModifyRequest(e.DN, nil)
	s.modify.Replace(set.Attribute, set.Values)
	return s, nil
}

const whyUsed = "the agent's file uses this attribute to tell accounts or pictures of people; it is not set from outside"

// uses reports whether the file's filter tells accounts by an attribute, or a picture of
// somebody is in it.
func (d *Directory) uses(attribute string) bool {
	return containsFold(d.cfg.PhotoAttributes, attribute) || ldapconn.InFilter(d.cfg.Filter, attribute)
}

// evidence reports whether recoveries go by an attribute: they look accounts up by it,
// compare it with documents, or send to it.
func (d *Directory) evidence(attribute string) bool {
	return containsFold(slices.Concat(d.cfg.MailAttributes, d.cfg.PhoneAttributes, []string{
		d.cfg.BirthDateAttribute, "mail", "proxyAddresses", "displayName", "cn", "givenName", "sn", "name",
	}), attribute)
}

// fits compares the values with what the schema says of the attribute.
func fits(ctx context.Context, c *ldapconn.Conn, set directory.Set) error {
	schema, err := schemaOf(ctx, c, set.Attribute)
	switch {
	case err != nil || schema == nil:
		return err
	case strings.EqualFold(schema.GetAttributeValue("isSingleValued"), "TRUE") && len(set.Values) > 1:
		return ldapconn.NoValue("the attribute holds one value")
	}
	return fitsRange(schema, set.Values)
}

// schemaOf reads what the schema says of an attribute that somebody may set (MS-ADTS
// 3.1.1.2.3), nil if the controller shows none.
func schemaOf(ctx context.Context, c *ldapconn.Conn, attribute string) (*ldap.Entry, error) {
	root, err := c.Entry(ctx, "", "(objectClass=*)", "schemaNamingContext")
	if err != nil || root == nil {
		return nil, err
	}
	filter := ldapconn.And("(objectClass=attributeSchema)", ldapconn.Equal("lDAPDisplayName", attribute))
	found, err := c.Search(ctx, ldapconn.Request(root.GetAttributeValue("schemaNamingContext"), ldap.ScopeSingleLevel, 2, filter,
		"schemaIDGUID", "isSingleValued", "rangeLower", "rangeUpper", "attributeSyntax", "systemOnly", "linkID"))
	switch {
	case err != nil:
		return nil, err
	case len(found) != 1:
		return nil, ldapconn.NoValue("the domain's schema has no such attribute")
	case strings.EqualFold(found[0].GetAttributeValue("systemOnly"), "TRUE") || found[0].GetAttributeValue("linkID") != "":
		return nil, ldapconn.NoValue("the attribute is the domain's own, or links accounts to each other")
	}
	return found[0], nil
}

// syntaxesOfText are those whose range counts characters (MS-ADTS 3.1.1.2.2.2).
var syntaxesOfText = []string{"2.5.5.4", "2.5.5.5", "2.5.5.6", "2.5.5.12"}

func fitsRange(schema *ldap.Entry, values []string) error {
	if !slices.Contains(syntaxesOfText, schema.GetAttributeValue("attributeSyntax")) {
		return nil
	}
	lower, _ := strconv.Atoi(schema.GetAttributeValue("rangeLower"))
	upper, err := strconv.Atoi(schema.GetAttributeValue("rangeUpper"))
	for _, text := range values {
		if n := utf8.RuneCountInString(text); n < lower || err == nil && n > upper {
			return ldapconn.NoValue(fmt.Sprintf("the domain wants %d to %d characters in this attribute", lower, upper))
		}
	}
	return nil
}

// ForeseeSet implements directory.Setter.
func (f *Forest) ForeseeSet(ctx context.Context, id string, set directory.Set) (directory.Foreseen, error) {
	return at(ctx, f, id, func(d *Directory) (directory.Foreseen, error) { return d.ForeseeSet(ctx, id, set) })
}

// Set implements directory.Setter.
func (f *Forest) Set(ctx context.Context, id string, set directory.Set) error {
	_, err := at(ctx, f, id, func(d *Directory) (struct{}, error) { return struct{}{}, d.Set(ctx, id, set) })
	return err
}

// Values implements directory.Setter.
func (f *Forest) Values(ctx context.Context, id, attribute string) ([]string, error) {
	return at(ctx, f, id, func(d *Directory) ([]string, error) { return d.Values(ctx, id, attribute) })
}

var (
	_ directory.Setter = (*Directory)(nil)
	_ directory.Setter = (*Forest)(nil)
)
