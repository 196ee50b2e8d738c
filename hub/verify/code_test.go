package verify

import (
	"bytes"
	"testing"
)

func TestCodesAreSpreadOverAllDigits(t *testing.T) {
	var first [10]int
	for range 2000 {
		c := NewCode()
		if len(c) != Digits {
			t.Fatal(c)
		}
		first[c[0]-'0']++
	}
	for d, n := range first {
		if n < 100 { // expected 200; less than half has a chance below 1e-14
			t.Errorf("%d codes of 2000 begin with %d", n, d)
		}
	}
}

func TestAHashFitsItsOwnPlaceAndKeysOfBeforeStillCount(t *testing.T) {
	old, now := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	h := Keyed(old, "v1", "12345678")
	if !KeyedIs(h, [][]byte{now, old}, "v1", "12345678") {
		t.Error("a key of before does not count")
	}
	if KeyedIs(h, [][]byte{now}, "v1", "12345678") || KeyedIs(h, [][]byte{old}, "v2", "12345678") || KeyedIs("", [][]byte{old}, "v1", "12345678") || KeyedIs(h, nil, "v1", "12345678") {
		t.Error("a hash fits elsewhere")
	}
}
