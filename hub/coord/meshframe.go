package coord

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// A batch is what one publication between nodes carries:
//
//	version(1) sender(16) receiver(16) time(8, Unix ms) count(8) before(8) sealed
//
// sealed is AES-256-GCM of one or more frames, the 57 bytes before it as associated
// data, count as nonce. The key belongs to one ordered pair of node ids, which are new
// with every process, and count grows with every batch of the sender, so a nonce is
// never used twice and what does not grow is a replay. before is the count of the
// sender's last batch to the same receiver: a difference shows that one was lost.
//
// A frame is length(4, of what follows) kind(1) flags(1) call(8) body. A body beyond
// frameBody bytes continues in further frames of the same call.
const (
	batchVersion = 1
	batchHeader  = 1 + 16 + 16 + 8 + 8 + 8
	frameHeader  = 4 + 1 + 1 + 8

	// frameBody is the most that one frame carries, so that a long answer does not
	// hold up the short ones behind it.
	frameBody = 64 << 10
	// batchBytes is where a batch is cut, unless one frame alone is larger.
	batchBytes = 256 << 10
	// maxBatch bounds what is read: one cut batch and a last frame.
	maxBatch = batchHeader + batchBytes + frameHeader + frameBody + 16
	// maxBody bounds one call's request or answer.
	maxBody = 16 << 20
	// clockSkew is how far two nodes' clocks may differ.
	clockSkew = 60 * time.Second
)

// A frameKind says what a frame is. Unknown kinds are ignored.
type frameKind byte

const (
	frameRequest frameKind = 1 // nameLength(1) name deadline(4, ms) payload
	frameReply   frameKind = 2
	frameRefuse  frameKind = 3 // nobody here answers this name, or too many calls are open
	frameCancel  frameKind = 4
)

// Flags of a frame.
const (
	flagMore  = 1 // the body continues in the next frame of the same call and kind
	flagFirst = 2 // the body begins here
)

// A nodeID is a node's id as batches carry it.
type nodeID [16]byte

func (n nodeID) String() string { return hex.EncodeToString(n[:]) }

func parseNodeID(s string) (n nodeID, err error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(n) {
		return n, fmt.Errorf("coord: node id of %d characters", len(s))
	}
	copy(n[:], raw)
	return n, nil
}

// derive makes an AEAD from the master key for one purpose.
func derive(master []byte, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, master, nil, "postern/coord/v1 "+purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// pairKey is the AEAD of batches from one node to another.
func pairKey(master []byte, from, to nodeID) (cipher.AEAD, error) {
	return derive(master, "batch "+string(from[:])+string(to[:]))
}

// header is the clear part of a batch.
type header struct {
	from, to nodeID
	time     time.Time
	count    uint64
	before   uint64
}

func nonce(count uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), count)
}

// sealBatch appends a batch to out.
func sealBatch(out []byte, key cipher.AEAD, h header, frames []byte) []byte {
	out = append(out, batchVersion)
	out = append(out, h.from[:]...)
	out = append(out, h.to[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(h.time.UnixMilli()))
	out = binary.BigEndian.AppendUint64(out, h.count)
	out = binary.BigEndian.AppendUint64(out, h.before)
	return key.Seal(out, nonce(h.count), frames, out)
}

var errBatch = errors.New("coord: malformed batch")

// parseHeader reads the clear part of a batch.
func parseHeader(b []byte) (h header, err error) {
	if len(b) < batchHeader || len(b) > maxBatch || b[0] != batchVersion {
		return h, errBatch
	}
	copy(h.from[:], b[1:])
	copy(h.to[:], b[17:])
	h.time = time.UnixMilli(int64(binary.BigEndian.Uint64(b[33:])))
	h.count = binary.BigEndian.Uint64(b[41:])
	h.before = binary.BigEndian.Uint64(b[49:])
	return h, nil
}

// openBatch returns the frames of a batch, decrypted in place.
func openBatch(key cipher.AEAD, h header, b []byte) ([]byte, error) {
	return key.Open(b[batchHeader:batchHeader], nonce(h.count), b[batchHeader:], b[:batchHeader])
}

// A frame is one piece of a call. body lies in the batch.
type frame struct {
	kind  frameKind
	flags byte
	call  uint64
	body  []byte
}

// appendFrames cuts a body into frames.
func appendFrames(out []byte, kind frameKind, call uint64, body []byte) []byte {
	for flags := byte(flagFirst); ; flags = 0 {
		n := min(len(body), frameBody)
		if n < len(body) {
			flags |= flagMore
		}
		out = binary.BigEndian.AppendUint32(out, uint32(frameHeader-4+n))
		out = append(out, byte(kind), flags)
		out = binary.BigEndian.AppendUint64(out, call)
		out = append(out, body[:n]...)
		if body = body[n:]; len(body) == 0 {
			return out
		}
	}
}

// cutBatch returns how many bytes of whole frames a batch takes.
func cutBatch(frames []byte) int {
	cut := 0
	for cut < len(frames) && cut < batchBytes {
		cut += 4 + int(binary.BigEndian.Uint32(frames[cut:]))
	}
	return cut
}

// eachFrame takes the frames of a batch apart.
func eachFrame(b []byte, f func(frame) error) error {
	for len(b) > 0 {
		if len(b) < frameHeader {
			return errBatch
		}
		n := int64(binary.BigEndian.Uint32(b))
		if n < frameHeader-4 || n > frameHeader-4+frameBody || n > int64(len(b)-4) {
			return errBatch
		}
		err := f(frame{frameKind(b[4]), b[5], binary.BigEndian.Uint64(b[6:]), b[frameHeader : 4+n]})
		if err != nil {
			return err
		}
		b = b[4+n:]
	}
	return nil
}

// A request is the body of frameRequest.
type request struct {
	name    string
	within  time.Duration
	payload []byte
}

// maxName bounds the name of a call.
const maxName = 64

func (r request) encode() []byte {
	out := make([]byte, 0, 1+len(r.name)+4+len(r.payload))
	out = append(out, byte(len(r.name)))
	out = append(out, r.name...)
	out = binary.BigEndian.AppendUint32(out, uint32(min(r.within.Milliseconds(), 1<<32-1)))
	return append(out, r.payload...)
}

func decodeRequest(b []byte) (r request, err error) {
	if len(b) < 1 || b[0] == 0 || b[0] > maxName || len(b) < 1+int(b[0])+4 {
		return r, errBatch
	}
	n := 1 + int(b[0])
	r.name = string(b[1:n])
	r.within = time.Duration(binary.BigEndian.Uint32(b[n:])) * time.Millisecond
	r.payload = b[n+4:]
	return r, nil
}
