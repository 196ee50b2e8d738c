package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/fxamacker/cbor/v2"
)

// Algorithms of passkeys (IANA COSE Algorithms), in the order in which they are asked
// for. RS256 is what Windows Hello on a TPM has.
const (
	AlgES256 = -7
	AlgEdDSA = -8
	AlgRS256 = -257
)

// maxPasskeyRSA bounds the modulus of a passkey in bits: more only costs time.
const maxPasskeyRSA = 4096

// maxCOSEKey bounds an encoded key: an RSA key of 4096 bits is the longest.
const maxCOSEKey = 1024

// coseKey is a COSE_Key of one of the algorithms above.
type coseKey struct {
	ec  *ecdsa.PublicKey
	ed  ed25519.PublicKey
	rsa *rsa.PublicKey
}

// coseMembers are the labels of RFC 9053, section 7, and RFC 8230, section 4. One label
// means different things for different types of keys.
type coseMembers struct {
	Kty int             `cbor:"1,keyasint"`
	Alg int             `cbor:"3,keyasint"`
	M1  cbor.RawMessage `cbor:"-1,keyasint,omitempty"` // curve, or modulus
	M2  []byte          `cbor:"-2,keyasint,omitempty"` // x, or exponent
	M3  []byte          `cbor:"-3,keyasint,omitempty"` // y
}

// Key types and curves of the IANA registries.
const (
	ktyOKP, ktyEC2, ktyRSA = 1, 2, 3
	curveP256, curveEd     = 1, 6
)

// parseCOSEKey reads a key and refuses what no algorithm above fits exactly.
func parseCOSEKey(b []byte) (coseKey, error) {
	var m coseMembers
	if len(b) > maxCOSEKey {
		return coseKey{}, fmt.Errorf("%w: a key of %d bytes", ErrFormat, len(b))
	}
	if err := authenticatorCBOR().Unmarshal(b, &m); err != nil {
		return coseKey{}, fmt.Errorf("%w: key: %w", ErrFormat, err)
	}
	switch {
	case m.Kty == ktyEC2 && m.Alg == AlgES256 && m.curve() == curveP256:
		return m.p256()
	case m.Kty == ktyOKP && m.Alg == AlgEdDSA && m.curve() == curveEd && len(m.M2) == ed25519.PublicKeySize:
		return coseKey{ed: ed25519.PublicKey(m.M2)}, nil
	case m.Kty == ktyRSA && m.Alg == AlgRS256:
		return m.rsa()
	}
	return coseKey{}, fmt.Errorf("%w: key type %d with algorithm %d", ErrFormat, m.Kty, m.Alg)
}

// curve returns the curve's number, 0 where the member is none.
func (m coseMembers) curve() (n int) {
	if authenticatorCBOR().Unmarshal(m.M1, &n) != nil {
		return 0
	}
	return n
}

func (m coseMembers) p256() (coseKey, error) {
	if len(m.M2) != 32 || len(m.M3) != 32 {
		return coseKey{}, fmt.Errorf("%w: a point of another length", ErrFormat)
	}
	key, err := point(elliptic.P256(), m.M2, m.M3)
	if err != nil {
		return coseKey{}, err
	}
	return coseKey{ec: key}, nil
}

func (m coseMembers) rsa() (coseKey, error) {
	var modulus []byte
	if err := authenticatorCBOR().Unmarshal(m.M1, &modulus); err != nil {
		return coseKey{}, fmt.Errorf("%w: modulus: %w", ErrFormat, err)
	}
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(m.M2)
	if n.BitLen() < minRSABits || n.BitLen() > maxPasskeyRSA || n.Bit(0) == 0 || e.BitLen() > 31 || e.Bit(0) == 0 || e.BitLen() < 2 {
		return coseKey{}, fmt.Errorf("%w: an RSA key of %d bits", ErrFormat, n.BitLen())
	}
	return coseKey{rsa: &rsa.PublicKey{N: n, E: int(e.Int64())}}, nil
}

// verify reports whether sig is the key's signature of message.
func (k coseKey) verify(message, sig []byte) bool {
	hash := sha256.Sum256(message)
	switch {
	case k.ec != nil:
		return ecdsa.VerifyASN1(k.ec, hash[:], sig)
	case k.ed != nil:
		return ed25519.Verify(k.ed, message, sig)
	case k.rsa != nil:
		return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, hash[:], sig) == nil
	}
	return false
}
