//go:build installer

package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// newcomer is what somebody does who has only the documentation: on a new machine, with an
// authority that is not trusted, a base DN that does not exist and an account without
// rights. What doctor prints is done to the letter, and nothing else.
const newcomer = `set -u
check() { "$@" || { echo "FAILED: $*"; exit 1; }; }
file=/etc/postern-agent/agent.toml
examine() { postern-agent doctor --account anna.berg > /root/report; echo "doctor ended with $?"; cat /root/report; }
write() {
	line=$(sed -n '/write into the table \[directory\]/{n;s/^ *//;p;q}' /root/report)
	check test -n "$line"
	echo "WRITTEN $line"
	awk -v line="$line" 'BEGIN { split(line, part, " = ") } /^\[/ { here = $0 == "[directory]"; print; if (here) print line; next } here && index($0, part[1] " = ") == 1 { next } { print }' $file > /root/next
	check cp /root/next $file
}
wait_for() { for i in $(seq 600); do [ -e $1 ] && return; sleep 0.1; done; check test -e $1; }
check dpkg -i /root/agent.deb
check cp /root/agent.toml $file
check install -m 0600 /root/password /etc/postern-agent/secrets/bind-password
check install -m 0600 /root/ticket /etc/postern-agent/secrets/ticket
check systemctl enable --now postern-agent
examine
check grep -q 'PROBLEM.*(304)' /root/report
check install -m 0644 /root/authority.pem /etc/postern-agent/directory-ca.pem
write
examine
grep '(304)' /root/report && exit 1
check grep -q 'PROBLEM.*(317)' /root/report
write
examine
grep '(317)' /root/report && exit 1
check grep -q 'PROBLEM.*(401)' /root/report
touch /root/lines
wait_for /root/given
examine
grep -E 'PROBLEM|right: .*\(40[0-9]\)' /root/report && exit 1
check systemctl restart postern-agent
touch /root/mended
wait_for /root/synced
`

// granted is a line of doctor for an administrator of the directory.
var granted = regexp.MustCompile(`(?m)^ +run, as an administrator of the directory:\n +(.+)$`)

func TestInstallerOnDebianANewcomersMistakesAreNamedWithTheLinesThatMendThem(t *testing.T) {
	s := testenv.SharedSamba(t)
	const password = "Agent-Passw0rd-2031"
	s.AddPerson(t, testenv.SambaPartners, "svc-debian", password, nil)
	env := startEdge(t, edgeConfig{}).environment(t, "newcomer", "ad")
	m := testenv.NewMachine(t)
	deb, err := os.ReadFile(packed(t, "1.0.0", "deb") + "/postern-agent_1.0.0_amd64.deb")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"agent.deb": string(deb), "authority.pem": string(authority), "password": password, "ticket": env.ticket(),
		"agent.toml": `state_dir = "/var/lib/postern-agent"
[directory]
kind = "ad"
urls = ["` + s.URL() + `"]
bind_dn = "svc-debian@corp.example"
bind_password_file = "secrets/bind-password"
base_dns = ["OU=Staf,DC=corp,DC=example"]
[guard]
base_dns = ["DC=corp,DC=example"]
no_notice = "allow"
`,
	} {
		m.Write("/root/"+name, text, 0o600)
	}
	machine := m.Boot(newcomer)
	reached := func(file string) bool {
		poll(t, file, func() bool {
			_, err := os.Stat(m.Path(file))
			return err == nil || machine.Ended()
		})
		return !machine.Ended()
	}
	if reached("/root/lines") {
		report, err := os.ReadFile(m.Path("/root/report"))
		if err != nil {
			t.Fatal(err)
		}
		lines := granted.FindAllStringSubmatch(string(report), -1)
		if len(lines) != 5 { // three that resets need; one for password policies, one for deletions
			t.Errorf("%d lines to run in\n%s", len(lines), report)
		}
		for _, line := range lines {
			s.Paste(t, line[1])
		}
		began := time.Now()
		m.Write("/root/given", "", 0o600)
		if reached("/root/mended") {
			env.waitSynced(began)
			m.Write("/root/synced", "", 0o600)
		}
	}
	out, code := machine.Wait()
	if code != "0" || strings.Contains(out, "FAILED") || strings.Count(out, "WRITTEN ") < 2 {
		t.Fatalf("code %s\n%s", code, out)
	}
}
