package ldap

import (
	"context"
	"slices"

	"github.com/postern-id/postern/agent/directory"
)

// Servers implements directory.Surveyor.
func (d *Directory) Servers(ctx context.Context) ([]directory.Server, error) {
	return d.pool.Survey(ctx)
}

// Bases implements directory.Surveyor: branches of accounts, and of groups where the file
// names them.
func (d *Directory) Bases(ctx context.Context) ([]directory.Base, error) {
	all, err := d.pool.Branches(ctx, slices.Concat(d.cfg.BaseDNs, d.cfg.GroupBaseDNs)...)
	for i := range all {
		if all[i].Key = "base_dns"; i >= len(d.cfg.BaseDNs) {
			all[i].Key = "group_base_dns"
		}
	}
	return all, err
}

// Branches implements directory.Surveyor.
func (d *Directory) Branches(ctx context.Context, dns ...string) ([]directory.Base, error) {
	return d.pool.Branches(ctx, dns...)
}

// Targets implements directory.Surveyor: changes go to the first server that answers.
func (d *Directory) Targets(context.Context) ([]directory.Target, error) {
	return []directory.Target{{}}, nil
}

var _ directory.Surveyor = (*Directory)(nil)
