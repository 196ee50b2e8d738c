package place

import (
	"bytes"
	"fmt"
)

// The library makes room for as many members as a map or a list says that it has, which
// may be 16 million in three damaged bytes. What is read of records are single values, see
// Find; the description of the table is read whole, so it is looked through before.

// Bounds of a table's description.
const (
	maxMetadata = 16 << 10 // bytes; those that are published have less than one
	maxValues   = 4096     // of it, pointed to or not
	maxNesting  = 8
)

// metadataMark stands before the description, which ends the file.
const metadataMark = "\xab\xcd\xefMaxMind.com"

// Types of values in the format MMDB 2.0.
const (
	pointerType = 1
	mapType     = 7
	arrayType   = 11
	boolType    = 14
)

// checkMetadata refuses a description that says it is larger than its bytes can be.
func checkMetadata(table []byte) error {
	at := bytes.LastIndex(table, []byte(metadataMark))
	if at < 0 {
		return fmt.Errorf("%w: it has no description", ErrTable)
	}
	w := walker{b: table[at+len(metadataMark):], left: maxValues}
	if len(w.b) > maxMetadata {
		return fmt.Errorf("%w: its description has more than %d KB", ErrTable, maxMetadata>>10)
	}
	if _, ok := w.value(0, 0); !ok {
		return fmt.Errorf("%w: its description is damaged", ErrTable)
	}
	return nil
}

// A walker looks through values.
type walker struct {
	b    []byte
	left int // values that it still looks at
}

// value returns where the value at an offset ends.
func (w *walker) value(at, depth int) (end int, ok bool) {
	if w.left--; w.left < 0 || depth > maxNesting || at >= len(w.b) {
		return 0, false
	}
	control := w.b[at]
	kind := int(control >> 5)
	if kind == pointerType {
		to, end := w.pointer(at)
		if end > len(w.b) {
			return 0, false
		}
		_, ok = w.value(to, depth+1)
		return end, ok
	}
	if at++; kind == 0 { // the type is in the next byte
		if at == len(w.b) {
			return 0, false
		}
		kind = 7 + int(w.b[at])
		at++
	}
	size, at, ok := w.size(int(control&0x1f), at)
	if !ok {
		return 0, false
	}
	switch kind {
	case boolType:
		return at, true
	case mapType:
		size *= 2 // names and values
	case arrayType:
	default:
		return at + size, size <= len(w.b)-at
	}
	if size > len(w.b)-at {
		return 0, false
	}
	for range size {
		if at, ok = w.value(at, depth+1); !ok {
			return 0, false
		}
	}
	return at, true
}

// size reads the size of a value, of which the low bits of its control byte are given.
func (w *walker) size(low, at int) (size, end int, ok bool) {
	more := max(low-28, 0)
	if more > len(w.b)-at {
		return 0, 0, false
	}
	for _, c := range w.b[at : at+more] {
		size = size<<8 | int(c)
	}
	return size + []int{low, 29, 285, 65821}[more], at + more, true
}

// pointer reads a pointer: where it points to, and where it ends.
func (w *walker) pointer(at int) (to, end int) {
	control := int(w.b[at])
	more := control>>3&3 + 1
	end = at + 1 + more
	if end > len(w.b) {
		return 0, end
	}
	if to = control & 7; more == 4 {
		to = 0
	}
	for _, c := range w.b[at+1 : end] {
		to = to<<8 | int(c)
	}
	return to + []int{0, 2048, 526336, 0}[more-1], end
}
