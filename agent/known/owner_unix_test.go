//go:build unix

package known

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

func TestWhatRootWritesBelongsToTheAgent(t *testing.T) {
	testenv.NeedRoot(t) // nobody else can give files away
	const agent = 65534 // nobody
	dir := t.TempDir()
	if err := os.Chown(dir, agent, agent); err != nil {
		t.Fatal(err)
	}
	if err := AddApprover(dir, Approver{ID: "lee", Person: "id-lee"}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, approversFile))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != agent || s.Gid != agent || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v", s.Uid, s.Gid, info.Mode())
	}
}
