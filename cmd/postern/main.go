// Command postern is Caddy with Postern in it: the edge and the hub, and the commands
// of administrators. Its subcommands are registered here and live beside it.
package main

import (
	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/postern-id/postern/caddymodule"
)

// version is set by the linker.
var version = "dev"

func main() {
	caddy.CustomBinaryName, caddy.CustomVersion = "postern", version
	for _, c := range commands() {
		caddycmd.RegisterCommand(c)
	}
	caddycmd.Main()
}
