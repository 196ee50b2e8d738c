package oidc

import (
	"crypto/rsa"
	"math/big"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// KeyOf makes a key of an algorithm.
func KeyOf(algorithm string, now time.Time) (store.OIDCKey, error) { return newKey(algorithm, now) }

// Thumbprint is the kid of an RSA key.
func Thumbprint(n, e string) (string, error) {
	nb, err := enc.DecodeString(n)
	if err != nil {
		return "", err
	}
	eb, err := enc.DecodeString(e)
	if err != nil {
		return "", err
	}
	p, err := describe(&rsa.PublicKey{N: new(big.Int).SetBytes(nb), E: int(new(big.Int).SetBytes(eb).Int64())})
	return p.Kid, err
}
