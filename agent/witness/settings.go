package witness

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol/auditlog"
)

// Settings is the table [log].
type Settings struct {
	// Sinks are where checkpoints go: "file" (checkpoints.jsonl in the state folder),
	// "syslog", "eventlog", or the path of a file such as one on a file share. Empty: "file".
	Sinks []string `toml:"sinks"`
	// RequireSink lets the agent act only on checkpoints that a sink took.
	RequireSink bool `toml:"require_sink"`
}

// Words of Settings.Sinks.
const (
	sinkFile     = "file"
	sinkSyslog   = "syslog"
	sinkEventLog = "eventlog"
)

// Locate makes paths absolute by resolve.
func (s *Settings) Locate(resolve func(string) string) {
	for i, name := range s.Sinks {
		if isPath(name) {
			s.Sinks[i] = resolve(name)
		}
	}
}

// isPath tells a path from a word.
func isPath(name string) bool { return strings.ContainsAny(name, `/\`) }

// Check returns an error that names the fix.
func (s Settings) Check() error {
	for i, name := range s.Sinks {
		switch {
		case slices.Contains(s.Sinks[:i], name):
			return fmt.Errorf("log.sinks: %q stands there twice", name)
		case isPath(name) && filepath.Clean(name) != name:
			return fmt.Errorf("log.sinks: %q is not a path of a file in its shortest form", name)
		case !isPath(name) && !slices.Contains([]string{sinkFile, sinkSyslog, sinkEventLog}, name):
			return fmt.Errorf("log.sinks: %q; want %q, %q, %q or the path of a file, with a slash in it", name, sinkFile, sinkSyslog, sinkEventLog)
		}
	}
	if s.Sinks != nil && len(s.Sinks) == 0 && s.RequireSink {
		return errors.New("log.require_sink: there is no sink in log.sinks")
	}
	return nil
}

// A Head is a checkpoint as people compare it.
type Head struct {
	Size int64
	Hash string // HashOf
	Time time.Time
	Note string // signed by the hub
}

func headOf(c auditlog.Checkpoint, note string) Head {
	return Head{Size: c.Size, Hash: HashOf(c), Time: c.Time, Note: note}
}
