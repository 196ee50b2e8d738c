package verify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// NewCode returns Digits uniformly distributed digits, to be sent and typed.
func NewCode() string {
	n, _ := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(Digits), nil)) // never fails
	return fmt.Sprintf("%0*d", Digits, n)
}

// Keyed is how a code, or another short text, stands in a store: bound to a place, so
// that a hash copied elsewhere fits nothing there.
func Keyed(key []byte, place ...string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(place, "\x00")))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// KeyedIs reports whether a hash is that of the texts under one of the keys: the first
// hashes, all are accepted. Each comparison takes the same time whatever is right.
func KeyedIs(hash string, keys [][]byte, place ...string) bool {
	return slices.ContainsFunc(keys, func(key []byte) bool { return hmac.Equal([]byte(Keyed(key, place...)), []byte(hash)) })
}
