package ad

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// guidSize is the length of an objectGUID as the directory stores it.
const guidSize = 16

// guidOrder says which stored byte stands at each place of the text: the first three
// groups are little-endian (MS-DTYP 2.3.4).
var guidOrder = [guidSize]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}

// guidDashes are the places of the text at which a dash stands.
var guidDashes = [...]int{8, 13, 18, 23}

var errGUID = errors.New("ad: not an objectGUID")

// guidText returns the canonical form of a stored objectGUID: lower-case and dashed.
func guidText(raw []byte) (string, error) {
	if len(raw) != guidSize {
		return "", errGUID
	}
	var b [guidSize]byte
	for i, from := range guidOrder {
		b[i] = raw[from]
	}
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

// parseGUID reads a dashed GUID of either case into the bytes that the directory
// stores. Whatever came from the hub passes here before it is part of a request.
func parseGUID(text string) ([]byte, error) {
	if len(text) != 2*guidSize+len(guidDashes) {
		return nil, errGUID
	}
	for _, i := range guidDashes {
		if text[i] != '-' {
			return nil, errGUID
		}
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != guidSize {
		return nil, errGUID
	}
	raw := make([]byte, guidSize)
	for i, to := range guidOrder {
		raw[to] = b[i]
	}
	return raw, nil
}

// guidDN is the form in which a base search or a modify addresses an object by its
// GUID, wherever it was moved (MS-ADTS 3.1.1.3.1.2.4).
func guidDN(id string) string { return "<GUID=" + id + ">" }

// maxSubAuthorities is the most that a SID can have (MS-DTYP 2.4.2.2).
const maxSubAuthorities = 15

// A sid is a security identifier in text form, "S-1-5-21-…-512".
type sid string

// parseSID reads a stored objectSid.
func parseSID(raw []byte) (sid, error) {
	const head = 8
	if len(raw) < head || raw[0] != 1 || raw[1] > maxSubAuthorities || len(raw) != head+4*int(raw[1]) {
		return "", fmt.Errorf("ad: %d bytes are no SID", len(raw))
	}
	var b strings.Builder
	authority := uint64(binary.BigEndian.Uint16(raw[2:4]))<<32 | uint64(binary.BigEndian.Uint32(raw[4:8]))
	fmt.Fprintf(&b, "S-1-%d", authority)
	for i := head; i < len(raw); i += 4 {
		fmt.Fprintf(&b, "-%d", binary.LittleEndian.Uint32(raw[i:]))
	}
	return sid(b.String()), nil
}

// domain returns the SID without its last part, and that part.
func (s sid) domain() (string, uint32) {
	i := strings.LastIndexByte(string(s), '-')
	if i < 0 {
		return "", 0
	}
	rid, err := strconv.ParseUint(string(s[i+1:]), 10, 32)
	if err != nil {
		return "", 0
	}
	return string(s[:i]), uint32(rid)
}

// sibling returns the SID of the same domain with another last part.
func (s sid) sibling(rid uint32) sid {
	d, _ := s.domain()
	return sid(d + "-" + strconv.FormatUint(uint64(rid), 10))
}
