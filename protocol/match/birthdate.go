package match

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// BirthDate reports whether date, "YYYY-MM-DD", is the one that stored stands for. The
// forms of stored are the keyed hash under key for the account id, and those of the public
// interface: "$sha256$HASH", "$sha256$SALT$HASH" with the salt's bytes before the date, and
// the date in clear. Anything else equals no date.
// Constant time: nothing tells how much of a hash agreed.
func BirthDate(key []byte, id, stored, date string) bool {
	if !isDate(date) {
		return false
	}
	want, ok := "", false
	switch {
	case protocol.IsBirthDateHash(stored):
		want, ok = protocol.BirthDateHash(key, id, date), len(key) > 0
	case strings.HasPrefix(stored, publicScheme):
		want, ok = publicHash(stored, date)
	default:
		want, ok = date, isDate(stored)
	}
	return subtle.ConstantTimeCompare([]byte(stored), []byte(want)) == 1 && ok
}

// publicScheme begins the forms that other software writes (PHC string format, unpadded
// base64).
const publicScheme = "$sha256$"

// Bounds of a salt, in bytes, as the public interface has them.
const minSalt, maxSalt = 12, 64

// publicHash writes date in the form of stored, with its salt.
func publicHash(stored, date string) (string, bool) {
	salt, hash, salted := strings.Cut(strings.TrimPrefix(stored, publicScheme), "$")
	var raw []byte
	if salted {
		var err error
		raw, err = base64.RawStdEncoding.Strict().DecodeString(salt)
		if err != nil || len(raw) < minSalt || len(raw) > maxSalt {
			return "", false
		}
		salt += "$"
	} else {
		salt, hash = "", salt
	}
	sum := sha256.Sum256(append(raw, date...))
	return publicScheme + salt + base64.RawStdEncoding.EncodeToString(sum[:]), len(hash) == base64.RawStdEncoding.EncodedLen(len(sum))
}

// ValidBirthDate reports whether stored is one of the forms that BirthDate reads.
func ValidBirthDate(stored string) bool {
	if isDate(stored) || protocol.IsBirthDateHash(stored) {
		return true
	}
	_, ok := publicHash(stored, "")
	return strings.HasPrefix(stored, publicScheme) && ok
}

func isDate(s string) bool {
	t, err := time.Parse(time.DateOnly, s)
	return err == nil && t.Year() >= 1880
}
