package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
)

// changes are what is different here about Caddy's own commands, by name.
var changes = map[string]func(*cobra.Command){
	"validate": changeNothing,
}

// adapted changes Caddy's own commands once all are there, before one runs: Caddy builds
// its commands and runs one of them in a single call. own is any command of ours.
func adapted(own *cobra.Command) func() {
	return func() {
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
