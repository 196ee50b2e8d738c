package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/directory/kinds"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/installer"
)

// Exit codes of status, as the Linux Standard Base has them.
const (
	exitStopped      = 3
	exitNotInstalled = 4
)

// An exit ends the program with a code after everything was said.
type exit int

// Error implements error.
func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

const installHelp = `Make the agent a service of this machine, which starts with it: of systemd with a hardened
unit, of Windows under an account of its own without rights, of launchd. It writes a sample
of the configuration file where there is none, and starts nothing. With a ticket it enrols,
too. When a step fails those before it are taken back. Only an administrator can do this.

  postern-agent install --dry-run
  postern-agent install --ticket-file ticket
  postern-agent install --from prepared.toml --ticket-file ticket --hub https://id.example.com
  postern-agent install --account "CORP\postern$"        # Windows: a group managed service account`

func install(ctx context.Context, args []string, s std) error {
	f := newFlags("install", installHelp, s).withConfig()
	var o installer.Options
	dry := f.Bool("dry-run", false, "say what would be done, and do nothing")
	from := f.String("from", "", "a configuration file to begin with, instead of the sample")
	f.StringVar(&o.Account, "account", "", "Windows: whom the service runs as (default: an account of its own)")
	f.BoolVar(&o.Packaged, "packaged", false, "a package makes the service: see to folders, rights and recovery alone")
	e := enrolment{}
	f.StringVar(&e.ticket, "ticket-file", "", "enrol with the ticket in this file, unless the agent is enrolled")
	f.StringVar(&e.hub, "hub", "", "refuse a ticket of another hub than the one at this address")
	if err := f.parse(args, s); err != nil {
		return err
	}
	var err error
	if o.Config, err = filepath.Abs(f.config); err != nil {
		return err
	}
	if o.Sample, err = sampleFor(*from); err != nil {
		return err
	}
	steps, err := installer.Install(o)
	if err != nil {
		return err
	}
	e.config = o.Config
	if e.ticket != "" {
		steps = append(steps, e.step(ctx, s))
	}
	if err := installer.Perform(s.out, steps, *dry); err != nil || *dry {
		return err
	}
	fmt.Fprintf(s.out, "\nInstalled. Next: look at %s, then postern-agent check, then postern-agent start.\n", o.Config)
	return nil
}

// sampleFor is the text of the configuration file to begin with.
func sampleFor(from string) ([]byte, error) {
	if from == "" {
		return []byte(sample()), nil
	}
	file, err := settings.Read(from)
	return file.Text, err
}

// sample is the sample of the configuration file for this system.
func sample() string {
	if runtime.GOOS != "windows" {
		return agent.SampleConfig
	}
	return strings.Replace(agent.SampleConfig, `state_dir = "/var/lib/postern-agent"`, "state_dir = '"+defaultState()+"'", 1)
}

// enrolment is the step of an installation that enrols.
type enrolment struct{ config, ticket, hub string }

func (e enrolment) step(ctx context.Context, s std) installer.Step {
	var undo []string
	return installer.Step{
		Does: "enrol with the ticket in " + e.ticket + ", unless the agent is enrolled",
		Do: func() error {
			cfg, err := agent.LoadConfig(e.config)
			if err != nil {
				return err
			}
			if _, err := agent.LoadIdentity(cfg.StateDir); !errors.Is(err, agent.ErrNotEnrolled) {
				return err // it is enrolled, or cannot be
			}
			undo = missing(cfg.StateDir)
			ticket, err := readTicket(e.ticket, s)
			if err != nil {
				return err
			}
			if err := sameHub(ticket, e.hub); err != nil {
				return err
			}
			return redeem(ctx, cfg, ticket, slog.New(slog.NewTextHandler(s.err, nil)), s.out)
		},
		Undo: func() error {
			var errs []error
			for _, path := range undo {
				errs = append(errs, installer.Delete(path))
			}
			return errors.Join(errs...)
		},
	}
}

// missing returns those of a state folder and the files that enrolment writes which are
// not there yet.
func missing(state string) []string {
	if _, err := os.Lstat(state); errors.Is(err, fs.ErrNotExist) {
		return []string{state}
	}
	var paths []string
	for _, name := range agent.EnrolmentFiles {
		if path := filepath.Join(state, name); !exists(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

const uninstallHelp = `Stop the service and remove it from this machine. The configuration and the state folder
(keys, journal, event log) stay, so that it can be installed again as the same agent; with
--purge they go, too. Revoke the agent in the hub then.

  postern-agent uninstall --dry-run
  postern-agent uninstall
  postern-agent uninstall --purge`

func uninstall(_ context.Context, args []string, s std) error {
	f := newFlags("uninstall", uninstallHelp, s).withConfig()
	dry := f.Bool("dry-run", false, "say what would be done, and do nothing")
	purge := f.Bool("purge", false, "delete the configuration and the state folder, too")
	var o installer.Options
	f.BoolVar(&o.Packaged, "packaged", false, "a package removes the service")
	if err := f.parse(args, s); err != nil {
		return err
	}
	o.Config, o.StateDir = f.config, defaultState()
	if cfg, err := agent.LoadConfig(f.config); err == nil {
		o.StateDir = cfg.StateDir
	}
	steps, err := installer.Uninstall(o, *purge)
	if err != nil {
		return err
	}
	return installer.Perform(s.out, steps, *dry)
}

const startHelp = `Start the service, and wait until it is ready: its file is read, its directory, keys and
journal are open. Ends with 1 when it does not get there.

  postern-agent start
  postern-agent start --if-enrolled        # do nothing before the agent is enrolled`

func start(_ context.Context, args []string, s std) error {
	f := newFlags("start", startHelp, s).withConfig()
	enrolled := f.Bool("if-enrolled", false, "do nothing before the agent is enrolled")
	if err := f.parse(args, s); err != nil {
		return err
	}
	if *enrolled && !isEnrolled(f.config) {
		fmt.Fprintln(s.out, "Not enrolled yet: nothing was started.")
		return nil
	}
	if err := installer.Start(); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "The service runs.")
	return nil
}

// isEnrolled reports whether the agent of a configuration file has keys, or a ticket lies
// where it looks for one. What cannot be read is for the service to report.
func isEnrolled(config string) bool {
	cfg, err := agent.LoadConfig(config)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	_, err = agent.LoadIdentity(cfg.StateDir)
	return !errors.Is(err, agent.ErrNotEnrolled) || exists(cfg.File.Path(defaultTicket))
}

const stopHelp = `Stop the service, and wait until it has ended: operations under way are finished first.

  postern-agent stop`

func stop(_ context.Context, args []string, s std) error {
	if err := newFlags("stop", stopHelp, s).parse(args, s); err != nil {
		return err
	}
	if err := installer.Stop(); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "The service is stopped.")
	return nil
}

const statusHelp = `Say whether the service is installed and runs, whom it runs as, and which agent it is.
Ends with 0 when it runs, 3 when it is stopped, 4 when it is not installed.

  postern-agent status`

func status(_ context.Context, args []string, s std) error {
	f := newFlags("status", statusHelp, s).withConfig()
	if err := f.parse(args, s); err != nil {
		return err
	}
	st, err := installer.Status()
	if err != nil && !errors.Is(err, installer.ErrNotInstalled) {
		return err
	}
	word, code := "runs", exit(exitOK)
	switch {
	case err != nil:
		word, code = "not installed", exitNotInstalled
	case !st.Running:
		word, code = "stopped", exitStopped
	}
	fmt.Fprintf(s.out, "service:        %s %s\n", installer.Name, word)
	for _, row := range [][2]string{{"manager", st.Detail}, {"account", st.Account}, {"warning", st.Warning}, {"configuration", f.config}, {"agent", identityLine(f.config)}} {
		if row[1] != "" {
			fmt.Fprintf(s.out, "%-15s %s\n", row[0]+":", row[1])
		}
	}
	if code != exitOK {
		return code
	}
	return nil
}

// identityLine says which agent the configuration file's is, as far as the caller may know.
func identityLine(config string) string {
	cfg, err := agent.LoadConfig(config)
	if err != nil {
		return err.Error()
	}
	id, err := agent.LoadIdentity(cfg.StateDir)
	switch {
	case errors.Is(err, agent.ErrNotEnrolled):
		return "not enrolled"
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("%s of directory %s at %s", id.Agent, id.Directory, id.Hub)
}

// Memory stays small on other people's servers rather than collections rare, which are
// short with so little of it. The variable GOGC overrides it.
const gcPercent = 40

// serveService is run under a service manager, which hears how the agent is. An agent that
// is not enrolled and has a ticket enrols first.
func serveService(ctx context.Context, cfg agent.Config, log *slog.Logger, n *installer.Notifier, s std) error {
	if excess := installer.Excess(); excess != "" {
		log.Warn("the agent has more rights than it needs", "why", excess)
	}
	if err := enrolFirst(ctx, cfg, log, s); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	return agent.RunFile(ctx, agent.Options{Config: cfg, Open: kinds.Open, Version: version(), Log: log, Ready: n.Ready, Alive: n.Alive})
}

// defaultTicket is where run looks for a ticket, beside the configuration file.
const defaultTicket = installer.Secrets + "/ticket"

// enrolFirst redeems the ticket that lies in the secrets' folder, once.
func enrolFirst(ctx context.Context, cfg agent.Config, log *slog.Logger, s std) error {
	if _, err := agent.LoadIdentity(cfg.StateDir); !errors.Is(err, agent.ErrNotEnrolled) {
		return nil // agent.Run says what is wrong with it
	}
	path := cfg.File.Path(defaultTicket)
	if !exists(path) {
		return nil
	}
	ticket, err := readTicket(path, s)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return redeem(ctx, cfg, ticket, log, s.out)
}

// defaultState is where keys and journal are unless the file says otherwise.
func defaultState() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(filepath.Dir(defaultConfig()), "state")
	}
	return "/var/lib/postern-agent"
}
