//go:build interop

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// linted runs a validator from npm on a description of an API. It asks nobody and reports
// to nobody.
func linted(t *testing.T, file string) (says string, err error) {
	t.Helper()
	file, err = filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node_modules/.bin/redocly", "lint", "--config=redocly.yaml", "--format=stylish", "--max-problems=50", file)
	cmd.Dir = "openapi"
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), err
}

func TestRedoclyFindsTheDescriptionOfTheAPISound(t *testing.T) {
	if says, err := linted(t, "../../docs/openapi.yaml"); err != nil || strings.Contains(says, "You have") { // some warnings
		t.Errorf("%v: %s", err, says)
	}
}

// What the validator says nothing of it would have found.
func TestRedoclyFindsWhatIsWrongWithADescription(t *testing.T) {
	sound, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ pattern, with, finds string }{
		"a warning alone":  {`operationId: getEnv`, `x-id: getEnv`, "operation-operationId"},
		"no such schema":   {`schemas/ListEnvsResponse"`, `schemas/NoSuchResponse"`, "no-unresolved-refs"},
		"no such type":     {`type: integer`, `type: number-of-things`, "struct"},
		"a wrong example":  {`example: {name: Live}`, `example: {name: [1]}`, "no-invalid-media-type-examples"},
		"an undefined tag": {`tags: \[apikeys\]`, `tags: [keys]`, "operation-tag-defined"},
		"a name twice":     {`operationId: createEnv`, `operationId: listEnvs`, "operation-operationId-unique"},
	} {
		at := regexp.MustCompile(c.pattern).FindIndex(sound)
		if at == nil {
			t.Errorf("%s: the description has no %s", what, c.pattern)
			continue
		}
		file := filepath.Join(t.TempDir(), "openapi.yaml")
		text := string(sound[:at[0]]) + c.with + string(sound[at[1]:])
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if says, err := linted(t, file); err == nil || !strings.Contains(says, c.finds) {
			t.Errorf("%s: %v: %s", what, err, says)
		}
	}
}
