package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// tokenSize is the size of generated secrets in bytes: 256 random bits cannot be
// guessed, so a plain SHA-256 of them may be stored and looked up.
const tokenSize = 32

// NewToken returns a random secret as base64url text. Only its HashToken is stored.
func NewToken() string {
	var b [tokenSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return tokenText(b)
}

// HashToken returns what is stored of a secret that NewToken or an agent made. It
// must not be used for secrets that people choose. Looking a hash up by an index
// tells an attacker nothing: what he can vary is not the hash.
func HashToken(token string) string {
	return tokenText(sha256.Sum256([]byte(token)))
}

// tokenText writes a token, or the hash of one, with one allocation.
func tokenText(b [tokenSize]byte) string {
	var text [(tokenSize*8 + 5) / 6]byte
	base64.RawURLEncoding.Encode(text[:], b[:])
	return string(text[:])
}

// Base64 is how bytes are stored in a TEXT column.
func Base64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// ParseBase64 reads what Base64 wrote.
func ParseBase64(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
