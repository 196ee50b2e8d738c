package witness

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postern-id/postern/protocol/auditlog"
)

// Kinds of records, of the state and of sinks.
const (
	witnessed = "witnessed" // it continues what was seen
	refused   = "refused"   // it does not: the agent stopped
	accepted  = "accepted"  // by the administrator of this machine
)

// A record is one line of the state.
type record struct {
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"`
	Public     []byte    `json:"public"` // key of the log
	Checkpoint string    `json:"checkpoint"`
}

// keepRoots is how many earlier checkpoints are known by their roots. Frames of
// operations overtake one another, and one that bears an earlier checkpoint is as good;
// two nodes and a few dozen operations at once are never so far apart.
const keepRoots = 64

// history is what was seen, in memory.
type history struct {
	last   auditlog.Checkpoint
	note   string
	recent []seenRecord // oldest first, the last one included

	offered       *auditlog.Checkpoint // another history, which stopped the agent
	offeredNote   string
	offeredPublic []byte
	stop          record
}

// A seenRecord is a checkpoint of the history that counts.
type seenRecord struct {
	size   int64
	root   auditlog.Hash
	record record
}

// root returns the root of an earlier size, if that is known.
func (h *history) root(size int64) (auditlog.Hash, bool) {
	for i := len(h.recent) - 1; i >= 0; i-- {
		if h.recent[i].size == size {
			return h.recent[i].root, true
		}
	}
	return auditlog.Hash{}, false
}

// apply changes memory as a record says. It is the same when the record is written and
// when it is read back; a record that the log's key did not sign is an error.
func (h *history) apply(cfg Config, r record) error {
	if auditlog.Fingerprint(r.Public) != cfg.Fingerprint {
		return auditlog.ErrKey
	}
	c, err := auditlog.OpenCheckpoint(r.Checkpoint, ed25519.PublicKey(r.Public), cfg.Origin)
	if err != nil {
		return err
	}
	switch r.Kind {
	case refused:
		h.offered, h.offeredNote, h.offeredPublic, h.stop = &c, r.Checkpoint, r.Public, r
		return nil
	case accepted:
		h.recent = nil
	case witnessed:
	default:
		return fmt.Errorf("a record of the unknown kind %q", r.Kind)
	}
	h.last, h.note, h.offered = c, r.Checkpoint, nil
	h.recent = append(h.recent, seenRecord{c.Size, c.Root, r})
	if n := len(h.recent) - keepRoots; n > 0 {
		h.recent = append([]seenRecord(nil), h.recent[n:]...)
	}
	return nil
}

// records is what a file needs to hold.
func (h *history) records() []record {
	all := make([]record, 0, len(h.recent)+1)
	for _, s := range h.recent {
		all = append(all, s.record)
	}
	if h.offered != nil {
		all = append(all, h.stop)
	}
	return all
}

// maxRecord bounds a line: a checkpoint, twice for what JSON escapes.
const maxRecord = 2*auditlog.MaxCheckpoint + 1<<10

// parseRecord reads one line.
func parseRecord(line []byte) (record, error) {
	var r record
	if len(line) > maxRecord {
		return r, errors.New("a record that is too long")
	}
	err := json.Unmarshal(line, &r)
	return r, err
}
