package ldap

import (
	"context"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Attributes of a person's name in two parts (RFC 4519 sections 2.12 and 2.32).
const (
	attrGiven  = "givenName"
	attrFamily = "sn"
)

// Person implements directory.Personal.
func (d *Directory) Person(ctx context.Context, id string) (p directory.Person, err error) {
	attributes := append([]string{d.cfg.GivenNameAttribute, d.cfg.FamilyNameAttribute}, d.cfg.NameAttributes...)
	if d.cfg.BirthDateAttribute != "" {
		attributes = append(attributes, d.cfg.BirthDateAttribute)
	}
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		e, err := d.find(ctx, c, id, attributes...)
		if err != nil {
			return err
		}
		p = d.cfg.person(entry{e})
		return nil
	})
	return p, err
}

func (cfg Config) person(s source) directory.Person {
	p := directory.Person{Given: clean(first(s, cfg.GivenNameAttribute)), Family: clean(first(s, cfg.FamilyNameAttribute))}
	for _, n := range cfg.NameAttributes {
		if p.Name = clean(first(s, n)); p.Name != "" {
			break
		}
	}
	p.BirthDate, _ = birthDate(first(s, cfg.BirthDateAttribute))
	return p
}
