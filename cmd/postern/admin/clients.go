package admin

import (
	"net/url"

	"github.com/spf13/cobra"
)

// An outsideKey is the fingerprint of a key that lies with the signer outside of the hub; ""
// is a key that the hub makes.
type outsideKey string

// flag lets a command take one.
func (k *outsideKey) flag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar((*string)(k), "external", "", "fingerprint of a key that lies with the signer outside of the hub, as ssh-add -l prints it: SHA256:…")
	return c
}

// of returns a path of the API with it.
func (k *outsideKey) of(path string) string {
	if *k == "" {
		return path
	}
	return path + "?" + url.Values{"external": {string(*k)}}.Encode()
}

// clientCommand lets applications and identity providers ask an environment who somebody is.
func clientCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "client", Short: "Lets applications, Entra ID or Okta ask here who somebody is"}
	const path = "/oidc-clients"
	one := func(id, more string) string { return path + "/" + url.PathEscape(id) + more }
	var outside outsideKey
	group(c,
		outside.flag(leaf("add FILE", `Reads what asks from a JSON file, "-" for standard input, and prints its client_id, its addresses and, once, its secret`,
			"  postern env client add entra.json", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[0])
				if err != nil {
					return err
				}
				return f.askEnv(c, "POST", outside.of(path), body, indented)
			})),
		leaf("list", "Lists what asks here, with keys and addresses", "  postern env client list", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.askEnv(c, "GET", path, nil, indented) }),
		leaf("replace ID FILE", "Sets everything anew but contract, keys and secrets", "  postern env client replace ID entra.json", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[1])
				if err != nil {
					return err
				}
				return f.decideEnv(c, "PATCH", one(args[0], ""), body)
			}),
		leaf("secret ID", "Makes another secret; the two newest are good", "  postern env client secret ID", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.askEnv(c, "POST", one(args[0], "/secrets"), nil, indented)
			}),
		leaf("end-secrets ID", "Ends all secrets but the newest", "  postern env client end-secrets ID", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.decideEnv(c, "DELETE", one(args[0], "/secrets"), nil)
			}),
		outside.flag(leaf("rotate ID", "Publishes the next signing key, which signs after 48 hours", "  postern env client rotate ID\n  postern env client rotate ID --external SHA256:…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.askEnv(c, "POST", outside.of(one(args[0], "/keys")), nil, indented)
			})),
		leaf("remove ID", "Ends all that it may ask, and its keys", "  postern env client remove ID", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.decideEnv(c, "DELETE", one(args[0], ""), nil) }),
	)
	return c
}
