package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// magic begins the file. Another layout would have another number.
const magic = "postern-journal-1\n"

// Sizes.
const (
	frameHeader = 8
	maxRecord   = 32 << 10 // a sealed result has at most 4,177 bytes, names a few hundred
	maxFrame    = 32 << 20 // a thousand of the largest records that wait for the disk together
)

// A record is one event; exactly one member is set.
type record struct {
	Begun     *Recovery   `json:"begun,omitempty"`
	Dropped   string      `json:"dropped,omitempty"`
	Accepted  *Acceptance `json:"accepted,omitempty"`
	Executing *Execution  `json:"executing,omitempty"`
	Settled   *Settlement `json:"settled,omitempty"`
	CodeSent  *Code       `json:"code_sent,omitempty"`
	CodeTried *Try        `json:"code_tried,omitempty"`
	Codes     *codes      `json:"codes,omitempty"` // when the journal is rewritten
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn says that a frame was cut short or never written whole.
var errTorn = errors.New("journal: torn frame")

// errTooLarge says that a record is not one of ours.
var errTooLarge = fmt.Errorf("journal: a record has at most %d bytes, those of one sync %d", maxRecord, maxFrame)

// appendRecord appends r to the JSON list of a frame, which is not closed yet.
func appendRecord(list []byte, r record) ([]byte, error) {
	one, err := json.Marshal(r)
	if err != nil {
		return list, err
	}
	if len(one) > maxRecord || len(list)+len(one)+2 > maxFrame {
		return list, errTooLarge
	}
	sep := byte(',')
	if len(list) == 0 {
		sep = '['
	}
	return append(append(list, sep), one...), nil
}

// appendFrame appends a frame with the list, closed, to b. A crash tears a frame as
// a whole, however its pages reached the disk.
func appendFrame(b, list []byte) []byte {
	list = append(list, ']')
	b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(list, castagnoli))
	return append(b, list...)
}

// nextFrame cuts the first frame's list from b.
func nextFrame(b []byte) (list, rest []byte, err error) {
	if len(b) < frameHeader {
		return nil, b, errTorn
	}
	n := int(binary.BigEndian.Uint32(b))
	if n < len("[{}]") || n > maxFrame || n > len(b)-frameHeader {
		return nil, b, errTorn
	}
	list = b[frameHeader : frameHeader+n]
	if crc32.Checksum(list, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return nil, b, errTorn
	}
	return list, b[frameHeader+n:], nil
}

// decode reads a whole file and gives each record to apply. It returns the length of
// the sound part: what follows was cut short by a crash. A damaged frame with sound
// ones behind it is no crash and an error.
func decode(text []byte, apply func(record) error) (sound int, err error) {
	if len(text) < len(magic) && bytes.HasPrefix([]byte(magic), text) {
		return 0, nil
	}
	if !bytes.HasPrefix(text, []byte(magic)) {
		return 0, errors.New("journal: not a journal of this version")
	}
	rest := text[len(magic):]
	for len(rest) > 0 {
		at := len(text) - len(rest)
		list, more, err := nextFrame(rest)
		if err != nil {
			return at, damaged(rest, at)
		}
		if err := applyAll(list, apply); err != nil {
			return at, fmt.Errorf("%w (frame at byte %d)", err, at)
		}
		rest = more
	}
	return len(text), nil
}

func applyAll(list []byte, apply func(record) error) error {
	var rs []record
	if err := json.Unmarshal(list, &rs); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, r := range rs {
		if err := apply(r); err != nil {
			return err
		}
	}
	return nil
}

// damaged reports an error if a sound frame follows the broken one that tail begins
// with: frames are synced one after another, so no crash leaves that.
func damaged(tail []byte, at int) error {
	for i := 1; i+frameHeader <= len(tail); i++ {
		if list, _, err := nextFrame(tail[i:]); err == nil && json.Valid(list) {
			return fmt.Errorf("journal: damaged at byte %d, with sound records behind it", at)
		}
	}
	return nil
}
