//go:build unix

package installer

import (
	"io"
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

func TestAPurgeDeletesNoFolderThatIsSomebodyElses(t *testing.T) {
	home, own := t.TempDir(), filepath.Join(t.TempDir(), "postern-agent")
	state := filepath.Join(home, "state")
	for _, dir := range []string{state, own} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(home, "agent.toml"), filepath.Join(home, "letter"), filepath.Join(own, "agent.toml"), filepath.Join(state, "keys.json")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []Options{{Config: filepath.Join(home, "agent.toml"), StateDir: home}, {Config: filepath.Join(own, "agent.toml"), StateDir: state}} {
		if err := Perform(io.Discard, purge(o, o.StateDir), false); err != nil {
			t.Error(err)
		}
	}
	if exists(own) || exists(state) || exists(filepath.Join(home, "agent.toml")) || !exists(filepath.Join(home, "letter")) {
		t.Error("too little or too much was deleted")
	}
}
