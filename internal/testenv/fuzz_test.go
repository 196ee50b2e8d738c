package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo tries the fuzz tests of protocol/match: the first one says what the test wants.
const fakeGo = `#!/bin/sh
case "$*" in *FuzzBirthDate*) printf '%s\n' "$SAYS"; exit 1;; esac
echo "PASS of $*"
`

// fuzzed runs fuzz.sh on protocol/match with that go.
func fuzzed(t *testing.T, says string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(fakeGo), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), Need(t, "bash"), "./fuzz.sh", "1s", "protocol/match")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SAYS="+says)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAFindingOfOneFuzzTestHoldsUpNoOtherAndFailsTheTarget(t *testing.T) {
	for _, says := range []string{
		"--- FAIL: FuzzBirthDate (0.10s)\n    --- FAIL: FuzzBirthDate (0.00s)\n        x_test.go:9: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzBirthDate/7d85",
		"--- FAIL: FuzzBirthDate (0.10s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzBirthDate/7d85",
		"protocol/match: build failed",
	} {
		out, err := fuzzed(t, says)
		if err == nil || !strings.Contains(out, "failed: protocol/match FuzzBirthDate") || !strings.Contains(out, "^FuzzNames$") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestTheEndOfTheTimeIsNoFindingOfAFuzzTest(t *testing.T) {
	if out, err := fuzzed(t, "--- FAIL: FuzzBirthDate (3.08s)\n    context deadline exceeded\nFAIL"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
