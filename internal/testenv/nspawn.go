package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A Machine is a throw-away copy of this system (an overlay, in memory) in which a real
// systemd is booted. It shares this machine's network, so that servers of a test are
// reached, and nothing else: what it writes is gone with it.
type Machine struct {
	t    testing.TB
	root string // of its file system
	work string
	name string
}

// bootLife is how long a boot with all that a script does in it may take.
const bootLife = 3 * time.Minute

// NewMachine makes one. Only root can.
func NewMachine(t testing.TB) *Machine {
	t.Helper()
	NeedRoot(t)
	Need(t, "systemd-nspawn")
	m := &Machine{t: t, work: Dir(t)}
	m.root, m.name = filepath.Join(m.work, "root"), filepath.Base(m.work)
	up, spare := filepath.Join(m.work, "up"), filepath.Join(m.work, "spare")
	for _, dir := range []string{m.root, up, spare} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.command("mount", "-t", "overlay", "overlay", "-o", fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", up, spare), m.root)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", m.root).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	// An identity of its own, and none of this machine's services.
	services, _ := filepath.Glob(m.Path("/etc/systemd/system/*.wants/*"))
	for _, path := range append(services, m.Path("/etc/machine-id")) {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	m.Write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444)
	m.Write("/etc/systemd/system/probe.service", probe, 0o644)
	m.Write("/etc/systemd/system/probe.target", "[Unit]\nRequires=basic.target probe.service\nAfter=basic.target\nAllowIsolate=yes\n", 0o644)
	return m
}

// probe runs the script of Boot and then stops the machine.
const probe = `[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash -x /root/probe.sh
StandardOutput=append:/root/probe.out
StandardError=append:/root/probe.out
ExecStopPost=/bin/bash -c 'echo "$EXIT_STATUS" > /root/probe.code; systemctl poweroff'
`

// Path is where a file of the machine is on this one.
func (m *Machine) Path(path string) string { return filepath.Join(m.root, path) }

// Write writes a file of the machine.
func (m *Machine) Write(path, text string, mode os.FileMode) {
	m.t.Helper()
	if err := errors.Join(os.WriteFile(m.Path(path), []byte(text), mode), os.Chmod(m.Path(path), mode)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *Machine) command(name string, args ...string) {
	m.t.Helper()
	if out, err := exec.CommandContext(m.t.Context(), Need(m.t, name), args...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// Boot boots the machine, which runs a script as root and then ends. Wait says how.
func (m *Machine) Boot(script string) *Booted {
	m.t.Helper()
	m.Write("/root/probe.sh", script, 0o600)
	m.Write("/root/probe.out", "", 0o600)
	m.Write("/root/probe.code", "", 0o600)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.t.Context()), bootLife)
	cmd := exec.CommandContext(ctx, Need(m.t, "systemd-nspawn"), "--quiet", "--register=no", "--keep-unit", "--directory="+m.root,
		"--machine="+m.name, "--boot", "systemd.unit=probe.target")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopGrace
	b := &Booted{machine: m, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &b.console, &b.console
	if err := cmd.Start(); err != nil {
		cancel()
		m.t.Fatal(err)
	}
	go func() {
		b.err = errors.Join(cmd.Wait(), ctx.Err())
		cancel()
		close(b.ended)
	}()
	m.t.Cleanup(func() {
		cancel()
		<-b.ended
	})
	return b
}

// A Booted is a machine that runs its script.
type Booted struct {
	machine *Machine
	console bytes.Buffer // of ended
	err     error        // of ended
	ended   chan struct{}
}

// Ended reports whether the machine has stopped.
func (b *Booted) Ended() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// Wait waits until the machine has stopped, and returns what the script printed, its
// commands among it, and its exit code.
func (b *Booted) Wait() (out, code string) {
	b.machine.t.Helper()
	<-b.ended
	text, err := os.ReadFile(b.machine.Path("/root/probe.out"))
	end, _ := os.ReadFile(b.machine.Path("/root/probe.code"))
	if err != nil || len(end) == 0 {
		console := b.console.Bytes()
		b.machine.t.Fatalf("the machine did not get through its script: %v %v\n%s\n%s", b.err, err, text, console[max(0, len(console)-logTail):])
	}
	return string(text), string(bytes.TrimSpace(end))
}
