package ldapconn

import (
	"encoding/hex"
	"strings"

	"github.com/postern-id/postern/protocol"
)

// ParseUUID reads 32 hexadecimal digits in groups of 8-4-4-4-12 and returns the
// canonical form, in lower case. Ids from outside pass it before anything else looks
// at them. The error is CodeBadRequest.
func ParseUUID(text string) (canonical string, raw [16]byte, err error) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return "", raw, errUUID()
	}
	var said byte
	for to, from := range pairs {
		high, low := nibbles[text[from]], nibbles[text[from+1]]
		said |= high | low
		raw[to] = high<<4 | low&0xf
	}
	if said >= noNibble {
		return "", [16]byte{}, errUUID()
	}
	if canonical = text; said >= upperNibble {
		canonical = strings.ToLower(text)
	}
	return canonical, raw, nil
}

// pairs are where the digits of each byte stand.
var pairs = [16]byte{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// Beside the value of a hexadecimal digit: that it is a capital, or none at all.
const (
	upperNibble = 0x10
	noNibble    = 0x20
)

// nibbles are the values of hexadecimal digits.
var nibbles = func() (all [256]byte) {
	for c := range all {
		switch {
		case c >= '0' && c <= '9':
			all[c] = byte(c - '0')
		case c >= 'a' && c <= 'f':
			all[c] = byte(c - 'a' + 10)
		case c >= 'A' && c <= 'F':
			all[c] = byte(c-'A'+10) | upperNibble
		default:
			all[c] = noNibble
		}
	}
	return all
}()

// FormatUUID writes 16 bytes in the canonical form, lower-case and dashed.
func FormatUUID(raw [16]byte) string {
	b := [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex.Encode(b[:8], raw[:4])
	hex.Encode(b[9:13], raw[4:6])
	hex.Encode(b[14:18], raw[6:8])
	hex.Encode(b[19:23], raw[8:10])
	hex.Encode(b[24:], raw[10:])
	return string(b[:])
}

func errUUID() error {
	return protocol.Err(protocol.CodeBadRequest, "the account's id is not a UUID")
}

// SwapGUID turns the bytes of an Active Directory GUID into those of its text form
// and back: the first three groups are little-endian (MS-DTYP §2.3.4).
func SwapGUID(b [16]byte) [16]byte {
	return [16]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}
