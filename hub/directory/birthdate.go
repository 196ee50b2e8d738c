package directory

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/postern-id/postern/protocol/match"
)

// ErrBirthDate says that a text is no birth date in any form that is taken.
var ErrBirthDate = errors.New("directory: birth_date: want YYYY-MM-DD of a day that has come, $sha256$HASH, $sha256$SALT$HASH with a salt of 12 to 64 bytes, or $hmac-sha256$HASH, in unpadded base64")

const (
	saltSize     = 16  // of a date that came in clear, in bytes
	maxBirthDate = 200 // bytes of any form
)

// BirthDateHash returns the form in which a birth date that an operator gives is kept:
// hashes as they are, a date in clear as a salted hash of the public form.
func BirthDateHash(text string, now time.Time) (string, error) {
	if len(text) > maxBirthDate || !match.ValidBirthDate(text) {
		return "", ErrBirthDate
	}
	born, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return text, nil
	}
	if born.After(now) {
		return "", ErrBirthDate
	}
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // never fails
	sum := sha256.Sum256(append(salt[:], text...))
	return "$sha256$" + base64.RawStdEncoding.EncodeToString(salt[:]) + "$" + base64.RawStdEncoding.EncodeToString(sum[:]), nil
}
