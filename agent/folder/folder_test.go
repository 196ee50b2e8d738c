package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAFileIsReplacedWholeAndIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("the old text, which is longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("beside it lies %v, %v", all, err)
	}
}

func TestAFileThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil { // as a full disk would, nothing can be written there
		t.Fatal(err)
	}
	if err := Write(path, []byte("new")); err == nil {
		t.Error("written")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAsManyOldFilesAreKeptAsAreWanted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events")
	for i := range 5 {
		if err := os.WriteFile(path, fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Rotate(path, 3); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Name()+"="+string(text))
	}
	if want := []string{"events.1=4", "events.2=3", "events.3=2"}; !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
	if err := Rotate(path, 3); err == nil {
		t.Error("a file that is missing was made an old one")
	}
}
