package admin

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/store"
)

const staffHelp = `
Says who works in the console, and who vouches for people. An invitation is a link that
makes one passkey, once, within 24 hours; there are no passwords. It works on the store
that the configuration names; run it as the user that the edge runs as.`

func staffCommand(c *cobra.Command) {
	var caddyfile string
	c.PersistentFlags().StringVar(&caddyfile, "config", defaultCaddyfile, "Caddyfile of the edge")
	c.Example = `  postern staff invite --name "Ann Lee" --mail ann@example.com --role admin
  postern staff invite --name "Max Roth" --mail max@example.com --domain recovery.example.com   vouches there
  postern staff list
  postern staff remove ID`
	c.AddCommand(staffInvite(&caddyfile), staffList(&caddyfile), staffRemove(&caddyfile))
}

func staffInvite(caddyfile *string) *cobra.Command {
	var who store.Staff
	var domain string
	c := &cobra.Command{Use: "invite", Short: "Makes an invitation to the console, or to vouch for people", Example: `  postern staff invite --name "Ann Lee" --mail ann@example.com --role admin`, Args: cobra.NoArgs}
	c.Flags().StringVar(&who.Name, "name", "", "name of the person")
	c.Flags().StringVar(&who.Mail, "mail", "", "mail address of the person")
	c.Flags().StringVar(&who.Role, "role", "", "of the console: owner, admin, user, limited_plus, limited")
	c.Flags().StringVar(&domain, "domain", "", "recovery domain on which the person vouches")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if (who.Role == "") == (domain == "") {
			return errors.New("give either --role (for the console) or --domain (to vouch for people)")
		}
		cfg, err := edgeConfig(c, *caddyfile)
		if err != nil {
			return err
		}
		link, err := hub.InviteStaff(c.Context(), cfg, who, domain)
		if err == nil {
			_, err = fmt.Fprintf(c.OutOrStdout(), "Invitation for %s (works once, for 24 hours):\n  %s\n", who.Name, link.Reveal())
		}
		return err
	}
	return c
}

func staffList(caddyfile *string) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "Lists staff and people who vouch", Example: `  postern staff list`, Args: cobra.NoArgs}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := edgeConfig(c, *caddyfile)
		if err != nil {
			return err
		}
		list, err := hub.Staff(c.Context(), cfg)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		for _, s := range list {
			role := s.Role
			if role == "" {
				role = "vouches"
			}
			if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.ID, s.Name, s.Mail, role); err != nil {
				return err
			}
		}
		return w.Flush()
	}
	return c
}

func staffRemove(caddyfile *string) *cobra.Command {
	c := &cobra.Command{Use: "remove ID", Short: "Removes a person with their passkeys and sessions", Example: `  postern staff remove 7d0c1b6e-…`, Args: cobra.ExactArgs(1)}
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := edgeConfig(c, *caddyfile)
		if err != nil {
			return err
		}
		return hub.RemoveStaff(c.Context(), cfg, args[0])
	}
	return c
}
