package evidence_test

import (
	"bytes"
	"testing"

	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// Whatever is accepted must be what was presented: everything else that a fuzzer makes
// of it differs in at least one byte.
func FuzzCheckMDoc(f *testing.F) {
	w := newWorld(f)
	good := w.present(f, w.dcAPI(f), all...)
	f.Add(good)
	f.Add(w.present(f, w.redirect(f), all...))
	f.Add(w.present(f, w.dcAPI(f), "family_name"))
	f.Add([]byte{0xa0})
	f.Add(bytes.Repeat([]byte{0x81}, 64))
	f.Add([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, response []byte) {
		if len(response) == 0 || len(response) > evidence.MaxRaw/2 {
			return
		}
		_, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, response), w.context, w.anchors, now)
		if err == nil && !bytes.Equal(response, good) {
			t.Errorf("accepted %x", response)
		}
	})
}

func FuzzCheckSDJWT(f *testing.F) {
	w := newWorld(f)
	cred := newCredential(f, w)
	good := present(f, cred, originAudience, w.context.String(), allClaims...)
	fewer := present(f, cred, originAudience, w.context.String(), allClaims[:3]...)
	f.Add(string(good))
	f.Add(string(fewer))
	f.Add(cred.Issuer + "~~~")
	f.Add("a.b.c~WyJzYWx0IiwieCIsMV0~d.e.f")
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || len(s) > evidence.MaxRaw/2 {
			return
		}
		_, err := evidence.CheckSDJWT(raw(t, evidence.TransportDCAPI, []byte(s)), w.context, w.anchors, now)
		if err == nil && s != string(good) && s != string(fewer) {
			t.Errorf("accepted %q", s)
		}
	})
}

func FuzzCheckIDToken(f *testing.F) {
	p := newProvider(f)
	good := p.token(f, nil)
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := evidence.CheckIDToken([]byte(s), p.context, p.anchors, now); err == nil && s != good {
			t.Errorf("accepted %q", s)
		}
	})
}

func FuzzAddVICAL(f *testing.F) {
	w := newWorld(f)
	list, err := w.authority.VICAL(now, []string{evidencetest.DocType}, w.authority)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(list)
	f.Add([]byte{0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		l := new(evidence.TrustList)
		if _, err := l.AddVICAL("fuzz", b, w.authority.PEM(), now); err == nil && !bytes.Equal(b, list) && !bytes.Equal(b, append([]byte{0xd2}, list...)) {
			t.Errorf("accepted %x", b)
		}
	})
}

func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := evidence.ParseJWKS(b); (err == nil) != (len(s.Keys) > 0) {
			t.Errorf("%d keys with %v", len(s.Keys), err)
		}
	})
}

func FuzzAddPEM(f *testing.F) {
	w := newWorld(f)
	f.Add(w.authority.PEM())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := new(evidence.TrustList)
		if err := l.AddPEM("fuzz", b); (err == nil) != (len(l.Anchors()) > 0) {
			t.Errorf("%d anchors with %v", len(l.Anchors()), err)
		}
	})
}
