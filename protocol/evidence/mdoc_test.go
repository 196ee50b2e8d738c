package evidence_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

const (
	origin = "https://recover.example.com"
	path   = "/wallet/answer/0123456789abcdef"
)

var (
	now    = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	person = evidencetest.Person{Family: "Müller", Given: "Jürgen", BirthDate: "1980-02-29", Document: "D1234567", Expires: "2031-01-01"}
	all    = []string{"family_name", "given_name", "birth_date", "document_number", "issuing_country", "expiry_date"}
)

// A world is an authority, a document and who believes in it.
type world struct {
	authority *evidencetest.Authority
	mdoc      *evidencetest.MDoc
	anchors   evidence.Anchors
	context   protocol.Context
}

func newWorld(t testing.TB) *world {
	t.Helper()
	a, err := evidencetest.NewAuthority("XX", "Demo authority", now)
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.IssueMDoc(person, now)
	if err != nil {
		t.Fatal(err)
	}
	trust := new(evidence.TrustList)
	if err := trust.AddPEM("test", a.PEM()); err != nil {
		t.Fatal(err)
	}
	return &world{a, d, evidence.Anchors{Origins: []string{"https://other.example.com", origin}, Trust: trust}, protocol.Context{7, 1: 9, 31: 3}}
}

func thumbprint() []byte { return slices.Repeat([]byte{5}, 32) }

// transcripts of a wallet that was asked in the right way.
func (w *world) redirect(t testing.TB) []byte {
	return transcript(t, "OpenID4VPHandover", "x509_san_dns:recover.example.com", w.context.String(), thumbprint(), origin+path)
}

func (w *world) dcAPI(t testing.TB) []byte {
	return transcript(t, "OpenID4VPDCAPIHandover", origin, w.context.String(), thumbprint())
}

func transcript(t testing.TB, name string, info ...any) []byte {
	t.Helper()
	b, err := evidence.Transcript(name, info...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *world) present(t testing.TB, transcript []byte, elements ...string) []byte {
	t.Helper()
	b, err := w.mdoc.Present(transcript, elements...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raw wraps a response as the hub hands it on.
func raw(t testing.TB, transport string, response []byte) []byte {
	t.Helper()
	p := evidence.Presentation{Transport: transport, Origin: origin, Response: response, Thumbprint: thumbprint()}
	if transport == evidence.TransportRedirect {
		p.Path = path
	}
	b, err := p.Raw()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAMobileDocumentProvesItsClaimsOverBothTransports(t *testing.T) {
	w := newWorld(t)
	for transport, tr := range map[string][]byte{evidence.TransportRedirect: w.redirect(t), evidence.TransportDCAPI: w.dcAPI(t)} {
		c, err := evidence.CheckMDoc(raw(t, transport, w.present(t, tr, all...)), w.context, w.anchors, now)
		if err != nil {
			t.Errorf("%s: %v", transport, err)
			continue
		}
		if c.Type != evidence.TypeMDoc || c.Family != "Müller" || c.Given != "Jürgen" || c.BirthDate != "1980-02-29" || c.Document != "D1234567" || c.Country != "XX" ||
			c.Issuer != "CN=Demo authority,C=XX" || c.DocType != evidencetest.DocType || !c.Expires.Equal(time.Date(2031, 1, 2, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v", transport, c)
		}
	}
}

// One negative for each input of the transcript: T2.
func TestT02_ADocumentForAnotherCeremonyIsRefused(t *testing.T) {
	w := newWorld(t)
	const client = "x509_san_dns:recover.example.com"
	nonce, other := w.context.String(), protocol.Context{8}.String()
	for name, c := range map[string]struct {
		transport  string
		transcript []byte
	}{
		"nonce":               {evidence.TransportRedirect, transcript(t, "OpenID4VPHandover", client, other, thumbprint(), origin+path)},
		"response_uri":        {evidence.TransportRedirect, transcript(t, "OpenID4VPHandover", client, nonce, thumbprint(), origin+path+"x")},
		"response_uri host":   {evidence.TransportRedirect, transcript(t, "OpenID4VPHandover", client, nonce, thumbprint(), "https://recover.example.net"+path)},
		"client_id":           {evidence.TransportRedirect, transcript(t, "OpenID4VPHandover", "x509_san_dns:evil.example.com", nonce, thumbprint(), origin+path)},
		"client_id prefix":    {evidence.TransportRedirect, transcript(t, "OpenID4VPHandover", "recover.example.com", nonce, thumbprint(), origin+path)},
		"thumbprint":          {evidence.TransportRedirect, transcript(t, "OpenID4VPHandover", client, nonce, slices.Repeat([]byte{6}, 32), origin+path)},
		"no thumbprint":       {evidence.TransportRedirect, transcript(t, "OpenID4VPHandover", client, nonce, nil, origin+path)},
		"handover":            {evidence.TransportRedirect, transcript(t, "OpenID4VPDCAPIHandover", client, nonce, thumbprint(), origin+path)},
		"other transport":     {evidence.TransportRedirect, w.dcAPI(t)},
		"dc_api origin":       {evidence.TransportDCAPI, transcript(t, "OpenID4VPDCAPIHandover", "https://recover.example.net", nonce, thumbprint())},
		"dc_api other listed": {evidence.TransportDCAPI, transcript(t, "OpenID4VPDCAPIHandover", "https://other.example.com", nonce, thumbprint())},
		"dc_api prefix":       {evidence.TransportDCAPI, transcript(t, "OpenID4VPDCAPIHandover", "origin:"+origin, nonce, thumbprint())},
		"dc_api nonce":        {evidence.TransportDCAPI, transcript(t, "OpenID4VPDCAPIHandover", origin, other, thumbprint())},
		"dc_api thumbprint":   {evidence.TransportDCAPI, transcript(t, "OpenID4VPDCAPIHandover", origin, nonce, nil)},
		"dc_api handover":     {evidence.TransportDCAPI, w.redirect(t)},
	} {
		if _, err := evidence.CheckMDoc(raw(t, c.transport, w.present(t, c.transcript, all...)), w.context, w.anchors, now); !errors.Is(err, evidence.ErrContext) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestT02_OriginsComeFromTheAnchorsAlone(t *testing.T) {
	w := newWorld(t)
	response := w.present(t, w.dcAPI(t), all...)
	for name, origins := range map[string][]string{"none": nil, "another": {"https://recover.example.net"}, "with port": {origin + ":443"}, "prefix": {"https://recover.example"}} {
		a := w.anchors
		a.Origins = origins
		if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, response), w.context, a, now); !errors.Is(err, evidence.ErrContext) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADocumentOfNobodyOnTheTrustListIsRefused(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t) // same names, other keys
	response := raw(t, evidence.TransportDCAPI, w.present(t, w.dcAPI(t), all...))
	other := new(evidence.TrustList)
	if err := other.AddPEM("narrow", w.authority.PEM(), "org.example.other"); err != nil {
		t.Fatal(err)
	}
	for name, trust := range map[string]*evidence.TrustList{"nil": nil, "empty": new(evidence.TrustList), "stranger": stranger.anchors.Trust, "other doctype": other} {
		a := w.anchors
		a.Trust = trust
		if _, err := evidence.CheckMDoc(response, w.context, a, now); !errors.Is(err, evidence.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Any certificate below the authority that is not a document signer: the credential
// signer, say.
func TestOnlyADocumentSignerSignsDocuments(t *testing.T) {
	w := newWorld(t)
	w.authority.Documents = w.authority.Credentials
	d, err := w.authority.IssueMDoc(person, now)
	if err != nil {
		t.Fatal(err)
	}
	w.mdoc = d
	if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, w.present(t, w.dcAPI(t), all...)), w.context, w.anchors, now); !errors.Is(err, evidence.ErrUntrusted) {
		t.Error(err)
	}
}

func TestEveryElementThatWasAskedForMustBeThere(t *testing.T) {
	w := newWorld(t)
	for i, name := range all {
		rest := slices.Delete(slices.Clone(all), i, i+1)
		if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, w.present(t, w.dcAPI(t), rest...)), w.context, w.anchors, now); !errors.Is(err, evidence.ErrMissing) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	twice := append(slices.Clone(all), "family_name")
	if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, w.present(t, w.dcAPI(t), twice...)), w.context, w.anchors, now); !errors.Is(err, evidence.ErrFormat) {
		t.Errorf("family_name twice: %v", err)
	}
}

func TestADocumentCountsOnlyWhileItIsValid(t *testing.T) {
	w := newWorld(t)
	response := raw(t, evidence.TransportDCAPI, w.present(t, w.dcAPI(t), all...))
	for name, at := range map[string]time.Time{"before it was issued": now.Add(-2 * time.Minute), "after the issuer's end": now.AddDate(0, 0, 31), "after the signer's end": now.AddDate(2, 0, 0)} {
		if _, err := evidence.CheckMDoc(response, w.context, w.anchors, at); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	a := w.anchors
	a.MaxIssued = 24 * time.Hour
	if _, err := evidence.CheckMDoc(response, w.context, a, now.AddDate(0, 0, 2)); !errors.Is(err, evidence.ErrExpired) {
		t.Errorf("issuer's signature too old: %v", err)
	}
	expired := person
	expired.Expires = "2026-11-19"
	d, err := w.authority.IssueMDoc(expired, now)
	if err != nil {
		t.Fatal(err)
	}
	w.mdoc = d
	if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, w.present(t, w.dcAPI(t), all...)), w.context, w.anchors, now); !errors.Is(err, evidence.ErrExpired) {
		t.Errorf("expired document: %v", err)
	}
}

// A thief changes what passes by: one bit at every byte of a DeviceResponse, each bit
// of it in turn.
func TestOneChangedBitOfADocumentIsNeverAccepted(t *testing.T) {
	w := newWorld(t)
	response := w.present(t, w.dcAPI(t), all...)
	if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, response), w.context, w.anchors, now); err != nil {
		t.Fatal(err)
	}
	for i := range response {
		m := slices.Clone(response)
		m[i] ^= 1 << (i % 8)
		if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, m), w.context, w.anchors, now); err == nil {
			t.Errorf("accepted with bit %d of byte %d changed", i%8, i)
		}
		m[i] = response[i] ^ 1
		if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, m), w.context, w.anchors, now); err == nil {
			t.Errorf("accepted with the last bit of byte %d changed", i)
		}
	}
	t.Logf("%d changes, 0 accepted", 2*len(response))
}
