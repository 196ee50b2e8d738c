package ad

import (
	"encoding/binary"
	"errors"
)

// Rights that a dry run looks for in an account's access list, by their GUID (MS-ADTS
// 5.1.3.2.1).
const (
	rightReset  = "00299570-246d-11d0-a768-00aa006e0529" // User-Force-Change-Password
	rightChange = "ab721a53-1e2f-11d0-9819-00aa0040529b" // User-Change-Password: one's own
	rightHashes = "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2" // DS-Replication-Get-Changes-All: whatever there is
)

// Parts of a security descriptor (MS-DTYP 2.4.4 to 2.4.6).
const (
	daclPresent   = 0x0004 // of its control bits
	daclProtected = 0x1000
	controlAccess = 0x0100  // ADS_RIGHT_DS_CONTROL_ACCESS
	deleteObject  = 0x10000 // DELETE
	deleteChild   = 0x0002  // ADS_RIGHT_DS_DELETE_CHILD
	inheritOnly   = 0x08    // the entry counts below this object only
	objectPresent = 0x1     // an object entry names a right

	aceAllowed       = 0x00
	aceDenied        = 0x01
	aceAllowedObject = 0x05
	aceDeniedObject  = 0x06

	descriptorHead = 20
	aclHead        = 8
	aceHead        = 4
)

var errDescriptor = errors.New("ad: nTSecurityDescriptor is malformed")

// An ace is one entry of an access list that holds for the object itself.
type ace struct {
	deny  bool
	mask  uint32
	right string // GUID of an extended right, an attribute or a class; "" for all
	who   sid
}

// An accessList is what a security descriptor allows and denies.
type accessList struct {
	aces      []ace
	open      bool // there is no list: everything is allowed
	protected bool // nothing is inherited from above
}

// parseDescriptor reads the entries of a self-relative security descriptor that hold for
// the object itself.
func parseDescriptor(raw []byte) (accessList, error) {
	if len(raw) < descriptorHead || raw[0] != 1 {
		return accessList{}, errDescriptor
	}
	control, at := binary.LittleEndian.Uint16(raw[2:]), binary.LittleEndian.Uint32(raw[16:])
	if control&daclPresent == 0 || at == 0 {
		return accessList{open: true}, nil
	}
	if uint64(at)+aclHead > uint64(len(raw)) {
		return accessList{}, errDescriptor
	}
	list := accessList{protected: control&daclProtected != 0}
	acl := raw[at:]
	size, count := int(binary.LittleEndian.Uint16(acl[2:])), int(binary.LittleEndian.Uint16(acl[4:]))
	if size < aclHead || size > len(acl) {
		return accessList{}, errDescriptor
	}
	acl = acl[aclHead:size]
	for range count {
		if len(acl) < aceHead {
			return accessList{}, errDescriptor
		}
		n := int(binary.LittleEndian.Uint16(acl[2:]))
		if n < aceHead || n > len(acl) {
			return accessList{}, errDescriptor
		}
		a, relevant, err := parseACE(acl[:n])
		if err != nil {
			return accessList{}, err
		}
		if relevant {
			list.aces = append(list.aces, a)
		}
		acl = acl[n:]
	}
	return list, nil
}

// parseACE reads one entry; it is relevant if it holds here and is of a kind that is known.
func parseACE(raw []byte) (a ace, relevant bool, err error) {
	kind, flags, body := raw[0], raw[1], raw[aceHead:]
	object := kind == aceAllowedObject || kind == aceDeniedObject
	if !object && kind != aceAllowed && kind != aceDenied {
		return ace{}, false, nil
	}
	a.deny = kind == aceDenied || kind == aceDeniedObject
	if len(body) < 4 {
		return ace{}, false, errDescriptor
	}
	a.mask = binary.LittleEndian.Uint32(body)
	body = body[4:]
	if object {
		if a.right, body, err = cutRight(body); err != nil {
			return ace{}, false, err
		}
	}
	if a.who, _, err = cutSID(body); err != nil {
		return ace{}, false, err
	}
	return a, flags&inheritOnly == 0, nil
}

// cutRight reads the flags and the GUIDs of an object entry.
func cutRight(body []byte) (right string, rest []byte, err error) {
	if len(body) < 4 {
		return "", nil, errDescriptor
	}
	present := binary.LittleEndian.Uint32(body)
	body = body[4:]
	for _, bit := range []uint32{objectPresent, objectPresent << 1} { // the right, then the class it is inherited by
		if present&bit == 0 {
			continue
		}
		if len(body) < 16 {
			return "", nil, errDescriptor
		}
		if bit == objectPresent {
			if right, err = guidText(body[:16]); err != nil {
				return "", nil, err
			}
		}
		body = body[16:]
	}
	return right, body, nil
}

// verdict says what the access list has for a token about an extended right.
func (l accessList) verdict(token map[sid]bool, right string) (allowed, denied bool) {
	return l.decides(token, controlAccess, right)
}

// decides says what the access list has for a token about a bit of the mask, for all or for
// the object of a GUID: the first entry about it decides (MS-ADTS 5.1.3.3.4).
func (l accessList) decides(token map[sid]bool, bit uint32, object string) (allowed, denied bool) {
	for _, a := range l.aces {
		if a.mask&bit != 0 && token[a.who] && (a.right == "" || a.right == object) {
			return !a.deny, a.deny
		}
	}
	return false, false
}
