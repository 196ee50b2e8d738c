package installer

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// Name is what Windows calls the service, and the source of its events.
const Name = "PosternAgent"

// EventLog says whether the system has an event log of its own kind.
const EventLog = true

// arguments are those of the service's program.
func arguments(config string) []string { return []string{"run", "--service", "--config", config} }

// Account is whom the service runs as unless Options say otherwise: an account that
// Windows makes for this service alone, without a password and without rights.
func Account() string { return `NT SERVICE\` + Name }

// recovery is what Windows does when the service ends with an error: it starts it again,
// first soon and then slower. A day without one begins anew.
var recovery = []mgr.RecoveryAction{
	{Type: mgr.ServiceRestart, Delay: 5 * time.Second},
	{Type: mgr.ServiceRestart, Delay: 30 * time.Second},
	{Type: mgr.ServiceRestart, Delay: time.Minute},
}

// recoveryReset is after how many seconds without an error Windows begins with the first action.
const recoveryReset = 24 * 60 * 60

// Install returns the steps that make the service; it starts nothing.
func Install(o Options) ([]Step, error) {
	if o.Account == "" {
		o.Account = Account()
	}
	if err := refusable(o.Account); err != nil {
		return nil, err
	}
	dir := filepath.Dir(o.Config)
	steps := []Step{
		privileged(), folder(dir, 0o700), own(dir, o.Account), folder(secretsFolder(o.Config), 0o700), configuration(o),
	}
	if !o.Packaged {
		s, err := o.manage(nil)
		if err != nil {
			return nil, err
		}
		steps = append(steps, register(s, "make the service "+Name+", which runs as "+o.Account+", and its source of events"))
	}
	return append(steps, Step{Does: "let Windows start the service again whenever it ends with an error", Do: restartAlways}), nil
}

// tooMuch are accounts that no agent needs.
var tooMuch = []string{"localsystem", `nt authority\system`, "system", "administrator"}

// refusable refuses accounts that have far more rights than an agent needs.
func refusable(account string) error {
	name := strings.ToLower(account)
	if i := strings.LastIndexByte(name, '\\'); i >= 0 && !strings.HasPrefix(name, "nt ") {
		name = name[i+1:]
	}
	for _, a := range tooMuch {
		if name == a || strings.ToLower(account) == a {
			return fmt.Errorf("the agent needs none of the rights of %s; use %s, or a group managed service account", account, Account())
		}
	}
	return nil
}

// Uninstall returns the steps that stop and remove the service. Configuration and state
// stay, unless all is set.
func Uninstall(o Options, all bool) ([]Step, error) {
	s, err := o.manage(nil)
	if err != nil {
		return nil, err
	}
	steps := []Step{privileged()}
	if !o.Packaged {
		steps = append(steps,
			Step{Does: "stop the service " + Name, Do: Stop},
			Step{Does: "remove the service " + Name + " and its source of events", Do: s.Uninstall})
	}
	if all {
		steps = append(steps, purge(o, o.StateDir)...)
	}
	return steps, nil
}

func privileged() Step {
	return Step{Does: "make sure that an administrator asks", Do: func() error {
		m, err := mgr.Connect()
		if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			return ErrPrivilege
		}
		if err != nil {
			return err
		}
		return m.Disconnect()
	}}
}

// open returns the service with the right to change it; the caller closes it by the function.
func open() (*mgr.Service, func(), error) {
	m, err := mgr.Connect()
	switch {
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return nil, nil, ErrPrivilege
	case err != nil:
		return nil, nil, err
	}
	s, err := m.OpenService(Name)
	if err != nil {
		_ = m.Disconnect()
		if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
			err = ErrNotInstalled
		}
		return nil, nil, err
	}
	return s, func() { _, _ = s.Close(), m.Disconnect() }, nil
}

// restartAlways sets the recovery actions, also for an end that is no crash: the agent
// says why it ends and stops with an error.
func restartAlways() error {
	s, done, err := open()
	if err != nil {
		return err
	}
	defer done()
	if err := s.SetRecoveryActions(recovery, recoveryReset); err != nil {
		return err
	}
	err = s.SetRecoveryActionsOnNonCrashFailures(true)
	if errors.Is(err, windows.ERROR_INVALID_LEVEL) { // wine knows crashes alone, and does nothing about them
		return nil
	}
	return err
}

// Times of starting and stopping.
const (
	startLife = 60 * time.Second // the directory may be slow to answer when the agent opens it
	stopLife  = 45 * time.Second // operations under way are finished
	askEvery  = 100 * time.Millisecond
)

// Start starts the service and returns when it says that it is ready.
func Start() error {
	s, done, err := open()
	if err != nil {
		return err
	}
	defer done()
	if err := s.Start(); err != nil && !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
		return err
	}
	return until(s, svc.Running, startLife)
}

// Stop stops the service and returns when it has ended. One that does not run is stopped.
func Stop() error {
	s, done, err := open()
	if err != nil {
		return err
	}
	defer done()
	if _, err := s.Control(svc.Stop); err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return err
	}
	return until(s, svc.Stopped, stopLife)
}

// until waits for a state of the service. One that stops instead has failed.
func until(s *mgr.Service, want svc.State, life time.Duration) error {
	end := time.After(life)
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for {
		st, err := s.Query()
		switch {
		case err != nil:
			return err
		case st.State == want:
			return nil
		case st.State == svc.Stopped:
			return fmt.Errorf("the service ended with code %d; the event log says why (source %s)", max(st.ServiceSpecificExitCode, st.Win32ExitCode), Name)
		}
		select {
		case <-ask.C:
		case <-end:
			return fmt.Errorf("the service does not get ready within %s", life)
		}
	}
}

// Status asks the service manager; ErrNotInstalled if it knows no such service.
func Status() (State, error) {
	s, done, err := open()
	if err != nil {
		return State{}, err
	}
	defer done()
	st, err := s.Query()
	if err != nil {
		return State{}, err
	}
	out := State{Running: st.State == svc.Running}
	if !out.Running && st.Win32ExitCode != 0 {
		out.Detail = fmt.Sprintf("it ended with code %d; the event log says why (source %s)", max(st.ServiceSpecificExitCode, st.Win32ExitCode), Name)
	}
	if out.Account, err = accountOf(s.Handle); err != nil {
		return out, nil
	}
	if err := refusable(out.Account); err != nil {
		out.Warning = err.Error()
	}
	return out, nil
}

// maxServiceConfig is what Windows says QUERY_SERVICE_CONFIG takes at most.
const maxServiceConfig = 8 << 10

// accountOf asks whom a service runs as.
func accountOf(h windows.Handle) (string, error) {
	buf := make([]byte, maxServiceConfig)
	cfg := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buf[0]))
	var needed uint32
	if err := windows.QueryServiceConfig(h, cfg, uint32(len(buf)), &needed); err != nil {
		return "", err
	}
	return windows.UTF16PtrToString(cfg.ServiceStartName), nil
}
