package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"
)

// smsCommand sets by whom an environment sends text messages.
func smsCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "sms", Short: "Sets by which service an environment sends text messages"}
	group(c,
		leaf("set FILE", `Reads the settings from a JSON file, "-" for standard input`,
			"  postern env sms set sms.json", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.setFrom(c, "/sms", args[0]) }),
		leaf("show", "Shows the settings without their secrets", "  postern env sms show", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.askEnv(c, "GET", "/sms", nil, indented) }),
		leaf("off", "Ends the sending of text messages", "  postern env sms off", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.decideEnv(c, "DELETE", "/sms", nil) }),
	)
	return c
}

// providerCommand connects outside identity providers.
func providerCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "provider", Short: "Connects outside identity providers, at which people prove who they are"}
	const path = "/identity-providers"
	group(c,
		leaf("add FILE", `Reads a provider's settings from a JSON file, "-" for standard input`,
			"  postern env provider add provider.json", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[0])
				if err != nil {
					return err
				}
				return f.askEnv(c, "POST", path, body, indented)
			}),
		leaf("list", "Lists the providers without their secrets", "  postern env provider list", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.askEnv(c, "GET", path, nil, indented) }),
		leaf("replace ID FILE", "Sets all of a provider anew", "  postern env provider replace ID provider.json", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[1])
				if err != nil {
					return err
				}
				return f.decideEnv(c, "PATCH", path+"/"+url.PathEscape(args[0]), body)
			}),
		leaf("remove ID", "Disconnects a provider", "  postern env provider remove ID", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.decideEnv(c, "DELETE", path+"/"+url.PathEscape(args[0]), nil)
			}),
	)
	return c
}

// documentsCommand says for which documents wallets are asked.
func documentsCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "documents", Short: "Says for which kinds of document wallets are asked"}
	group(c,
		leaf("set KIND...", "Asks for these kinds alone: mdl, a driving licence; pid, a person identification",
			"  postern env documents set pid", cobra.RangeArgs(1, 2),
			func(c *cobra.Command, args []string) error {
				return f.decideEnv(c, "POST", "/documents", map[string][]string{"documents": args})
			}),
		leaf("status MODE [HOST...]", "Says whether issuers are asked if they revoked a document: require, prefer or ignore; at these hosts alone, or wherever the document names",
			"  postern env documents status require status.example.org", cobra.RangeArgs(1, 33),
			func(c *cobra.Command, args []string) error {
				return f.decideEnv(c, "POST", "/credential-status", map[string]any{"status": args[0], "hosts": args[1:]})
			}),
		leaf("show-status", "Shows whether issuers are asked", "  postern env documents show-status", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error {
				return f.askEnv(c, "GET", "/credential-status", nil, indented)
			}),
		leaf("show", "Shows for which kinds", "  postern env documents show", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.askEnv(c, "GET", "/documents", nil, indented) }),
	)
	return c
}

// maxSettings bounds a file of settings, in bytes.
const maxSettings = 256 << 10

// readSettings reads a JSON object from a file: settings hold secrets, and arguments are
// seen by everybody on the machine.
func readSettings(c *cobra.Command, name string) (json.RawMessage, error) {
	in := c.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSettings+1))
	if err == nil && (len(b) > maxSettings || !json.Valid(b)) {
		err = errors.New("this is not a JSON file of at most 256 KiB")
	}
	return b, err
}

// setFrom posts what a file says.
func (f *flags) setFrom(c *cobra.Command, path, file string) error {
	body, err := readSettings(c, file)
	if err != nil {
		return err
	}
	return f.decideEnv(c, "POST", path, body)
}

// decideEnv sends a request about an environment that has no answer.
func (f *flags) decideEnv(c *cobra.Command, method, path string, body any) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	env, err := cl.environment(c.Context(), f.env)
	if err != nil {
		return err
	}
	return cl.do(c.Context(), method, "/api/envs/"+url.PathEscape(env)+path, body, nil)
}

// indented prints JSON for people.
func indented(w io.Writer, answer []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, answer, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n", b.Bytes())
	return err
}
