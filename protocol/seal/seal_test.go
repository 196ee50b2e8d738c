package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol"
)

var update = flag.Bool("update", false, "write the golden vector anew")

// A vector is one golden case; testdata/seal.json is also opened by the page's script.
type vector struct {
	PrivateKey []byte           `json:"private_key"` // P-256 scalar, a test's own
	Recipient  []byte           `json:"recipient"`
	Context    protocol.Context `json:"context"`
	Secret     string           `json:"secret"`
	Sealed     []byte           `json:"sealed"`
}

func newKey(t testing.TB) (*ecdh.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := Encode(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return key, recipient
}

func golden(t *testing.T) []vector {
	t.Helper()
	if *update {
		writeGolden(t)
	}
	raw, err := os.ReadFile("testdata/seal.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(raw, &vs); err != nil || len(vs) == 0 {
		t.Fatal("golden vectors:", err)
	}
	return vs
}

func writeGolden(t *testing.T) {
	var vs []vector
	for i, secret := range []string{"Tmp-4711-Falke-Moos", "pässwörd ✓ 漢字", "https://idp.example/reset?t=" + strings.Repeat("a", 500)} {
		key, recipient := newKey(t)
		m := protocol.Members{Recovery: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", Directory: "d", Account: "a", Operation: "get_temporary_password", Recipient: recipient, NotAfter: int64(1800000000 + i)}
		sealed, err := Seal(recipient, m.Context(), protocol.NewSecret(secret))
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, vector{key.Bytes(), recipient, m.Context(), secret, sealed})
	}
	raw, err := json.MarshalIndent(vs, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/seal.json", append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenVectorsOpen(t *testing.T) {
	for _, v := range golden(t) {
		key, err := ecdh.P256().NewPrivateKey(v.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := Encode(key.PublicKey()); !bytes.Equal(got, v.Recipient) {
			t.Errorf("recipient %x, want %x", got, v.Recipient)
		}
		got, err := Open(key, v.Context, v.Sealed)
		if err != nil || got.Reveal() != v.Secret {
			t.Errorf("opened %q, %v; want %q", got.Reveal(), err, v.Secret)
		}
	}
}

func TestP15_OnlyTheRecipientOpensAndOnlyForItsContext(t *testing.T) {
	key, recipient := newKey(t)
	other, _ := newKey(t)
	c := protocol.Members{Recovery: "r", Operation: "unlock", Recipient: recipient}.Context()
	sealed, err := Seal(recipient, c, protocol.NewSecret("Tmp-4711"))
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) != len("Tmp-4711")+Overhead {
		t.Errorf("sealed length %d, want %d", len(sealed), len("Tmp-4711")+Overhead)
	}
	if _, err := Open(other, c, sealed); !errors.Is(err, ErrSealed) {
		t.Error("another key:", err)
	}
	wrong := c
	wrong[31] ^= 1
	if _, err := Open(key, wrong, sealed); !errors.Is(err, ErrSealed) {
		t.Error("another context:", err)
	}
	for i := range sealed {
		bent := bytes.Clone(sealed)
		bent[i] ^= 1
		if _, err := Open(key, c, bent); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func TestT22_ARecipientHasExactlyOneSuiteAndOneLength(t *testing.T) {
	key, good := newKey(t)
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), compressed(key))
	if x == nil || y == nil {
		t.Fatal("the compressed point of the test is wrong")
	}
	with := func(i int, b byte) []byte { c := bytes.Clone(good); c[i] = b; return c }
	for name, b := range map[string][]byte{
		"empty":            nil,
		"suite alone":      good[:6],
		"point alone":      good[6:],
		"one byte less":    good[:70],
		"one byte more":    append(bytes.Clone(good), 0),
		"X25519":           with(1, 0x20),
		"another KDF":      with(3, 0x02),
		"AES-128":          with(5, 0x01),
		"hybrid point":     with(6, 0x06),
		"compressed point": append(bytes.Clone(good[:6]), compressed(key)...),
		"compressed form":  with(6, 0x02),
		"off the curve":    with(70, good[70]^1),
		"infinity":         append(bytes.Clone(good[:6]), make([]byte, 65)...),
	} {
		if _, err := ParseRecipient(b); !errors.Is(err, ErrRecipient) {
			t.Errorf("%s: accepted (%v)", name, err)
		}
		if _, err := Seal(b, protocol.Context{}, protocol.NewSecret("x")); !errors.Is(err, ErrRecipient) {
			t.Errorf("%s: sealed (%v)", name, err)
		}
	}
	if _, err := ParseRecipient(good); err != nil {
		t.Error("a good recipient:", err)
	}
	x25519, _ := ecdh.X25519().GenerateKey(rand.Reader)
	if _, err := Encode(x25519.PublicKey()); !errors.Is(err, ErrRecipient) {
		t.Error("encoded a key of another curve:", err)
	}
}

func compressed(k *ecdh.PrivateKey) []byte {
	p := k.PublicKey().Bytes()
	return append([]byte{2 + p[64]&1}, p[1:33]...)
}

func TestSecretsAreBounded(t *testing.T) {
	key, recipient := newKey(t)
	for _, n := range []int{0, MaxSecret + 1} {
		if _, err := Seal(recipient, protocol.Context{}, protocol.NewSecret(strings.Repeat("a", n))); !errors.Is(err, ErrSecret) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	sealed, err := Seal(recipient, protocol.Context{}, protocol.NewSecret(strings.Repeat("a", MaxSecret)))
	if err != nil || len(sealed) != MaxSealed {
		t.Errorf("longest secret: %d bytes, %v", len(sealed), err)
	}
	for _, n := range []int{0, Overhead, MaxSealed + 1} {
		if _, err := Open(key, protocol.Context{}, make([]byte, n)); !errors.Is(err, ErrSealed) {
			t.Errorf("opened %d bytes: %v", n, err)
		}
	}
}

func FuzzParseRecipient(f *testing.F) {
	_, good := newKey(f)
	f.Add(good)
	f.Add(good[:70])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := ParseRecipient(b)
		if err != nil {
			return
		}
		if again, err := Encode(key); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x has a second spelling %x (%v)", b, again, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	key, recipient := newKey(f)
	sealed, err := Seal(recipient, protocol.Context{}, protocol.NewSecret("Tmp-4711"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[:80])
	f.Add(append(bytes.Clone(sealed), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := Open(key, protocol.Context{}, b); err == nil && !bytes.Equal(b, sealed) {
			t.Errorf("forged %x opened to %d bytes", b, len(got.Reveal()))
		}
	})
}
