package kinds

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// good are the least tables that each kind opens with.
var good = map[string]string{
	"command": "command = [\"./worker\", \"--fast\"]\n",
	"demo":    "ca_file = \"ca.pem\"\n",
	"ad":      "urls = [\"ldaps://dc1.corp.example\"]\nbind_dn = \"svc@corp.example\"\nbind_password_file = \"pw\"\n",
	"ldap":    "urls = [\"ldaps://ldap.corp.example\"]\nbind_dn = \"cn=agent,dc=x\"\nbind_password_file = \"pw\"\nbase_dns = [\"dc=x\"]\n",
}

func file(t *testing.T, kind, table string) settings.File {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return settings.File{Name: filepath.Join(dir, "agent.toml"), Text: []byte("[directory]\nkind = \"" + kind + "\"\n" + table)}
}

func TestEveryKindOpensFromItsTable(t *testing.T) {
	for _, k := range All {
		d, err := Open(t.Context(), k.Name, file(t, k.Name, good[k.Name]), slog.Default())
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
		if k.About == "" {
			t.Errorf("%s says nothing of itself", k.Name)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, k := range All {
		for table, want := range map[string]string{
			good[k.Name] + "urlz = 1\n": "urlz",
			"kind2 = 7\n":               "kind2",
		} {
			_, err := Open(t.Context(), k.Name, file(t, k.Name, table), slog.Default())
			if protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", k.Name, err, want)
			}
		}
	}
	d, err := Open(t.Context(), "novell", file(t, "novell", ""), slog.Default())
	if d != nil || protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), "ldap") {
		t.Errorf("an unknown kind: %v", err)
	}
}
