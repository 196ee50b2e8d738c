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
