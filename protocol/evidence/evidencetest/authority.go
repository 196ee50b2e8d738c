package evidencetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"time"
)

// Lifetimes of what an authority makes.
const (
	authorityYears = 10
	signerDays     = 400
	documentDays   = 30
)

// usageDocumentSigner is the key usage of document signers (ISO/IEC 18013-5 B.1.4).
var usageDocumentSigner = asn1.ObjectIdentifier{1, 0, 18013, 5, 1, 2}

// An Authority issues documents: a root (IACA) with one signer for each format.
type Authority struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
	Country     string
	Documents   Signer // signs mobile documents
	Credentials Signer // signs SD-JWT credentials
}

// A Signer is a certificate below an authority, and its key.
type Signer struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority of a country (ISO 3166-1 alpha-2) with signers that
// are valid from a day before now.
func NewAuthority(country, name string, now time.Time) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	from := now.AddDate(0, 0, -1)
	root := &x509.Certificate{
		Subject:   pkix.Name{Country: []string{country}, CommonName: name},
		NotBefore: from, NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &Authority{Key: key, Country: country}
	if a.Certificate, err = sign(root, root, key, key); err != nil {
		return nil, err
	}
	usage, err := criticalUsage(usageDocumentSigner)
	if err != nil {
		return nil, err
	}
	if a.Documents, err = a.Signer(name+" document signer", from, usage); err != nil {
		return nil, err
	}
	a.Credentials, err = a.Signer(name+" credential signer", from)
	return a, err
}

// Signer makes a certificate that may sign, with further extensions.
func (a *Authority) Signer(name string, from time.Time, extensions ...pkix.Extension) (Signer, error) {
	key, err := newKey()
	if err != nil {
		return Signer{}, err
	}
	c, err := sign(&x509.Certificate{
		Subject:   pkix.Name{Country: []string{a.Country}, CommonName: name},
		NotBefore: from, NotAfter: from.AddDate(0, 0, signerDays),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: extensions,
	}, a.Certificate, key, a.Key)
	return Signer{c, key}, err
}

// RelyingParty makes a certificate for the signed requests of one host, below nobody.
func RelyingParty(host string, now time.Time) (Signer, error) {
	key, err := newKey()
	if err != nil {
		return Signer{}, err
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: host},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(0, 0, signerDays),
		KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: []string{host},
	}
	c, err := sign(t, t, key, key)
	return Signer{c, key}, err
}

// PEM is the authority's certificate, to be imported into a trust list.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// criticalUsage is an extended key usage extension as ISO/IEC 18013-5 wants it.
func criticalUsage(usage asn1.ObjectIdentifier) (pkix.Extension, error) {
	b, err := asn1.Marshal([]asn1.ObjectIdentifier{usage})
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: b}, err
}

// sign makes a certificate with a random serial number.
func sign(t, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ecdsaSign returns r and s at full length, as COSE and JOSE have them.
func ecdsaSign(key *ecdsa.PrivateKey, b []byte) ([]byte, error) {
	sum := sha256.Sum256(b)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
}
