package admin

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// enrolled adds agents to a new directory; all but the first wait to be confirmed.
func (st *stack) enrolled(t *testing.T, n int) (directory string, agents []store.Agent) {
	t.Helper()
	s := storetest.Open(t, store.Config{Dir: st.dir + "/data", MasterKey: masterKey(t, st.dir), Log: slog.New(slog.DiscardHandler)})
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		agents = nil
		d, err := tx.CreateDirectory(t.Context(), store.Directory{Env: st.Environment, Kind: "ldap", Name: "people"})
		for i := range n {
			hash := store.NewID()
			_, errTicket := tx.CreateTicket(t.Context(), d.Env, d.ID, hash, time.Minute)
			a, errEnrol := tx.EnrolAgent(t.Context(), hash, store.Agent{Name: "dc", NoiseKey: bytes.Repeat([]byte{byte(i + 1)}, 32), SignKey: bytes.Repeat([]byte{9}, 32)})
			err, agents = errors.Join(err, errTicket, errEnrol), append(agents, a)
		}
		directory = d.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return directory, agents
}

func TestT19_AgentsAreListedConfirmedByTheirFingerprintAndRevoked(t *testing.T) {
	st := start(t)
	dir, agents := st.enrolled(t, 2)
	first, second := agents[0].ID, agents[1].ID
	print := protocol.Fingerprint(agents[1].NoiseKey, agents[1].SignKey)
	out := want(t, "directory", "agents", "list", dir)
	for _, w := range []string{first, second, print, "waits to be confirmed", "postern directory agents confirm " + dir + " " + second} {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
	for w, args := range map[string][]string{
		"--fingerprint": {second},
		"not that of":   {second, "--fingerprint", protocol.Fingerprint(agents[0].NoiseKey, agents[0].SignKey)},
	} {
		if _, _, err := run(t, "", append([]string{"directory", "agents", "confirm", dir}, args...)...); err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%q: %v; want %q", args, err, w)
		}
	}
	want(t, "directory", "agents", "revoke", dir, first)
	_, _, err := run(t, "", "directory", "sync", dir, "--wait")
	if err == nil || !strings.Contains(err.Error(), "confirm it: postern directory agents confirm "+dir+" "+second) {
		t.Errorf("sync with a pending agent: %v", err)
	}
	want(t, "directory", "agents", "confirm", dir, second, "--fingerprint", print)
	if out := want(t, "directory", "agents", "list", dir); !strings.Contains(out, "active") || !strings.Contains(out, "revoked") || strings.Contains(out, "waits") {
		t.Errorf("afterwards\n%s", out)
	}
}

func TestAnExaminationIsPrintedWithWhatToDo(t *testing.T) {
	st := start(t)
	dir, agents := st.enrolled(t, 1)
	if _, _, err := run(t, "", "directory", "agents", "examine", dir, agents[0].ID); err == nil || !strings.Contains(err.Error(), "not connected") {
		t.Errorf("an agent that is away: %v", err)
	}
	for answer, want := range map[string][]string{
		`{"directory":"untrusted","bases":"unknown","disk":"low","findings":[{"number":304,"fix":"put the certificate there","page":"docs/findings.md#f304"}]}`: {"untrusted", "304: put the certificate there (docs/findings.md#f304)", "postern-agent doctor"},
		`{"directory":"serves","bases":"found","disk":"enough","findings":[]}`:                                                                                  {"serves", "nothing is wrong"},
	} {
		var out strings.Builder
		if err := printExamination(&out, []byte(answer)); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("no %q in\n%s", w, out.String())
			}
		}
	}
}

// Who runs a command as root of an edge's machine is told whose file has the key.
func TestRootOfAnEdgeIsToldWhoHasTheKey(t *testing.T) {
	edge := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(edge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const line = "runuser -u postern -- env HOME=/var/lib/postern postern"
	for _, c := range []struct {
		uid  int
		file string
		told bool
	}{{0, edge, true}, {1000, edge, false}, {0, edge + ".none", false}} {
		text := noKey(c.uid, c.file).Error()
		if strings.Contains(text, line) != c.told || !strings.Contains(text, "postern init --save") {
			t.Errorf("%+v: %s", c, text)
		}
	}
}
