package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFilesOfOptionsAreLookedForOnlyByTheCommandThatChecks(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	app := func() *App {
		return &App{PublicURL: "https://id.example.com", DataDir: dir, SMTP: &SMTP{Host: "smtp.example.com:587", From: "a@example.com", PasswordFile: password}}
	}
	if err := app().Validate(); err != nil {
		t.Errorf("a hub that starts reads them itself: %v", err)
	}
	former := os.Args
	t.Cleanup(func() { os.Args = former })
	os.Args = []string{"postern", "validate", "--config", "Caddyfile"}
	if err := app().Validate(); err == nil || !strings.Contains(err.Error(), "smtp: password_file: open "+password) {
		t.Errorf("a missing password: %v", err)
	}
	if err := os.Mkdir(password, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := app().Validate(); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a folder: %v", err)
	}
	if err := os.Remove(password); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(password, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "master.key")
	if err := os.WriteFile(key, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := app()
	a.MasterKeyFile = key
	if err := a.Validate(); err == nil || !strings.Contains(err.Error(), "master_key") || !strings.Contains(err.Error(), "64 hexadecimal digits") {
		t.Errorf("half a key: %v", err)
	}
	if err := app().Validate(); err != nil {
		t.Errorf("all is there: %v", err)
	}
}

func TestAPlaceholderOfAFileThatIsMissingIsNoEmptyOption(t *testing.T) {
	a := &App{PublicURL: "https://id.example.com", Store: "{file." + t.TempDir() + "/store.url}"}
	a.complete()
	if err := a.Validate(); err == nil || !strings.HasPrefix(err.Error(), "store: open ") {
		t.Errorf("SQLite in place of the database that was meant: %v", err)
	}
}
