package ldap

import (
	"context"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Servers implements directory.Surveyor.
func (d *Directory) Servers(ctx context.Context) ([]directory.Server, error) {
	return d.pool.Survey(ctx)
}

// Bases implements directory.Surveyor: branches of accounts, and of groups where the file
// names them.
func (d *Directory) Bases(ctx context.Context) ([]directory.Base, error) {
	var all []directory.Base
	err := d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		all = nil
		for _, dn := range append(append([]string(nil), d.cfg.BaseDNs...), d.cfg.GroupBaseDNs...) {
			b, err := c.Branch(ctx, dn)
			if err != nil {
				return err
			}
			all = append(all, b)
		}
		return nil
	})
	return all, err
}

// Target implements directory.Surveyor: changes go to the first server that answers.
func (d *Directory) Target(context.Context) (directory.Target, error) {
	return directory.Target{}, nil
}

var _ directory.Surveyor = (*Directory)(nil)
