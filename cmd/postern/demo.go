package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/internal/demo"
)

const demoHelp = `
Starts edge, hub and agent on this machine, with a demo directory and a mailbox page
for the codes, prints the addresses and sample employees, and serves until Ctrl-C,
which leaves nothing running and, without --data-dir, nothing behind.

  postern demo
  postern demo --http-port 9000 --data-dir ./demo-data
  postern demo --json        one line for scripts: site, console, mailbox, hub,
                             env, directory, api_key, accounts
`

func demoCommand(c *cobra.Command) {
	var o demo.Options
	c.Flags().IntVar(&o.HTTPPort, "http-port", 8080, "port of all pages on this machine; 0 takes a free one")
	c.Flags().StringVar(&o.DataDir, "data-dir", "", "folder that keeps the demo's data; a temporary one if empty")
	c.Flags().BoolVar(&o.JSON, "json", false, "print one line of JSON instead of text")
	c.Flags().StringVar(&o.Agent, "agent", "", "path of postern-agent; beside this program if empty")
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		var err error
		if o.Agent, err = findAgent(o.Agent); err != nil {
			return err
		}
		o.Out = c.OutOrStdout()
		return demo.Run(ctx, o)
	}
}

// findAgent returns the agent's program: the one named, else the one beside this program.
func findAgent(path string) (string, error) {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		path = filepath.Join(filepath.Dir(self), "postern-agent")
	}
	if _, err := os.Stat(path); err != nil {
		return "", errors.Join(fmt.Errorf("postern-agent is not beside postern: build both with make build, or name it with --agent"), err)
	}
	return filepath.Abs(path)
}
