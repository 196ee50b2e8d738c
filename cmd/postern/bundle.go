package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/hub/site"
)

const bundleHelp = `
Prints a line "SHA-256  path" for each script, style and template of which this program's
recovery pages are made, and the SHA-256 of these lines: the name of the bundle, which
the console shows and the audit log records as recovery_bundle_changed.

  postern bundle
  postern bundle --hash                            only the name
  postern bundle --list | diff - BUNDLE.sha256     against the file of a release
  postern bundle --list | sha256sum --check -      in the folder hub of the source`

func bundleCommand(c *cobra.Command) {
	list := c.Flags().Bool("list", false, "print only the list, as BUNDLE.sha256 of a release has it")
	name := c.Flags().Bool("hash", false, "print only the hash of the list")
	c.Args = cobra.NoArgs
	c.MarkFlagsMutuallyExclusive("list", "hash")
	c.RunE = func(c *cobra.Command, _ []string) error {
		b, out := site.Bundle(), c.OutOrStdout()
		if !*name {
			if _, err := out.Write(b.List()); err != nil || *list {
				return err
			}
		}
		_, err := fmt.Fprintln(out, b.Hash())
		return err
	}
}
