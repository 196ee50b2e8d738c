package ad

import (
	"context"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Person implements directory.Personal.
func (d *Directory) Person(ctx context.Context, id string) (p directory.Person, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		e, err := d.must(ctx, c, id, d.attributes("givenName", "sn")...)
		if err != nil {
			return err
		}
		p = directory.Person{
			Name:  firstOf(e.GetAttributeValue("displayName"), e.GetAttributeValue("cn")),
			Given: e.GetAttributeValue("givenName"), Family: e.GetAttributeValue("sn"),
		}
		if d.cfg.BirthDateAttribute != "" {
			p.BirthDate, _ = parseDate(e.GetAttributeValue(d.cfg.BirthDateAttribute))
		}
		return nil
	})
	return p, err
}
