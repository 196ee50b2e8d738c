//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol"
)

func TestADryRunOfAnInstallationChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc")
	r := execute(t, "", "install", "--packaged", "--dry-run", "--config", filepath.Join(dir, "agent.toml"), "--ticket-file", "ticket")
	if exists(dir) {
		t.Error("a dry run made a folder")
	}
	if strings.Contains(r.err, "hidden from services") { // the test's own program lies in /tmp
		if r.code != exitFailed {
			t.Errorf("%+v", r)
		}
		return
	}
	if r.code != exitOK || !strings.Contains(r.out, "would write the configuration file "+dir) || !strings.Contains(r.out, "would enrol") {
		t.Errorf("%+v", r)
	}
}

func TestATicketOfAnotherHubIsNotUsed(t *testing.T) {
	ticket := protocol.Ticket{Hub: "https://id.example.com", HubKey: make([]byte, 32), LogKey: make([]byte, 32), Directory: "d", Secret: "s", Expires: time.Now().Add(time.Hour)}
	for address, same := range map[string]bool{
		"": true, "https://id.example.com": true, "https://ID.example.com/": true, "id.example.com": true,
		"https://id.example.net": false, "https://id.example.com:8443": false, "http://id.example.com": false,
	} {
		if err := sameHub(ticket, address); (err == nil) != same {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestWhatEnrolmentLeavesIsKnownBeforeIt(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if got := missing(state); len(got) != 1 || got[0] != state {
		t.Errorf("no folder: %v", got)
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "keys.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := missing(state); len(got) != 1 || filepath.Base(got[0]) != "identity.json" {
		t.Errorf("with keys: %v", got)
	}
}
