package admin

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/staff"
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
  postern staff invite --name "Tess Ott" --mail tess@example.com --role user --for 5f0c…        works there only
  postern staff invite --name "Max Roth" --mail max@example.com --domain recovery.example.com   vouches there
  postern staff set ID --role user --for 5f0c…
  postern staff list
  postern staff remove ID`
	c.AddCommand(staffInvite(&caddyfile), staffList(&caddyfile), staffSet(&caddyfile), staffRemove(&caddyfile))
}

func staffInvite(caddyfile *string) *cobra.Command {
	var who store.Staff
	var domain string
	c := &cobra.Command{Use: "invite", Short: "Makes an invitation to the console, or to vouch for people", Example: `  postern staff invite --name "Ann Lee" --mail ann@example.com --role admin
  postern staff invite --name "Tess Ott" --mail tess@example.com --role user --for 5f0c…`, Args: cobra.NoArgs}
	c.Flags().StringVar(&who.Name, "name", "", "name of the person")
	c.Flags().StringVar(&who.Mail, "mail", "", "mail address of the person")
	c.Flags().StringVar(&who.Role, "role", "", "of the console: owner, admin, user, limited_plus, limited")
	c.Flags().StringArrayVar(&who.Envs, "for", nil, whereHelp+" (the default)")
	c.Flags().StringVar(&domain, "domain", "", "recovery domain on which the person vouches")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if (who.Role == "") == (domain == "") {
			return errors.New("give either --role (for the console) or --domain (to vouch for people)")
		}
		if domain != "" && len(who.Envs) > 0 {
			return errors.New("--for goes with --role: who vouches does so in the environment of the domain")
		}
		cfg, err := edgeConfig(c, *caddyfile)
		if err != nil {
			return err
		}
		link, err := hub.InviteStaff(c.Context(), cfg, who, domain)
		err = withHint(err)
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
			where := cmp.Or(strings.Join(s.Envs, " "), "nowhere")
			if s.Reaches(store.AllEnvs) {
				where = "everywhere"
			}
			if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.ID, s.Name, s.Mail, role, where); err != nil {
				return err
			}
		}
		return w.Flush()
	}
	return c
}

// whereHelp is the help of the flag that names environments.
const whereHelp = `id of an environment in which they have the role (see "postern env list"); may be repeated; "*" is all of them, also those to come`

func staffSet(caddyfile *string) *cobra.Command {
	var to staff.Change
	c := &cobra.Command{Use: "set ID", Short: "Changes what somebody may do in the console, or in which environments", Example: `  postern staff set 7d0c1b6e-… --role user
  postern staff set 7d0c1b6e-… --for 5f0c… --for 8e21…
  postern staff set 7d0c1b6e-… --for "*"`, Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&to.Role, "role", "", "owner, admin, user, limited_plus, limited")
	c.Flags().StringArrayVar(&to.Envs, "for", nil, whereHelp)
	c.MarkFlagsOneRequired("role", "for")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := edgeConfig(c, *caddyfile)
		if err != nil {
			return err
		}
		return withHint(hub.ChangeStaff(c.Context(), cfg, args[0], to))
	}
	return c
}

// withHint says what to mend.
func withHint(err error) error {
	switch {
	case errors.Is(err, staff.ErrOwner):
		return errors.New(`--for: an owner works in all environments; say --for "*", or give another role`)
	case errors.Is(err, staff.ErrEnvs):
		return errors.New(`--for: there is no such environment; "postern env list" has their ids`)
	}
	return err
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
