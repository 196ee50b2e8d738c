package party

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
)

// Bounds of a key set.
const (
	maxKeys   = 16
	maxKeySet = 16 << 10 // bytes
)

// How clients prove themselves, where it is not by a secret.
const (
	AuthKey  = "private_key_jwt"
	AuthNone = "none"
)

// A Key is a public key of a client.
type Key struct {
	ID, Algorithm string
	Public        crypto.PublicKey
}

// ParseKeys reads a key set (RFC 7517): keys of P-256, Ed25519 and RSA of at least
// 2048 bits. Others are left out; private keys are refused.
func ParseKeys(raw []byte) ([]Key, error) {
	var set struct {
		Keys []struct {
			publicKey
			D string `json:"d"`
		} `json:"keys"`
	}
	if len(raw) > maxKeySet || json.Unmarshal(raw, &set) != nil {
		return nil, errors.New("the key set cannot be read")
	}
	var list []Key
	for _, k := range set.Keys {
		if k.D != "" {
			return nil, errors.New("the key set holds a private key")
		}
		public, algorithm, ok := k.read()
		if ok && k.Use != "enc" && (k.Alg == "" || k.Alg == algorithm || k.Alg == "Ed25519" && algorithm == EdDSA) && len(list) < maxKeys {
			list = append(list, Key{k.Kid, algorithm, public})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the key set holds no key that is of use: want P-256, Ed25519, or RSA of at least 2048 bits")
	}
	return list, nil
}

// read returns the key and the one algorithm in which it signs.
func (k publicKey) read() (crypto.PublicKey, string, bool) {
	x, errX := enc.DecodeString(k.X)
	y, errY := enc.DecodeString(k.Y)
	switch {
	case k.Kty == "EC" && k.Crv == "P-256" && errX == nil && errY == nil && len(x) == 32 && len(y) == 32:
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		return public, ES256, err == nil
	case k.Kty == "OKP" && k.Crv == "Ed25519" && errX == nil && len(x) == ed25519.PublicKeySize:
		return ed25519.PublicKey(x), EdDSA, true
	case k.Kty == "RSA":
		n, errN := enc.DecodeString(k.N)
		e, errE := enc.DecodeString(k.E)
		if errN != nil || errE != nil || len(n) < rsaBits/8 || len(n) > 1024 || len(e) == 0 || len(e) > 4 {
			return nil, "", false
		}
		exp := int(new(big.Int).SetBytes(e).Int64())
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exp}
		return public, RS256, exp >= 3 && exp%2 == 1 && exp <= 1<<31-1 && public.N.BitLen() >= rsaBits
	}
	return nil, "", false
}
