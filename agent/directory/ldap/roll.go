package ldap

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// Sizes of a roll.
const (
	rollPart  = 4096 // rows that are allocated at once: nothing is copied as it grows
	rollLeast = 1024 // places of the first index
	rollBits  = 24   // of a row's number; hubs take five million accounts
	rollMost  = 1<<rollBits - 1
)

// A roll is the accounts that were listed. It lies in large pieces without pointers: a map
// takes half as much memory again, and the collector of an agent that has little goes
// through all of it each time.
type roll struct {
	n     int
	parts [][]entered
	index []uint32 // 1 + the number of a row and a few bits of its key's hash, at the key's place or behind; 0 is free
}

// An entered account.
type entered struct {
	key key
	known
}

// A known is an account that was listed.
type known struct {
	handle uint64 // what groups name it by
	sum    uint64 // of everything that was listed
}

func (r *roll) row(n int) *entered { return &r.parts[n/rollPart][n%rollPart] }

// place is where the index begins to look for a key, and what it has there beside the
// number of its row.
func (r *roll) place(k *key) (at int, tag uint32) {
	hash := maphash.Bytes(seed, k[:])
	high, _ := bits.Mul64(hash, uint64(len(r.index)))
	return int(high), uint32(hash) << rollBits
}

// next is the place behind another one.
func (r *roll) next(at int) int {
	if at++; at < len(r.index) {
		return at
	}
	return 0
}

// number is that of the row at a place.
func (r *roll) number(at int) int { return int(r.index[at]&rollMost) - 1 }

// find returns the place of a key, or the free one where it belongs.
func (r *roll) find(k *key) (at int, tag uint32, found bool) {
	for at, tag = r.place(k); r.index[at] != 0; at = r.next(at) {
		if r.index[at]&^rollMost == tag && r.row(r.number(at)).key == *k {
			return at, tag, true
		}
	}
	return at, tag, false
}

// get returns what was listed of an account.
func (r *roll) get(k key) (known, bool) {
	if r.n == 0 {
		return known{}, false
	}
	at, _, found := r.find(&k)
	if !found {
		return known{}, false
	}
	return r.row(r.number(at)).known, true
}

// has reports whether an account was listed.
func (r *roll) has(k key) bool {
	_, found := r.get(k)
	return found
}

// put notes an account, unless there are too many. It reports whether it was noted just
// so before.
func (r *roll) put(k key, now known) (same, ok bool) {
	if r.n >= len(r.index)/3*2 {
		r.grow()
	}
	at, tag, found := r.find(&k)
	if found {
		row := r.row(r.number(at))
		same, row.known = row.known == now, now
		return same, true
	}
	if r.n == rollMost {
		return false, false
	}
	if r.n/rollPart == len(r.parts) {
		r.parts = append(r.parts, make([]entered, rollPart))
	}
	*r.row(r.n) = entered{k, now}
	r.n++
	r.index[at] = uint32(r.n) | tag
	return false, true
}

// grow makes the index anew, half as large again.
func (r *roll) grow() {
	r.index = make([]uint32, max(rollLeast, len(r.index)/2*3))
	for n := range r.n {
		at, tag, _ := r.find(&r.row(n).key)
		r.index[at] = uint32(n+1) | tag
	}
}

// remove strikes an account off. The last row takes its place.
func (r *roll) remove(k key) {
	if r.n == 0 {
		return
	}
	at, _, found := r.find(&k)
	if !found {
		return
	}
	last := r.row(r.n - 1)
	if n := r.number(at); n != r.n-1 {
		moved, tag, _ := r.find(&last.key)
		r.index[moved] = uint32(n+1) | tag
		*r.row(n) = *last
	}
	*last = entered{}
	r.n--
	r.free(at)
}

// free empties a place, and moves there what stands behind because it was taken.
func (r *roll) free(at int) {
	for next := r.next(at); r.index[next] != 0; next = r.next(next) {
		home, _ := r.place(&r.row(r.number(next)).key)
		if (next-home+len(r.index))%len(r.index) >= (next-at+len(r.index))%len(r.index) {
			r.index[at], at = r.index[next], next
		}
	}
	r.index[at] = 0
}

// all yields every account. Nobody changes the roll meanwhile.
func (r *roll) all() iter.Seq2[key, known] {
	return func(yield func(key, known) bool) {
		for n := range r.n {
			if row := r.row(n); !yield(row.key, row.known) {
				return
			}
		}
	}
}
