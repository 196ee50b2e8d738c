package admin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestT35_TheLogIsExportedInEveryFormat(t *testing.T) {
	st := start(t)
	want(t, "apikey", "create", "--name", "a|b=c]d", "--role", "user", "--out", filepath.Join(st.dir, "key"))
	for format, begins := range map[string]string{"jsonl": `{"id":"`, "rfc5424": "<108>1 ", "cef": "CEF:0|Postern|", "ocsf": `{"category_uid":3,`} {
		file := filepath.Join(st.dir, format)
		want(t, "audit", "export", "--format", format, "--kind", "apikey_created", "--out", file)
		got, err := os.ReadFile(file)
		if err != nil || strings.Count(string(got), "\n") != 1 || !strings.HasPrefix(string(got), begins) || !strings.Contains(string(got), "apikey_created") {
			t.Errorf("%s: %s %v", format, got, err)
		}
	}
	if _, _, err := run(t, "", "audit", "export", "--format", "xml", "--kind", "apikey_created"); err == nil {
		t.Error("there is a format xml")
	}
}

func TestCollectorsAreManaged(t *testing.T) {
	st := start(t)
	file := filepath.Join(st.dir, "siem.json")
	if err := os.WriteFile(file, []byte(`{"name":"SIEM","url":"tls://192.0.2.1:6514","format":"cef"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(want(t, "audit", "destination", "add", file, "--json")), &made); err != nil || made.ID == "" {
		t.Fatal(err)
	}
	out, _, err := run(t, "", "audit", "destination", "test", made.ID)
	asJSON, _, failed := run(t, "", "audit", "destination", "test", made.ID, "--json") // for a script, too, it failed
	if failed == nil || !strings.Contains(asJSON, `"taken":false`) || !json.Valid([]byte(asJSON)) {
		t.Errorf("%q, %v", asJSON, failed)
	}
	if err == nil || !strings.Contains(out, "not taken: ") || !strings.Contains(out, "may not reach") {
		t.Errorf("test printed %s %v", out, err)
	}
	want(t, "audit", "destination", "replace", made.ID, file)
	if out := want(t, "audit", "destination", "list"); !strings.Contains(out, made.ID) || !strings.Contains(out, "tls://192.0.2.1:6514") {
		t.Error(out)
	}
	want(t, "audit", "destination", "remove", made.ID)
	if out := want(t, "audit", "destination", "list"); strings.Contains(out, made.ID) {
		t.Error(out)
	}
}
