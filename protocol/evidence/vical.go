package evidence

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// usageVICALSigner is the key usage of those who sign lists of authorities (ISO/IEC
// 18013-5 C.1.7.1).
const usageVICALSigner = "1.0.18013.5.1.8"

// A vical is a verified issuer certificate authority list (ISO/IEC 18013-5 C.1.7).
type vical struct {
	Version      string    `cbor:"version"`
	Provider     string    `cbor:"vicalProvider"`
	Date         time.Time `cbor:"date"`
	NextUpdate   time.Time `cbor:"nextUpdate"`
	Certificates []struct {
		Certificate []byte   `cbor:"certificate"`
		DocTypes    []string `cbor:"docType"`
	} `cbor:"certificateInfos"`
}

// A VICALInfo says what a list says of itself.
type VICALInfo struct {
	Provider   string
	Date       time.Time
	NextUpdate time.Time // zero when the list does not say
	Added      int       // authorities
	Until      time.Time // end of the first certificate by which the list was verified
}

// AddVICAL verifies a list of authorities up to the certificate of its provider, which
// the caller pins as PEM, and adds the authorities for the kinds of document that the
// list gives them. A list that its provider would have replaced by now still counts,
// since refusing it would lock people out: VICALInfo says how old it is.
func (l *TrustList) AddVICAL(source string, raw, providerPEM []byte, now time.Time) (VICALInfo, error) {
	if len(raw) > maxTrust {
		return VICALInfo{}, fmt.Errorf("%w: list of %d bytes", ErrFormat, len(raw))
	}
	provider := new(TrustList)
	if err := provider.AddPEM(source, providerPEM); err != nil {
		return VICALInfo{}, err
	}
	payload, until, err := provider.signedList(raw, now)
	if err != nil {
		return VICALInfo{}, err
	}
	var v vical
	if err := decode(signedCBOR, "list", payload, &v); err != nil {
		return VICALInfo{}, err
	}
	if v.Date.IsZero() || v.Date.After(now.Add(leeway)) {
		return VICALInfo{}, fmt.Errorf("%w: list", ErrExpired)
	}
	var add []TrustAnchor
	for _, c := range v.Certificates {
		if len(c.DocTypes) == 0 {
			return VICALInfo{}, fmt.Errorf("%w: an authority without a kind of document", ErrFormat)
		}
		a, err := anchor(c.Certificate, c.DocTypes, source)
		if err != nil {
			return VICALInfo{}, err
		}
		add = append(add, a)
	}
	return VICALInfo{v.Provider, v.Date, v.NextUpdate, len(add), until}, l.Add(add...)
}

// signedList returns the payload of a list that a signer below the provider's
// certificate signed, and when the first of their certificates ends.
func (l *TrustList) signedList(raw []byte, now time.Time) (payload []byte, until time.Time, err error) {
	m, err := parseSign1("list", raw)
	if err != nil {
		return nil, until, err
	}
	chain, err := m.chain("list")
	if err != nil {
		return nil, until, err
	}
	leaf, root, err := l.signer(chain, "", now)
	if err != nil {
		return nil, until, err
	}
	usages := len(leaf.UnknownExtKeyUsage) + len(leaf.ExtKeyUsage)
	if usages > 0 && !hasUsage(leaf, usageVICALSigner) {
		return nil, until, fmt.Errorf("%w: the certificate was made for something else", ErrUntrusted)
	}
	payload, err = m.content("list")
	if err != nil {
		return nil, until, err
	}
	if err := m.verify("list", leaf.PublicKey, payload); err != nil {
		return nil, until, err
	}
	if slices.Equal(payload[:min(2, len(payload))], []byte{0xd8, tagEncoded}) { // some wrap it once more
		payload, err = embedded("list", cbor.RawMessage(payload))
	}
	return payload, firstEnd(chain, root.Certificate), err
}

// firstEnd returns when the first certificate of a chain ends, its root among them.
func firstEnd(chain [][]byte, root *x509.Certificate) time.Time {
	first := root.NotAfter
	for _, der := range chain {
		if c, err := x509.ParseCertificate(der); err == nil && c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}
