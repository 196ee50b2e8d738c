package site

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// What reads bar codes is the published zxing-wasm 3.1.4, byte by byte ("make zxing").
func TestTheReaderOfBarCodesIsThePublishedOne(t *testing.T) {
	for name, want := range map[string]string{
		"zxing.js":          "d33d09ce132a692faffbed0dce656c36cb2573b4b843885a6e036390d1071d95",
		"zxing_reader.wasm": "e8af31edb56d0522f4de74495839385ef019ba8bc90d38e5ecb2f18795d86fb2",
	} {
		b, err := static.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is %x", name, sum)
		}
	}
}
