package admin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol/auditlog"
)

// Who did what is listed, proven and verified on this machine, without believing the hub.
func TestT09_TheLogIsListedProvenAndVerified(t *testing.T) {
	st := start(t)
	want(t, "apikey", "create", "--name", "reports", "--role", "user", "--out", filepath.Join(st.dir, "key"))
	out := want(t, "audit", "list", "--kind", "apikey_created", "--prove")
	if !strings.Contains(out, "entry ") || !strings.Contains(out, "apikey_created") || !strings.Contains(out, "proven against the checkpoint of") {
		t.Fatalf("list printed %s", out)
	}
	event := strings.Fields(strings.Split(out, "\n")[1])[5]
	var proof auditlog.Proof
	if err := json.Unmarshal([]byte(want(t, "audit", "proof", event, "--json")), &proof); err != nil || !strings.Contains(string(proof.Leaf), "reports") {
		t.Fatal(err, proof)
	}
	file, seen := filepath.Join(st.dir, "log.json"), filepath.Join(st.dir, "checkpoints.jsonl")
	line, err := json.Marshal(map[string]string{"checkpoint": proof.Checkpoint})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("a former file"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, "audit", "leaves", "--out", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read what was written over a former file: %v, %v", info, err)
	}
	if err := os.WriteFile(seen, line, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := want(t, "audit", "verify", file, "--checkpoints", seen); !strings.HasSuffix(out, "whole\n") || !strings.Contains(out, "1 checkpoints of agents agree") {
		t.Errorf("verify printed %s", out)
	}
	if out := want(t, "audit", "verify", file, "--json"); !strings.Contains(out, `"problems":[]`) { // as every list of the API
		t.Errorf("verify printed %s", out)
	}
	for _, args := range [][]string{{"audit", "verify", file}, {"audit", "proof", event}, {"audit", "list", "--prove"}} {
		if _, _, err := run(t, "", append(args, "--log-key", strings.Repeat("ab", 32))...); err == nil {
			t.Errorf("%s believes another key", args)
		}
	}
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(log), "reports", "retorps", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, err := run(t, "", "audit", "verify", file); err == nil || !strings.Contains(out, "TAMPERED") {
		t.Errorf("a changed leaf: %v, %s", err, out)
	}
}
