package ad

import (
	"context"
	"strings"
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
	all, err := d.pool.Branches(ctx, d.cfg.BaseDNs...)
	for i := range all {
		all[i].Key = "base_dns"
	}
	return all, err
}

// Branches implements directory.Surveyor.
func (d *Directory) Branches(ctx context.Context, dns ...string) ([]directory.Base, error) {
	return d.pool.Branches(ctx, dns...)
}

// Targets implements directory.Surveyor: changes go to the PDC emulator.
func (d *Directory) Targets(ctx context.Context) ([]directory.Target, error) {
	t, err := d.target(ctx)
	return []directory.Target{t}, err
}

func (d *Directory) target(ctx context.Context) (directory.Target, error) {
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

// Servers implements directory.Surveyor: those of every domain, each of which is a part. A
// domain whose servers DNS does not name is one that is not found.
func (f *Forest) Servers(ctx context.Context) ([]directory.Server, error) {
	var all []directory.Server
	for i, d := range f.domains {
		those, err := d.Servers(ctx)
		if err != nil {
			those = []directory.Server{{URL: strings.Join(d.cfg.SRV, ", "), Fault: directory.FaultName, Err: err}}
		}
		for _, s := range those {
			s.Part = i
			all = append(all, s)
		}
	}
	return all, nil
}

// Bases implements directory.Surveyor.
func (f *Forest) Bases(ctx context.Context) ([]directory.Base, error) {
	var all []directory.Base
	for part, d := range f.domains {
		those, err := d.Bases(ctx)
		if err != nil {
			return nil, err
		}
		for _, b := range those {
			b.Part = part // each domain has a list of its own
			all = append(all, b)
		}
	}
	return all, nil
}

// Branches implements directory.Surveyor: an entry is looked for in every domain.
func (f *Forest) Branches(ctx context.Context, dns ...string) ([]directory.Base, error) {
	var all []directory.Base
	for _, d := range f.domains {
		those, err := d.Branches(ctx, dns...)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = those
		}
		for i, b := range those {
			if !all[i].Found && (b.Found || all[i].Near == "" && b.Near != "") {
				all[i] = b
			}
		}
	}
	return all, nil
}

// Targets implements directory.Surveyor: each domain has its PDC emulator.
func (f *Forest) Targets(ctx context.Context) ([]directory.Target, error) {
	var all []directory.Target
	for _, d := range f.domains {
		t, err := d.target(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

var (
	_ directory.Surveyor = (*Directory)(nil)
	_ directory.Surveyor = (*Forest)(nil)
)
