package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/postern-id/postern/installer"
)

// defaultConfig is where the file is when no flag names one.
func defaultConfig() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "Postern", "agent.toml")
	}
	return "/etc/postern-agent/agent.toml"
}

// errUsage says that the flags made no sense; the reason was printed.
var errUsage = errors.New("usage")

// flags are those of one command.
type flags struct {
	*flag.FlagSet
	config, logLevel, logFormat string
	service                     bool
}

func newFlags(name, help string, s std) *flags {
	f := &flags{FlagSet: flag.NewFlagSet("postern-agent "+name, flag.ContinueOnError)}
	f.SetOutput(s.err)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), help)
		head := "\nFlags:\n\n" // where there are any
		f.VisitAll(func(o *flag.Flag) {
			fmt.Fprintf(f.Output(), "%s  --%-14s %s", head, o.Name, o.Usage)
			head = ""
			if o.DefValue != "" && o.DefValue != "false" {
				fmt.Fprintf(f.Output(), " (default %s)", o.DefValue)
			}
			fmt.Fprintln(f.Output())
		})
	}
	return f
}

// withConfig adds the flags of commands that read the file.
func (f *flags) withConfig() *flags {
	f.StringVar(&f.config, "config", defaultConfig(), "the configuration file (TOML)")
	f.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&f.logFormat, "log-format", "text", "text or json, on standard error")
	return f
}

// parse reads the flags; nothing may follow them.
func (f *flags) parse(args []string, s std) error {
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			f.SetOutput(s.out)
		}
	}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if f.NArg() > 0 {
		fmt.Fprintf(s.err, "%s: nothing may follow the flags; secrets are read from files and standard input\n", f.Name()) // it may be a ticket
		return errUsage
	}
	return nil
}

// logger writes to standard error.
func (f *flags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: %q; want debug, info, warn or error", f.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format: %q; want text or json", f.logFormat)
}

// serviceLogger is logger, or the event log for a service of Windows, which has no
// standard error.
func (f *flags) serviceLogger(w io.Writer) (*slog.Logger, error) {
	log, err := f.logger(w)
	if err != nil || !f.service {
		return log, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, err
	}
	h, err := installer.EventHandler(level)
	if err != nil {
		return nil, fmt.Errorf("--service: %w", err)
	}
	return slog.New(h), nil
}

// exitOf prints an error and says with what to exit.
func exitOf(err error, s std) int {
	var code exit
	switch {
	case errors.As(err, &code):
		return int(code)
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	}
	fmt.Fprintf(s.err, "postern-agent: %s\n", strings.TrimPrefix(strings.TrimPrefix(err.Error(), "agent: "), "installer: "))
	return exitFailed
}
