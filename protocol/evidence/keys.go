package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// Bounds of key sets.
const (
	maxJWKS    = 64 << 10 // bytes
	maxKeys    = 64
	minRSABits = 2048
	maxRSABits = 8192
)

// b64 is base64url without padding, and without the spare bits that would let two
// texts mean one value.
var b64 = base64.RawURLEncoding.Strict()

// A JWK is one public key of a JSON Web Key set (RFC 7517, RFC 7518 6). Members that
// are not needed to verify signatures are dropped.
type JWK struct {
	Kty string `json:"kty"`
	Kid string `json:"kid,omitempty"`
	Use string `json:"use,omitempty"`
	Alg string `json:"alg,omitempty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

// JWKS is a set of public keys.
type JWKS struct {
	Keys []JWK `json:"keys"`
}

// ParseJWKS reads a key set. Keys of kinds that this package cannot verify with, and
// keys for encryption, are left out; a set without any other is refused.
func ParseJWKS(raw []byte) (JWKS, error) {
	if len(raw) > maxJWKS {
		return JWKS{}, fmt.Errorf("%w: key set of %d bytes", ErrFormat, len(raw))
	}
	var all JWKS
	if err := json.Unmarshal(raw, &all); err != nil {
		return JWKS{}, fmt.Errorf("%w: key set: %v", ErrFormat, err)
	}
	var s JWKS
	for _, k := range all.Keys {
		if _, err := k.public(); err == nil && k.Use != "enc" && len(s.Keys) < maxKeys {
			s.Keys = append(s.Keys, k)
		}
	}
	if len(s.Keys) == 0 {
		return JWKS{}, fmt.Errorf("%w: no usable key in the set", ErrFormat)
	}
	return s, nil
}

// public returns the key as Go knows it, with its point or size checked.
func (k JWK) public() (crypto.PublicKey, error) {
	switch k.Kty {
	case "EC":
		return k.ec()
	case "OKP":
		x, err := b64.DecodeString(k.X)
		if err != nil || k.Crv != "Ed25519" || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: OKP key", ErrFormat)
		}
		return ed25519.PublicKey(x), nil
	case "RSA":
		return k.rsa()
	}
	return nil, fmt.Errorf("%w: key type", ErrFormat)
}

func (k JWK) ec() (crypto.PublicKey, error) {
	x, errX := b64.DecodeString(k.X)
	y, errY := b64.DecodeString(k.Y)
	c := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Crv]
	if errX != nil || errY != nil || c == nil || len(x) != size(c) || len(y) != size(c) {
		return nil, fmt.Errorf("%w: EC key", ErrFormat)
	}
	key, err := point(c, x, y)
	if err != nil {
		return nil, err
	}
	return key, nil
}

func (k JWK) rsa() (crypto.PublicKey, error) {
	n, errN := b64.DecodeString(k.N)
	e, errE := b64.DecodeString(k.E)
	if errN != nil || errE != nil || len(e) == 0 || len(e) > 4 || len(n) > maxRSABits/8+1 {
		return nil, fmt.Errorf("%w: RSA key", ErrFormat)
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits || key.E < 3 || key.E%2 == 0 {
		return nil, fmt.Errorf("%w: RSA key", ErrFormat)
	}
	return key, nil
}

// size is the length of a coordinate in bytes.
func size(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

// point returns the public key with these coordinates, which may be shorter than the
// curve, or an error when there is no such point.
func point(c elliptic.Curve, x, y []byte) (*ecdsa.PublicKey, error) {
	n := size(c)
	if len(x) > n || len(y) > n {
		return nil, fmt.Errorf("%w: coordinate longer than the curve", ErrFormat)
	}
	p := append([]byte{4}, make([]byte, 2*n)...)
	copy(p[1+n-len(x):], x)
	copy(p[1+2*n-len(y):], y)
	key, err := ecdsa.ParseUncompressedPublicKey(c, p)
	if err != nil {
		return nil, fmt.Errorf("%w: no such point", ErrFormat)
	}
	return key, nil
}
