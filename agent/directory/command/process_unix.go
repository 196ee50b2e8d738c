//go:build unix && !linux

package command

import (
	"os/exec"
	"syscall"
)

// A group is a worker's process group.
type group struct{}

// start starts the worker at the head of a group of its own.
func (*group) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}

// await returns when the worker has ended.
func (*group) await(cmd *exec.Cmd) { _ = cmd.Wait() }

// kill ends everything in the group.
func (*group) kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

func (*group) close() {}
