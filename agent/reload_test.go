package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
)

func TestANewFileIsCheckedAndThenTakesThePlaceOfTheOldOne(t *testing.T) {
	h := newTestHub(t, 1, nil)
	old := h.enrolled(t, "http")
	path := filepath.Join(t.TempDir(), "agent.toml")
	put := func(state, more string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("state_dir = '"+state+"'\n[directory]\nkind='test'\n"+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(old.StateDir, "")
	cfg, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	log, c := &testenv.Buffer{}, newCompany(t)
	open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) { return c, nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ready := 0
	go func() {
		done <- RunFile(ctx, Options{Config: cfg, Open: open, Version: "test", Log: slog.New(slog.NewTextHandler(log, nil)), Ready: func() { ready++ }})
	}()
	testenv.Eventually(t, "the agent runs", func() bool { return len(h.hellosSoFar()) == 1 })

	put(old.StateDir, "[guard]\nbase_dn = ['dc=corp']\n") // misspelt
	testenv.Eventually(t, "the misspelt file is refused", func() bool { return log.Has("the new file cannot be used") && log.Has("did you mean") })
	put(t.TempDir(), "")
	testenv.Eventually(t, "another state folder is refused", func() bool { return log.Has("state_dir cannot change while the agent runs") })
	if n := len(h.hellosSoFar()); n != 1 {
		t.Fatalf("%d hellos: a file that cannot be used had an effect", n)
	}
	put(old.StateDir, "[guard]\nbase_dns = ['ou=people,dc=corp,dc=example']\n")
	testenv.Eventually(t, "the new file is in force", func() bool { return len(h.hellosSoFar()) == 2 })
	if all := h.hellosSoFar(); all[0].GuardHash == all[1].GuardHash || all[0].Instance == "" {
		t.Errorf("hellos = %+v", all)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if ready != 1 {
		t.Errorf("ready was said %d times", ready)
	}
}
