package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
)

// changes are what is different here about Caddy's own commands, by name.
var changes = map[string]func(*cobra.Command){
	"validate": changeNothing,

	"upgrade": hide, "add-package": hide, "remove-package": hide, // they are refused
}

// examples stand where Caddy's would, which name another program.
const examples = `  postern demo
  postern validate --config /etc/postern/Caddyfile
  postern init --organisation "Example AG" --save
  postern run --config /etc/postern/Caddyfile
  postern mail test you@example.com`

// askedForAll says in words what is asked for by no word or by a flag: only a command that
// runs finds Caddy's commands changed.
func askedForAll(args []string) []string {
	if len(args) == 0 || len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		return []string{"help"}
	}
	return args
}

func hide(c *cobra.Command) { c.Hidden = true }

// adapted changes Caddy's own commands once all are there, before one runs: Caddy builds
// its commands and runs one of them in a single call. own is any command of ours.
func adapted(own *cobra.Command) func() {
	return func() {
		own.Root().Example = examples
		for _, c := range own.Root().Commands() {
			if change := changes[c.Name()]; change != nil {
				change(c)
			}
		}
	}
}

// changeNothing lets a command that checks a configuration keep nothing of what Caddy's
// parts make when they are set up, such as a local authority: it goes into a folder that
// is removed.
func changeNothing(c *cobra.Command) {
	checks := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		dir, err := os.MkdirTemp("", "postern-validate-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		caddy.DefaultStorage.Path = dir
		return checks(c, args)
	}
}
