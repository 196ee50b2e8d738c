package auditlog

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/json"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Bounds of a proof. A tree of 2^48 leaves needs 48 hashes for an inclusion and at most
// one more than twice that for a consistency.
const (
	MaxLeaf   = 32 << 10 // bytes of one leaf
	maxHashes = 100      // of one of the two proofs

	base64Leaf = (MaxLeaf + 2) / 3 * 4
	jsonHash   = 44 + len(`"",`)   // in base64
	jsonRest   = 2*MaxCheckpoint + // its lines end with two bytes each, as JSON has them
		1<<10 // key, numbers, names of members

	// MaxProof is the longest JSON of a proof, in bytes.
	MaxProof = base64Leaf + 2*maxHashes*jsonHash + jsonRest
)

// A Proof shows that Leaf is entry Index of the log of Checkpoint, and that this log
// begins with the one that had From leaves.
type Proof struct {
	Public      []byte `json:"public"`     // key of the log; believed only if it is the pinned one
	Checkpoint  string `json:"checkpoint"` // signed note
	Index       int64  `json:"index"`
	Leaf        []byte `json:"leaf"` // exact bytes
	Inclusion   []Hash `json:"inclusion"`
	From        int64  `json:"from"` // 0: nothing is shown about the past
	Consistency []Hash `json:"consistency,omitempty"`
}

// ParseProof reads the JSON of a proof, within its bounds. It checks nothing else.
func ParseProof(b []byte) (Proof, error) {
	var p Proof
	if len(b) > MaxProof {
		return Proof{}, fmt.Errorf("%w: %d bytes, at most %d", ErrProof, len(b), MaxProof)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return p, p.bounds()
}

func (p Proof) bounds() error {
	if len(p.Leaf) > MaxLeaf || len(p.Inclusion) > maxHashes || len(p.Consistency) > maxHashes || p.Index < 0 || p.From < 0 {
		return fmt.Errorf("%w: a member is out of bounds", ErrProof)
	}
	return nil
}

// Check checks the whole proof: the key is the one with the fingerprint, it signed the
// checkpoint of the log named origin, the leaf is in that log, and that log is a
// continuation of last, the checkpoint that was seen last (the zero value: none yet).
// It returns the checkpoint, to be kept as the last one. ErrBehind says that a proof
// from last.Size is needed; only ErrInconsistent speaks of two histories.
func (p Proof) Check(fingerprint [32]byte, origin string, last Checkpoint) (Checkpoint, error) {
	if err := p.bounds(); err != nil {
		return Checkpoint{}, err
	}
	got := Fingerprint(p.Public)
	if subtle.ConstantTimeCompare(got[:], fingerprint[:]) != 1 {
		return Checkpoint{}, ErrKey
	}
	c, err := OpenCheckpoint(p.Checkpoint, ed25519.PublicKey(p.Public), origin)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := p.Included(c); err != nil {
		return Checkpoint{}, err
	}
	if last.Size > 0 && last.Size != c.Size && last.Size != p.From {
		return Checkpoint{}, fmt.Errorf("%w: it begins at %d, not at %d", ErrBehind, p.From, last.Size)
	}
	if err := CheckConsistency(last, c, p.Consistency); err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}

// Included checks of the proof only that its leaf is in the log of c, for a caller who knows
// that the hub signed c, and looks at the past himself.
func (p Proof) Included(c Checkpoint) error {
	if err := p.bounds(); err != nil {
		return err
	}
	return CheckInclusion(c, p.Index, tlog.RecordHash(p.Leaf), p.Inclusion)
}

// LeafHash is the hash of a leaf in the tree (RFC 6962, section 2.1).
func LeafHash(leaf []byte) Hash { return tlog.RecordHash(leaf) }

// CheckInclusion returns nil if the leaf with this hash is entry index of the log of c,
// or an error that wraps ErrInclusion.
func CheckInclusion(c Checkpoint, index int64, leaf Hash, proof []Hash) error {
	if len(proof) > maxHashes {
		return fmt.Errorf("%w: %d hashes", ErrProof, len(proof))
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, index, leaf); err != nil {
		return fmt.Errorf("%w: %w", ErrInclusion, err)
	}
	return nil
}

// CheckConsistency returns nil if the log of newer begins with the log of older. An
// older one without leaves, or the zero value, begins every log. The error wraps
// ErrInconsistent if the two cannot be of one history, also where newer is shorter.
func CheckConsistency(older, newer Checkpoint, proof []Hash) error {
	switch {
	case len(proof) > maxHashes:
		return fmt.Errorf("%w: %d hashes", ErrProof, len(proof))
	case older.Size == 0:
		return nil
	case older.Origin != newer.Origin:
		return fmt.Errorf("%w: %q and %q", ErrOrigin, older.Origin, newer.Origin)
	case newer.Size < older.Size:
		return fmt.Errorf("%w: it had %d leaves and has %d", ErrInconsistent, older.Size, newer.Size)
	case newer.Size == older.Size && newer.Root == older.Root:
		return nil
	case newer.Size == older.Size:
		return fmt.Errorf("%w: two trees of %d leaves", ErrInconsistent, newer.Size)
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	return nil
}
