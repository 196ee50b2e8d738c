package demo

import (
	"bufio"
	"errors"
	"io"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// maxRequest bounds a request before it is decoded. The largest that a client sends,
// a filter over fifty groups, has a few kilobytes.
const maxRequest = 64 << 10

var errMalformed = errors.New("demo: malformed request")

// A request is one LDAPMessage from a client (RFC 4511 §4.1.1).
type request struct {
	id       int64
	op       *ber.Packet
	controls map[string]control
}

// A control is what a client attached.
type control struct {
	critical bool
	value    []byte
}

// readRequest reads one message of bounded size and takes it apart.
func readRequest(r *bufio.Reader) (request, error) {
	b, err := readBounded(r)
	if err != nil {
		return request{}, err
	}
	return decodeRequest(b)
}

// readBounded reads the bytes of one message without trusting its length.
func readBounded(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	size, n := 2, int(head[1])
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 4 {
			return nil, errMalformed
		}
		size = 2 + k
		if head, err = r.Peek(size); err != nil {
			return nil, err
		}
		n = 0
		for _, c := range head[2:] {
			n = n<<8 | int(c)
		}
	}
	if head[0] != 0x30 || n > maxRequest {
		return nil, errMalformed
	}
	b := make([]byte, size+n)
	_, err = io.ReadFull(r, b)
	return b, err
}

// decodeRequest takes a message apart.
func decodeRequest(b []byte) (request, error) {
	p, err := ber.DecodePacketErr(b)
	if err != nil || len(p.Children) < 2 {
		return request{}, errMalformed
	}
	q := request{op: p.Children[1], controls: map[string]control{}}
	id, ok := number(p.Children[0])
	if !ok || id < 1 || q.op.ClassType != ber.ClassApplication {
		return request{}, errMalformed
	}
	q.id = id
	if len(p.Children) < 3 {
		return q, nil
	}
	for _, c := range p.Children[2].Children {
		name := text(part(c, 0))
		var is control
		for _, field := range c.Children[min(1, len(c.Children)):] {
			if field.Tag == ber.TagBoolean && field.ClassType == ber.ClassUniversal {
				is.critical = text(field) != "\x00"
			} else {
				is.value = []byte(text(field))
			}
		}
		q.controls[name] = is
	}
	return q, nil
}

// part returns a child, or nil.
func part(p *ber.Packet, i int) *ber.Packet {
	if p == nil || i >= len(p.Children) {
		return nil
	}
	return p.Children[i]
}

// text returns the content of a primitive element.
func text(p *ber.Packet) string {
	if p == nil || p.Data == nil {
		return ""
	}
	return p.Data.String()
}

// number reads an INTEGER or ENUMERATED.
func number(p *ber.Packet) (int64, bool) {
	if p == nil || p.Data == nil || p.Data.Len() == 0 || p.Data.Len() > 8 {
		return 0, false
	}
	n, err := ber.ParseInt64(p.Data.Bytes())
	return n, err == nil
}

// message encodes an answer.
func message(id int64, op *ber.Packet, controls ...*ber.Packet) []byte {
	m := ber.NewSequence("LDAPMessage")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, "messageID"))
	m.AppendChild(op)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "controls")
		for _, c := range controls {
			list.AppendChild(c)
		}
		m.AppendChild(list)
	}
	return m.Bytes()
}

// result encodes an LDAPResult as the operation with the tag.
func result(tag ber.Tag, a answer) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "result")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(a.code), "resultCode"))
	p.AppendChild(octets("", "matchedDN"))
	p.AppendChild(octets(a.words, "diagnosticMessage"))
	return p
}

func octets(s, what string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, what)
}

// policyControl encodes the answer's password policy error (draft-behera §6.2).
func (a answer) policyControl() []*ber.Packet {
	if !a.hasPolicy {
		return nil
	}
	value := ber.NewSequence("PasswordPolicyResponseValue")
	value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, int64(a.policy), "error"))
	c := ber.NewSequence("control")
	c.AppendChild(octets(ldap.ControlTypeBeheraPasswordPolicy, "controlType"))
	c.AppendChild(octets(string(value.Bytes()), "controlValue"))
	return []*ber.Packet{c}
}
