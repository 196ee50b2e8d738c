package auditlog

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tree adds up the hashes of leaves, one after another, and keeps no more than it
// needs to say the root. The zero value is the tree without leaves.
type Tree struct {
	size  int64
	peaks []Hash // roots of the complete subtrees, the largest first; one for each bit of size
}

// Add appends the hash of a leaf.
func (t *Tree) Add(leaf Hash) {
	h := leaf
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.peaks) - 1
		h = tlog.NodeHash(t.peaks[last], h)
		t.peaks = t.peaks[:last]
	}
	t.peaks = append(t.peaks, h)
	t.size++
}

// Size is how many leaves were added.
func (t *Tree) Size() int64 { return t.size }

// Root is the root of the tree; of the one without leaves, the hash of nothing.
func (t *Tree) Root() Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	h := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.peaks[i], h)
	}
	return h
}
