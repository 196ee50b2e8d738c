package ldap

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// TestARollIsAMap holds a roll against a map, through growth, and through removals that
// leave gaps in rows of places that lie behind one another.
func TestARollIsAMap(t *testing.T) {
	r, want := roll{}, map[key]known{}
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() (k key) {
		binary.BigEndian.PutUint64(k[8:], random.Uint64N(20_000))
		return k
	}
	for i := range 200_000 {
		k := draw()
		if random.IntN(5) < 3 {
			now := known{uint64(i), uint64(random.IntN(3))}
			before, had := want[k]
			if same, ok := r.put(k, now); same != (had && before == now) || !ok {
				t.Fatalf("put of %x is not what a map says", k)
			}
			want[k] = now
		} else {
			r.remove(k)
			delete(want, k)
		}
		k = draw()
		got, found := r.get(k)
		if now, had := want[k]; found != had || got != now {
			t.Fatalf("after %d steps %x is %v, %v; want %v, %v", i, k, got, found, now, had)
		}
	}
	n := 0
	for k, got := range r.all() {
		if n++; want[k] != got {
			t.Fatalf("%x is %v, want %v", k, got, want[k])
		}
	}
	if n != len(want) {
		t.Errorf("%d rows, want %d", n, len(want))
	}
}
