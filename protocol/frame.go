package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes of the wire. A Noise message holds at most 65,535 bytes, 16 of them its tag.
const (
	MaxMessage = 65519         // bytes of plaintext in one message
	headerSize = 4 + 1 + 1 + 8 // length of the body, kind, flags, id
	maxChunk   = 32 << 10      // bytes of body in one frame, so that a bulk reply delays a recovery by one message at most
	MaxBody    = 8 << 20       // bytes of one body over all its frames: a page of accounts is far below
	maxOpen    = 2 * MaxBody   // bytes of all unfinished bodies of one link
	maxParts   = 4096          // unfinished bodies of one link: a table entry costs more than a part of one byte
)

// A frameKind says what a frame is. Unknown kinds are ignored, so that a later
// version may add some.
type frameKind uint8

const (
	kindHello   frameKind = 1
	kindWelcome frameKind = 2
	kindCall    frameKind = 3 // method(1) deadline in ms(4) JSON
	kindReply   frameKind = 4 // JSON
	kindError   frameKind = 5 // JSON Error
	kindCancel  frameKind = 6 // empty
	kindEvent   frameKind = 7 // length(1) name JSON
	kindGoAway  frameKind = 8 // text
	kindPing    frameKind = 9
	kindPong    frameKind = 10
)

// Flags of a frame.
const (
	flagMore     = 1 << 0 // the body continues in a further frame of the same kind and id
	shiftPrio    = 4      // bits 4 and 5 hold the Priority of a call
	maskPriority = 3 << shiftPrio
)

// A frame is one part of a message: len(4) kind(1) flags(1) id(8) body, integers in
// big-endian order.
type frame struct {
	kind  frameKind
	flags uint8
	id    uint64
	body  []byte
}

// appendFrame appends f to b.
func appendFrame(b []byte, f frame) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.body)))
	b = append(b, byte(f.kind), f.flags)
	b = binary.BigEndian.AppendUint64(b, f.id)
	return append(b, f.body...)
}

// errFrame is wrapped by every refusal of a message.
var errFrame = errors.New("protocol: malformed frame")

// nextFrame takes the first frame of msg. Its body lies in msg.
func nextFrame(msg []byte) (f frame, rest []byte, err error) {
	if len(msg) < headerSize {
		return frame{}, nil, fmt.Errorf("%w: %d bytes left, a header has %d", errFrame, len(msg), headerSize)
	}
	n := binary.BigEndian.Uint32(msg)
	if uint64(n) > uint64(len(msg)-headerSize) {
		return frame{}, nil, fmt.Errorf("%w: body of %d bytes in %d", errFrame, n, len(msg)-headerSize)
	}
	end := headerSize + int(n)
	f = frame{kind: frameKind(msg[4]), flags: msg[5], id: binary.BigEndian.Uint64(msg[6:]), body: msg[headerSize:end]}
	return f, msg[end:], nil
}

// frameSize returns the size of the first frame of a queue that appendFrame wrote.
func frameSize(queue []byte) int { return headerSize + int(binary.BigEndian.Uint32(queue)) }

// onlySigns reports whether msg holds whole frames that say nothing but that the peer
// lives, as an idle link's do, or that a link has begun.
func onlySigns(msg []byte) bool {
	for len(msg) > 0 {
		f, rest, err := nextFrame(msg)
		if err != nil {
			return false
		}
		switch f.kind {
		case kindHello, kindWelcome, kindPing, kindPong:
			msg = rest
		default:
			return false
		}
	}
	return true
}

// An assembler joins the frames of bodies that were cut. It is owned by one reader.
type assembler struct {
	open  map[assemblyKey][]byte
	bytes int
}

type assemblyKey struct {
	kind frameKind
	id   uint64
}

// add takes one frame and returns the whole body once it is complete. A body of one
// frame is returned as it lies in the message.
func (a *assembler) add(f frame) (body []byte, done bool, err error) {
	key := assemblyKey{f.kind, f.id}
	begun, open := a.open[key]
	if !open && f.flags&flagMore == 0 {
		return f.body, true, nil
	}
	if len(begun)+len(f.body) > MaxBody || a.bytes+len(f.body) > maxOpen {
		return nil, false, fmt.Errorf("%w: body above %d bytes", errFrame, MaxBody)
	}
	if !open && len(a.open) >= maxParts {
		return nil, false, fmt.Errorf("%w: more than %d unfinished bodies", errFrame, maxParts)
	}
	if a.open == nil {
		a.open = map[assemblyKey][]byte{}
	}
	begun = append(begun, f.body...)
	a.bytes += len(f.body)
	if f.flags&flagMore != 0 {
		if len(f.body) == 0 {
			return nil, false, fmt.Errorf("%w: empty part", errFrame)
		}
		a.open[key] = begun
		return nil, false, nil
	}
	delete(a.open, key)
	a.bytes -= len(begun)
	return begun, true, nil
}
