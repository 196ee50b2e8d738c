// Package seal closes a secret so that only the holder of one browser's key can open
// it, and only for the evidence context that it was made for: HPKE base mode
// (RFC 9180) with exactly one suite. It knows neither tunnels nor what a secret is for.
//
// A recipient is written as the suite and the key: kem, kdf and aead ids of RFC 9180
// §7 (two bytes each, big-endian: 0x0010 0x0001 0x0002), then the uncompressed P-256
// point of 65 bytes, 71 bytes in all. The same bytes are the "recipient" member of the
// evidence context, so nobody can exchange the key afterwards. A sealed value is the
// encapsulated key (65 bytes) followed by the ciphertext and its tag (16 bytes).
package seal

import (
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"fmt"

	"github.com/postern-id/postern/protocol"
)

// Label begins the info of every seal; the 32 bytes of the context follow it.
const Label = "postern/seal/v1"

// suite is DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. A second suite would
// be a second length and a second table row, never a guess from the bytes.
const suite = "\x00\x10\x00\x01\x00\x02"

// Lengths in bytes.
const (
	pointLen     = 65                    // uncompressed P-256 point, and the encapsulated key
	tagLen       = 16                    // of AES-GCM
	RecipientLen = len(suite) + pointLen // of every recipient
	Overhead     = pointLen + tagLen     // what sealing adds
	MaxSecret    = 4096                  // the longest secret is a link; more is a mistake
	MaxSealed    = MaxSecret + Overhead  // bound for those who store and carry sealed values
)

// Errors of this package. They never carry bytes of a key or secret.
var (
	ErrRecipient = errors.New("seal: not a recipient of the one suite and length")
	ErrSecret    = fmt.Errorf("seal: a secret has 1 to %d bytes", MaxSecret)
	ErrSealed    = errors.New("seal: not sealed for this key and context")
)

// Encode writes a recipient. The key must be on P-256.
func Encode(key *ecdh.PublicKey) ([]byte, error) {
	if key == nil || key.Curve() != ecdh.P256() {
		return nil, ErrRecipient
	}
	return append([]byte(suite), key.Bytes()...), nil
}

// ParseRecipient reads a recipient. It refuses every other suite, length or form of
// point, and points that are not on the curve, so that one key has one spelling.
func ParseRecipient(b []byte) (*ecdh.PublicKey, error) {
	if len(b) != RecipientLen || string(b[:len(suite)]) != suite {
		return nil, ErrRecipient
	}
	key, err := ecdh.P256().NewPublicKey(b[len(suite):])
	if err != nil {
		return nil, ErrRecipient
	}
	return key, nil
}

// Seal closes the secret for the recipient and the context. The recipient is that of
// the context's members; the result differs with each call and is never made again
// from the same secret (a lost key means a new recovery).
func Seal(recipient []byte, c protocol.Context, secret protocol.Secret) ([]byte, error) {
	key, err := ParseRecipient(recipient)
	if err != nil {
		return nil, err
	}
	plain := []byte(secret.Reveal())
	if len(plain) == 0 || len(plain) > MaxSecret {
		return nil, ErrSecret
	}
	pub, err := hpke.NewDHKEMPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("seal: recipient: %w", err)
	}
	return hpke.Seal(pub, hpke.HKDFSHA256(), hpke.AES256GCM(), info(c), plain)
}

// Open opens what Seal closed. In the product only the browser's script does this;
// here it serves tests and tools. Every failure is ErrSealed.
func Open(key *ecdh.PrivateKey, c protocol.Context, sealed []byte) (protocol.Secret, error) {
	if len(sealed) <= Overhead || len(sealed) > MaxSealed {
		return protocol.Secret{}, ErrSealed
	}
	if key == nil || key.Curve() != ecdh.P256() {
		return protocol.Secret{}, ErrRecipient
	}
	priv, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return protocol.Secret{}, fmt.Errorf("seal: key: %w", err)
	}
	plain, err := hpke.Open(priv, hpke.HKDFSHA256(), hpke.AES256GCM(), info(c), sealed)
	if err != nil {
		return protocol.Secret{}, ErrSealed
	}
	return protocol.NewSecret(string(plain)), nil
}

func info(c protocol.Context) []byte { return append([]byte(Label), c[:]...) }
