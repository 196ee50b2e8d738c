package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// checked runs Check with the company as the directory.
func checked(t *testing.T, cfg Config, c *company, account string) []Finding {
	t.Helper()
	open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) { return c, nil }
	return Check(t.Context(), Options{Config: cfg, Open: open, Version: "test"}, account)
}

func find(fs []Finding, what string) Finding {
	for _, f := range fs {
		if f.What == what && f.Problem != "" {
			return f
		}
	}
	return Finding{}
}

func TestCheckFindsNothingWhereAllIsWellAndChangesNothing(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg, c := h.enrolled(t, "http"), newCompany(t)
	cfg.Guard.SensitiveGroups = nil // it has no mail route
	for _, f := range checked(t, cfg, c, "") {
		if f.Problem != "" || f.Detail == "" {
			t.Errorf("finding = %+v", f)
		}
	}
	if c.writes(t) != 0 {
		t.Error("check changed an account")
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, eventsFile)); err == nil {
		t.Error("check wrote an event")
	}
}

func TestCheckNamesProblemAndFix(t *testing.T) {
	h := newTestHub(t, 1, nil)
	for name, c := range map[string]struct {
		change        func(*Config, *company)
		account       string
		what, problem string
	}{
		"not enrolled": {func(cfg *Config, _ *company) { cfg.StateDir = t.TempDir() }, "", "identity", "not enrolled"},
		"no hub": {func(cfg *Config, _ *company) {
			id, err := LoadIdentity(cfg.StateDir)
			if err != nil {
				t.Fatal(err)
			}
			id.Hub = "http://127.0.0.1:1"
			if err := id.save(cfg.StateDir); err != nil {
				t.Fatal(err)
			}
		}, "", "hub", "connection refused"},
		"another hub": {func(cfg *Config, _ *company) {
			id, err := LoadIdentity(cfg.StateDir)
			if err != nil {
				t.Fatal(err)
			}
			id.HubName = "other.example"
			if err := id.save(cfg.StateDir); err != nil {
				t.Fatal(err)
			}
		}, "", "hub", ""},
		"no directory": {func(_ *Config, c *company) {
			c.down = protocol.Err(protocol.CodeServiceAuthentication, "wrong password")
		}, "", "directory", "wrong password"},
		"protected": {func(*Config, *company) {}, accountID(firstProtected), "sample account", "Domain Admins"},
		"nobody":    {func(*Config, *company) {}, "nobody@corp.example", "sample account", "no such account"},
		"no base":   {func(cfg *Config, _ *company) { cfg.Guard.BaseDNs = nil }, "", "guard", "every account"},
		"no group": {func(cfg *Config, _ *company) {
			cfg.Guard.RefusedGroups = []string{"Backup Operators", "Bakcup Operators"}
		}, "",
			"guard.refused_groups", `"Bakcup Operators"`},
		"no mail":  {func(cfg *Config, _ *company) { cfg.SMTP = SMTPConfig{Host: "127.0.0.1:1", From: "a@b.example"} }, "", "mail", "connection refused"},
		"no route": {func(*Config, *company) {}, "", "mail", "always refused"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, comp := h.enrolled(t, "http"), newCompany(t)
			c.change(&cfg, comp)
			f := find(checked(t, cfg, comp, c.account), c.what)
			if name == "no route" {
				if f.Problem == "" || !f.Warning {
					t.Errorf("finding = %+v", f)
				}
				return
			}
			if f.Problem == "" || f.Fix == "" || !strings.Contains(f.Problem, c.problem) {
				t.Errorf("finding = %+v, want %q", f, c.problem)
			}
		})
	}
}

func TestCheckKnowsGroupsByNameAndIDInAnyCase(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.RefusedGroups, cfg.Guard.SensitiveGroups = []string{"BACKUP operators", " staff "}, []string{"Finance"}
	for _, f := range checked(t, cfg, newCompany(t), "") {
		if strings.HasPrefix(f.What, "guard.") {
			t.Errorf("finding = %+v", f)
		}
	}
}

func TestCheckWarnsOfClockAndStanding(t *testing.T) {
	h := newTestHub(t, 1, nil)
	h.set(func() { h.ahead, h.state = 5*time.Minute, protocol.AgentPending })
	fs := checked(t, h.enrolled(t, "http"), newCompany(t), "")
	if f := find(fs, "clock"); !f.Warning || !strings.Contains(f.Problem, "differs") {
		t.Errorf("clock = %+v", f)
	}
	if f := find(fs, "hub"); !f.Warning || !strings.Contains(f.Problem, "pending") {
		t.Errorf("hub = %+v", f)
	}
}

func TestT29_CheckBesideARunningAgentDoesNotSayWhoItIs(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.SensitiveGroups = nil
	j, err := journal.Open(cfg.StateDir, time.Now) // as the running agent has it
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, f := range checked(t, cfg, newCompany(t), "") {
		if f.Problem != "" {
			t.Errorf("finding = %+v", f)
		}
	}
	if n := len(h.hellosSoFar()); n != 0 {
		t.Errorf("%d hellos", n)
	}
}
