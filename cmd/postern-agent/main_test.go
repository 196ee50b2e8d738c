package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// ran is what a command did.
type ran struct {
	code     int
	out, err string
}

func execute(t *testing.T, in string, args ...string) ran {
	t.Helper()
	var out, err bytes.Buffer
	code := run(t.Context(), args, std{strings.NewReader(in), &out, &err})
	return ran{code, out.String(), err.String()}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryCommandSaysWhatItDoesWithExamplesAndFlags(t *testing.T) {
	all := execute(t, "", "--help")
	for _, c := range commands() {
		if all.code != exitOK || !strings.Contains(all.out, "postern-agent "+c.name) || !strings.Contains(all.out, c.does) {
			t.Errorf("the help lacks %s: %s", c.name, all.out)
		}
		one := execute(t, "", c.name, "--help")
		if one.code != exitOK || !strings.HasPrefix(one.out, c.help) || one.err != "" {
			t.Errorf("%s --help: %+v", c.name, one)
		}
		if c.name != "version" && !strings.Contains(c.help, "\n  postern-agent "+c.name) {
			t.Errorf("the help of %s has no example", c.name)
		}
	}
	help := execute(t, "", "enroll", "--help").out
	for _, flag := range []string{"--config", "--log-level", "--log-format", "--ticket-file"} {
		if !strings.Contains(help, flag+" ") {
			t.Errorf("enroll --help lacks %s: %s", flag, help)
		}
	}
}

func TestMistakesOnTheCommandLineAreUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"explode"}, {"run", "--explode"}, {"run", "now"}, {"config"}, {"version", "x"}} {
		if r := execute(t, "", args...); r.code != exitUsage || r.err == "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := execute(t, "", "run", "--config", "/nowhere.toml"); r.code != exitFailed || !strings.Contains(r.err, "/nowhere.toml") {
		t.Errorf("no file: %+v", r)
	}
	path := write(t, "agent.toml", agent.SampleConfig)
	for _, args := range [][]string{{"--log-level", "loud"}, {"--log-format", "xml"}} {
		if r := execute(t, "", append([]string{"run", "--config", path}, args...)...); r.code != exitFailed || !strings.Contains(r.err, args[0]) {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestSampleIsAConfigurationThatRunReads(t *testing.T) {
	r := execute(t, "", "config", "sample")
	if r.code != exitOK || r.out != agent.SampleConfig {
		t.Fatalf("%+v", r)
	}
	state := t.TempDir()
	path := write(t, "agent.toml", strings.Replace(r.out, "/var/lib/postern-agent", state, 1))
	if r := execute(t, "", "run", "--config", path); r.code != exitFailed || !strings.Contains(r.err, "not enrolled") || !strings.Contains(r.err, "postern-agent enroll") {
		t.Errorf("run without an identity: %+v", r)
	}
	path = write(t, "agent.toml", "state_dir='/s'\n[directory]\nkind='ad'\n[gaurd]\n")
	if r := execute(t, "", "run", "--config", path); r.code != exitFailed || !strings.Contains(r.err, `:4: unknown key "gaurd"; did you mean "guard"?`) {
		t.Errorf("a slip of the pen: %+v", r)
	}
}

func TestT19_TicketIsReadFromFileOrStdinAndNeverPrinted(t *testing.T) {
	ticket := protocol.Ticket{
		Hub: "https://127.0.0.1:1", HubName: "hub.example", HubKey: make([]byte, 32), LogKey: make([]byte, 32), Directory: "d", Secret: "s3cret-of-the-ticket",
		Expires: time.Now().Add(time.Hour),
	}.Encode().Reveal()
	path := write(t, "agent.toml", "state_dir='"+t.TempDir()+"'\n[directory]\nkind='ad'\n")
	for name, r := range map[string]ran{
		"argument": execute(t, "", "enroll", "--config", path, ticket),
		"stdin":    execute(t, ticket+"\n", "enroll", "--config", path),
		"file":     execute(t, "", "enroll", "--config", path, "--ticket-file", write(t, "ticket", ticket)),
		"broken":   execute(t, ticket[:len(ticket)-9], "enroll", "--config", path),
		"empty":    execute(t, "", "enroll", "--config", path),
	} {
		if strings.Contains(r.err+r.out, "s3cret") || strings.Contains(r.err+r.out, ticket[20:60]) {
			t.Errorf("%s: the ticket is printed: %+v", name, r)
		}
		want := map[string]int{"argument": exitUsage}[name]
		if want == 0 {
			want = exitFailed // nobody answers there
		}
		if r.code != want {
			t.Errorf("%s: %+v", name, r)
		}
		if reached := strings.Contains(r.err, "connection refused"); reached != (name == "stdin" || name == "file") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, c := range commands() {
		if help := execute(t, "", c.name, "--help").out; strings.Contains(help, "--ticket ") {
			t.Errorf("%s takes a ticket as an argument", c.name)
		}
	}
}

func TestT03_ApproversEnterByTheLocalAdministratorWhoComparedTheFingerprint(t *testing.T) {
	path := write(t, "agent.toml", "state_dir='"+t.TempDir()+"'\n[directory]\nkind='ad'\n")
	c := evidence.Credential{ID: []byte("id"), PublicKey: []byte("key"), RPID: "recover.example.com"}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	add := func(fingerprint string) ran {
		return execute(t, string(text), "approver", "add", "--config", path, "--id", "lee", "--person", "id-lee", "--fingerprint", fingerprint)
	}
	sum := c.Hash()
	right := hex.EncodeToString(sum[:])
	wrong := "00" + right[2:]
	if r := add(""); r.code != exitFailed || !strings.Contains(r.err, right) {
		t.Errorf("not compared: %+v", r)
	}
	if r := add(wrong); r.code != exitFailed || !strings.Contains(r.err, "nothing was added") {
		t.Errorf("another fingerprint: %+v", r)
	}
	if r := execute(t, "", "approver", "list", "--config", path); !strings.Contains(r.out, "No approvers") {
		t.Errorf("list: %+v", r)
	}
	if r := add(right[:32] + " " + strings.ToUpper(right[32:])); r.code != exitOK {
		t.Errorf("compared: %+v", r)
	}
	if r := execute(t, "", "approver", "list", "--config", path); !strings.Contains(r.out, right) || !strings.Contains(r.out, "id-lee") {
		t.Errorf("list: %+v", r)
	}
	if r := execute(t, "", "approver", "remove", "--config", path, "--id", "lee"); r.code != exitOK {
		t.Errorf("remove: %+v", r)
	}
	if r := execute(t, "", "approver", "explode", "--config", path); r.code != exitUsage {
		t.Errorf("another word: %+v", r)
	}
}

// mayStart are the packages of the agent's program that may start another program, and
// what: installing, controlling and asking for the service runs systemctl or launchctl, and
// a directory of the kind command the worker that the file on this machine names.
var mayStart = []string{"github.com/kardianos/service", "github.com/postern-id/postern/installer",
	"github.com/postern-id/postern/agent/directory/command"}

// The agent's program has no hub and no Caddy in it, and nothing that serves a hub can
// start another program.
func TestP04_ProgramHasNoHubNoCaddyAndStartsNothing(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}} {{join .Imports \",\"}}", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		dep, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, bad := range []string{"github.com/postern-id/postern/hub", "github.com/caddyserver/", "plugin"} {
			if dep == bad || strings.HasPrefix(dep, strings.TrimSuffix(bad, "/")+"/") {
				t.Errorf("the program contains %s", dep)
			}
		}
		if slices.Contains(strings.Split(imports, ","), "os/exec") && !slices.Contains(mayStart, dep) {
			t.Errorf("%s can start programs", dep)
		}
		if strings.HasPrefix(dep, "github.com/postern-id/postern/agent") && strings.Contains(imports, "kardianos") {
			t.Errorf("%s reaches what starts programs", dep)
		}
	}
}
