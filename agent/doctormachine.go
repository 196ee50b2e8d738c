package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/witness"
)

// Free bytes of the state folder's disk. The journal needs a few kilobytes for each
// recovery; the agent's own logs take up to 120 MB.
const (
	diskFull = 4 << 20
	diskLow  = 200 << 20
)

// machine looks at the state folder. It returns the identity, nil if there is none.
func (x *examination) machine() *Identity {
	dir := x.o.Config.StateDir
	x.ok(areaMachine, "program", "postern-agent %s, %s/%s, file %s", x.o.Version, runtime.GOOS, runtime.GOARCH, x.o.Config.File.Name)
	x.disk(dir)
	id, err := LoadIdentity(dir)
	switch {
	case errors.Is(err, ErrNotEnrolled):
		x.found(areaMachine, "identity", doctor.NotEnrolled, err)
		return nil
	case errors.Is(err, fs.ErrPermission):
		x.found(areaMachine, "identity", doctor.StateFolder, err)
		return nil
	case err != nil:
		x.found(areaMachine, "identity", doctor.KeysUnsafe, err)
		return nil
	}
	x.ok(areaMachine, "identity", "agent %s of directory %s, fingerprint %s", id.Agent, id.Directory, id.Fingerprint())
	x.journal(dir)
	x.stopped(dir)
	return id
}

// disk looks how much room there is.
func (x *examination) disk(dir string) {
	free, err := freeBytes(existing(dir))
	detail := fmt.Sprintf("%d MB free for %s", free>>20, dir)
	switch {
	case err != nil:
		x.found(areaMachine, "disk", doctor.StateFolder, err)
	case free < diskFull:
		x.Found(areaMachine, "disk", doctor.DiskFull, detail)
	case free < diskLow:
		x.Found(areaMachine, "disk", doctor.DiskLow, detail)
	default:
		x.ok(areaMachine, "disk", "%s", detail)
	}
}

// existing is the folder itself or the next one above that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// journal reads it as the agent does when it starts. A running agent has it in use.
func (x *examination) journal(dir string) {
	j, err := journal.Open(dir, time.Now)
	switch {
	case errors.Is(err, journal.ErrLocked):
		x.running = true
		x.ok(areaMachine, "journal", "in use: the agent is running")
		return
	case errors.Is(err, fs.ErrPermission):
		x.found(areaMachine, "journal", doctor.StateFolder, err)
		return
	case err != nil:
		x.found(areaMachine, "journal", doctor.JournalDamaged, err)
		return
	}
	x.release = j.Close // held while the hub is asked: nobody else may use the keys meanwhile
	open := j.Unsettled()
	if len(open) == 0 {
		x.ok(areaMachine, "journal", "sound, nothing is open")
		return
	}
	var lines []string
	for _, row := range open {
		lines = append(lines, withoutAddresses(fmt.Sprintf("%s on account %s", row.Recovery.Operation, row.Recovery.Account)))
	}
	x.Found(areaMachine, "journal", doctor.JournalOpen, fmt.Sprintf("%d without an outcome", len(open)), lines...)
}

// stopped looks whether the agent refuses to work until somebody has looked.
func (x *examination) stopped(dir string) {
	v, err := Heads(dir)
	switch {
	case errors.Is(err, witness.ErrNever):
		x.ok(areaMachine, "audit log", "the hub has shown nothing of it yet")
	case err != nil:
		x.found(areaMachine, "audit log", doctor.StateFolder, err)
	case v.Offered != nil:
		x.Found(areaMachine, "audit log", doctor.LogStopped, fmt.Sprintf("seen: %d entries, %s; shown: %d entries, %s", v.Seen.Size, v.Seen.Hash, v.Offered.Size, v.Offered.Hash))
	default:
		x.ok(areaMachine, "audit log", "one history, %d entries", v.Seen.Size)
	}
}
