package demo

import (
	"bufio"
	"bytes"
	"net"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// seeds are requests that clients really make.
func seeds(f *testing.F) [][]byte {
	request := func(op *ber.Packet, controls ...ldap.Control) []byte {
		var encoded []*ber.Packet
		for _, c := range controls {
			encoded = append(encoded, c.Encode())
		}
		return message(7, op, encoded...)
	}
	bind := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	bind.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(3), ""))
	bind.AppendChild(octets(agentDN, ""))
	bind.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "secret", ""))
	search := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchRequest, nil, "")
	search.AppendChild(octets(baseDN, ""))
	for _, n := range []int64{2, 0} {
		search.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, n, ""))
	}
	for _, n := range []int64{3, 0} {
		search.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, n, ""))
	}
	search.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""))
	filter, err := ldap.CompileFilter("(&(|(cn=a*b*c)(uid>=x))(!(mail<=z))(sn~=q)(mail=*))")
	if err != nil {
		f.Fatal(err)
	}
	search.AppendChild(filter)
	search.AppendChild(ber.NewSequence(""))
	modify := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationModifyRequest, nil, "")
	modify.AppendChild(octets(employees[0].dn(), ""))
	change, attr, list, values := ber.NewSequence(""), ber.NewSequence(""), ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	values.AppendChild(octets("TRUE", ""))
	attr.AppendChild(octets("pwdReset", ""))
	attr.AppendChild(values)
	change.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(2), ""))
	change.AppendChild(attr)
	list.AppendChild(change)
	modify.AppendChild(list)
	extended := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "")
	extended.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oidPasswordModify, ""))
	return [][]byte{request(bind), request(search, ldap.NewControlPaging(2)), request(modify, ldap.NewControlBeheraPasswordPolicy()), request(extended)}
}

// A sink takes what the server writes.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error)      { return len(b), nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }

func FuzzRequest(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b, true)
		f.Add(b, false)
	}
	s := &server{tree: newTree("secret")}
	f.Fuzz(func(t *testing.T, b []byte, asAgent bool) {
		q, err := readRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if q.op.Tag == ldap.ApplicationExtendedRequest && text(part(q.op, 0)) == oidStartTLS {
			return // takes the connection over
		}
		x := &session{server: s, conn: sink{}, r: bufio.NewReader(bytes.NewReader(nil)), encrypted: true}
		if asAgent {
			x.dn = agentDN
		}
		before := len(s.tree.nodes)
		x.answer(q)
		if len(s.tree.nodes) != before {
			t.Error("entries came or went")
		}
		if !asAgent && x.dn != "" && !ldapconn.SameDN(x.dn, agentDN) && s.tree.find(x.dn) == nil {
			t.Errorf("signed in as nobody: %q", x.dn)
		}
	})
}
