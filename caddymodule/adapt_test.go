package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write what the Caddyfiles adapt to into the golden files")

// divider stands between a Caddyfile and what it adapts to: JSON, or an error.
const divider = "----------\n"

func TestCaddyfilesAdaptToTheirGoldenJSONOrError(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { adaptGolden(t, f) })
	}
}

// adaptGolden holds one golden file against what the adapter makes of it.
func adaptGolden(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	caddyfile, want, ok := strings.Cut(string(b), divider)
	if !ok {
		t.Fatalf("%s: no line %q", file, strings.TrimSpace(divider))
	}
	got := adapt(t, caddyfile)
	if *update {
		if err := os.WriteFile(file, []byte(caddyfile+divider+got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("adapts to\n%s\nwant\n%s", got, want)
	}
}

// adapt returns indented JSON, or the error's text.
func adapt(t *testing.T, caddyfile string) string {
	t.Helper()
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err.Error() + "\n"
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, out, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return buf.String() + "\n"
}

func TestOptionFormsAreHelpTextAndArity(t *testing.T) {
	for _, c := range []struct {
		form string
		args string
		want string
		ok   bool
	}{
		{"data_dir <path>", "/a", "/a", true},
		{"data_dir <path>", "", "", false},
		{"data_dir <path>", "/a /b", "", false},
		{"master_key file <path>", "file /k", "/k", true},
		{"master_key file <path>", "credential k", "", false},
		{"resolvers <host[:port]...>", "a b c", "a b c", true},
		{"resolvers <host[:port]...>", "", "", false},
		{"smtp <host:port> { … }", "h:1", "h:1", true},
	} {
		got, ok := match(c.form, strings.Fields(c.args))
		if ok != c.ok || ok && strings.Join(got, " ") != c.want {
			t.Errorf("match(%q, %q) = %q, %v; want %q, %v", c.form, c.args, got, ok, c.want, c.ok)
		}
	}
}
