package ldap

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// maxMatches bounds the accounts that one identifier may name: two are ambiguous
// already.
const maxMatches = 10

// Get implements directory.Reader.
func (d *Directory) Get(ctx context.Context, ref protocol.Ref) (accounts []protocol.Account, err error) {
	filter, err := d.filterOf(ref)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	key := d.birthDateKey
	d.mu.Unlock()
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		accounts = nil
		entries, err := d.search(ctx, c, filter, append(d.cfg.accountAttributes(), d.cfg.groupAttributes()...)...)
		if err != nil {
			return err
		}
		for _, e := range entries {
			a, ok := d.cfg.account(entry{e}, key, time.Now())
			if !ok {
				continue
			}
			if a.Groups, err = d.groupsOf(ctx, c, e); err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
		return nil
	})
	return accounts, err
}

// filterOf turns a reference into a filter.
func (d *Directory) filterOf(ref protocol.Ref) (string, error) {
	switch {
	case (ref.ID == "") == (ref.Identifier == ""):
		return "", protocol.Err(protocol.CodeBadRequest, "an account is named by its id or by an identifier")
	case ref.ID != "":
		return d.idFilter(ref.ID)
	case !checkText(ref.Identifier, maxIdentifier):
		return "", protocol.Err(protocol.CodeBadRequest, "the identifier is too long or not plain text")
	}
	var any []string
	for _, n := range d.cfg.Identifiers {
		any = append(any, ldapconn.Equal(n, ref.Identifier))
	}
	return ldapconn.And(d.cfg.Filter, ldapconn.Or(any...)), nil
}

// idFilter finds the account with an id that came from outside.
func (d *Directory) idFilter(id string) (string, error) {
	canonical, err := d.cfg.canonicalID(id)
	if err != nil {
		return "", err
	}
	if _, raw, err := d.cfg.parseUUID(canonical); err == nil && d.cfg.isUUID() {
		canonical = storedUUID(d.cfg.IDAttribute, raw)
	}
	return ldapconn.And(d.cfg.Filter, ldapconn.Equal(d.cfg.IDAttribute, canonical)), nil
}

// search looks below every base DN, a few matches at most.
func (d *Directory) search(ctx context.Context, c *ldapconn.Conn, filter string, attributes ...string) ([]*ldap.Entry, error) {
	var found []*ldap.Entry
	for _, base := range d.cfg.BaseDNs {
		entries, err := c.Search(ctx, ldapconn.Request(base, ldap.ScopeWholeSubtree, maxMatches, filter, attributes...))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			same := func(o *ldap.Entry) bool { return strings.EqualFold(o.DN, e.DN) } // base DNs may overlap
			if !slices.ContainsFunc(found, same) {
				found = append(found, e)
			}
		}
	}
	return found, nil
}

// find returns the one account with the id. CodeAccountNotFound if there is none.
func (d *Directory) find(ctx context.Context, c *ldapconn.Conn, id string, attributes ...string) (*ldap.Entry, error) {
	filter, err := d.idFilter(id)
	if err != nil {
		return nil, err
	}
	entries, err := d.search(ctx, c, filter, append(attributes, d.cfg.IDAttribute)...)
	switch {
	case err != nil:
		return nil, err
	case len(entries) == 0:
		return nil, protocol.Err(protocol.CodeAccountNotFound, "the directory has no account with this id below base_dns")
	case len(entries) > 1:
		return nil, configuration("id_attribute " + d.cfg.IDAttribute + " names several accounts; it must be unique")
	}
	return entries[0], nil
}

// Contacts implements directory.Reader.
func (d *Directory) Contacts(ctx context.Context, id string) (found protocol.Contacts, err error) {
	attributes := slices.Concat(d.cfg.Identifiers, d.cfg.MailAttributes, d.cfg.PhoneAttributes)
	for _, n := range []string{d.cfg.ManagerAttribute, d.cfg.LanguageAttribute} {
		if n != "" {
			attributes = append(attributes, n)
		}
	}
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		e, err := d.find(ctx, c, id, attributes...)
		if err != nil {
			return err
		}
		found = d.cfg.contacts(entry{e})
		found.Manager, err = d.managerOf(ctx, c, first(entry{e}, d.cfg.ManagerAttribute))
		return err
	})
	return found, err
}

// contacts sorts addresses: what is an identifier belongs to the account that is being
// recovered.
func (cfg Config) contacts(s source) protocol.Contacts {
	c := protocol.Contacts{Language: first(s, cfg.LanguageAttribute)}
	identifiers := cfg.identifiers(s)
	for _, v := range identifiers {
		if isMail(v) {
			c.Primary = append(c.Primary, v)
		}
	}
	known := func(list []string, v string) bool {
		return slices.ContainsFunc(list, func(o string) bool { return strings.EqualFold(o, v) })
	}
	for _, n := range cfg.MailAttributes {
		for _, v := range s.Values(n) {
			if isMail(v) && !known(identifiers, v) && !known(c.Mail, v) {
				c.Mail = append(c.Mail, v)
			}
		}
	}
	for _, n := range cfg.PhoneAttributes {
		for _, v := range s.Values(n) {
			if checkText(v, maxIdentifier) && !known(c.Phone, v) {
				c.Phone = append(c.Phone, v)
			}
		}
	}
	return c
}

// managerOf returns the mail address of the entry at dn, or "".
func (d *Directory) managerOf(ctx context.Context, c *ldapconn.Conn, dn string) (string, error) {
	if !ldapconn.SameDN(dn, dn) {
		return "", nil
	}
	e, err := c.Entry(ctx, dn, d.cfg.Filter, d.cfg.Identifiers...)
	if err != nil || e == nil {
		return "", err
	}
	for _, v := range d.cfg.identifiers(entry{e}) {
		if isMail(v) {
			return v, nil
		}
	}
	return "", nil
}
