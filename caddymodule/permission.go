package caddymodule

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// Permission allows certificates on demand for recovery domains that are proven, and
// for nothing else. It answers from memory, also while the store is away.
type Permission struct{ app *App }

// CaddyModule implements caddy.Module.
func (Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission.postern", New: func() caddy.Module { return new(Permission) }}
}

// Provision finds the app that the permission belongs to.
func (p *Permission) Provision(ctx caddy.Context) (err error) {
	p.app, err = app(ctx)
	return err
}

// CertificateAllowed implements caddytls.OnDemandPermission.
func (p *Permission) CertificateAllowed(ctx context.Context, name string) error {
	h, err := p.app.hub()
	if err == nil {
		err = h.CertificateAllowed(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", name, caddytls.ErrPermissionDenied, err)
	}
	return nil
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (*Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return noArguments(d)
}

var (
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
)
