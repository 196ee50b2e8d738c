package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What a hub that was killed has told of sign-ins is sealed under the key that it had: no
// tool makes it unreadable.
func TestT26_TheMasterKeyDoesNotChangeWhileWhatWasToldOpensByTheFormerOneAlone(t *testing.T) {
	s, _, dir, party := still(t)
	ctx, other := t.Context(), bytes.Repeat([]byte{2}, MasterKeySize)
	e, err := signingIn(ctx, s, party, "one", "")
	if err == nil {
		err = s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent"))
	}
	if err != nil {
		t.Fatal(err)
	}
	copied := killedIn(t, dir)
	config := Config{Dir: copied, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler)}
	rotate := func() error {
		tool, err := Open(ctx, FastKeys(config))
		if err != nil {
			t.Fatal(err)
		}
		return errors.Join(tool.Rotate(ctx, other), tool.Close())
	}
	if err := rotate(); !errors.Is(err, ErrRedoLeft) {
		t.Fatalf("before anybody has read what was left: %v", err)
	}
	serving := config
	serving.Serves = true
	hub, err := Open(ctx, serving) // which shows that the former key opens everything
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.Close(); err != nil {
		t.Fatal(err)
	}
	if err := rotate(); err != nil {
		t.Fatal(err)
	}
	serving.MasterKey = other
	if hub, err = Open(ctx, serving); err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	if states := past(t, copied, stateOf, e.ID); !slices.Equal(states, []string{"spent"}) {
		t.Errorf("the exchange is %v", states)
	}
	if n := SealedUnder(t, hub, config.MasterKey); n != 0 {
		t.Errorf("%d cells are left under the former key", n)
	}
}

// A tool that another user runs makes no file that the hub then cannot have.
func TestTheChangeOfTheMasterKeyMakesNoRedoFile(t *testing.T) {
	dir := t.TempDir()
	tool, err := Open(t.Context(), FastKeys(Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler)}))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tool.Rotate(t.Context(), bytes.Repeat([]byte{2}, MasterKeySize)), tool.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range redoNames {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there (%v)", name, err)
		}
	}
}

// killedIn copies a folder as a process that is killed leaves it.
func killedIn(t *testing.T, dir string) (copied string) {
	t.Helper()
	copied = t.TempDir()
	for _, name := range []string{FileName, FileName + "-wal", redoNames[0], redoNames[1]} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return copied
}
