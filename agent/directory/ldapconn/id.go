package ldapconn

import (
	"encoding/hex"

	"github.com/postern-id/postern/protocol"
)

// ParseUUID reads 32 hexadecimal digits in groups of 8-4-4-4-12 and returns the
// canonical form, in lower case. Ids from outside pass it before anything else looks
// at them. The error is CodeBadRequest.
func ParseUUID(text string) (canonical string, raw [16]byte, err error) {
	bad := protocol.Err(protocol.CodeBadRequest, "the account's id is not a UUID")
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return "", raw, bad
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if _, err := hex.Decode(raw[:], []byte(digits)); err != nil {
		return "", raw, bad
	}
	return FormatUUID(raw), raw, nil
}

// FormatUUID writes 16 bytes in the canonical form, lower-case and dashed.
func FormatUUID(raw [16]byte) string {
	s := hex.EncodeToString(raw[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// SwapGUID turns the bytes of an Active Directory GUID into those of its text form
// and back: the first three groups are little-endian (MS-DTYP §2.3.4).
func SwapGUID(b [16]byte) [16]byte {
	return [16]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}
