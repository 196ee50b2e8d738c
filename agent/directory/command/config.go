package command

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// Defaults of the table [directory].
const (
	defaultWorkers = 3                // one reads lists, two serve people
	maxWorkers     = 8                // a pool, no farm
	defaultTimeout = 30 * time.Second // as long as the agent waits for a change
	maxTimeout     = 5 * time.Minute
)

// Config is the table [directory] of kind "command".
type Config struct {
	// Command is the worker: a list is a program and its arguments, started without a
	// shell; one string is a line for /bin/sh -c (Windows: cmd /c). It comes from the
	// local file alone.
	Command any `toml:"command"`
	// WorkDir is where the worker runs; by default the folder of the agent's file.
	WorkDir string `toml:"work_dir"`
	// Environment is added to the few variables that a worker gets; PassEnvironment names
	// variables of the agent that it gets too.
	Environment     map[string]string `toml:"environment"`
	PassEnvironment []string          `toml:"pass_environment"`
	// Workers is how many processes run at most; each answers one request at a time.
	Workers int `toml:"workers"`
	// Timeout bounds one answer, four times that one page of a list.
	Timeout settings.Duration `toml:"timeout"`
	// DryRun says that the worker honours dry_run, if it does not say so itself.
	DryRun bool `toml:"dry_run"`
	// PrivilegedGroups and PrivilegedAccounts are always refused: names or ids.
	PrivilegedGroups   []string `toml:"privileged_groups"`
	PrivilegedAccounts []string `toml:"privileged_accounts"`

	Log *slog.Logger `toml:"-"`

	argv  []string // program and arguments
	shell string   // or the line for a shell
}

// Decode reads the table. Errors are CodeConfiguration.
func Decode(f settings.File) (Config, error) {
	var cfg Config
	if err := f.Decode("directory", &cfg, "kind"); err != nil {
		return cfg, protocol.Err(protocol.CodeConfiguration, err.Error())
	}
	folder := filepath.Dir(f.Name)
	if !filepath.IsAbs(cfg.WorkDir) {
		cfg.WorkDir = filepath.Join(folder, cfg.WorkDir)
	}
	if err := cfg.check(); err != nil {
		return cfg, protocol.Err(protocol.CodeConfiguration, f.Name+": directory."+err.Error())
	}
	if len(cfg.argv) > 0 && filepath.Base(cfg.argv[0]) != cfg.argv[0] && !filepath.IsAbs(cfg.argv[0]) {
		cfg.argv[0] = filepath.Join(folder, cfg.argv[0])
	}
	return cfg, nil
}

// check reads the command, fills in defaults and refuses what cannot be meant.
func (c *Config) check() error {
	if err := c.readCommand(); err != nil {
		return err
	}
	if c.Workers == 0 {
		c.Workers = defaultWorkers
	}
	if c.Workers < 1 || c.Workers > maxWorkers {
		return fmt.Errorf("workers: %d; want 1 to %d", c.Workers, maxWorkers)
	}
	if c.Timeout.Duration == 0 {
		c.Timeout.Duration = defaultTimeout
	}
	if c.Timeout.Duration > maxTimeout {
		return fmt.Errorf("timeout: %v; want at most %v", c.Timeout, maxTimeout)
	}
	for name := range c.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("environment: %q is no name of a variable", name)
		}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

// readCommand tells a list from a line.
func (c *Config) readCommand() error {
	switch v := c.Command.(type) {
	case string:
		c.shell = strings.TrimSpace(v)
	case []string:
		c.argv = append([]string(nil), v...)
	case []any:
		for _, word := range v {
			text, is := word.(string)
			if !is {
				return fmt.Errorf("command: a list of strings, or one string for a shell")
			}
			c.argv = append(c.argv, text)
		}
	}
	if c.shell == "" && (len(c.argv) == 0 || c.argv[0] == "") {
		return fmt.Errorf(`command: the worker, such as ["/usr/local/bin/worker"]`)
	}
	return nil
}
