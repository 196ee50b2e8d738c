package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/directory/kinds"
	"github.com/postern-id/postern/installer"
	"github.com/postern-id/postern/protocol"
)

// maxTicket bounds what is read as a ticket.
const maxTicket = 8 << 10

const enrollHelp = `Redeem a ticket of the hub, once: make this agent's keys in the state folder and tell
the hub their public halves. The ticket pins the hub's key, so that nobody between can
speak for it. A ticket is a secret: it is read from a file or from standard input,
never from the command line, where every user of the machine could see it.

  postern-agent enroll --ticket-file ticket.txt
  ssh hub postern directory ticket DIRECTORY | postern-agent enroll`

func enroll(ctx context.Context, args []string, s std) error {
	f := newFlags("enroll", enrollHelp, s).withConfig()
	path := f.String("ticket-file", "-", "file with the ticket; - for standard input")
	hub := f.String("hub", "", "refuse a ticket of another hub than the one at this address")
	cfg, log, err := f.load(args, s)
	if err != nil {
		return err
	}
	ticket, err := readTicket(*path, s)
	if err != nil {
		return err
	}
	if err := sameHub(ticket, *hub); err != nil {
		return err
	}
	return redeem(ctx, cfg, ticket, log, s.out)
}

// redeem enrols, and says as whom.
func redeem(ctx context.Context, cfg agent.Config, ticket protocol.Ticket, log *slog.Logger, w io.Writer) error {
	e, err := agent.Enroll(ctx, cfg, version(), ticket, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Enrolled as agent %s of directory %s at %s.\nFingerprint: %s\n\n", e.Agent, e.Directory, e.Hub, e.Fingerprint)
	if e.State == protocol.AgentPending {
		fmt.Fprintln(w, "The directory has other agents, so this one waits: compare the fingerprint with the one on the\nhub's status page (or of \"postern directory agents list\") and confirm it there. Start the agent now; it begins to\nwork when it is confirmed.")
	} else {
		fmt.Fprintln(w, "The agent is active. Next: postern-agent check, then postern-agent run.")
	}
	return nil
}

// sameHub refuses a ticket of another hub than the administrator named.
func sameHub(ticket protocol.Ticket, want string) error {
	if want == "" {
		return nil
	}
	plain := func(address string) string {
		return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(address), "https://"), "/")
	}
	if plain(want) != plain(ticket.Hub) {
		return fmt.Errorf("the ticket is for the hub at %s, not for %s; it was not used", ticket.Hub, want)
	}
	return nil
}

func readTicket(path string, s std) (protocol.Ticket, error) {
	in := s.in
	if path == "-" {
		fmt.Fprintln(s.err, "reading the ticket from standard input")
	} else {
		f, err := os.Open(path)
		if err != nil {
			return protocol.Ticket{}, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxTicket))
	if err != nil {
		return protocol.Ticket{}, err
	}
	return protocol.ParseTicket(string(text))
}

const runHelp = `Serve the hub until stopped, by two outbound tunnels where the hub has two nodes. The
agent ends with an error when its file, its state folder or its disk does not let it
work, and never because of the hub. Every request, refusals too, becomes a line of
events.jsonl in the state folder. An agent that is not enrolled yet redeems the ticket in
the file secrets/ticket beside the configuration file, if it is there. systemd hears when
it is ready and that it is alive; --service does the same for Windows, whose event log
then has the log.

  postern-agent run
  postern-agent run --config /etc/postern-agent/agent.toml --log-format json`

func serve(ctx context.Context, args []string, s std) error {
	f := newFlags("run", runHelp, s).withConfig()
	f.BoolVar(&f.service, "service", false, "Windows: answer its service manager, which started this")
	if err := f.parse(args, s); err != nil {
		return err
	}
	log, err := f.serviceLogger(s.err)
	if err != nil {
		return err
	}
	life := installer.Serve
	if !f.service {
		life = installer.ServeHere
	}
	return life(ctx, func(ctx context.Context, n *installer.Notifier) error {
		cfg, err := f.file()
		if err == nil {
			err = serveService(ctx, cfg, log, n, s)
		}
		if err != nil && f.service {
			log.Error("the agent ends", "error", err)
		}
		return err
	})
}

const configHelp = `Print a sample of the configuration file, with every key of the agent and what it means.

  postern-agent config sample > /etc/postern-agent/agent.toml`

func config(_ context.Context, args []string, s std) error {
	if len(args) == 1 && args[0] == "sample" {
		_, err := io.WriteString(s.out, sample())
		return err
	}
	f := newFlags("config", configHelp, s)
	if err := f.parse(args, s); err != nil {
		return err
	}
	fmt.Fprintln(s.err, configHelp)
	return errUsage
}

const versionHelp = `Print the version of this program and the directory kinds that it knows.`

func printVersion(_ context.Context, args []string, s std) error {
	f := newFlags("version", versionHelp, s)
	if err := f.parse(args, s); err != nil {
		return err
	}
	names := make([]string, len(kinds.All))
	for i, k := range kinds.All {
		names[i] = k.Name
	}
	_, err := fmt.Fprintf(s.out, "postern-agent %s, directory kinds: %s\n", version(), strings.Join(names, ", "))
	return err
}

// version is what the linker set, else that of the build.
func version() string {
	if number != "" {
		return number
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v
}

// load reads flags and file, and makes the logger.
func (f *flags) load(args []string, s std) (agent.Config, *slog.Logger, error) {
	if err := f.parse(args, s); err != nil {
		return agent.Config{}, nil, err
	}
	log, err := f.logger(s.err)
	if err != nil {
		return agent.Config{}, nil, err
	}
	cfg, err := f.file()
	return cfg, log, err
}

// file reads the configuration file.
func (f *flags) file() (agent.Config, error) {
	cfg, err := agent.LoadConfig(f.config)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; name the file with --config, or begin with: postern-agent config sample > %s", err, f.config)
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; the service reads the file as an account of its own, and no secret stands in it: chmod 644 %s", err, f.config)
	}
	return cfg, err
}
