package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// Somebody of the staff signs a terminal in: with the code that stands there and a real
// passkey. The key that comes back works, and stands in no output.
func TestT32_StaffSignACommandLineInWithCodeAndPasskey(t *testing.T) {
	t.Parallel()
	env := startEdge(t, edgeConfig{}).environment(t, "terminal", "demo")
	desk := env.helpdesk("Ann")
	config := filepath.Join(testenv.Dir(t), "client.json")
	postern := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(soon(t), programs.postern, append(args, "--client-config", config)...)
		cmd.Env = append(os.Environ(), "POSTERN_KEY=", "POSTERN_SERVER=")
		return cmd
	}
	login := postern("auth", "login", "--server", env.edge.url, "--no-browser")
	says, err := login.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	login.Stdout = &out
	if err := login.Start(); err != nil {
		t.Fatal(err)
	}
	page, code := readInvitation(t, bufio.NewScanner(says))
	desk.b.Open(page)
	desk.b.WaitText("Sign a command line in?")
	desk.looked("terminal")
	desk.b.Type("#code", "WRONG-CODE")
	desk.b.Click("main form button")
	desk.b.WaitText("Your terminal shows another code")
	desk.looked("terminal-wrong")
	desk.b.Type("#code", code)
	desk.b.Click("main form button")
	desk.b.WaitText("Confirm with your passkey")
	desk.b.Wait(ceremonyReady)
	desk.looked("terminal-confirm")
	desk.b.Click("[data-ceremony]")
	desk.b.WaitText("The terminal is signed in")
	desk.looked("terminal-done")
	if err := login.Wait(); err != nil || !strings.Contains(out.String(), config) || strings.Contains(out.String(), "postern_") {
		t.Fatalf("login: %v, %q", err, out.String())
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the configuration: %v, %v", info, err)
	}
	if b, err := postern("auth", "status").CombinedOutput(); err != nil || !strings.Contains(string(b), "as limited") {
		t.Errorf("status: %v %s", err, b)
	}
	if b, err := postern("directory", "list").CombinedOutput(); err != nil || !strings.Contains(string(b), env.directory) {
		t.Errorf("the key does not work: %v %s", err, b)
	}
	if b, err := postern("auth", "logout").CombinedOutput(); err != nil {
		t.Errorf("logout: %v %s", err, b)
	}
	if b, err := postern("directory", "list").CombinedOutput(); err == nil {
		t.Errorf("after logout: %s", b)
	}
}

// readInvitation reads the address and the code that "postern auth login" shows.
func readInvitation(t *testing.T, lines *bufio.Scanner) (page, code string) {
	t.Helper()
	var found []string
	for len(found) < 2 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "  "); ok {
			found = append(found, text)
		}
	}
	if len(found) < 2 {
		t.Fatal("no address and code")
	}
	go func() { // what it says further blocks nothing
		for lines.Scan() {
		}
	}()
	return found[0], found[1]
}
