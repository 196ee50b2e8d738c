package evidencetest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// DocType of the documents that Issue makes, and the namespace of its elements.
const (
	DocType   = "org.iso.18013.5.1.mDL"
	NameSpace = "org.iso.18013.5.1"
)

// algES256 is the COSE algorithm of every signature made here.
const algES256 = -7

// A Person is what a document says about its holder.
type Person struct {
	Family, Given string
	BirthDate     string // YYYY-MM-DD
	Document      string // its number
	Expires       string // YYYY-MM-DD
	Portrait      []byte
	Home          []string // street, postal code, city, state and country; nil: the document does not say
}

// An MDoc is an issued mobile document with the device's key.
type MDoc struct {
	DocType    string
	IssuerAuth cbor.RawMessage
	Items      []Item
	Key        *ecdsa.PrivateKey
}

// An Item is one element in the bytes that the issuer's digest covers.
type Item struct {
	Name  string
	Bytes cbor.RawMessage // in tag 24
}

// deterministic is the encoding of everything made here.
var deterministic = mustMode()

func mustMode() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.Time, o.TimeTag = cbor.TimeRFC3339, cbor.EncTagRequired
	m, err := o.EncMode()
	if err != nil {
		panic(err) // constant options
	}
	return m
}

// elements are what an mDL says about p.
func (a *Authority) elements(p Person) map[string]any {
	fullDate := func(s string) any { return cbor.Tag{Number: 1004, Content: s} }
	e := map[string]any{
		"family_name": p.Family, "given_name": p.Given, "birth_date": fullDate(p.BirthDate),
		"document_number": p.Document, "issuing_country": a.Country, "expiry_date": fullDate(p.Expires),
	}
	if len(p.Portrait) > 0 {
		e["portrait"] = p.Portrait
	}
	for i, name := range []string{"resident_address", "resident_postal_code", "resident_city", "resident_state", "resident_country"} {
		if i < len(p.Home) {
			e[name] = p.Home[i]
		}
	}
	return e
}

// IssueMDoc makes an mDL for a person, valid from now.
func (a *Authority) IssueMDoc(p Person, now time.Time) (*MDoc, error) {
	return a.IssueElements(DocType, a.elements(p), now)
}

// IssueElements makes a document with any elements, in the order of their names.
func (a *Authority) IssueElements(docType string, elements map[string]any, now time.Time) (*MDoc, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	d := &MDoc{DocType: docType, Key: key}
	digests := map[uint64][]byte{}
	names := make([]string, 0, len(elements))
	for name := range elements {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		it, err := newItem(uint64(i), name, elements[name])
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(it.Bytes)
		digests[uint64(i)] = sum[:]
		d.Items = append(d.Items, it)
	}
	d.IssuerAuth, err = a.Documents.issuerAuth(docType, digests, &key.PublicKey, now)
	return d, err
}

func newItem(id uint64, name string, value any) (Item, error) {
	salt := make([]byte, 32)
	rand.Read(salt)
	b, err := deterministic.Marshal(map[string]any{"digestID": id, "random": salt, "elementIdentifier": name, "elementValue": value})
	if err != nil {
		return Item{}, err
	}
	raw, err := inTag24(b)
	return Item{name, raw}, err
}

func inTag24(b []byte) (cbor.RawMessage, error) {
	return deterministic.Marshal(cbor.Tag{Number: 24, Content: b})
}

// issuerAuth signs the mobile security object.
func (s Signer) issuerAuth(docType string, digests map[uint64][]byte, device *ecdsa.PublicKey, now time.Time) (cbor.RawMessage, error) {
	point, err := device.Bytes()
	if err != nil {
		return nil, err
	}
	now = now.UTC().Truncate(time.Second)
	mso, err := deterministic.Marshal(map[string]any{
		"version": "1.0", "digestAlgorithm": "SHA-256", "docType": docType,
		"valueDigests":  map[string]any{NameSpace: digests},
		"deviceKeyInfo": map[string]any{"deviceKey": map[int]any{1: 2, -1: 1, -2: point[1:33], -3: point[33:]}},
		"validityInfo":  map[string]any{"signed": now, "validFrom": now, "validUntil": now.AddDate(0, 0, documentDays)},
	})
	if err != nil {
		return nil, err
	}
	payload, err := inTag24(mso)
	if err != nil {
		return nil, err
	}
	return coseSign(s.Key, map[int]any{33: s.Certificate.Raw}, payload, false)
}

// coseSign makes an untagged COSE_Sign1 with ES256.
func coseSign(key *ecdsa.PrivateKey, unprotected map[int]any, payload []byte, detached bool) (cbor.RawMessage, error) {
	return coseSignAs(key, map[int]any{1: algES256}, unprotected, payload, detached)
}

// coseSignAs is coseSign with a protected header of one's own.
func coseSignAs(key *ecdsa.PrivateKey, protected, unprotected map[int]any, payload []byte, detached bool) (cbor.RawMessage, error) {
	head, err := deterministic.Marshal(protected)
	if err != nil {
		return nil, err
	}
	b, err := deterministic.Marshal([]any{"Signature1", head, []byte{}, payload})
	if err != nil {
		return nil, err
	}
	sig, err := ecdsaSign(key, b)
	if err != nil {
		return nil, err
	}
	var carried any = payload
	if detached {
		carried = nil
	}
	return deterministic.Marshal([]any{head, unprotected, carried, sig})
}

// Present makes a DeviceResponse with these elements, signed over a session
// transcript. It refuses to present what the document does not hold.
func (d *MDoc) Present(transcript []byte, elements ...string) ([]byte, error) {
	var items []cbor.RawMessage
	for _, name := range elements {
		i := slices.IndexFunc(d.Items, func(it Item) bool { return it.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("evidencetest: the document holds no %s", name)
		}
		items = append(items, d.Items[i].Bytes)
	}
	spaces, err := inTag24([]byte{0xa0})
	if err != nil {
		return nil, err
	}
	b, err := deterministic.Marshal([]any{"DeviceAuthentication", cbor.RawMessage(transcript), d.DocType, spaces})
	if err != nil {
		return nil, err
	}
	payload, err := inTag24(b)
	if err != nil {
		return nil, err
	}
	sig, err := coseSign(d.Key, map[int]any{}, payload, true)
	if err != nil {
		return nil, err
	}
	return deterministic.Marshal(map[string]any{"version": "1.0", "status": 0, "documents": []any{map[string]any{
		"docType":      d.DocType,
		"issuerSigned": map[string]any{"nameSpaces": map[string]any{NameSpace: items}, "issuerAuth": d.IssuerAuth},
		"deviceSigned": map[string]any{"nameSpaces": spaces, "deviceAuth": map[string]any{"deviceSignature": sig}},
	}}})
}
