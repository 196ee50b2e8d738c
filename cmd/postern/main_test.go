package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// asProgram makes this test's program run as postern.
const asProgram = "POSTERN_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(testenv.Run(m))
}

// postern runs the program in a folder that is all it may write to, and returns what it
// printed.
func postern(t *testing.T, dir string, args ...string) (out string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Dir = dir
	c.Env = append(os.Environ(), asProgram+"=1", "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "TMPDIR="+dir)
	b, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

func TestValidatingChangesNothingOnTheDiskAndNamesFilesThatAreMissing(t *testing.T) {
	dir := testenv.Dir(t)
	for _, storage := range []string{"", "storage postern"} {
		caddyfile := func(smtp, key string) {
			t.Helper()
			text := "{\n\tadmin off\n\tskip_install_trust\n\t" + storage + "\n\tpostern {\n\t\tpublic_url https://id.example.com\n\t\t" + key + "\n\t\tsmtp smtp.example.com:587 {\n\t\t\tfrom a@example.com\n\t\t\t" + smtp +
				"\n\t\t}\n\t}\n\ton_demand_tls {\n\t\tpermission postern\n\t}\n}\nid.example.com {\n\ttls internal\n\tpostern\n}\nhttps:// {\n\ttls {\n\t\ton_demand\n\t}\n\tpostern_site\n}\n"
			if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		caddyfile("", "")
		if out, code := postern(t, dir, "validate", "--config", "Caddyfile"); code != 0 || !strings.Contains(out, "Valid configuration") {
			t.Errorf("%q: status %d: %s", storage, code, out)
		}
		caddyfile("password_file "+dir+"/none/smtp.password", "master_key file "+dir+"/none/master.key")
		out, code := postern(t, dir, "validate", "--config", "Caddyfile")
		for _, want := range []string{"smtp: password_file: open " + dir + "/none/smtp.password: no such file", "master_key: store: master key: stat " + dir + "/none/master.key: no such file"} {
			if code == 0 || !strings.Contains(out, want) {
				t.Errorf("%q: status %d, want %q: %s", storage, code, want, out)
			}
		}
		caddyfile("", "store {file."+dir+"/none/store.url}")
		if out, code := postern(t, dir, "validate", "--config", "Caddyfile"); code == 0 || !strings.Contains(out, "store: open "+dir+"/none/store.url: no such file") {
			t.Errorf("%q: status %d: %s", storage, code, out)
		}
		if left := files(t, dir); strings.Join(left, " ") != "Caddyfile" {
			t.Errorf("%q: validating leaves %q", storage, left)
		}
	}
}

// files are the names of everything below a folder.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			all = append(all, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHelpSpeaksOfPostern(t *testing.T) {
	dir := testenv.Dir(t)
	for _, args := range [][]string{nil, {"--help"}, {"-h"}, {"help"}} {
		out, code := postern(t, dir, args...)
		if code != 0 || !strings.Contains(out, "postern mail test you@example.com") || !strings.Contains(out, "\n  validate ") {
			t.Errorf("%q: status %d: %s", args, code, out)
		}
		for _, caddys := range []string{"caddy run", "add-package"} {
			if strings.Contains(out, caddys) {
				t.Errorf("%q: help has %q", args, caddys)
			}
		}
	}
	if out, _ := postern(t, dir, "init", "--help"); !strings.Contains(out, "sudo -u postern") || !strings.Contains(out, "runuser -u postern") {
		t.Errorf("init: %s", out)
	}
	for _, args := range [][]string{{"env", "--help"}, {"audit", "tail", "--help"}, {"demo", "-h"}} {
		if out, code := postern(t, dir, args...); code != 0 || !strings.Contains(out, "Usage:") || strings.Contains(out, "caddyserver.com") {
			t.Errorf("%q: status %d: %s", args, code, out)
		}
	}
	if out, code := postern(t, dir, "manpage", "--directory", dir); code != 0 {
		t.Fatalf("status %d: %s", code, out)
	}
	page, err := os.ReadFile(filepath.Join(dir, "postern.8"))
	if err != nil || strings.Contains(string(page), "caddy run") {
		t.Errorf("the manual page: %v %s", err, page)
	}
}
