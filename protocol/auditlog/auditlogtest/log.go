// Package auditlogtest is an audit log in memory for tests and measurements of those who
// ask for proofs: the same trees and signatures as the hub's, and no store. It can also
// do what an honest log never does: fork and roll back.
package auditlogtest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/postern-id/postern/protocol/auditlog"
)

// A Log is a log in memory. Its methods may be called from many goroutines.
type Log struct {
	Origin string
	Key    ed25519.PrivateKey

	mu     sync.Mutex
	leaves [][]byte
	byID   map[string]int64
	hashes []tlog.Hash
}

// New makes an empty log of a hub, with a key that is the same for the same hub.
func New(hub string) *Log {
	seed := sha256.Sum256([]byte(hub))
	return &Log{Origin: auditlog.Origin(hub), Key: ed25519.NewKeyFromSeed(seed[:]), byID: map[string]int64{}}
}

// Fingerprint is what a ticket pins.
func (l *Log) Fingerprint() []byte {
	f := auditlog.Fingerprint(l.Public())
	return f[:]
}

// Public is the log's key.
func (l *Log) Public() ed25519.PublicKey {
	k, _ := l.Key.Public().(ed25519.PublicKey) // always is
	return k
}

// Fork returns a log with the same key and the first n entries, which goes its own way.
func (l *Log) Fork(n int64) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &Log{Origin: l.Origin, Key: l.Key, leaves: slices.Clone(l.leaves[:n]), hashes: slices.Clone(l.hashes[:tlog.StoredHashCount(n)]), byID: map[string]int64{}}
	for id, i := range l.byID {
		if i < n {
			f.byID[id] = i
		}
	}
	return f
}

// Append adds a leaf under an id, as the hub's log names its rows.
func (l *Log) Append(id string, leaf []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	more, err := tlog.StoredHashes(int64(len(l.leaves)), leaf, reader(l.hashes))
	if err != nil {
		panic(err) // the hashes are in memory
	}
	l.byID[id] = int64(len(l.leaves))
	l.leaves, l.hashes = append(l.leaves, leaf), append(l.hashes, more...)
}

// Request appends an entry like the hub's of an operation that it requests. It returns
// its id.
func (l *Log) Request(agent, directory, operation, context string) string {
	detail := map[string]any{"operation": operation, "context": context, "agent": agent, "directory": directory}
	return l.Entry("operation_requested", detail)
}

// Entry appends an entry of a kind, with its detail. It returns its id.
func (l *Log) Entry(kind string, detail any) string {
	id := fmt.Sprintf("entry-%d", l.Size())
	leaf, err := json.Marshal(map[string]any{"id": id, "kind": kind, kind: detail})
	if err != nil {
		panic(err) // of a test's own values
	}
	l.Append(id, leaf)
	return id
}

// Size is how many entries there are.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.leaves))
}

// Head returns the signed checkpoint of now.
func (l *Log) Head(context.Context) (auditlog.Checkpoint, string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.headLocked()
}

func (l *Log) headLocked() (auditlog.Checkpoint, string, error) {
	root, err := tlog.TreeHash(int64(len(l.leaves)), reader(l.hashes))
	if err != nil {
		return auditlog.Checkpoint{}, "", err
	}
	c := auditlog.Checkpoint{Origin: l.Origin, Size: int64(len(l.leaves)), Root: root, Time: time.Now().UTC().Truncate(time.Millisecond)}
	note, err := c.Sign(l.Key)
	return c, note, err
}

// Consistency proves that the log of now begins with the one that had from entries, as
// far as that is so.
func (l *Log) Consistency(_ context.Context, from, to int64) ([]auditlog.Hash, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.consistencyLocked(from, to)
}

func (l *Log) consistencyLocked(from, to int64) ([]auditlog.Hash, error) {
	if from == 0 || from >= to {
		return nil, nil
	}
	return tlog.ProveTree(to, from, reader(l.hashes))
}

// ErrUnknown says that there is no such entry.
var ErrUnknown = errors.New("auditlogtest: no such entry")

// Prove proves the entry with an id, from the checkpoint that had from entries.
func (l *Log) Prove(_ context.Context, id string, from int64) (auditlog.Proof, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, found := l.byID[id]
	if !found {
		return auditlog.Proof{}, ErrUnknown
	}
	head, note, err := l.headLocked()
	if err != nil {
		return auditlog.Proof{}, err
	}
	p := auditlog.Proof{Public: l.Public(), Checkpoint: note, Index: i, Leaf: l.leaves[i], From: from}
	if p.Inclusion, err = tlog.ProveRecord(head.Size, i, reader(l.hashes)); err != nil {
		return p, err
	}
	p.Consistency, err = l.consistencyLocked(from, head.Size)
	return p, err
}

// reader is the stored hashes of a tree.
type reader []tlog.Hash

// ReadHashes is of tlog.HashReader.
func (r reader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(r)) {
			return nil, fmt.Errorf("auditlogtest: hash %d of %d", n, len(r))
		}
		all[i] = r[n]
	}
	return all, nil
}
