// Command postern is Caddy with Postern in it: the edge and the hub, and the commands
// of administrators. Its subcommands are registered here and live beside it.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/postern-id/postern/caddymodule"
	"github.com/postern-id/postern/cmd/postern/admin"
)

// version is set by the linker.
var version = "dev"

// description is what "postern --help" begins with.
const description = `Postern lets employees who have lost a password or an authenticator back in, without a
help desk. This program is the edge: Caddy with Postern's hub in it, and the commands of
administrators.

  postern demo                  everything on this machine, to look at
  postern init                  the organisation and its owner's key
  postern run --config FILE     the edge; Caddyfile.example shows a configuration

All of Caddy's commands are there, under the name postern.`

// first makes the command by which all others are found.
func first(make func(*cobra.Command)) func(*cobra.Command) {
	return func(c *cobra.Command) {
		make(c)
		cobra.OnInitialize(adapted(c))
	}
}

// explained makes a command whose help does not end by naming Caddy's documentation, which
// has nothing of it.
func explained(make func(*cobra.Command)) func(*cobra.Command) {
	return func(c *cobra.Command) {
		c.SetHelpTemplate(new(cobra.Command).HelpTemplate())
		make(c)
	}
}

func main() {
	caddy.CustomBinaryName, caddy.CustomVersion, caddy.CustomLongDescription = "postern", version, description
	os.Args = append(os.Args[:1], askedForAll(admin.CommandFirst(os.Args[1:]))...)
	if err := admin.Refused(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	for i, c := range commands() {
		c.CobraFunc = explained(c.CobraFunc)
		if i == 0 {
			c.CobraFunc = first(c.CobraFunc)
		}
		caddycmd.RegisterCommand(c)
	}
	caddycmd.Main()
}
