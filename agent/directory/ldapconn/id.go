package ldapconn

import (
	"encoding/hex"

	"github.com/postern-id/postern/protocol"
)

// ParseUUID reads 32 hexadecimal digits in groups of 8-4-4-4-12 and returns the
// canonical form, in lower case. Ids from outside pass it before anything else looks
// at them. The error is CodeBadRequest.
func ParseUUID(text string) (canonical string, raw [16]byte, err error) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return "", raw, errUUID()
	}
	var digits [32]byte
	for to, from := 0, 0; from < len(text); from++ {
		if text[from] != '-' && to < len(digits) {
			digits[to] = text[from]
			to++
		}
	}
	if _, err := hex.Decode(raw[:], digits[:]); err != nil {
		return "", raw, errUUID()
	}
	return FormatUUID(raw), raw, nil
}

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
