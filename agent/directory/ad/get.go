package ad

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// maxAmbiguous bounds how many accounts one identifier may name before the rest is
// not read: more than one is refused anyway.
const maxAmbiguous = 10

// Get implements directory.Reader.
func (d *Directory) Get(ctx context.Context, ref protocol.Ref) ([]protocol.Account, error) {
	var found []protocol.Account
	err := d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		if err != nil {
			return err
		}
		entries, err := d.lookUp(ctx, c, dom, ref)
		if err != nil {
			return err
		}
		found = nil
		for _, e := range entries {
			a, err := d.withGroups(ctx, c, dom, e)
			if err != nil {
				return err
			}
			found = append(found, a)
		}
		return nil
	})
	return found, err
}

func (d *Directory) lookUp(ctx context.Context, c *ldapconn.Conn, dom domain, ref protocol.Ref) ([]*ldap.Entry, error) {
	attributes := d.attributes("objectSid", "primaryGroupID")
	if ref.ID != "" {
		e, err := d.find(ctx, c, ref.ID, attributes...)
		if err != nil || e == nil {
			return nil, err
		}
		return []*ldap.Entry{e}, nil
	}
	if ref.Identifier == "" {
		return nil, protocol.Err(protocol.CodeBadRequest, "neither an id nor an identifier was given")
	}
	if len(ref.Identifier) > maxIdentifier || strings.ContainsFunc(ref.Identifier, unicode.IsControl) {
		return nil, nil // a controller may end the text at a NUL and find another account
	}
	var all []*ldap.Entry
	for _, base := range d.bases(dom) {
		entries, err := c.Search(ctx, ldapconn.Request(base, ldap.ScopeWholeSubtree, maxAmbiguous, ldapconn.And(d.filter, named(ref.Identifier)), attributes...))
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// named is the filter of accounts that an identifier names.
func named(identifier string) string {
	return ldapconn.Or(
		ldapconn.Equal("mail", identifier),
		ldapconn.Equal("userPrincipalName", identifier),
		ldapconn.Equal("sAMAccountName", identifier),
		ldapconn.Equal("proxyAddresses", "smtp:"+identifier),
	)
}

func (d *Directory) withGroups(ctx context.Context, c *ldapconn.Conn, dom domain, e *ldap.Entry) (protocol.Account, error) {
	a, err := d.account(e)
	if err != nil {
		return a, err
	}
	groups, err := groupsOf(ctx, c, dom, e)
	for _, g := range groups {
		a.Groups = append(a.Groups, g.Group)
	}
	a.Groups = inOrder(a.Groups)
	return a, err
}

// Contacts implements directory.Reader.
func (d *Directory) Contacts(ctx context.Context, id string) (protocol.Contacts, error) {
	var out protocol.Contacts
	attributes := slices.Concat(listed, d.cfg.MailAttributes, d.cfg.PhoneAttributes, []string{"manager", "preferredLanguage"})
	err := d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		e, err := d.must(ctx, c, id, attributes...)
		if err != nil {
			return err
		}
		out = d.contacts(e)
		out.Manager, err = managerOf(ctx, c, e)
		return err
	})
	return out, err
}

// contacts sorts addresses: what names the account itself is no way to prove who one
// is when that account is lost.
func (d *Directory) contacts(e *ldap.Entry) protocol.Contacts {
	out := protocol.Contacts{Primary: addresses(e), Language: e.GetAttributeValue("preferredLanguage")}
	own := identifiers(e)
	for _, a := range d.cfg.MailAttributes {
		for _, v := range e.GetEqualFoldAttributeValues(a) {
			if containsFold(own, v) {
				out.Primary = append(out.Primary, v)
			} else {
				out.Mail = append(out.Mail, v)
			}
		}
	}
	for _, a := range d.cfg.PhoneAttributes {
		out.Phone = append(out.Phone, e.GetEqualFoldAttributeValues(a)...)
	}
	out.Primary, out.Mail, out.Phone = distinct(out.Primary), distinct(out.Mail), distinct(out.Phone)
	return out
}

// managerOf returns the mail address of the account's manager, or "".
func managerOf(ctx context.Context, c *ldapconn.Conn, e *ldap.Entry) (string, error) {
	dn := e.GetAttributeValue("manager")
	if dn == "" {
		return "", nil
	}
	m, err := c.Entry(ctx, dn, "(objectClass=*)", "mail")
	if err != nil || m == nil {
		return "", err
	}
	return m.GetAttributeValue("mail"), nil
}
