package ad

import (
	"context"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Servers implements directory.Surveyor.
func (d *Directory) Servers(ctx context.Context) ([]directory.Server, error) {
	return d.pool.Survey(ctx)
}

// Bases implements directory.Surveyor.
func (d *Directory) Bases(ctx context.Context) ([]directory.Base, error) {
	return d.pool.Branches(ctx, d.cfg.BaseDNs...)
}

// Target implements directory.Surveyor: changes go to the PDC emulator.
func (d *Directory) Target(ctx context.Context) (directory.Target, error) {
	t := directory.Target{Role: "PDC emulator"}
	err := d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		if err != nil {
			return err
		}
		t.Clock, t.Asked = dom.now, time.Now()
		if !samePlace(dom.ds, dom.pdc) {
			t.Wanted, err = hostOf(ctx, c, dom.pdc)
		}
		return err
	})
	if err != nil {
		return t, err
	}
	if t.Server, err = d.findPDC(ctx); err == nil && t.Server != "" && (t.Wanted == "" || d.isPDC(ctx, t.Server)) {
		t.Wanted = ""
	}
	return t, err
}

var _ directory.Surveyor = (*Directory)(nil)
