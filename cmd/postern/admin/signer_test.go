package admin

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/internal/testenv"
)

func TestASignerWantsTwoSocketsAndFingerprints(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--agent", "unix//run/a"}, {"--listen", "unix//run/a"}, {"--agent", "unix//run/a", "--listen", "/run/b"}, {"--agent", "/run/a", "--listen", "unix//nowhere/b"},
		{"--agent", "unix//run/a", "--listen", "unix//nowhere/b", "--key", "MD5:1"}, {"--agent", "unix//run/a", "--listen", "unix//nowhere/b"},
	} {
		if _, _, err := run(t, "", append([]string{"signer"}, args...)...); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func TestTheSocketOfASignerIsItsGroupsAndTakesThePlaceOfOneThatIsDead(t *testing.T) {
	path := filepath.Join(testenv.Dir(t), "hub.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c := &cobra.Command{}
	c.SetErr(io.Discard)
	done := make(chan error)
	go func() { done <- runSigner(ctx, c, "unix//nowhere/agent", "unix/"+path, nil) }()
	within := time.Now().Add(time.Minute)
	for info, err := os.Stat(path); err != nil || info.Mode().Perm() != socketMode || !answers(path); info, err = os.Stat(path) {
		if time.Now().After(within) {
			t.Fatal(info, err)
		}
	}
	if err := runSigner(ctx, c, "unix//nowhere/agent", "unix/"+path, nil); err == nil || !strings.Contains(err.Error(), "answers there already") {
		t.Errorf("two at one socket: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func answers(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
