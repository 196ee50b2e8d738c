package hub_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/store"
)

// T26: after a rotation the old key opens nothing and the new one everything.
func TestT26_MasterKeyIsRotatedOverAnInstalledStore(t *testing.T) {
	dir := t.TempDir()
	cfg := hub.Config{DataDir: filepath.Join(dir, "data"), PublicURL: "https://id.example.com"}
	if _, err := hub.Install(t.Context(), cfg, "Example", "production"); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Install(t.Context(), cfg, "Example", "production"); !errors.Is(err, hub.ErrInstalled) {
		t.Fatalf("installed twice: %v", err)
	}
	file := filepath.Join(dir, "new.key")
	if err := hub.RotateMasterKey(t.Context(), cfg, file); err == nil {
		t.Fatal("rotated to a key that is not there")
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("5a", store.MasterKeySize)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := hub.RotateMasterKey(t.Context(), cfg, file); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.NewConsoleLink(t.Context(), cfg); !errors.Is(err, store.ErrMasterKey) {
		t.Fatalf("the old key still opens the store: %v", err)
	}
	cfg.MasterKeyFile = file
	if link, err := hub.NewConsoleLink(t.Context(), cfg); err != nil || !strings.HasPrefix(link.Reveal(), "https://id.example.com/console/link/") {
		t.Fatal(link, err)
	}
}
