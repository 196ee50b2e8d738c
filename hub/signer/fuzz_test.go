package signer

import (
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"
)

// What an agent answers as r and s is 64 bytes of just these numbers, or an error.
func FuzzPoints(f *testing.F) {
	for _, n := range [][2]int64{{1, 1}, {0, 1}, {-1, 5}, {255, 256}} {
		f.Add(ssh.Marshal(struct{ R, S *big.Int }{big.NewInt(n[0]), big.NewInt(n[1])}))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, blob []byte) {
		out, err := fixed(blob)
		if err != nil {
			return
		}
		if len(out) != 2*half || len(blob) > maxPoints {
			t.Fatalf("%d bytes of %d", len(out), len(blob))
		}
		r, s := new(big.Int).SetBytes(out[:half]), new(big.Int).SetBytes(out[half:])
		again, err := fixed(ssh.Marshal(struct{ R, S *big.Int }{r, s}))
		if err != nil || string(again) != string(out) || r.Sign() == 0 || s.Sign() == 0 {
			t.Errorf("%x: %x, %v", out, again, err)
		}
	})
}

// Nothing that a gate is asked to sign makes it fail, and no sign-in by SSH is a token.
func FuzzPurpose(f *testing.F) {
	f.Add([]byte("eyJhbGciOiJFUzI1NiJ9.e30"))
	f.Add([]byte{0x30, 0})
	f.Add([]byte("SSHSIG"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p := purposeOf(data); p.Kind != "" && len(data) > 0 && data[0] == 0 || len(p.Client) > maxNamed {
			t.Errorf("%+v of %q", p, data)
		}
	})
}
