package evidence

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/postern-id/postern/protocol"
)

// A documentKind says how documents of one doctype name what a recovery asks for.
type documentKind struct {
	space    string   // namespace of the elements
	required []string // elements without which an answer is refused
	optional []string // elements that are asked for where a wallet has them
}

// documentKinds are the doctypes that this package can read.
var documentKinds = map[string]documentKind{
	"org.iso.18013.5.1.mDL": { // ISO/IEC 18013-5 7.2.1: all of them are mandatory in an mDL
		space:    "org.iso.18013.5.1",
		required: []string{"family_name", "given_name", "birth_date", "document_number", "issuing_country", "expiry_date"},
	},
	"eu.europa.ec.eudi.pid.1": { // EUDI PID rulebook 3.1
		space:    "eu.europa.ec.eudi.pid.1",
		required: []string{"family_name", "given_name", "birth_date"},
		optional: []string{"document_number", "issuing_country", "expiry_date"},
	},
}

// DefaultDocTypes are accepted when Anchors name none.
var DefaultDocTypes = []string{"org.iso.18013.5.1.mDL"}

// DocTypeElements returns namespace and elements to ask for in a document of a
// doctype; known is false for one that CheckMDoc could not read.
func DocTypeElements(docType string) (space string, required, optional []string, known bool) {
	k, known := documentKinds[docType]
	return k.space, slices.Clone(k.required), slices.Clone(k.optional), known
}

// docTypes returns DocTypes or their default.
func (a Anchors) docTypes() []string {
	if len(a.DocTypes) == 0 {
		return DefaultDocTypes
	}
	return a.DocTypes
}

// usageDocumentSigner is the extended key usage of document signers (ISO/IEC 18013-5
// B.1.4).
const usageDocumentSigner = "1.0.18013.5.1.2"

// A deviceResponse is ISO/IEC 18013-5 8.3.2.1.2.2. Error members are unknown on
// purpose: a wallet that answers with errors has not answered.
type deviceResponse struct {
	Version   string     `cbor:"version"`
	Documents []document `cbor:"documents"`
	Status    uint       `cbor:"status"`
}

type document struct {
	DocType      string `cbor:"docType"`
	IssuerSigned struct {
		NameSpaces map[string][]cbor.RawMessage `cbor:"nameSpaces"`
		IssuerAuth cbor.RawMessage              `cbor:"issuerAuth"`
	} `cbor:"issuerSigned"`
	DeviceSigned struct {
		NameSpaces cbor.RawMessage `cbor:"nameSpaces"`
		DeviceAuth struct {
			Signature cbor.RawMessage `cbor:"deviceSignature"`
			MAC       cbor.RawMessage `cbor:"deviceMac"`
		} `cbor:"deviceAuth"`
	} `cbor:"deviceSigned"`
}

// A signedItem is an IssuerSignedItem.
type signedItem struct {
	DigestID uint64          `cbor:"digestID"`
	Random   []byte          `cbor:"random"`
	Element  string          `cbor:"elementIdentifier"`
	Value    cbor.RawMessage `cbor:"elementValue"`
}

// A securityObject is the mobile security object (9.1.2.4).
type securityObject struct {
	Version   string                       `cbor:"version"`
	Digest    string                       `cbor:"digestAlgorithm"`
	Digests   map[string]map[uint64][]byte `cbor:"valueDigests"`
	DeviceKey struct {
		Key deviceKey `cbor:"deviceKey"`
	} `cbor:"deviceKeyInfo"`
	DocType  string `cbor:"docType"`
	Validity struct {
		Signed time.Time `cbor:"signed"`
		From   time.Time `cbor:"validFrom"`
		Until  time.Time `cbor:"validUntil"`
	} `cbor:"validityInfo"`
	Status struct {
		List *struct {
			Index uint64 `cbor:"idx"`
			URI   string `cbor:"uri"`
		} `cbor:"status_list"`
	} `cbor:"status"`
}

// CheckMDoc verifies a Presentation that holds a DeviceResponse of exactly one
// document: the issuer up to a trust anchor, every element, validity, and the device's
// signature over the transcript of this context.
//
// A device MAC is refused (ErrRefused): its key is shared with whoever made the
// request, so a hub could compute the MAC itself, and it would prove nothing to an
// agent. Requests ask for signatures.
func CheckMDoc(raw []byte, c protocol.Context, a Anchors, now time.Time) (Claims, error) {
	p, err := readPresentation(raw, a)
	if err != nil {
		return Claims{}, err
	}
	transcript, err := p.transcript(c)
	if err != nil {
		return Claims{}, err
	}
	d, err := parseDeviceResponse(p.Response)
	if err != nil {
		return Claims{}, err
	}
	if !slices.Contains(a.docTypes(), d.DocType) {
		return Claims{}, fmt.Errorf("%w: this doctype", ErrRefused)
	}
	m, by, err := d.issuer(a, now)
	if err != nil {
		return Claims{}, err
	}
	if err := d.device(m, transcript); err != nil {
		return Claims{}, err
	}
	values, err := d.elements(m)
	if err != nil {
		return Claims{}, err
	}
	return documentClaims(d.DocType, values, by, m, now)
}

// parseDeviceResponse reads the unsigned envelope strictly.
func parseDeviceResponse(b []byte) (document, error) {
	var r deviceResponse
	if err := decode(strictCBOR, "device response", b, &r); err != nil {
		return document{}, err
	}
	if r.Version != "1.0" || r.Status != 0 || len(r.Documents) != 1 {
		return document{}, fmt.Errorf("%w: version %q, status %d, %d documents", ErrFormat, r.Version, r.Status, len(r.Documents))
	}
	return r.Documents[0], nil
}

// An issuedBy is who signed a document.
type issuedBy struct {
	leaf   *x509.Certificate
	anchor TrustAnchor
}

// issuer verifies the chain, the issuer's signature and the validity of the mobile
// security object.
func (d document) issuer(a Anchors, now time.Time) (securityObject, issuedBy, error) {
	var m securityObject
	auth, err := parseSign1("issuerAuth", d.IssuerSigned.IssuerAuth)
	if err != nil {
		return m, issuedBy{}, err
	}
	chain, err := auth.chain("issuerAuth")
	if err != nil {
		return m, issuedBy{}, err
	}
	leaf, root, err := a.Trust.signer(chain, d.DocType, now)
	if err != nil {
		return m, issuedBy{}, err
	}
	if !hasUsage(leaf, usageDocumentSigner) {
		return m, issuedBy{}, fmt.Errorf("%w: the certificate is not one of a document signer", ErrUntrusted)
	}
	payload, err := auth.content("issuerAuth")
	if err != nil {
		return m, issuedBy{}, err
	}
	if err := auth.verify("issuerAuth", leaf.PublicKey, payload); err != nil {
		return m, issuedBy{}, err
	}
	b, err := embedded("security object", payload)
	if err != nil {
		return m, issuedBy{}, err
	}
	if err := decode(signedCBOR, "security object", b, &m); err != nil {
		return m, issuedBy{}, err
	}
	return m, issuedBy{leaf, root}, m.valid(d.DocType, leaf, a, now)
}

// valid checks what the security object says of itself.
func (m securityObject) valid(docType string, leaf *x509.Certificate, a Anchors, now time.Time) error {
	v := m.Validity
	switch {
	case m.DocType != docType:
		return fmt.Errorf("%w: the issuer signed another doctype", ErrSignature)
	case !strings.HasPrefix(m.Version, "1."):
		return fmt.Errorf("%w: version of the security object", ErrFormat)
	case v.Signed.IsZero() || v.Until.IsZero() || now.Add(leeway).Before(v.From) || now.After(v.Until):
		return fmt.Errorf("%w: security object", ErrExpired)
	case v.Signed.Before(leaf.NotBefore) || v.Signed.After(leaf.NotAfter) || v.Signed.After(now.Add(leeway)):
		return fmt.Errorf("%w: signed outside the signer's validity", ErrExpired)
	case a.MaxIssued > 0 && now.Sub(v.Signed) > a.MaxIssued:
		return fmt.Errorf("%w: the issuer's signature is too old", ErrExpired)
	}
	return nil
}

// device verifies the signature of the device key over DeviceAuthentication (9.1.3.4).
func (d document) device(m securityObject, transcript []byte) error {
	key, err := m.DeviceKey.Key.public()
	if err != nil {
		return err
	}
	if len(d.DeviceSigned.DeviceAuth.MAC) > 0 {
		return fmt.Errorf("%w: a device MAC proves nothing to a third party", ErrRefused)
	}
	if len(d.DeviceSigned.DeviceAuth.Signature) == 0 {
		return fmt.Errorf("%w: no device signature", ErrMissing)
	}
	spaces, err := embedded("device name spaces", d.DeviceSigned.NameSpaces)
	if err != nil {
		return err
	}
	var own map[string]map[string]cbor.RawMessage
	if err := decode(strictCBOR, "device name spaces", spaces, &own); err != nil {
		return err
	}
	s, err := parseSign1("device signature", d.DeviceSigned.DeviceAuth.Signature)
	if err != nil {
		return err
	}
	if !s.detached() {
		return fmt.Errorf("%w: the device's payload is not detached", ErrFormat)
	}
	for label := range s.Unprotected {
		if label != labelKid {
			return fmt.Errorf("%w: the device signature has an unsigned header", ErrFormat)
		}
	}
	b, err := deterministic.Marshal([]any{"DeviceAuthentication", cbor.RawMessage(transcript), d.DocType, d.DeviceSigned.NameSpaces})
	if err != nil {
		return err
	}
	payload, err := tagged(b)
	if err != nil {
		return err
	}
	if err := s.verify("device signature", key, payload); err != nil {
		return fmt.Errorf("%w (%w)", err, ErrContext)
	}
	return nil
}

// elements returns every element of the document's own namespace whose digest the
// issuer signed. Elements of other namespaces are checked and left out.
func (d document) elements(m securityObject) (map[string]cbor.RawMessage, error) {
	values := map[string]cbor.RawMessage{}
	for space, items := range d.IssuerSigned.NameSpaces {
		seen := map[string]bool{}
		for _, raw := range items {
			it, err := m.item(space, raw)
			if err != nil {
				return nil, err
			}
			if seen[it.Element] {
				return nil, fmt.Errorf("%w: an element appears twice", ErrFormat)
			}
			seen[it.Element] = true
			if space == documentKinds[d.DocType].space {
				values[it.Element] = it.Value
			}
		}
	}
	return values, nil
}

// item reads one element and compares the digest of its bytes as received, tag
// included.
func (m securityObject) item(space string, raw cbor.RawMessage) (signedItem, error) {
	var it signedItem
	b, err := embedded("element", raw)
	if err != nil {
		return it, err
	}
	if err := decode(signedCBOR, "element", b, &it); err != nil {
		return it, err
	}
	sum, err := digest(m.Digest, raw)
	if err != nil {
		return it, err
	}
	if !hmac.Equal(sum, m.Digests[space][it.DigestID]) {
		return it, fmt.Errorf("%w: digest of an element", ErrSignature)
	}
	return it, nil
}

// digest hashes b by the name that ISO/IEC 18013-5 gives an algorithm.
func digest(name string, b []byte) ([]byte, error) {
	switch name {
	case "SHA-256":
		s := sha256.Sum256(b)
		return s[:], nil
	case "SHA-384":
		s := sha512.Sum384(b)
		return s[:], nil
	case "SHA-512":
		s := sha512.Sum512(b)
		return s[:], nil
	}
	return nil, fmt.Errorf("%w: digest algorithm", ErrRefused)
}
