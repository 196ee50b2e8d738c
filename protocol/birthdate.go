package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// birthDateScheme begins the text form of the keyed hash of a birth date, in the
// manner of the PHC string format.
const birthDateScheme = "$hmac-sha256$"

// BirthDateHash is the only form in which a birth date leaves an agent: HMAC-SHA-256
// under the directory's birth-date key of "bd1|", the account's canonical immutable id,
// "|" and the date, "YYYY-MM-DD", as unpadded base64 behind the name of the scheme. There
// are some 36,000 dates only: the key is the whole protection, and the id keeps two people
// who were born on one day apart.
func BirthDateHash(key []byte, id, date string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("bd1|" + id + "|" + date))
	return birthDateScheme + base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

// IsBirthDateHash reports whether text has the form of BirthDateHash.
func IsBirthDateHash(text string) bool {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(text, birthDateScheme))
	return strings.HasPrefix(text, birthDateScheme) && err == nil && len(raw) == sha256.Size
}
