package agent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/witness"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/auditlog/auditlogtest"
)

// alone examines an enrolled agent and wants one finding.
func alone(t *testing.T, cfg Config, number int, says string) {
	t.Helper()
	r := examined(t, cfg, newCompany(t), "")
	if s := step(r, number); !strings.Contains(s.Detail, says) || !slices.Equal(problems(r), []int{number}) {
		t.Errorf("findings = %v, want %d alone saying %q: %+v", problems(r), number, says, r.Steps)
	}
}

// A disk of its own is filled for real.
func TestDoctorSaysHowMuchRoomTheDiskHas(t *testing.T) {
	testenv.NeedRoot(t)
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.SensitiveGroups = nil
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("doctor", state, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		testenv.Missing(t, "the right to mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	for _, name := range EnrolmentFiles {
		text, err := os.ReadFile(filepath.Join(cfg.StateDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(state, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg.StateDir = state
	alone(t, cfg, doctor.DiskLow, "15 MB free")
	if err := os.WriteFile(filepath.Join(state, "something-else"), make([]byte, 13<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	alone(t, cfg, doctor.DiskFull, "2 MB free")
}

// Somebody who is not root runs doctor, on a state folder of somebody else.
func TestDoctorSaysThatTheStateFolderCannotBeRead(t *testing.T) {
	testenv.NeedRoot(t)
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	c := newCompany(t)
	found := make(chan *doctor.Report)
	go func() {
		defer close(found)
		runtime.LockOSThread() // and never again anybody else's: the thread ends with its user
		const nobody = 65534
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		found <- examined(t, cfg, c, "")
	}()
	if r := <-found; r == nil || !strings.Contains(step(r, doctor.StateFolder).Detail, "permission denied") {
		t.Errorf("report = %+v", r)
	}
}

// A hub whose audit log has another past is not served until somebody has looked.
func TestT08_DoctorSaysThatTheHubShowedTwoHistories(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.SensitiveGroups = nil
	log := auditlogtest.New("hub.example")
	edited(t, cfg, func(id *Identity) { id.LogKey = log.Fingerprint() })
	id, err := LoadIdentity(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	set := heads(id, cfg.StateDir)
	set.Name, set.Key, set.Sinks = "agent", id.keys.sign, witness.Settings{Sinks: []string{"file"}}
	set.Now, set.Log = time.Now, slog.New(slog.DiscardHandler)
	w, err := witness.Open(set)
	if err != nil {
		t.Fatal(err)
	}
	shown := func(l *auditlogtest.Log) error {
		head, note, err := l.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		from := w.Last()
		steps, err := l.Consistency(t.Context(), from, head.Size)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = w.Witness(note, l.Public(), from, steps)
		return err
	}
	for range 4 {
		log.Entry("anything", nil)
	}
	if err := shown(log); err != nil {
		t.Fatal(err)
	}
	other := log.Fork(2)
	for range 5 {
		other.Entry("another past", nil)
	}
	if err := errors.Join(shown(other), w.Close()); !errors.Is(err, witness.ErrStopped) {
		t.Fatalf("the other history: %v", err)
	}
	alone(t, cfg, doctor.LogStopped, "seen: 4 entries")
}
