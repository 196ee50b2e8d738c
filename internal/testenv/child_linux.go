package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// prepare makes the kernel end the child with the test process, and runs it as
// another user where the test is root.
func prepare(cmd *exec.Cmd, as string) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if as == "" || os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := ids(as)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// give makes the user the owner of a path, where the test is root.
func give(path, as string) error {
	if as == "" || os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := ids(as)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

func ids(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("testenv: user %s: %w", name, err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, fmt.Errorf("testenv: user %s: %w", name, err)
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// claimPort takes a port for one test of this machine: between its being found free and
// its use a server starts, or rests. What holds the claim is an abstract socket, which
// the kernel releases with the process.
func claimPort(port int) (release func(), ok bool) {
	l, err := net.Listen("unix", fmt.Sprintf("@postern-test-port-%d", port))
	if err != nil {
		return nil, false
	}
	return func() { _ = l.Close() }, true
}
