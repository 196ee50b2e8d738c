package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// An agentConfig is what stands in an agent's file, table by table without their heads.
type agentConfig struct {
	Directory, Guard, Hub, SMTP string

	Evaluation bool // nothing is changed

	Evidence string // tables below [evidence], with their heads

	Secrets map[string]string // files beside it: name and text
}

// An agent is a running postern-agent process.
type agent struct {
	t     *testing.T
	dir   string
	began time.Time // the last start
	child *testenv.Child

	inside []string // a command that runs another one: what the agent's machine is like
	env    []string // in addition to a minimal environment
}

// program is a command line of the agent.
func (a *agent) program(args ...string) []string {
	return append(append(slices.Clone(a.inside), programs.agent), args...)
}

// startAgent enrols an agent of the environment's directory and runs it, for the length
// of the test, and waits until the hub has read the directory.
func (v *environment) startAgent(c agentConfig) *agent {
	v.t.Helper()
	a := &agent{t: v.t, dir: testenv.Dir(v.t)}
	a.write(c)
	a.enrol(v.ticket())
	a.start()
	v.waitSynced(a.began)
	return a
}

// write writes the agent's file and the secrets beside it.
func (a *agent) write(c agentConfig) {
	a.t.Helper()
	text := "state_dir = \"state\"\n"
	if c.Evaluation {
		text += "evaluation = true\n"
	}
	for _, table := range []struct{ name, lines string }{{"directory", c.Directory}, {"guard", c.Guard}, {"hub", c.Hub}, {"smtp", c.SMTP}} {
		if table.lines != "" {
			text += "[" + table.name + "]\n" + table.lines + "\n"
		}
	}
	files := map[string]string{"agent.toml": text + c.Evidence}
	for name, secret := range c.Secrets {
		files[name] = secret
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *agent) config() string { return filepath.Join(a.dir, "agent.toml") }

// enrol redeems a ticket that comes over standard input.
func (a *agent) enrol(ticket string) {
	a.t.Helper()
	line := a.program("enroll", "--config", a.config(), "--log-level", "debug")
	cmd := exec.CommandContext(soon(a.t), line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(ticket)
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("enroll: %v\n%s", err, out)
	}
}

// start runs the process, after a stop too.
func (a *agent) start() {
	a.t.Helper()
	a.began = time.Now()
	line := a.program("run", "--config", a.config(), "--log-level", "debug", "--log-format", "json")
	a.child = testenv.Start(a.t, testenv.Command{Path: line[0], Args: line[1:], Env: a.env, Dir: a.dir, Log: "agent.log"})
}

// stop ends the process politely, kill as a crash would.
func (a *agent) stop() { a.child.Stop() }
func (a *agent) kill() { a.child.Kill() }

// An event is one line of the agent's own event log.
type event struct {
	Method, Account, Operation, Origin, Code, Message, State string

	Request         string
	Proven, Refused []string
	Replayed        bool
}

// events are the lines for one method, oldest first.
func (a *agent) events(method string) (list []event) {
	a.t.Helper()
	f, err := os.Open(filepath.Join(a.dir, "state", "events.jsonl"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			a.t.Fatalf("%v in %s", err, lines.Text())
		}
		if e.Method == method {
			list = append(list, e)
		}
	}
	return list
}

// slapdAgent is the file of an agent of a slapd of package testenv, with least rights.
func slapdAgent(s *testenv.Slapd) agentConfig {
	return agentConfig{
		Directory: fmt.Sprintf(`kind = "ldap"
urls = [%q]
ca_file = %q
bind_dn = %q
bind_password_file = "ldap-password"
base_dns = [%q]
group_base_dns = [%q]
groups = "memberOf"
mail_attributes = ["corpPersonalMail"]
disabled_attribute = "corpStatus"
disabled_values = ["left"]
privileged_groups = ["admins"]
mfa_attributes = ["corpTotpSecret"]
default_policy = %q
server_hashes = true`, s.URL(), s.CAFile, testenv.SlapdAgent, testenv.SlapdPeople, testenv.SlapdGroups, "cn=default,ou=policies,"+testenv.SlapdBase),
		Secrets: map[string]string{"ldap-password": testenv.SlapdAgentPassword},
	}
}

// sambaAgent is the file of an agent of a Samba domain controller of package testenv,
// with least rights over LDAPS.
func sambaAgent(s *testenv.Samba) agentConfig {
	return agentConfig{
		Directory: fmt.Sprintf(`kind = "ad"
urls = [%q]
ca_file = %q
bind_dn = %q
bind_password_file = "ad-password"
base_dns = [%q, %q]`, s.URL(), s.CAFile, testenv.SambaService, testenv.SambaStaff, testenv.SambaPartners),
		Secrets: map[string]string{"ad-password": testenv.SambaServicePassword},
	}
}
