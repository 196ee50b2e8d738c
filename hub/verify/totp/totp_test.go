package totp

import (
	"encoding/base32"
	"testing"
	"time"
)

// The vectors of RFC 6238, appendix B, SHA-1, cut to six digits.
func TestCodesAreThoseOfTheStandard(t *testing.T) {
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("12345678901234567890"))
	for at, code := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if step, ok := Match(secret, code, time.Unix(at, 0)); !ok || step != at/30 {
			t.Errorf("%d: step %d, %v", at, step, ok)
		}
		if _, ok := Match(secret, code, time.Unix(at+61, 0)); ok {
			t.Errorf("%d: still right two steps later", at)
		}
	}
	for _, bad := range []string{"", "28708", "2870820", "２８７０８２"} {
		if _, ok := Match(secret, bad, time.Unix(59, 0)); ok {
			t.Errorf("%q is right", bad)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("287082", "GEZDGNBVGY3TQOJQ")
	f.Fuzz(func(t *testing.T, typed, secret string) {
		if step, ok := Match(secret, typed, time.Unix(59, 0)); ok && (step < 0 || step > 2) {
			t.Fatal(step)
		}
	})
}
