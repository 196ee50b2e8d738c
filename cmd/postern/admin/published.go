package admin

import (
	"encoding/json"
	"io"
	"net/url"

	"github.com/spf13/cobra"
)

// publishedAgent are the commands about agents of the public protocol, as published
// examples spell them.
func publishedAgent(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "agent", Short: "Directories of agents that speak the public protocol"}
	var directory, logo string
	register := leaf("register", "Makes a directory for such an agent and prints the agent's token, once", "  postern dir agent register -e 5f0c… --logo logo.png", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error { return f.register(c, logo) })
	register.Flags().StringVar(&logo, "logo", "", "image that employees see beside the directory")
	regenerate := leaf("regenerate", "Makes another token; the old one ends", "  postern dir agent regenerate -d 77aa…", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			return f.ask(c, "GET", directoryPath(directory)+"/regenerate-directory-agent-token", nil, printCreated)
		})
	regenerate.Flags().StringVarP(&directory, "directory", "d", "", "id of the directory")
	_ = regenerate.MarkFlagRequired("directory") // the flag is there
	group(c, register, regenerate)
	return c
}

// register makes the directory, prints its token, and only then sends the logo: a token
// that nobody saw would be lost.
func (f *flags) register(c *cobra.Command, logo string) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	env, err := cl.environment(c.Context(), f.env)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := cl.do(c.Context(), "POST", "/api/directories", map[string]string{"env": env, "kind": "custom"}, &answer); err != nil {
		return err
	}
	if err := f.show(c, answer, func(w io.Writer) error { return printCreated(w, answer) }); err != nil || logo == "" {
		return err
	}
	var made struct{ ID string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	return f.put(c, "/api/directories/"+url.PathEscape(made.ID)+"/logo", logo, nil)
}
