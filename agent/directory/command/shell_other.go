//go:build !windows

package command

import (
	"io/fs"
	"os"
	"os/exec"

	"github.com/postern-id/postern/protocol"
)

// othersMayWrite is the permission bit that makes a program everybody's.
const othersMayWrite fs.FileMode = 0o002

// cmd is the worker's command: a list as it is, a line through the shell.
func (c Config) cmd() *exec.Cmd {
	cmd := exec.Command("/bin/sh", "-c", c.shell)
	if c.shell == "" {
		cmd = exec.Command(c.argv[0], c.argv[1:]...)
	}
	cmd.Dir, cmd.Env = c.WorkDir, c.environ()
	return cmd
}

// trusted refuses a program that every user of the machine may change: whoever does acts
// as the agent.
func (c Config) trusted() error {
	if c.shell != "" {
		return nil
	}
	path, err := exec.LookPath(c.argv[0])
	if err != nil {
		return protocol.Err(protocol.CodeConfiguration, "the worker cannot be started: "+err.Error())
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&othersMayWrite != 0 {
		return protocol.Err(protocol.CodeConfiguration, path+": other users may change this worker; run: chmod o-w "+path)
	}
	return nil
}
