package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/scrypt"

	"github.com/postern-id/postern/internal/testenv"
)

// documentedWorker puts the worker of docs/directories.md into a folder, with its people.
func documentedWorker(t *testing.T) (dir, path string) {
	t.Helper()
	testenv.Need(t, "python3")
	text, err := os.ReadFile("../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "```python\n")
	code, _, found := strings.Cut(code, "```\n")
	if !found {
		t.Fatal("the documentation has no worker")
	}
	dir = testenv.Dir(t)
	path = filepath.Join(dir, "worker.py")
	const people = `{"e-1": {"work": "rosa@corp.example", "private": "rosa@home.example", "name": "Rosa Roth"},
		"e-2": {"work": "emil@corp.example", "private": "emil@home.example", "name": "Emil Ernst", "groups": [{"immutable_id": "g1", "name": "admins", "kind": "team"}]}}`
	for name, text := range map[string]string{path: "#!/usr/bin/env python3\nimport os; open('pids', 'a').write('%d\\n' % os.getpid())\n" + code, filepath.Join(dir, "people.json"): people} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir, path
}

// opens reports whether a password is the one that the worker's file has of somebody.
func opens(t *testing.T, dir, id, password string) bool {
	t.Helper()
	var people map[string]struct{ Salt, Hash string }
	text, err := os.ReadFile(filepath.Join(dir, "people.json"))
	if err == nil {
		err = json.Unmarshal(text, &people)
	}
	if err != nil {
		t.Fatal(err)
	}
	salt, _ := hex.DecodeString(people[id].Salt)
	key, err := scrypt.Key([]byte(password), salt, 16384, 8, 1, 64)
	return err == nil && hex.EncodeToString(key) == people[id].Hash
}

// alive are the workers that were started and still run.
func alive(t *testing.T, dir string) (pids []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(text)) {
		args, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err == nil && strings.Contains(string(args), dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// The worker of the documentation makes the password, the agent seals it, and neither a
// polite end of the agent nor a kill leaves a worker behind.
func TestAnEmployeeOfAWorkersDirectoryGetsBackIn(t *testing.T) {
	t.Parallel()
	dir, worker := documentedWorker(t)
	v := sharedEdge(t).environment(t, "worker", "command")
	a := v.startAgent(agentConfig{Directory: fmt.Sprintf("kind = \"command\"\ncommand = [%q]\nwork_dir = %q\nprivileged_groups = [\"admins\"]\n", worker, dir)})
	j := v.on(testenv.Chromium(t))

	j.start("rosa@corp.example", "password")
	j.prove(v.code("rosa@home.example", 0))
	secret := j.reset()
	if !opens(t, dir, "e-1", secret) {
		t.Error("the password that was shown is not the one in the worker's directory")
	}
	j.acknowledge(secret)
	log, err := os.ReadFile(filepath.Join(a.dir, "agent.log"))
	if err != nil || strings.Contains(string(log), secret) {
		t.Errorf("the agent's log holds the password, %v", err)
	}

	if len(alive(t, dir)) == 0 {
		t.Fatal("no worker runs")
	}
	a.stop()
	if left := alive(t, dir); left != nil {
		t.Errorf("SIGTERM to the agent left %v", left)
	}
	a.start()
	j.start("emil@corp.example", "password")
	poll(t, "a worker of the new agent", func() bool { return alive(t, dir) != nil })
	a.kill()
	poll(t, "the end of every worker of a killed agent", func() bool { return alive(t, dir) == nil })
}
