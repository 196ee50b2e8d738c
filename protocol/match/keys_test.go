package match

import (
	"slices"
	"testing"
)

// Whatever Names accepts is found by a key.
func TestKeysFindEveryNameThatMatches(t *testing.T) {
	all := append(pairsOf(t, sameText), pairsOf(t, differentText)...)
	found, wrong := 0, 0
	known := make([][]string, len(all))
	for i, b := range all {
		if known[i] = b.full.Keys(); len(known[i]) > MaxKeys {
			t.Errorf("%s has %d keys", b.line, len(known[i]))
		}
	}
	for n := 0; n < len(all); n += 2 {
		a := all[n]
		keys := a.doc.Keys()
		for i, b := range all {
			shared := slices.ContainsFunc(known[i], func(k string) bool { return slices.Contains(keys, k) })
			switch matches := Names(a.doc, b.full) == Match; {
			case matches && !shared:
				t.Errorf("%s matches %s, and no key finds it: %q %q", a.line, b.full.Full, keys, known[i])
			case matches:
				found++
			case shared:
				wrong++
			}
		}
	}
	t.Logf("%d found, %d that do not match", found, wrong)
	if found < 150 || wrong > 1000 {
		t.Error("the index is of no use")
	}
}
