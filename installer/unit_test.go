//go:build unix

package installer

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// written puts a unit into a folder of its own and returns its path.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postern-agent.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheUnitOfTheAgentIsExposedToNothing(t *testing.T) {
	program := testenv.Need(t, "systemd-analyze")
	for name, path := range map[string]string{"package": "postern-agent.service", "by hand": written(t, Unit("/opt/agent", "/etc/other/agent.toml"))} {
		// The threshold is in tenths: 1.5 of 10, where less is better.
		out, err := exec.CommandContext(t.Context(), program, "security", "--offline=true", "--threshold=15", path).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestTheUnitTellsWhatTheProgramNeeds(t *testing.T) {
	text := Unit("/opt/agent", "/etc/other/agent.toml")
	for _, want := range []string{
		"\nExecStart=/opt/agent run --config /etc/other/agent.toml\n", "\nLoadCredential=secrets:/etc/other/secrets\n",
		"\nConditionPathExists=/etc/other/agent.toml\n", "\nDynamicUser=yes\n", "\nStateDirectory=postern-agent\n", "\nType=notify\n", "\nWatchdogSec=", "\nRestart=always\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	if strings.Contains(text, "Environment") {
		t.Error("the unit has an environment, which other processes could read")
	}
}

func TestSystemdHearsThatTheAgentIsReadyAliveAndStops(t *testing.T) {
	path := filepath.Join(testenv.Dir(t), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "60000000")
	t.Setenv("WATCHDOG_PID", "")
	n := Notify()
	defer n.Close()
	n.Ready()
	n.Alive()
	n.Alive() // too soon to be sent
	n.Stopping()
	var heard []string
	buf := make([]byte, 256)
	_ = socket.SetReadDeadline(time.Now().Add(5 * time.Second))
	for range 3 {
		k, err := socket.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", heard, err)
		}
		heard = append(heard, string(buf[:k]))
	}
	if got := strings.Join(heard, "|"); got != "READY=1\nSTATUS=serving|WATCHDOG=1|STOPPING=1" {
		t.Errorf("systemd heard %q", got)
	}
}

func TestNobodyHearsAnythingWithoutAServiceManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "60000000")
	t.Setenv("WATCHDOG_PID", "1") // another process is watched
	n := Notify()
	defer n.Close()
	n.Ready()
	n.Alive()
	n.Stopping()
	if n.conn != nil || n.every != 0 {
		t.Errorf("%+v", n)
	}
}

func TestAServiceThatFailsAndIsStartedAgainDoesNotRun(t *testing.T) {
	for text, want := range map[string]State{
		"ActiveState=active\nSubState=running\nNRestarts=0\nExecMainStatus=0\n":          {Running: true, Detail: "systemd: active (running)"},
		"NRestarts=2\nExecMainStatus=0\nActiveState=active\nSubState=running\n":          {Running: true, Detail: "systemd: active (running), started again 2 times"},
		"ActiveState=inactive\nSubState=dead\nNRestarts=0\nExecMainStatus=0\n":           {Detail: "systemd: inactive (dead)"},
		"ActiveState=activating\nSubState=auto-restart\nNRestarts=7\nExecMainStatus=1\n": {Detail: "systemd: activating (auto-restart), started again 7 times", Warning: "it ended with code 1; why: journalctl -u postern-agent"},
	} {
		if got := stateOf(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}
