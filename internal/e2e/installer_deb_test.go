//go:build installer

package e2e

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// What the script of the machine says to the test, and waits for.
const (
	enrolledFile = "/root/enrolled" // the test may recover somebody
	goOnFile     = "/root/go-on"    // it has
)

// installed is what an administrator does on a new machine, and then again with the next
// version, to a failure, to removal. Each line that begins with "check" must end with 0.
const installed = `set -u
check() { "$@" || { echo "FAILED: $*"; exit 1; }; }
check dpkg -i /root/old.deb
check test "$(stat -c %a /etc/postern-agent/agent.toml)" = 644
check test "$(stat -c %a /etc/postern-agent/secrets)" = 700
systemctl is-active postern-agent && exit 1
check cp /root/agent.toml /etc/postern-agent/agent.toml
check install -m 0600 /root/ticket /etc/postern-agent/secrets/ticket
check systemctl enable --now postern-agent
check systemctl is-active postern-agent
check postern-agent status
check test "$(systemctl show -P StatusText postern-agent)" = serving
check test "$(systemctl show -P DynamicUser postern-agent)" = yes
pid=$(systemctl show -P MainPID postern-agent)
echo "uid $(stat -c %u /proc/$pid)"
grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/$pid/status
check test -s /var/lib/private/postern-agent/keys.json
check test "$(stat -c %a /var/lib/private/postern-agent/keys.json)" = 600
tr '\0' '\n' < /proc/$pid/environ | grep -i ticket
tr '\0' ' ' < /proc/$pid/cmdline; echo
touch /root/enrolled
for i in $(seq 600); do [ -e /root/go-on ] && break; sleep 0.1; done
check test -e /root/go-on
sha256sum /var/lib/private/postern-agent/keys.json > /root/keys
# A crash, and an agent that hangs, are started again.
kill -9 $pid
for i in $(seq 200); do [ "$(systemctl show -P MainPID postern-agent)" != "$pid" ] && systemctl is-active -q postern-agent && break; sleep 0.1; done
check systemctl is-active postern-agent
check test "$(systemctl show -P NRestarts postern-agent)" = 1
# What root enters must be the agent's to read.
check test "$(stat -c %u /var/lib/private/postern-agent/identity.json)" = "$(stat -c %u /proc/$(systemctl show -P MainPID postern-agent))"
check dpkg -i /root/new.deb
check systemctl is-active postern-agent
check sha256sum -c /root/keys
postern-agent version
check dpkg -V postern-agent
# What cannot work does not look as if it did.
check cp /etc/postern-agent/agent.toml /root/good.toml
echo '[gaurd]' >> /etc/postern-agent/agent.toml
systemctl restart postern-agent && exit 1
postern-agent status; echo "status $?"
check cp /root/good.toml /etc/postern-agent/agent.toml
check systemctl restart postern-agent
check dpkg -r postern-agent
systemctl is-active postern-agent && exit 1
check sha256sum -c /root/keys
check test -e /etc/postern-agent/agent.toml
check dpkg -P postern-agent
check test ! -e /etc/postern-agent
check test ! -e /var/lib/private/postern-agent
check test ! -e /var/lib/postern-agent
# The rpm has the same in it.
check rpm -i --nodeps /root/p.rpm
check test "$(stat -c %a /etc/postern-agent/secrets)" = 700
check postern-agent config sample > /root/sample
check cmp /root/sample /etc/postern-agent/agent.toml
systemctl is-active postern-agent && exit 1
check cp /usr/bin/postern-agent /usr/local/bin/postern-agent
check rpm -e postern-agent
hash -r
check test ! -e /usr/lib/systemd/system/postern-agent.service
check test -e /etc/postern-agent/agent.toml
# And the program alone: a step that fails takes back what was done before it.
check rm -r /etc/postern-agent
echo 'no ticket' > /root/broken
/usr/local/bin/postern-agent install --from /root/agent.toml --ticket-file /root/broken && exit 1
check test ! -e /etc/postern-agent
check test ! -e /etc/systemd/system/postern-agent.service
check test ! -e /var/lib/postern-agent
postern-agent status; echo "absent $?"
check /usr/local/bin/postern-agent install --from /root/agent.toml --ticket-file /root/second
check /usr/local/bin/postern-agent start
check postern-agent status
check test "$(systemctl show -P ExecStart postern-agent | grep -o 'path=[^ ;]*')" = path=/usr/local/bin/postern-agent
# It gives signs of life; when it does not, it is killed and started again.
mkdir /etc/systemd/system/postern-agent.service.d
printf '[Service]\nWatchdogSec=8\nTimeoutAbortSec=2\n' > /etc/systemd/system/postern-agent.service.d/fast.conf
check systemctl daemon-reload
check systemctl restart postern-agent
pid=$(systemctl show -P MainPID postern-agent)
sleep 20
check test "$(systemctl show -P MainPID postern-agent)" = "$pid"
check test "$(systemctl show -P NRestarts postern-agent)" = 0
kill -STOP $pid
for i in $(seq 300); do [ "$(systemctl show -P NRestarts postern-agent)" = 1 ] && break; sleep 0.1; done
check test "$(systemctl show -P NRestarts postern-agent)" = 1
check postern-agent stop
check rm -r /etc/systemd/system/postern-agent.service.d
check postern-agent uninstall --purge
check test ! -e /etc/systemd/system/postern-agent.service
check test ! -e /var/lib/private/postern-agent
check test ! -e /etc/postern-agent
`

func TestInstallerForDebianIsEnrolledHardenedRestartedAndLeavesNothing(t *testing.T) {
	env := startEdge(t, edgeConfig{}).environment(t, "debian", "demo")
	env.permit()
	m := testenv.NewMachine(t)
	first, second := packed(t, "1.0.0", "deb"), packed(t, "1.1.0", "deb rpm")
	for name, from := range map[string]string{
		"/root/old.deb": first + "/postern-agent_1.0.0_amd64.deb", "/root/new.deb": second + "/postern-agent_1.1.0_amd64.deb", "/root/p.rpm": second + "/postern-agent_1.1.0_amd64.rpm",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		m.Write(name, string(text), 0o600)
	}
	m.Write("/root/agent.toml", "state_dir = \"/var/lib/postern-agent\"\n[directory]\nkind = \"demo\"\n", 0o644)
	m.Write("/root/ticket", env.ticket(), 0o600)
	m.Write("/root/second", env.ticket(), 0o600)

	began := time.Now()
	machine := m.Boot(installed)
	poll(t, "the agent in the machine runs", func() bool {
		_, err := os.Stat(m.Path(enrolledFile))
		return err == nil || machine.Ended()
	})
	if !machine.Ended() {
		env.waitSynced(began)
		env.recovers(0)
		m.Write(goOnFile, "", 0o600)
	}
	out, code := machine.Wait()
	if code != "0" || strings.Contains(out, "FAILED") {
		t.Fatalf("code %s\n%s", code, out)
	}
	for what, want := range map[string]string{
		"an account of systemd's making": `\nuid 6[1-5]\d{3}\n`, "no capability": `CapEff:\s+0000000000000000\n`, "no new privileges": `NoNewPrivs:\s+1\n`,
		"a filter of system calls": `Seccomp:\s+2\n`, "the new version": `postern-agent 1\.1\.0,`, "a stopped service is no success": `\nstatus 3\n`, "nor is one that is not there": `\nabsent 4\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s: not seen in\n%s", what, out)
		}
	}
	if status, _, err := env.try(http.MethodGet, "/api/directories/"+env.directory, nil); err != nil || status != http.StatusOK {
		t.Errorf("%d %v", status, err)
	}
}
