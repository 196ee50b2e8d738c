package admin

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/hub"
)

const rotateHelp = `
Seals every secret in the store anew under another master key, while the nodes run. The
Caddyfile still names the old key. Called again after an interruption it goes on. When it
has ended, name the new key in the Caddyfile of every node and restart them one by one;
until then calls between an old and a new node are refused and agents redial.`

const rotateExample = `  openssl rand -out /etc/postern/master-2.key 32
  postern rotate-key --new-key-file /etc/postern/master-2.key`

// rotateCommand registers the flags of "rotate-key".
func rotateCommand(c *cobra.Command) {
	var caddyfile, newKey string
	c.Flags().StringVar(&caddyfile, "config", defaultCaddyfile, "Caddyfile of the edge, which names the old key")
	c.Flags().StringVar(&newKey, "new-key-file", "", "file with the new key: 32 bytes, raw or in hex")
	c.Example, c.Args = rotateExample, cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		if newKey == "" {
			return errors.New("--new-key-file is missing: the file with the new master key")
		}
		cfg, err := edgeConfig(c, caddyfile)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.ErrOrStderr(), "sealing anew; nodes that run learn the new key from the store …")
		if err := hub.RotateMasterKey(c.Context(), cfg, newKey); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "Done. Name the new key in the Caddyfile of every node and restart them; the old key opens nothing any more.")
		return nil
	}
}
