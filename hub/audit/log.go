package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/auditlog"
)

// Errors of a log.
var (
	ErrDamaged    = errors.New("audit: the stored log does not agree with its own checkpoint")
	ErrRolledBack = errors.New("audit: the log is shorter than it was")
	ErrDropped    = errors.New("audit: the event is kept as a hash only")
)

// Times and sizes of sequencing.
const (
	sequenceLinger = 100 * time.Millisecond // many transactions share one checkpoint
	sequencePoll   = 5 * time.Second        // rows of a node that died wait no longer than this
	sequenceBatch  = 1024                   // rows of one transaction: others wait some 10 ms for it
)

// A LogConfig says what a log is made of.
type LogConfig struct {
	Store  *store.Store
	Key    ed25519.PrivateKey   // the same on every node
	Origin string               // see auditlog.Origin
	Log    *slog.Logger         // nil: slog.Default()
	Retain func() time.Duration // how long leaves keep their bytes; nil or 0: for ever
}

// A Log is the Merkle log over the audit rows of all organisations of a hub. Every node
// has one over the same store: whoever comes first gives the waiting rows their indexes,
// in the order of their ids, and signs a checkpoint, all in one transaction. What has an
// index keeps it. It is safe for use by many goroutines.
type Log struct {
	store  *store.Store
	key    ed25519.PrivateKey
	public ed25519.PublicKey
	origin string
	log    *slog.Logger
	retain func() time.Duration

	linger time.Duration
	soon   chan struct{} // holds a token while somebody waits for an index
	turn   sync.Mutex    // one sequencing at a time on this node

	proving chan struct{} // holds a token while proofs are made
	mu      sync.Mutex
	next    *proofs // guarded by mu: those that wait
}

// NewLog returns the log of a hub. Run keeps it up to date.
func NewLog(cfg LogConfig) *Log {
	l := &Log{store: cfg.Store, key: cfg.Key, origin: cfg.Origin, log: cfg.Log, retain: cfg.Retain,
		linger: sequenceLinger, soon: make(chan struct{}, 1), proving: make(chan struct{}, 1), next: &proofs{}}
	l.public, _ = cfg.Key.Public().(ed25519.PublicKey)
	if l.log == nil {
		l.log = slog.Default()
	}
	return l
}

// Public is the key that checkpoints are signed with. The caller does not change it.
func (l *Log) Public() ed25519.PublicKey { return l.public }

// Origin is the first line of every checkpoint.
func (l *Log) Origin() string { return l.origin }

// Run gives rows their indexes soon after they were written, on whichever node, until
// ctx ends, and drops what is older than it is to be kept. It returns ctx's error.
func (l *Log) Run(ctx context.Context) error {
	poll := time.NewTicker(sequencePoll)
	defer poll.Stop()
	retention := time.NewTicker(retentionEvery)
	defer retention.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.store.Audited():
			l.gather(ctx)
		case <-l.soon:
		case <-poll.C:
		case <-retention.C:
			l.warn(ctx, "old audit events could not be dropped; tried again", l.Retain(ctx))
		}
		l.warn(ctx, "audit events could not be put into the log; tried again", l.Sequence(ctx))
	}
}

// gather lets transactions gather that are to share one checkpoint.
func (l *Log) gather(ctx context.Context) {
	t := time.NewTimer(l.linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.soon:
	case <-ctx.Done():
	}
}

// Soon has Run give what is committed its index now: somebody is going to ask for a
// proof. It does not wait.
func (l *Log) Soon() {
	select {
	case l.soon <- struct{}{}:
	default: // it was said already
	}
}

func (l *Log) warn(ctx context.Context, msg string, err error) {
	if err != nil && ctx.Err() == nil {
		l.log.ErrorContext(ctx, msg, "error", err)
	}
}

// Sequence gives every row that was committed before the call its index. It returns
// ErrDamaged, and signs nothing, where the stored log is not what was signed before.
func (l *Log) Sequence(ctx context.Context) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	if _, whole, err := l.extendOnce(ctx); whole || err != nil {
		return err
	}
	last, err := store.Look(ctx, l.store, func(tx *store.Tx) (string, error) { return tx.LastPendingAudit(ctx) })
	for err == nil && last != "" { // what comes meanwhile is not waited for: under load that has no end
		given, whole, failed := l.extendOnce(ctx)
		if err = failed; whole || given >= last {
			break
		}
	}
	return err
}

// extendOnce is extend in a transaction of its own. It returns the id of the last row that got
// an index, of those that are in the order of their ids, and whether these were all that were
// committed when it began.
func (l *Log) extendOnce(ctx context.Context) (last string, whole bool, err error) {
	err = l.store.Tx(ctx, func(tx *store.Tx) (err error) {
		last, whole, err = l.extend(ctx, tx)
		return err
	})
	if errors.Is(err, store.ErrConflict) { // another node was first
		return "", false, nil
	}
	return last, whole, err
}

// extend gives the next rows their indexes and signs the log with them. It returns the id of
// the last one, and whether these were all that waited.
func (l *Log) extend(ctx context.Context, tx *store.Tx) (last string, whole bool, err error) {
	was, err := tx.AuditHead(ctx)
	if err != nil {
		return "", false, err
	}
	rows, whole, err := tx.PendingAudit(ctx, sequenceBatch)
	if err != nil || len(rows) == 0 {
		return "", whole, err
	}
	last = rows[len(rows)-1].ID
	now, changed, err := l.grown(ctx, tx, was, rows)
	if err != nil {
		return "", false, err
	}
	return last, whole, tx.ExtendAudit(ctx, was, now, last, changed)
}

// grown returns what the log is with more rows, and the tiles that it has more of.
func (l *Log) grown(ctx context.Context, tx *store.Tx, was store.AuditHead, rows []store.AuditLeaf) (now store.AuditHead, changed map[string][]byte, err error) {
	t := newTiles(ctx, tx)
	if _, err := l.signed(was, t); err != nil {
		return now, nil, err
	}
	for i, row := range rows {
		if row.Leaf == "" {
			return now, nil, fmt.Errorf("%w: event %s is gone before it got its index", ErrDamaged, row.ID)
		}
		if err := t.add(was.Size+int64(i), []byte(row.Leaf)); err != nil {
			return now, nil, err
		}
	}
	now.Size = was.Size + int64(len(rows))
	if now.Checkpoint, err = l.sign(now.Size, t, tx.Now()); err != nil {
		return now, nil, err
	}
	changed, err = t.changed(was.Size, now.Size)
	return now, changed, err
}

// signed returns the last checkpoint, after a look whether the stored hashes agree with
// it: a node never signs over hashes that somebody changed.
func (l *Log) signed(head store.AuditHead, t *tiles) (auditlog.Checkpoint, error) {
	if head.Size == 0 && head.Checkpoint == "" {
		return auditlog.Checkpoint{}, nil
	}
	c, err := auditlog.OpenCheckpoint(head.Checkpoint, l.public, l.origin)
	if err != nil {
		return auditlog.Checkpoint{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	root, err := tlog.TreeHash(head.Size, t)
	if err != nil {
		return auditlog.Checkpoint{}, err
	}
	if c.Size != head.Size || c.Root != root {
		return auditlog.Checkpoint{}, fmt.Errorf("%w: it has %d leaves and the root %s", ErrDamaged, head.Size, root)
	}
	return c, nil
}

func (l *Log) sign(size int64, t *tiles, at time.Time) (string, error) {
	root, err := tlog.TreeHash(size, t)
	if err != nil {
		return "", err
	}
	return auditlog.Checkpoint{Origin: l.origin, Size: size, Root: root, Time: at.Truncate(time.Millisecond)}.Sign(l.key)
}
