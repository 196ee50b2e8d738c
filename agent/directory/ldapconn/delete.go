package ldapconn

import (
	"context"

	"github.com/go-ldap/ldap/v3"
)

// Delete removes one entry that has none below it. Errors are those of Modify.
func (c *Conn) Delete(ctx context.Context, dn string) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return changeFailure(c.run(ctx, func() error { return c.ldap.Del(ldap.NewDelRequest(dn, nil)) }))
}

// MoveTo moves one entry below another one, under the name that it has. Errors are those of
// Modify.
func (c *Conn) MoveTo(ctx context.Context, dn, rdn, superior string) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return changeFailure(c.run(ctx, func() error { return c.ldap.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, false, superior)) }))
}
