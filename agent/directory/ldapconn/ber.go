package ldapconn

import (
	"encoding/binary"
	"errors"
	"io"
)

// Tags of RFC 4511 (§4.1.1 and on) and X.690 that this package reads or writes itself.
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagOctets     = 0x04
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagControls   = 0xa0

	tagExtendedRequest  = 0x77
	tagExtendedResponse = 0x78
	tagRequestName      = 0x80
)

// errMalformed says that a server sent something that is no LDAP message.
var errMalformed = errors.New("ldapconn: malformed message")

// split takes the first element off b: its tag, its content and what follows. It
// refuses lengths that go beyond b and the indefinite form, which LDAP forbids.
func split[T ~string | ~[]byte](b T) (tag byte, content, rest T, err error) {
	var none T
	if len(b) < 2 {
		return 0, none, none, errMalformed
	}
	n, head := int(b[1]), 2
	if b[1] >= 0x80 {
		size := int(b[1] & 0x7f)
		if size == 0 || size > 4 || len(b) < 2+size {
			return 0, none, none, errMalformed
		}
		n, head = 0, 2+size
		for i := 2; i < head; i++ {
			n = n<<8 | int(b[i])
		}
	}
	if n < 0 || n > len(b)-head {
		return 0, none, none, errMalformed
	}
	return b[0], b[head : head+n], b[head+n:], nil
}

// expect is split for an element that must have the tag.
func expect[T ~string | ~[]byte](b T, want byte) (content, rest T, err error) {
	tag, content, rest, err := split(b)
	if err == nil && tag != want {
		err = errMalformed
	}
	return content, rest, err
}

// number reads the content of an INTEGER or ENUMERATED that is neither negative nor
// larger than 31 bits, the range of message ids and result codes.
func number(content []byte) (int, error) {
	if len(content) == 0 || len(content) > 5 || content[0] >= 0x80 {
		return 0, errMalformed
	}
	n := 0
	for _, c := range content {
		n = n<<8 | int(c)
	}
	if n > 1<<31-1 {
		return 0, errMalformed
	}
	return n, nil
}

// element encodes one element of the given parts.
func element(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := append(make([]byte, 0, 6+n), tag)
	if n < 0x80 {
		out = append(out, byte(n))
	} else {
		out = binary.BigEndian.AppendUint32(append(out, 0x84), uint32(n))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// text encodes a string.
func text(tag byte, s string) []byte { return element(tag, []byte(s)) }

// integer encodes a number from 0 to 2³¹-1, the range of message ids.
func integer(tag byte, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(n))
	for len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
		b = b[1:]
	}
	return element(tag, b)
}

// readMessage reads exactly one message of at most limit bytes and not one byte more,
// so that what follows it belongs to whoever reads next.
func readMessage(r io.Reader, limit int) ([]byte, error) {
	b := make([]byte, 2, 64)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	n, size := int(b[1]), 0
	if b[1] >= 0x80 {
		if size = int(b[1] & 0x7f); size == 0 || size > 4 {
			return nil, errMalformed
		}
		b = b[:2+size]
		if _, err := io.ReadFull(r, b[2:]); err != nil {
			return nil, err
		}
		n = 0
		for _, c := range b[2:] {
			n = n<<8 | int(c)
		}
	}
	if b[0] != tagSequence || n > limit {
		return nil, errMalformed
	}
	out := make([]byte, 2+size+n)
	copy(out, b)
	_, err := io.ReadFull(r, out[2+size:])
	return out, err
}
