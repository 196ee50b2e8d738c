package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// birthDateScheme begins the text form of the keyed hash of a birth date, in the
// manner of the PHC string format.
const birthDateScheme = "$hmac-sha256$"

// BirthDateHash is the only form in which a birth date leaves an agent: HMAC-SHA-256
// of the date, "YYYY-MM-DD" in UTF-8, under the directory's birth-date key, as
// unpadded base64 behind the name of the scheme. Both ends compute it, so a date
// that an employee types can be compared without the hub holding the directory's.
func BirthDateHash(key []byte, date string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(date))
	return birthDateScheme + base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}
