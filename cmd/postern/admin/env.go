package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"
)

// domainOut is what the API says of a recovery domain.
type domainOut struct {
	Name     string
	Proven   bool
	Problem  string
	CNAME    string
	TXTName  string `json:"txt_name"`
	TXTValue string `json:"txt_value"`
	URL      string
}

func envCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	domain := &cobra.Command{Use: "domain", Short: "Registers and checks recovery domains"}
	group(domain,
		leaf("add NAME", "Registers a recovery domain and says what proves it",
			"  postern env domain add recovery.example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.domain(c, "POST", "", map[string]string{"name": args[0]})
			}),
		leaf("check NAME", "Asks the DNS now whether a domain is proven",
			"  postern env domain check recovery.example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.domain(c, "POST", "/"+url.PathEscape(args[0])+"/check", nil)
			}),
		leaf("list", "Lists the recovery domains of an environment",
			"  postern env domain list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error { return f.domains(c) }),
	)
	list := leaf("list", "Lists the environments that the key is for", "  postern env list", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error { return f.envs(c) })
	one := func(id string) string { return "/api/envs/" + url.PathEscape(id) }
	group(c, list,
		leaf("get ID", "Shows an environment with all its settings, as JSON", "  postern env get 5f0c…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.ask(c, "GET", one(args[0]), nil, indented) }),
		leaf("create NAME", "Makes an environment", "  postern env create Testing", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.ask(c, "POST", "/api/envs", map[string]string{"name": args[0]}, printID)
			}),
		leaf("set ID FILE", `Changes what a JSON file says, "-" for standard input`, `  echo '{"public_name":"Example AG"}' | postern env set 5f0c… -`, cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[1])
				if err != nil {
					return err
				}
				return f.decide(c, "PATCH", one(args[0]), body)
			}),
		f.removal("delete ID", "Removes an environment with its directories, accounts and settings", "env delete", one),
		domain, smsCommand(f), providerCommand(f), clientCommand(f), documentsCommand(f))
}

func (f *flags) envs(c *cobra.Command) error {
	return f.ask(c, "GET", "/api/envs", nil, func(w io.Writer, answer []byte) error {
		var list struct {
			Envs []struct {
				ID, Name  string
				Microsite struct{ Domains []domainOut }
			}
		}
		if err := json.Unmarshal(answer, &list); err != nil {
			return err
		}
		rows := [][]string{{"ID", "NAME", "DOMAINS"}}
		for _, e := range list.Envs {
			names := ""
			for _, d := range e.Microsite.Domains {
				names += d.Name + " "
			}
			rows = append(rows, []string{e.ID, e.Name, names})
		}
		return table(w, rows)
	})
}

// domain sends one request about a domain, and prints what the API says of it.
func (f *flags) domain(c *cobra.Command, method, path string, body any) error {
	return f.askEnv(c, method, "/domains"+path, body, func(w io.Writer, answer []byte) error {
		var d domainOut
		if err := json.Unmarshal(answer, &d); err != nil {
			return err
		}
		return d.print(w)
	})
}

// print says what a domain still needs.
func (d domainOut) print(w io.Writer) error {
	if d.Proven {
		_, err := fmt.Fprintf(w, "%s is proven. Employees open %s\n", d.Name, d.URL)
		return err
	}
	text := d.Name + " is not proven yet: " + d.Problem + "\n\nEnter one of these into the DNS, then run: postern env domain check " + d.Name + "\n"
	if d.CNAME != "" {
		text += fmt.Sprintf("\n  %s.  CNAME  %s.\n", d.Name, d.CNAME)
	}
	text += fmt.Sprintf("\n  %s.  TXT  \"%s\"\n", d.TXTName, d.TXTValue)
	_, err := io.WriteString(w, text)
	return err
}

func (f *flags) domains(c *cobra.Command) error {
	return f.askEnv(c, "GET", "/domains", nil, func(w io.Writer, answer []byte) error {
		var list struct{ Domains []domainOut }
		if err := json.Unmarshal(answer, &list); err != nil {
			return err
		}
		rows := [][]string{{"DOMAIN", "PROVEN", "LAST CHECK"}}
		for _, d := range list.Domains {
			rows = append(rows, []string{d.Name, yes(d.Proven), d.Problem})
		}
		return table(w, rows)
	})
}

// printID prints the id of what was made.
func printID(w io.Writer, answer []byte) error {
	var made struct{ ID string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, made.ID)
	return err
}

// removal is a command that removes for good, and asks for the id a second time.
func (f *flags) removal(use, short, name string, path func(id string) string) *cobra.Command {
	var sure string
	c := leaf(use, short, "  postern "+name+" 5f0c… --yes 5f0c…", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		if sure != args[0] {
			return fmt.Errorf("this cannot be undone; to go on: postern %s %s --yes %s", name, args[0], args[0])
		}
		return f.decide(c, "DELETE", path(args[0]), nil)
	})
	c.Flags().StringVar(&sure, "yes", "", "the id once more")
	return c
}
