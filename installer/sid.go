package installer

import (
	"crypto/sha1" //nolint:gosec // the algorithm of service SIDs, not a protection
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// serviceSID is the SID that Windows gives a service of this name (MS-DTYP 2.4.2.4,
// "NT SERVICE"): known before the service is there, so that folders can be made for it.
func serviceSID(name string) string {
	var text []byte
	for _, u := range utf16.Encode([]rune(strings.ToUpper(name))) {
		text = binary.LittleEndian.AppendUint16(text, u)
	}
	sum := sha1.Sum(text)
	sid := "S-1-5-80"
	for i := 0; i < len(sum); i += 4 {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(sum[i:]))
	}
	return sid
}
