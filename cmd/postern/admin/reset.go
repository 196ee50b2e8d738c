package admin

import (
	"errors"
	"net/url"

	"github.com/spf13/cobra"
)

// resetRule is a row of the member reset_options.
type resetRule struct {
	Group       *groupRef `json:"group,omitempty"`
	RequireCode bool      `json:"require_code"`
	ByMail      bool      `json:"by_mail"`
	BySMS       bool      `json:"by_sms"`
}

type groupRef struct {
	Name string `json:"name"`
}

func (f *flags) resetOptions() *cobra.Command {
	var r resetRule
	var group string
	c := leaf("reset-options ID", "Says how people prove who they are: reset by mail, by text message, with a code of an app", `  postern directory reset-options 5f0c… --mail --code
  postern directory reset-options 5f0c… --group Finance --code
A switch that is not named is off. For everything else, such as passkeys and documents, set "methods" over the API.`, cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			if !r.RequireCode && !r.ByMail && !r.BySMS {
				return errors.New("with every switch off nobody could reset anything: name --mail, --sms or --code")
			}
			if group != "" {
				r.Group = &groupRef{group}
			}
			cl, err := f.client(c)
			if err != nil {
				return err
			}
			return cl.do(c.Context(), "PATCH", "/api/directories/"+url.PathEscape(args[0]), map[string][]resetRule{"reset_options": {r}}, nil)
		})
	c.Flags().BoolVar(&r.ByMail, "mail", false, "a code by mail opens a reset")
	c.Flags().BoolVar(&r.BySMS, "sms", false, "a code by text message opens a reset")
	c.Flags().BoolVar(&r.RequireCode, "code", false, "a code of an authenticator app is asked for besides")
	c.Flags().StringVar(&group, "group", "", "only for the members of this group; everybody if empty")
	return c
}
