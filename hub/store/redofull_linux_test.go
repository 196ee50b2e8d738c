package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// On a disk that is nearly full a redo file takes what there is room for, without zeros ahead.
func TestARedoFileTakesWhatThereIsRoomFor(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("redo", dir, "tmpfs", 0, "size=64k"); err != nil {
		testenv.Missing(t, "the right to mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	r, _ := redoOf(t, dir, 7, 0)
	if err := os.WriteFile(filepath.Join(dir, "others"), make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.add(make([]byte, 10<<10)); err != nil {
			t.Errorf("10 KB, where there is room for three times as much: %v", err)
		}
	}
	if err := r.add(make([]byte, 20<<10)); err == nil {
		t.Error("a full disk took more")
	}
}
