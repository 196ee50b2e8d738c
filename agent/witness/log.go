// Package witness keeps what this agent has seen of the hub's audit log: the checkpoint
// that it saw last, against which every further one is checked, and the sinks outside of
// the hub into which each is put. It knows no tunnel and no operation.
package witness

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/protocol/auditlog"
)

// Refusals. Errors of a proof that is none are those of auditlog.
var (
	// ErrBehind says that a proof must begin at Last: nothing was seen of it.
	ErrBehind = auditlog.ErrBehind
	// ErrStopped says that two histories of the log were shown, now or before, and that
	// nobody has said yet which one counts.
	ErrStopped = errors.New("witness: the log is not a continuation of what was seen; compare both heads and run: postern-agent accept-log")
	// ErrNotOffered is for a hash that is not that of the head that the hub shows.
	ErrNotOffered = errors.New("witness: that is not the hash of the head that the hub shows now")
	// ErrNoSink says that no sink took a checkpoint, and that the file asks for one.
	ErrNoSink = errors.New("witness: no sink took the checkpoint, and [log] require_sink is set")
	// ErrFailed says that the state cannot be written.
	ErrFailed = errors.New("witness: the state cannot be written")
)

// A Config is what a Log is made of.
type Config struct {
	Dir         string // state folder, which the caller has locked
	Fingerprint [32]byte
	Origin      string
	Name        string // of this agent, in its cosignatures
	Key         ed25519.PrivateKey
	Sinks       Settings
	Now         func() time.Time
	Log         *slog.Logger
}

// A Log is the log as this agent has seen it. Its methods may be called from many
// goroutines.
type Log struct {
	cfg   Config
	sinks *sinks

	opened atomic.Pointer[opened] // the last one

	mu   sync.Mutex // held while the disk is written: nothing is believed before it is there
	file *file
	seen history
}

// Open reads what was seen from the state folder, and opens the sinks. The checkpoint
// that was seen last goes into every sink again: a crash may have kept it out. The
// caller closes it.
func Open(cfg Config) (*Log, error) {
	l := &Log{cfg: cfg}
	var err error
	if l.file, err = openFile(cfg.Dir, func(r record) error { return l.seen.apply(cfg, r) }); err != nil {
		return nil, err
	}
	if l.sinks, err = openSinks(cfg); err != nil {
		return nil, errors.Join(err, l.file.close())
	}
	if l.seen.last.Size > 0 {
		l.sinks.put(entryOf(cfg, witnessed, l.seen.last, l.seen.note))
	}
	return l, nil
}

// Close writes what sinks still wait for, as far as they take it at once, and ends them.
func (l *Log) Close() error {
	l.sinks.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.close()
}

// Last returns the size from which proofs must begin: of the checkpoint that was seen
// last or, once two histories were shown, of the other one.
func (l *Log) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastLocked()
}

func (l *Log) lastLocked() int64 {
	if l.seen.offered != nil {
		return l.seen.offered.Size
	}
	return l.seen.last.Size
}

// Stopped returns the hash of the head that stopped this agent, or "".
func (l *Log) Stopped() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.offered == nil {
		return ""
	}
	return HashOf(*l.seen.offered)
}

// HashOf is how people name a head of the log: its root, in hexadecimal.
func HashOf(c auditlog.Checkpoint) string { return hex.EncodeToString(c.Root[:]) }

// Check checks a proof of an entry and keeps its checkpoint, so that it returns the leaf
// only after the checkpoint is on this machine's disk and, where the file asks for it,
// in a sink.
func (l *Log) Check(p auditlog.Proof) (leaf []byte, err error) {
	c, err := l.open(p.Checkpoint, p.Public)
	if err != nil {
		return nil, err
	}
	if err := p.Included(c); err != nil { // its past is checked below, against more than the last one
		return nil, err
	}
	return p.Leaf, l.extend(c, p.Checkpoint, p.Public, p.From, p.Consistency)
}

// Witness takes a checkpoint that the hub shows, checked as that of a proof, and returns
// this agent's cosignature of it.
func (l *Log) Witness(note string, public []byte, from int64, consistency []auditlog.Hash) (c auditlog.Checkpoint, line string, err error) {
	if c, err = l.open(note, public); err != nil {
		return c, "", err
	}
	if err = l.extend(c, note, public, from, consistency); err != nil {
		return c, "", err
	}
	return c, c.Cosign(l.cfg.Key, l.cfg.Name, l.cfg.Now()), nil
}

// An opened checkpoint is one whose signature was checked.
type opened struct {
	note       string // all of it, signature included
	public     string
	checkpoint auditlog.Checkpoint
}

// open returns a checkpoint that the pinned key signed. Operations at once bear the same
// one: its signature is checked once.
func (l *Log) open(note string, public []byte) (auditlog.Checkpoint, error) {
	if last := l.opened.Load(); last != nil && last.note == note && last.public == string(public) {
		return last.checkpoint, nil
	}
	if auditlog.Fingerprint(public) != l.cfg.Fingerprint {
		return auditlog.Checkpoint{}, auditlog.ErrKey
	}
	c, err := auditlog.OpenCheckpoint(note, public, l.cfg.Origin)
	if err == nil {
		l.opened.Store(&opened{note, string(public), c})
	}
	return c, err
}

// extend keeps a checkpoint that continues what was seen. One that does not stops the
// agent, also after a restart.
func (l *Log) extend(c auditlog.Checkpoint, note string, public []byte, from int64, consistency []auditlog.Hash) error {
	l.mu.Lock()
	fresh, err := l.extendLocked(c, note, public, from, consistency)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.inSink(c, note, fresh)
}

func (l *Log) extendLocked(c auditlog.Checkpoint, note string, public []byte, from int64, consistency []auditlog.Hash) (fresh bool, err error) {
	if l.seen.offered != nil {
		return false, l.offerLocked(c, note, public, from, consistency)
	}
	switch root, seen := l.seen.root(c.Size); {
	case seen && root == c.Root, c.Size+l.seen.last.Size == 0: // or nothing was ever in it
		return false, nil
	case seen:
		return false, l.stopLocked(c, note, public)
	case l.seen.last.Size > 0 && from != l.seen.last.Size:
		return false, fmt.Errorf("%w: it begins at %d, not at %d", ErrBehind, from, l.seen.last.Size)
	}
	if err := auditlog.CheckConsistency(l.seen.last, c, consistency); err != nil {
		return false, l.stopLocked(c, note, public)
	}
	return true, l.writeLocked(record{Kind: witnessed, Public: public, Checkpoint: note})
}

// offerLocked keeps the newest history that the hub shows while the agent has stopped, for
// people to decide about. One that continues what is kept changes nothing, so that the
// hash that people compare does not change with every entry.
func (l *Log) offerLocked(c auditlog.Checkpoint, note string, public []byte, from int64, consistency []auditlog.Hash) error {
	if from == l.seen.offered.Size && auditlog.CheckConsistency(*l.seen.offered, c, consistency) == nil {
		return ErrStopped
	}
	return l.stopLocked(c, note, public)
}

// stopLocked writes down that another history was shown, and puts it into the sinks: it
// bears the hub's signature, and so proves the fork to everybody.
func (l *Log) stopLocked(c auditlog.Checkpoint, note string, public []byte) error {
	if l.seen.offered != nil && *l.seen.offered == c {
		return ErrStopped
	}
	if err := l.writeLocked(record{Kind: refused, Public: public, Checkpoint: note}); err != nil {
		return err
	}
	l.cfg.Log.Error("the hub shows another history of its audit log: this agent does nothing until postern-agent accept-log",
		"seen_size", l.seen.last.Size, "seen_hash", HashOf(l.seen.last), "shown_size", c.Size, "shown_hash", HashOf(c))
	l.sinks.put(entryOf(l.cfg, refused, c, note))
	return ErrStopped
}

// Accept makes the head that the hub shows the one that was seen, if hash is its hash.
func (l *Log) Accept(hash string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.offered == nil || HashOf(*l.seen.offered) != hash {
		return ErrNotOffered
	}
	c, note, public := *l.seen.offered, l.seen.offeredNote, l.seen.offeredPublic
	if err := l.writeLocked(record{Kind: accepted, Public: public, Checkpoint: note}); err != nil {
		return err
	}
	l.cfg.Log.Warn("another history of the audit log was accepted on this machine", "size", c.Size, "hash", hash)
	l.sinks.put(entryOf(l.cfg, accepted, c, note))
	return nil
}

// writeLocked writes a record, and believes it after that.
func (l *Log) writeLocked(r record) error {
	r.Time = l.cfg.Now().UTC()
	if err := l.file.append(r, l.seen.records); err != nil {
		l.cfg.Log.Error("the witnessed state cannot be written", "error", err)
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return l.seen.apply(l.cfg, r)
}

// inSink puts a checkpoint into the sinks. One that was seen before is there already, or
// waits; it goes again only where the file asks that one of them has it.
func (l *Log) inSink(c auditlog.Checkpoint, note string, fresh bool) error {
	need := l.cfg.Sinks.RequireSink
	switch {
	case need && (fresh || !l.sinks.has(c.Size)):
		if !l.sinks.putSurely(entryOf(l.cfg, witnessed, c, note)) {
			return ErrNoSink
		}
	case fresh:
		l.sinks.put(entryOf(l.cfg, witnessed, c, note))
	}
	return nil
}

// Failing names the sinks that did not take what they were given last, with why.
func (l *Log) Failing() map[string]string { return l.sinks.failing() }
