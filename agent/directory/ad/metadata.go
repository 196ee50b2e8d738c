package ad

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Attributes whose replication metadata tells what became of a change, by their
// ATTRTYP (MS-DRSR 5.14): the prefix of 1.2.840.113556.1.4 is 9, the rest is the last
// part of attributeID.
const (
	attUnicodePwd  = 9<<16 | 90
	attPwdLastSet  = 9<<16 | 96
	attLockoutTime = 9<<16 | 662
)

// Sizes of replPropertyMetaData (MS-DRSR 4.1.10.2.7 and 5.117, version 1).
const (
	metaHead  = 16 // version, reserved, count, reserved
	metaEntry = 48 // attribute, version, time, originating DC, its USN, local USN
	metaMost  = 4096
)

var errMetadata = errors.New("ad: replPropertyMetaData is malformed")

// A write is what the directory remembers of the last write of one attribute. The
// zero value means that it was never written.
type write struct {
	Version uint32 `json:"v,omitempty"`   // counts writes
	DC      string `json:"dc,omitempty"`  // invocationId of the controller that took the write
	USN     uint64 `json:"usn,omitempty"` // that controller's number of the write; one for all attributes of one modify
	Time    int64  `json:"t,omitempty"`   // Unix seconds by that controller's clock
}

// dstimeUnix is 1970 in seconds since 1601, the unit of a write's time (MS-DRSR 5.50).
const dstimeUnix = 11644473600

// parseMetadata reads the writes of the attributes that matter here.
func parseMetadata(raw []byte) (map[uint32]write, error) {
	if len(raw) < metaHead || binary.LittleEndian.Uint32(raw) != 1 {
		return nil, fmt.Errorf("%w: %d bytes", errMetadata, len(raw))
	}
	n := binary.LittleEndian.Uint32(raw[8:])
	if n > metaMost || len(raw) < metaHead+int(n)*metaEntry {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", errMetadata, n, len(raw))
	}
	found := map[uint32]write{}
	for i := range int(n) {
		e := raw[metaHead+i*metaEntry:][:metaEntry]
		att := binary.LittleEndian.Uint32(e)
		switch att {
		case attUnicodePwd, attPwdLastSet, attLockoutTime:
			dc, err := guidText(e[16:32])
			if err != nil {
				return nil, err
			}
			found[att] = write{
				Version: binary.LittleEndian.Uint32(e[4:]), Time: int64(binary.LittleEndian.Uint64(e[8:])) - dstimeUnix,
				DC: dc, USN: binary.LittleEndian.Uint64(e[32:]),
			}
		}
	}
	return found, nil
}
