package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

func TestT35_TheShippedConfigurationIsValidAndKeepsItsAdminSocketPrivate(t *testing.T) {
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": "Caddyfile"})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(out, &cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Admin == nil || !strings.HasPrefix(cfg.Admin.Listen, "unix/") || !strings.HasSuffix(cfg.Admin.Listen, "|0600") {
		t.Errorf("admin endpoint %+v", cfg.Admin)
	}
	if err := caddy.Validate(&cfg); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/var/lib/postern"); err == nil {
		t.Error("validating made the data folder")
	}
}

func TestReadConfigSaysWhatTheServerWouldUse(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/postern")
	t.Setenv("STORE_HOST", "db.example.com")
	cfg, err := ReadConfig([]byte(`{
	postern {
		public_url https://ID.example.com:8443/
		master_key credential master.key
		store postgres://postern@{env.STORE_HOST}/postern
		resolvers 192.0.2.53 [2001:db8::53]:5353 2001:db8::54
		allow_private_webhooks 10.1.2.3/16 192.168.7.7
	}
}`), "Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.PublicURL != "https://ID.example.com:8443" || cfg.MasterKeyFile != "/run/credentials/postern/master.key" ||
		cfg.StoreURL != "postgres://postern@db.example.com/postern" || cfg.DataDir != filepath.Join(dir, "caddy", "postern") {
		t.Errorf("%+v", cfg)
	}
	if got := strings.Join(cfg.Resolvers, " "); got != "192.0.2.53:53 [2001:db8::53]:5353 [2001:db8::54]:53" {
		t.Errorf("resolvers %s", got)
	}
	if len(cfg.PrivateWebhooks) != 2 || cfg.PrivateWebhooks[0].String() != "10.1.0.0/16" || cfg.PrivateWebhooks[1].String() != "192.168.7.7/32" {
		t.Errorf("networks %v", cfg.PrivateWebhooks)
	}
	for text, want := range map[string]string{
		"example.com {\n\trespond ok\n}\n":            "no global option",
		"{\n\tpostern {\n\t\tpublic_url x\n\t}\n}\n":  "public_url",
		"{\n\tpostern {\n\t\tpublicurl x\n\t}\n}\n":   "nearest",
		"{\n\tpostern {\n\t\tdata_dir /x\n\t}\n}\n":   "public_url is missing",
		"{\n\tpostern {\n\t\tpublic_url https://x/\n": "",
	} {
		if _, err := ReadConfig([]byte(text), "Caddyfile"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

// The table in docs/operations.md is where operators look lines up: each has its row, in
// the form in which the parser names it.
func TestEveryLineOfTheOptionIsInTheTableOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var forms []string
	for _, o := range options {
		forms = append(forms, o.form)
	}
	for _, o := range smtpOptions {
		forms = append(forms, o.form)
	}
	for _, form := range forms {
		row := "`" + strings.ReplaceAll(form, "|", `\|`) + "`"
		if !regexp.MustCompile(`(?m)^\| .*` + regexp.QuoteMeta(row) + `.* \| .* \|$`).Match(text) {
			t.Errorf("the table lacks %s", row)
		}
	}
}
