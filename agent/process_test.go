//go:build unix

package agent

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// built is where program put its file; "" before.
var built string

// program builds postern-agent once.
var program = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("/dev/shm", "postern-agent-"); err != nil {
		return "", err
	}
	path := filepath.Join(built, "postern-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "../cmd/postern-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// removeProgram ends the life of what program built.
func removeProgram() {
	if built != "" {
		_ = os.RemoveAll(built)
	}
}

// site is an agent process between a real slapd and a hub.
type site struct {
	hub    *testHub
	slapd  *testenv.Slapd
	cutter *testenv.Cutter
	dir    string
	cmd    *exec.Cmd
	log    *testenv.Buffer
}

const siteConfig = `state_dir = "state"

[guard]
base_dns = [%q]

[directory]
kind = "ldap"
urls = ["ldaps://%s"]
ca_file = %q
bind_dn = %q
bind_password_file = "password"
base_dns = [%q]
mail_attributes = ["corpPersonalMail"]
privileged_groups = ["admins"]
disabled_attribute = "corpStatus"
disabled_values = ["left"]
default_policy = "cn=default,ou=policies,%s"
server_hashes = true
`

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{hub: newTestHub(t, 1, nil), slapd: testenv.StartSlapd(t, testenv.SlapdOptions{}), dir: t.TempDir(), log: &testenv.Buffer{}}
	s.cutter = testenv.NewCutter(t, s.slapd.Addr())
	config := fmt.Sprintf(siteConfig, testenv.SlapdPeople, s.cutter.Addr, s.cutter.CAFile, testenv.SlapdAgent, testenv.SlapdPeople, testenv.SlapdBase)
	ticket := protocol.Ticket{
		Hub: "http://" + s.hub.nodes[0].addr, HubName: "hub.example", HubKey: s.hub.keys.Public, LogKey: hubLog.Fingerprint(), Directory: "directory-1", Secret: "s",
		Expires: time.Now().Add(time.Hour),
	}
	for name, text := range map[string]string{"agent.toml": config, "password": testenv.SlapdAgentPassword, "ticket": ticket.Encode().Reveal()} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := s.command(t, "enroll", "--ticket-file", filepath.Join(s.dir, "ticket")).CombinedOutput(); err != nil || !strings.Contains(string(out), "Fingerprint: ") {
		t.Fatalf("enroll: %v %s", err, out)
	}
	testenv.Eventually(t, "the link of the enrolment is gone", func() bool { return len(s.hub.nodes[0].open()) == 0 })
	return s
}

func (s *site) command(t *testing.T, name string, more ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(path, append([]string{name, "--config", filepath.Join(s.dir, "agent.toml")}, more...)...)
}

// start runs the agent and returns its tunnel.
func (s *site) start(t *testing.T) *protocol.Link {
	t.Helper()
	s.cmd = s.command(t, "run")
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := s.cmd
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return link(t, s.hub.nodes[0])
}

// kill ends the agent as a power cut would.
func (s *site) kill() { _ = s.cmd.Process.Signal(syscall.SIGKILL) }

// killed waits until the agent is dead and its tunnel gone.
func (s *site) killed(t *testing.T) {
	t.Helper()
	_ = s.cmd.Wait()
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the agent was not killed: %v", s.cmd.ProcessState)
	}
	testenv.Eventually(t, "the hub sees that the agent is gone", func() bool { return len(s.hub.nodes[0].open()) == 0 })
}

// changes are the agent's writes to an account, from the server's own access log.
func (s *site) changes(t *testing.T, dn string) int {
	return len(s.slapd.Changes(t, dn, testenv.SlapdAgent))
}

// resetOf begins a reset and returns its frame.
func resetOf(t *testing.T, l *protocol.Link, key *ecdh.PrivateKey, account string) protocol.PerformRequest {
	t.Helper()
	q := protocol.BeginRequest{Recovery: make([]byte, protocol.RandomPart), Account: account, Operation: "get_temporary_password,unlock", Origin: "recover.example.com"}
	_, _ = rand.Read(q.Recovery)
	var b protocol.Begun
	if err := l.Call(t.Context(), protocol.MethodBegin, protocol.PriorityRecovery, q, &b); err != nil || b.Finding != nil {
		t.Fatalf("begin: %v, finding %v", err, b.Finding)
	}
	recipient, err := seal.Encode(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	m := protocol.Members{
		Recovery: protocol.RecoveryID(q.Recovery, b.Recovery), Directory: "directory-1", Account: b.Account,
		Operation: q.Operation, Recipient: recipient, NotAfter: b.NotAfter,
	}
	return protocol.PerformRequest{ID: rand.Text(), TTL: 60, Sent: time.Now().Unix(), Members: m, Context: m.Context()}
}

func modifies(op byte) bool { return op == testenv.LDAPModify || op == testenv.LDAPExtended }

// The built program, a real slapd, and a power cut where it hurts.
func TestP13_AgentProcessKilledAroundTheModifyOfARealServer(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	seen := int64(0)
	for i, c := range []struct {
		name    string
		at      func(op byte) bool
		cut     testenv.Cut
		settled protocol.State
		changes int // by the killed process
	}{
		{"before the modify arrives", modifies, testenv.CutBefore, protocol.Unchanged, 0},
		{"after the modify", modifies, testenv.HoldAnswer, protocol.Done, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dn := testenv.SlapdDN([]string{"anna", "ben"}[i])
			key, err := ecdh.P256().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			before := s.changes(t, dn)
			l := s.start(t)
			frame := logged(resetOf(t, l, key, testenv.SlapdID(dn)), &Identity{Agent: "agent-1", Directory: "directory-1"}, seen)
			seen = sizeOf(t, frame.Log)
			var cut atomic.Bool
			s.cutter.On(func(op byte) testenv.Cut {
				if !c.at(op) || !cut.CompareAndSwap(false, true) {
					return testenv.Pass
				}
				if c.cut == testenv.CutBefore {
					s.kill()
				} else {
					go func() { // dead once the server has it, and before its answer comes
						for s.changes(t, dn) == before && wait(context.Background(), 5*time.Millisecond) {
						}
						s.kill()
					}()
				}
				return c.cut
			})
			err = l.Call(t.Context(), protocol.MethodPerform, protocol.PriorityRecovery, frame, nil)
			wantCode(t, err, protocol.CodeInternal)
			s.killed(t)
			s.cutter.On(nil)
			if n := s.changes(t, dn) - before; n != c.changes {
				t.Fatalf("%d changes by the killed process, want %d", n, c.changes)
			}
			l = s.start(t)
			var out protocol.Outcome
			if err := l.Call(t.Context(), protocol.MethodOutcome, protocol.PriorityRecovery, protocol.OutcomeRequest{Context: frame.Context}, &out); err != nil || out.State != c.settled {
				t.Fatalf("outcome = %+v, %v", out, err)
			}
			for range 10 {
				if err := l.Call(t.Context(), protocol.MethodPerform, protocol.PriorityRecovery, frame, &out); err != nil {
					t.Fatal(err)
				}
				frame.ID = rand.Text()
			}
			if n := s.changes(t, dn) - before; n != 1 || out.State != protocol.Done || !out.Replayed {
				t.Errorf("%d changes, outcome %+v", n, out)
			}
			secret, err := seal.Open(key, out.Context, out.Sealed)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.slapd.WhoAmI(dn, secret.Reveal()); err != nil {
				t.Errorf("the shown password does not work: %v", err)
			}
			s.kill()
			s.killed(t)
		})
	}
}

func TestAgentProcessIsSmallStopsOnSIGTERMAndChecksBesideItself(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	l := s.start(t)
	if err := l.Call(t.Context(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil); err != nil {
		t.Fatal(err)
	}
	out, err := s.command(t, "check", "--account", "anna@corp.example").CombinedOutput()
	for _, want := range []string{"the agent is running", "signed in", "would be carried out", "Nothing was changed"} {
		if err != nil || !bytes.Contains(out, []byte(want)) {
			t.Errorf("check beside the agent lacks %q: %v\n%s", want, err, out)
		}
	}
	if n := len(s.hub.hellosSoFar()); n != 2 { // enroll and run
		t.Errorf("%d hellos: check said who it is while the agent runs", n)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 20<<20 {
		t.Errorf("program: %v bytes, %v; at most 20 MB", info.Size(), err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") {
			t.Logf("idle agent: %s", strings.TrimSpace(line))
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	// Without the running agent, check says hello and finds what is wrong.
	out, err = s.command(t, "check").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("knows this agent: active")) {
		t.Errorf("check alone: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = s.command(t, "check").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("(310)")) || !bytes.Contains(out, []byte("fix:  look at bind_dn")) {
		t.Errorf("check with a wrong password: %v\n%s", err, out)
	}
	if n := s.changes(t, testenv.SlapdDN("anna")); n != 0 {
		t.Errorf("check changed an account %d times", n)
	}
}

func TestAgentThatCannotWorkExitsWithAnError(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	s.start(t)
	second := s.command(t, "run")
	out, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another process uses this state folder") {
		t.Errorf("a second process: %v %s", err, out)
	}
	s.kill()
	s.killed(t)
	if err := os.WriteFile(filepath.Join(s.dir, "state", "journal"), []byte("something else entirely"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = s.command(t, "run").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "move the file aside") {
		t.Errorf("a journal that is none: %v %s", err, out)
	}
	if err := os.Chmod(filepath.Join(s.dir, "state", keysFile), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err = s.command(t, "run").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "chmod 600") {
		t.Errorf("keys that everybody reads: %v %s", err, out)
	}
}
