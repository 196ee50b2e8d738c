package evidence

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of trust lists and chains.
const (
	maxAnchors = 2048    // every authority of the world, several times over
	maxTrust   = 4 << 20 // bytes of one PEM file or VICAL
	maxChain   = 5       // certificates that a document brings along
)

// A TrustAnchor is one authority whose documents count.
type TrustAnchor struct {
	Certificate *x509.Certificate
	DocTypes    []string // kinds that it may issue; empty is any
	Source      string   // where it came from, for people: a file name, a VICAL provider
}

// Name is what Claims.Issuer says: the subject of the certificate, which outlives
// renewals.
func (a TrustAnchor) Name() string { return a.Certificate.Subject.String() }

// Fingerprint is the SHA-256 of the certificate in lower-case hex, to be compared by
// people.
func (a TrustAnchor) Fingerprint() string {
	sum := sha256.Sum256(a.Certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// issues reports whether the authority may issue documents of this kind.
func (a TrustAnchor) issues(docType string) bool {
	return len(a.DocTypes) == 0 || slices.Contains(a.DocTypes, docType)
}

// A TrustList holds authorities. The zero value trusts nobody. Adding is not safe
// beside other calls; reading is.
type TrustList struct {
	anchors []TrustAnchor
}

// Anchors returns the authorities in the order in which they were added.
func (l *TrustList) Anchors() []TrustAnchor {
	if l == nil {
		return nil
	}
	return slices.Clone(l.anchors)
}

// AddPEM adds every certificate of a PEM file for the given kinds of document, any
// when there are none. It refuses a file with anything else in it, and certificates
// that are no authorities, and then adds nothing.
func (l *TrustList) AddPEM(source string, file []byte, docTypes ...string) error {
	if len(file) > maxTrust {
		return fmt.Errorf("%w: trust list of %d bytes", ErrFormat, len(file))
	}
	var add []TrustAnchor
	for rest := bytes.TrimSpace(file); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil || b.Type != "CERTIFICATE" {
			return fmt.Errorf("%w: only PEM certificates may stand in a trust list", ErrFormat)
		}
		a, err := anchor(b.Bytes, docTypes, source)
		if err != nil {
			return err
		}
		add = append(add, a)
	}
	if len(add) == 0 {
		return fmt.Errorf("%w: no certificate in the trust list", ErrFormat)
	}
	return l.Add(add...)
}

// anchor checks that a certificate is an authority.
func anchor(der []byte, docTypes []string, source string) (TrustAnchor, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return TrustAnchor{}, fmt.Errorf("%w: certificate: %v", ErrFormat, err)
	}
	if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return TrustAnchor{}, fmt.Errorf("%w: %s is not an authority's certificate", ErrFormat, c.Subject)
	}
	return TrustAnchor{Certificate: c, DocTypes: slices.Clone(docTypes), Source: source}, nil
}

// Add appends authorities, as another list has read them; the same certificate from two
// sources may issue what either says. Of more than a list may have it adds none.
func (l *TrustList) Add(add ...TrustAnchor) error {
	if len(l.anchors)+len(add) > maxAnchors {
		return fmt.Errorf("%w: more than %d authorities", ErrFormat, maxAnchors)
	}
	l.anchors = append(l.anchors, add...)
	return nil
}

// signer parses the chain that a document brings, leaf first, verifies it up to an
// anchor that may issue docType at the time now, and returns leaf and anchor. Extended
// key usage is not judged here: Go does not know the usages of documents, so each
// caller checks them by hand.
func (l *TrustList) signer(chain [][]byte, docType string, now time.Time) (*x509.Certificate, TrustAnchor, error) {
	leaf, between, err := parseChain(chain)
	if err != nil {
		return nil, TrustAnchor{}, err
	}
	roots := x509.NewCertPool()
	for _, a := range l.Anchors() {
		if a.issues(docType) {
			roots.AddCert(a.Certificate)
		}
	}
	paths, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, TrustAnchor{}, fmt.Errorf("%w: %v", ErrUntrusted, err)
	}
	for _, a := range l.Anchors() {
		for _, path := range paths {
			if root := path[len(path)-1]; len(path) > 1 && a.issues(docType) && root.Equal(a.Certificate) {
				return leaf, a, sameCountry(leaf, root)
			}
		}
	}
	return nil, TrustAnchor{}, fmt.Errorf("%w: the signer is its own authority", ErrUntrusted)
}

func parseChain(chain [][]byte) (*x509.Certificate, *x509.CertPool, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, nil, fmt.Errorf("%w: a chain of %d certificates", ErrFormat, len(chain))
	}
	var leaf *x509.Certificate
	between := x509.NewCertPool()
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: certificate: %v", ErrFormat, err)
		}
		if i == 0 {
			leaf = c
		} else {
			between.AddCert(c)
		}
	}
	if leaf.IsCA || leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, nil, fmt.Errorf("%w: the certificate may not sign documents", ErrUntrusted)
	}
	return leaf, between, nil
}

// sameCountry holds a signer to the country of its authority (ISO/IEC 18013-5 B.1).
func sameCountry(leaf, root *x509.Certificate) error {
	l, r := leaf.Subject.Country, root.Subject.Country
	if len(l) > 0 && len(r) > 0 && !strings.EqualFold(l[0], r[0]) {
		return fmt.Errorf("%w: signer and authority are of different countries", ErrUntrusted)
	}
	return nil
}

// hasUsage looks for an extended key usage that Go has no name for.
func hasUsage(c *x509.Certificate, oid string) bool {
	return slices.ContainsFunc(c.UnknownExtKeyUsage, func(u asn1.ObjectIdentifier) bool { return u.String() == oid })
}
