package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// Commands are the rows that are registered with Caddy's commands.
func Commands() []caddycmd.Command {
	return []caddycmd.Command{
		{Name: "init", Short: "Makes the organisation, its first environment and the owner's key", Long: initHelp, CobraFunc: initCommand},
		{Name: "env", Short: "Lists environments, registers their recovery domains, and connects outside services", Long: remoteHelp, CobraFunc: envCommand},
		{Name: "directory", Short: "Makes, lists and synchronises directories, and makes tickets for agents", Long: remoteHelp, CobraFunc: directoryCommand},
		{Name: "account", Short: "Lists accounts, binds them, sets their photos, and opens those that are shut", Long: remoteHelp, CobraFunc: accountCommand},
		{Name: "mail", Short: "Sends a mail as a test, and says whether mails go out", Long: remoteHelp, CobraFunc: mailCommand},
		{Name: "request", Short: "Asks people who they are, by a link, and shows what they shared", Long: remoteHelp, CobraFunc: requestCommand},
		{Name: "apikey", Short: "Makes, lists, changes and removes API keys", Long: remoteHelp, CobraFunc: apiKeyCommand},
		{Name: "secrets", Short: "Seals secrets for settings", Long: remoteHelp, CobraFunc: secretsCommand},
		{Name: "auth", Short: "Signs this command line in, by the console", Long: remoteHelp, CobraFunc: authCommand},
		{Name: "api", Short: "Sends one request to the REST API and prints the answer", Long: remoteHelp, CobraFunc: callCommand},
		{Name: "audit", Short: "Lists audit events, proves them, and verifies the log without the hub", Long: remoteHelp, CobraFunc: auditCommand},
		{Name: "staff", Short: "Invites, lists and removes staff and people who vouch", Long: staffHelp, CobraFunc: staffCommand},
		{Name: "rotate-key", Short: "Seals the store anew under another master key", Long: rotateHelp, CobraFunc: rotateCommand},
		{Name: "signer", Short: "Lets the hub ask an agent for signatures of tokens, and for nothing else", Long: signerHelp, CobraFunc: signerCommand},
		{Name: "self-service", Short: "Makes presigned links to the recovery site", Long: remoteHelp, CobraFunc: selfServiceCommand},
	}
}

const remoteHelp = `
This command speaks to a hub's REST API. Where and with which key is taken from the
first of

  --server, --key-file
  POSTERN_SERVER, POSTERN_KEY
  the configuration file (mode 0600; "postern auth login" and "postern init --save" write it)

A key is never an argument: arguments are seen by everybody on the machine.`

// leaf returns a command that runs and prints.
func leaf(use, short, example string, args cobra.PositionalArgs, run func(c *cobra.Command, args []string) error) *cobra.Command {
	checked := func(c *cobra.Command, given []string) error {
		if err := args(c, given); err != nil {
			return fmt.Errorf("want: %s", c.UseLine()) // what was given may be a secret
		}
		return nil
	}
	return &cobra.Command{Use: use, Short: short, Example: example, Args: checked, RunE: run, SilenceUsage: true}
}

// group makes c a command that only has others below it.
func group(c *cobra.Command, below ...*cobra.Command) {
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.Args = cobra.NoArgs
	c.AddCommand(below...)
}

// shared are the flags of every command that speaks to a hub, and how many words each has.
var shared = map[string]int{"-e": 2, "--env": 2, "--server": 2, "--key-file": 2, "--client-config": 2, "--json": 1}

// CommandFirst puts flags that every command has behind the command when they stand before
// it, where published examples have -e and Caddy's own flags know nothing of them.
func CommandFirst(args []string) []string {
	before := 0
	for before < len(args) {
		name, _, whole := strings.Cut(args[before], "=")
		words := shared[name]
		if whole {
			words = min(words, 1)
		}
		if words == 0 || before+words > len(args) {
			break
		}
		before += words
	}
	return append(append([]string(nil), args[before:]...), args[:before]...)
}

// replacing are commands of Caddy that put a build of its makers in this program's place.
var replacing = []string{"upgrade", "add-package", "remove-package"}

// Refused returns an error for commands that would leave a Caddy without Postern here.
func Refused(args []string) error {
	if len(args) > 0 && slices.Contains(replacing, args[0]) {
		return fmt.Errorf("%s would put a Caddy without Postern in this program's place; install the new package of Postern instead", args[0])
	}
	return nil
}
