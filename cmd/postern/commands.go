package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// commands are what postern adds to Caddy's own commands, one row each.
func commands() []caddycmd.Command {
	return []caddycmd.Command{
		{Name: "demo", Short: "Starts everything on this machine with a small demo company", Long: demoHelp, CobraFunc: demoCommand},
	}
}
