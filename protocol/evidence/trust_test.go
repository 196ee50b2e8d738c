package evidence

import (
	"errors"
	"testing"

	"github.com/postern-id/postern/protocol"
)

func TestATrustListShipsEmptyAndTakesOnlyAuthorities(t *testing.T) {
	var l *TrustList
	if n := len(l.Anchors()); n != 0 {
		t.Errorf("%d anchors in no list", n)
	}
	for name, file := range map[string]string{
		"empty":  "",
		"text":   "trust everybody",
		"key":    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"broken": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		l := new(TrustList)
		if err := l.AddPEM(name, []byte(file)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if len(l.Anchors()) != 0 {
			t.Errorf("%s was added", name)
		}
	}
}

func TestEveryMemberOfAKeyIsInItsHash(t *testing.T) {
	base := Credential{ID: []byte("id"), PublicKey: []byte("key"), RPID: "recover.example.com"}
	seen := map[[32]byte]string{base.Hash(): "base"}
	for name, c := range map[string]Credential{
		"id":     {ID: []byte("ie"), PublicKey: base.PublicKey, RPID: base.RPID},
		"key":    {ID: base.ID, PublicKey: []byte("kez"), RPID: base.RPID},
		"rp":     {ID: base.ID, PublicKey: base.PublicKey, RPID: "recover.example.org"},
		"border": {ID: []byte("idk"), PublicKey: []byte("ey"), RPID: base.RPID},
	} {
		if other, dup := seen[c.Hash()]; dup {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[c.Hash()] = name
	}
}

// The layouts are those of OpenID4VP B.2.6: the bytes before the hash are fixed.
func TestT02_TranscriptsBindEveryInput(t *testing.T) {
	c := protocol.Context{1, 2, 3}
	base := Presentation{Transport: TransportRedirect, Origin: "https://recover.example.com", Path: "/wallet/a", Thumbprint: make([]byte, 32)}
	dc := base
	dc.Transport = TransportDCAPI
	seen := map[string]string{}
	put := func(name string, p Presentation, c protocol.Context) {
		t.Helper()
		b, err := p.transcript(c)
		if err != nil {
			t.Fatal(name, err)
		}
		if other, dup := seen[string(b)]; dup {
			t.Errorf("%s has the transcript of %s", name, other)
		}
		seen[string(b)] = name
	}
	for kind, p := range map[string]Presentation{"redirect": base, "dc_api": dc} {
		put(kind, p, c)
		put(kind+" nonce", p, protocol.Context{1, 2, 4})
		q := p
		q.Origin = "https://recover.example.org"
		put(kind+" origin", q, c)
		q = p
		q.Thumbprint = append([]byte{1}, make([]byte, 31)...)
		put(kind+" thumbprint", q, c)
	}
	q := base
	q.Path = "/wallet/b"
	put("path", q, c)
}

// COSE and CBOR as such: nothing that a fuzzer makes may end in more than an error.
func FuzzParseSign1(f *testing.F) {
	f.Add([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa1, 0x18, 0x21, 0x41, 0x00, 0xf6, 0x40})
	f.Add([]byte{0x84, 0x43, 0xa1, 0x01, 0x26, 0xa1, 0x18, 0x21, 0x82, 0x41, 0x00, 0x41, 0x01, 0x41, 0x00, 0x40})
	f.Add([]byte{0x84, 0x43, 0xa1, 0x01, 0x26, 0xa1, 0x18, 0x21, 0xf6, 0xf6, 0x40}) // a chain that is null
	f.Add([]byte{0x84, 0x43, 0xa1, 0x01, 0x26, 0xa1, 0x18, 0x21, 0x80, 0xf6, 0x40}) // and one of nothing
	f.Add([]byte{0xd9, 0x03, 0xec, 0x6a, '2', '0', '3', '1', '-', '0', '1', '-', '0', '1'})
	f.Add([]byte{0xa4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x41, 0x01, 0x22, 0x41, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseSign1("fuzz", b); err == nil {
			if chain, err := m.chain("fuzz"); err == nil && len(chain) == 0 {
				t.Error("a chain of nothing")
			}
			if m.detached() && len(m.Payload) != 1 {
				t.Error("detached with a payload")
			}
		}
		if d, err := readDate("fuzz", b); err == nil && d.end().Before(d.at) {
			t.Errorf("ends before it begins: %v", d)
		}
		var k deviceKey
		if decode(signedCBOR, "fuzz", b, &k) == nil {
			if key, err := k.public(); (err == nil) != (key != nil) {
				t.Errorf("key %v with %v", key, err)
			}
		}
	})
}
