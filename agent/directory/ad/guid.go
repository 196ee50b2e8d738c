package ad

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// guidText returns the canonical form of a stored objectGUID: lower-case and dashed.
func guidText(raw []byte) (string, error) {
	var b [16]byte
	if len(raw) != len(b) {
		return "", fmt.Errorf("ad: %d bytes are no objectGUID", len(raw))
	}
	copy(b[:], raw)
	return ldapconn.FormatUUID(ldapconn.SwapGUID(b)), nil
}

// guidDN is the form in which a base search or a modify addresses an object by its
// GUID, wherever it was moved (MS-ADTS 3.1.1.3.1.2.4). id is canonical.
func guidDN(id string) string { return "<GUID=" + id + ">" }

// maxSubAuthorities is the most that a SID can have (MS-DTYP 2.4.2.2).
const maxSubAuthorities = 15

// A sid is a security identifier in text form, "S-1-5-21-…-512".
type sid string

// parseSID reads a stored SID, which fills raw exactly.
func parseSID(raw []byte) (sid, error) {
	s, rest, err := cutSID(raw)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("ad: %d bytes after a SID", len(rest))
	}
	if err != nil {
		return "", err
	}
	return s, nil
}

// cutSID reads a SID at the front of raw.
func cutSID(raw []byte) (s sid, rest []byte, err error) {
	const head = 8
	if len(raw) < head || raw[0] != 1 || raw[1] > maxSubAuthorities || len(raw) < head+4*int(raw[1]) {
		return "", nil, fmt.Errorf("ad: %d bytes are no SID", len(raw))
	}
	end := head + 4*int(raw[1])
	var b strings.Builder
	authority := uint64(binary.BigEndian.Uint16(raw[2:4]))<<32 | uint64(binary.BigEndian.Uint32(raw[4:8]))
	fmt.Fprintf(&b, "S-1-%d", authority)
	for i := head; i < end; i += 4 {
		fmt.Fprintf(&b, "-%d", binary.LittleEndian.Uint32(raw[i:]))
	}
	return sid(b.String()), raw[end:], nil
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
func (s sid) sibling(rid string) sid {
	d, _ := s.domain()
	return sid(d + "-" + rid)
}
