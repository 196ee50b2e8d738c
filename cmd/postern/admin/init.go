package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/caddymodule"
	"github.com/postern-id/postern/hub"
)

// defaultCaddyfile is where the packages put the configuration.
const defaultCaddyfile = "/etc/postern/Caddyfile"

const initHelp = `
Makes the organisation, its first environment, the owner's API key and a link that
signs one administrator in to the console, once. Key and link are shown this once.

It works on the store that the configuration names, beside a running edge or before
its first start. Run it as the user that the edge runs as:

  sudo -u postern postern init --organisation "Example AG"
  runuser -u postern -- env HOME=/var/lib/postern postern init --organisation "Example AG"

The first is for machines with sudo, the second for root on those without.

A store that has an organisation is left as it is; --console-link then makes one more
link.`

// setup is what init is asked for.
type setup struct {
	flags
	caddyfile, organisation, environment string
	linkOnly, save                       bool
}

func initCommand(c *cobra.Command) {
	var s setup
	c.Example = `  postern init --organisation "Example AG"
  postern init --config ./Caddyfile --organisation "Example AG" --environment production --json
  postern init --organisation "Example AG" --save     keeps server and key for the other commands
  postern init --console-link                         one more link to the console`
	f := c.Flags()
	f.StringVar(&s.caddyfile, "config", defaultCaddyfile, "Caddyfile of the edge")
	f.StringVar(&s.organisation, "organisation", "", "name of the organisation, which employees read")
	f.StringVar(&s.environment, "environment", "production", "name of the first environment, for administrators")
	f.BoolVar(&s.linkOnly, "console-link", false, "only make a link to the console")
	f.BoolVar(&s.save, "save", false, "write server and key to the configuration file of the other commands (mode 0600)")
	f.StringVar(&s.configFile, "client-config", "", "that configuration file")
	f.BoolVar(&s.json, "json", false, "print one line of JSON")
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error { return s.run(c) }
}

// edgeConfig reads the edge's Caddyfile for a command that works on the store itself. Of
// what the hub logs, people are shown warnings.
func edgeConfig(c *cobra.Command, caddyfile string) (hub.Config, error) {
	text, err := os.ReadFile(caddyfile)
	if err != nil {
		return hub.Config{}, fmt.Errorf("%w; name the edge's Caddyfile with --config", err)
	}
	cfg, err := caddymodule.ReadConfig(text, caddyfile)
	cfg.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	return cfg, err
}

func (s *setup) run(c *cobra.Command) error {
	cfg, err := edgeConfig(c, s.caddyfile)
	if err != nil {
		return err
	}
	if s.linkOnly {
		link, err := hub.NewConsoleLink(c.Context(), cfg)
		if err != nil {
			return err
		}
		return s.print(c, made{Hub: cfg.PublicURL, Console: link.Reveal()})
	}
	if s.organisation == "" {
		return errors.New("--organisation is missing: the name that employees read on the recovery site")
	}
	if s.save {
		if err := s.keeps(); err != nil {
			return err
		}
	}
	in, err := hub.Install(c.Context(), cfg, s.organisation, s.environment)
	if err != nil {
		return err
	}
	m := made{cfg.PublicURL, in.Organisation, in.Environment, in.Key.Reveal(), in.ConsoleLink.Reveal()}
	if s.save {
		path, err := s.writeConfig(saved{Server: m.Hub, Key: m.Key})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "server and key are in %s\n", path)
	}
	return s.print(c, m)
}

// made is what init prints.
type made struct {
	Hub          string `json:"hub"`
	Organisation string `json:"organisation,omitempty"`
	Environment  string `json:"env,omitempty"`
	Key          string `json:"api_key,omitempty"`
	Console      string `json:"console"`
}

func (s *setup) print(c *cobra.Command, m made) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.show(c, b, func(w io.Writer) error {
		if m.Key != "" {
			if _, err := fmt.Fprintf(w, initText, m.Organisation, m.Environment, m.Key, s.caddyfile); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, "Console (works once, for 24 hours):\n  %s\n", m.Console)
		return err
	})
}

// initText is what people read after init.
const initText = `Organisation  %s
Environment   %s
API key       %s
              (role owner; shown this once)

Next:
  postern run --config %s            or: systemctl enable --now postern
  postern env domain add recovery.example.com
  postern directory create

`
