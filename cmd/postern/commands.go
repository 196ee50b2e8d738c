package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/postern-id/postern/cmd/postern/admin"
)

// commands are what postern adds to Caddy's own commands, one row each.
func commands() []caddycmd.Command {
	return append(admin.Commands(),
		caddycmd.Command{Name: "demo", Short: "Starts everything on this machine with a small demo company", Long: demoHelp, CobraFunc: demoCommand},
		caddycmd.Command{Name: "bundle", Short: "Prints the hashes of what the recovery pages are made of", Long: bundleHelp, CobraFunc: bundleCommand},
	)
}
