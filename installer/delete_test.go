//go:build unix

package installer

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyAFolderOfTheAgentsOwnIsDeletedAndLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	kept, state := filepath.Join(dir, "kept"), filepath.Join(dir, "state")
	for _, path := range []string{filepath.Join(kept, "a"), filepath.Join(state, "b", "c")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(kept, filepath.Join(state, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Delete(state); err != nil {
		t.Error(err)
	}
	if err := Delete(state); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if exists(state) || !exists(filepath.Join(kept, "a")) {
		t.Error("too little or too much was deleted")
	}
	for _, path := range []string{"/", "/etc", "/etc/", "", "state", "/etc/.."} {
		if err := Delete(path); err == nil {
			t.Errorf("%q would be deleted", path)
		}
	}
}
