//go:build unix

package installer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kardianos/service"
)

// Name is what the service manager calls the agent.
const Name = "postern-agent"

// EventLog says whether the system has an event log of its own kind (Windows).
const EventLog = false

// arguments are those of the service's program.
func arguments(config string) []string { return []string{"run", "--config", config} }

// Account is whom the service runs as unless Options say otherwise; empty where the
// service manager makes it up.
func Account() string { return "" }

// Install returns the steps that make the service; it starts nothing.
func Install(o Options) ([]Step, error) {
	if o.Account != "" {
		return nil, errors.New("an account is chosen on Windows alone: systemd makes one up for the service")
	}
	program, err := ownProgram(o.Program)
	if err != nil {
		return nil, err
	}
	o.Program = program
	dir := filepath.Dir(o.Config)
	steps := []Step{privileged(), folder(dir, 0o755), folder(secretsFolder(o.Config), 0o700), configuration(o)}
	if o.Packaged {
		return steps, nil
	}
	s, err := o.manage(service.KeyValue{"SystemdScript": Unit(o.Program, o.Config)})
	if err != nil {
		return nil, err
	}
	if err := supported(s); err != nil {
		return nil, err
	}
	if by := packaged(); by != "" {
		return nil, fmt.Errorf("a package of this system brought the service already (%s); enable and start it: systemctl enable --now %s", by, Name)
	}
	return append(steps, register(s, "install and enable the service "+Name+" ("+s.Platform()+")")), nil
}

// Uninstall returns the steps that stop and remove the service. Configuration and state
// stay, unless all is set.
func Uninstall(o Options, all bool) ([]Step, error) {
	s, err := o.manage(nil)
	if err != nil {
		return nil, err
	}
	if err := supported(s); err != nil {
		return nil, err
	}
	if by := packaged(); by != "" {
		return nil, fmt.Errorf("a package of this system brought the service (%s); remove that package", by)
	}
	steps := []Step{privileged(),
		{Does: "stop the service " + Name, Do: func() error { return stopped(s) }},
		{Does: "remove the service " + Name, Do: s.Uninstall}}
	if all {
		steps = append(steps, purge(o, o.StateDir, privateState(o.StateDir))...)
	}
	return steps, nil
}

// stopped stops a service that may not run.
func stopped(s service.Service) error {
	if _, err := s.Status(); errors.Is(err, service.ErrNotInstalled) {
		return ErrNotInstalled
	}
	return s.Stop()
}

// privateState is where systemd really keeps the state folder of a service that has an
// account of its own making.
func privateState(state string) string {
	if dir, name := filepath.Split(filepath.Clean(state)); dir == "/var/lib/" {
		return filepath.Join("/var/lib/private", name)
	}
	return state
}

func privileged() Step {
	return Step{Does: "make sure that an administrator asks", Do: func() error {
		if os.Geteuid() != 0 {
			return ErrPrivilege
		}
		return nil
	}}
}

// supported refuses service managers for which there is no hardened unit.
func supported(s service.Service) error {
	if runtime.GOOS == "linux" && s.Platform() != "linux-systemd" {
		return fmt.Errorf("this machine runs no systemd (%s); start \"%s run\" by its own service manager", s.Platform(), Name)
	}
	return nil
}

// packagedUnits are where packages put units; administrators put theirs into /etc.
var packagedUnits = []string{"/usr/lib/systemd/system/", "/lib/systemd/system/"}

// packaged returns the unit that a package of the system brought, or "".
func packaged() string {
	for _, dir := range packagedUnits {
		if path := dir + Name + ".service"; runtime.GOOS == "linux" && exists(path) {
			return path
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// homes are folders that the unit hides from the service, or that do not last.
var homes = []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"}

// ownProgram is the absolute path of the agent's program, which must be where the service
// can start it.
func ownProgram(path string) (string, error) {
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return "", err
		}
	}
	for _, home := range homes {
		if runtime.GOOS == "linux" && strings.HasPrefix(path, home) {
			return "", fmt.Errorf("the service cannot start %s, which is hidden from services; copy it first: install -m 0755 %s /usr/local/bin/%s", path, path, Name)
		}
	}
	return filepath.Abs(path)
}

// Start starts the service and returns when the service manager says that it is ready.
func Start() error { return control(service.Service.Start) }

// Stop stops the service and returns when it has ended.
func Stop() error { return control(service.Service.Stop) }

func control(do func(service.Service) error) error {
	s, err := Options{}.manage(nil)
	if err != nil {
		return err
	}
	if _, err := s.Status(); errors.Is(err, service.ErrNotInstalled) {
		return ErrNotInstalled
	}
	if os.Geteuid() != 0 {
		return ErrPrivilege
	}
	return do(s)
}

// Status asks the service manager; ErrNotInstalled if it knows no such service.
func Status() (State, error) {
	s, err := Options{}.manage(nil)
	if err != nil {
		return State{}, err
	}
	st, err := s.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return State{}, ErrNotInstalled
	case runtime.GOOS == "linux":
		return systemdState()
	case err != nil:
		return State{Detail: err.Error()}, nil
	}
	return State{Running: st == service.StatusRunning, Detail: s.Platform()}, nil
}

// asked are the properties of the unit that systemdState reads.
var asked = []string{"ActiveState", "SubState", "NRestarts", "ExecMainStatus"}

// systemdState asks systemd itself, because kardianos' package takes a service that fails
// and waits to be started again for one that runs.
func systemdState() (State, error) {
	out, err := exec.Command("systemctl", "show", "--property="+strings.Join(asked, ","), Name+".service").Output()
	if err != nil {
		return State{}, fmt.Errorf("systemctl: %w", err)
	}
	return stateOf(string(out)), nil
}

// stateOf reads what systemctl show prints.
func stateOf(text string) State {
	is := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		is[name] = value
	}
	st := State{Running: is["ActiveState"] == "active", Detail: "systemd: " + is["ActiveState"] + " (" + is["SubState"] + ")"}
	if n := is["NRestarts"]; n != "" && n != "0" {
		st.Detail += ", started again " + n + " times"
	}
	if code := is["ExecMainStatus"]; !st.Running && code != "" && code != "0" {
		st.Warning = "it ended with code " + code + "; why: journalctl -u " + Name
	}
	return st
}

// Serve is for Windows; elsewhere the service manager starts plain programs.
func Serve(context.Context, func(context.Context, *Notifier) error) error {
	return errors.New("only the service manager of Windows must be answered; run without --service")
}

// Excess says what rights this process has beyond what an agent needs, or nothing.
func Excess() string {
	if os.Geteuid() == 0 {
		return "it runs as root, and needs no right but to read its files"
	}
	return ""
}

// EventHandler is for Windows.
func EventHandler(slog.Leveler) (slog.Handler, error) {
	return nil, errors.New("only Windows has an event log")
}
