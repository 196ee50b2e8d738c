package evidence

import (
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// DefaultVCTs are the credential types accepted when Anchors name none: the European
// person identification data.
var DefaultVCTs = []string{"urn:eudi:pid:1"}

// vcts returns VCTs or their default.
func (a Anchors) vcts() []string {
	if len(a.VCTs) == 0 {
		return DefaultVCTs
	}
	return a.VCTs
}

// Claims of a person identification credential (EUDI PID rulebook 4), asked for and
// checked.
var (
	credentialRequired = []string{"family_name", "given_name", "birthdate"}
	credentialOptional = []string{"document_number", "issuing_country", "date_of_expiry"}
)

// CredentialClaims returns the claims to ask for in an SD-JWT credential.
func CredentialClaims() (required, optional []string) {
	return slices.Clone(credentialRequired), slices.Clone(credentialOptional)
}

// usageReader is the key usage of relying parties (ISO/IEC 18013-5 B.1.7), whose
// certificates may come from the same authorities as those of issuers.
const usageReader = "1.0.18013.5.1.6"

// CheckSDJWT verifies a Presentation that holds an SD-JWT credential with key binding
// (RFC 9901 7.3): the issuer up to a trust anchor, every disclosure, and the holder's
// signature over audience, nonce and the presentation itself.
func CheckSDJWT(raw []byte, c protocol.Context, a Anchors, now time.Time) (Claims, error) {
	p, err := readPresentation(raw, a)
	if err != nil {
		return Claims{}, err
	}
	parts := strings.Split(string(p.Response), "~")
	if len(parts) < 2 || parts[len(parts)-1] == "" {
		return Claims{}, fmt.Errorf("%w: no key binding", ErrMissing)
	}
	binding := parts[len(parts)-1]
	signed, issuer, err := issuerJWT(parts[0], a, now)
	if err != nil {
		return Claims{}, err
	}
	sum, err := disclosureHash(signed)
	if err != nil {
		return Claims{}, err
	}
	claims, err := disclosed(signed, parts[1:len(parts)-1], sum)
	if err != nil {
		return Claims{}, err
	}
	shown := sum(strings.TrimSuffix(string(p.Response), binding))
	if err := keyBinding(binding, signed, p.audience(), c, shown, a, now); err != nil {
		return Claims{}, err
	}
	return credentialClaims(claims, issuer, now)
}

// issuerJWT verifies the signed part and returns its claims and who issued it.
func issuerJWT(text string, a Anchors, now time.Time) (map[string]any, issuedBy, error) {
	var by issuedBy
	// The anchor may depend on the kind of credential, which only the payload says: it is
	// read before the signature is checked, and believed after.
	vct, err := unverifiedType(text)
	if err != nil {
		return nil, by, err
	}
	if !slices.Contains(a.vcts(), vct) {
		return nil, by, fmt.Errorf("%w: this vct", ErrRefused)
	}
	claims, err := parseJWT("credential", text, []string{"ES256", "ES384", "EdDSA"}, now, func(h map[string]any) (crypto.PublicKey, error) {
		if h["typ"] != "dc+sd-jwt" && h["typ"] != "vc+sd-jwt" {
			return nil, fmt.Errorf("%w: typ of the credential", ErrFormat)
		}
		chain, err := headerChain(h)
		if err != nil {
			return nil, err
		}
		if by.leaf, by.anchor, err = a.Trust.signer(chain, vct, now); err != nil {
			return nil, err
		}
		return by.leaf.PublicKey, credentialSigner(by.leaf)
	})
	if err != nil {
		return nil, by, err
	}
	iat, issued := seconds(claims, "iat")
	if a.MaxIssued > 0 && (!issued || now.Sub(iat) > a.MaxIssued) {
		return nil, by, fmt.Errorf("%w: the issuer's signature is too old", ErrExpired)
	}
	return claims, by, nil
}

// unverifiedType reads vct of a JWT whose signature nobody has checked yet.
func unverifiedType(text string) (string, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("%w: credential is not a compact JWT", ErrFormat)
	}
	b, err := b64.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("%w: credential", ErrFormat)
	}
	var c struct {
		VCT string `json:"vct"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return "", fmt.Errorf("%w: credential: %v", ErrFormat, err)
	}
	return c.VCT, nil
}

// credentialSigner refuses certificates that were made for something else: no usage
// is registered for credential issuers, so none, or that of a document signer, will do.
func credentialSigner(c *x509.Certificate) error {
	foreign := hasUsage(c, usageReader) || slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool { return u != x509.ExtKeyUsageAny })
	if foreign {
		return fmt.Errorf("%w: the certificate was made for something else", ErrUntrusted)
	}
	return nil
}

// keyBinding verifies the holder's signature (RFC 9901 4.3).
func keyBinding(text string, credential map[string]any, audience string, c protocol.Context, shown string, a Anchors, now time.Time) error {
	claims, err := parseJWT("key binding", text, []string{"ES256"}, now, func(h map[string]any) (crypto.PublicKey, error) {
		if h["typ"] != "kb+jwt" {
			return nil, fmt.Errorf("%w: typ of the key binding", ErrFormat)
		}
		return holderKey(credential)
	})
	if err != nil {
		return err
	}
	iat, issued := seconds(claims, "iat")
	aud, isText := claims["aud"].(string)
	switch {
	case !isText || audience == "" || aud != audience:
		return fmt.Errorf("%w: audience of the key binding", ErrContext)
	case subtle.ConstantTimeCompare([]byte(claimText(claims, "nonce")), []byte(c.String())) != 1:
		return fmt.Errorf("%w: nonce of the key binding", ErrContext)
	case subtle.ConstantTimeCompare([]byte(claimText(claims, "sd_hash")), []byte(shown)) != 1:
		return fmt.Errorf("%w: sd_hash", ErrSignature)
	case !issued || now.Sub(iat) > a.maxAge():
		return fmt.Errorf("%w: key binding", ErrExpired)
	}
	return nil
}

// holderKey reads cnf.jwk, an EC key on P-256.
func holderKey(credential map[string]any) (crypto.PublicKey, error) {
	cnf, _ := credential["cnf"].(map[string]any)
	m, _ := cnf["jwk"].(map[string]any)
	k := JWK{Kty: claimText(m, "kty"), Crv: claimText(m, "crv"), X: claimText(m, "x"), Y: claimText(m, "y")}
	if k.Kty != "EC" || k.Crv != "P-256" {
		return nil, fmt.Errorf("%w: cnf is not an EC key on P-256", ErrFormat)
	}
	return k.public()
}

// credentialClaims reads what a recovery asks for.
func credentialClaims(m map[string]any, by issuedBy, now time.Time) (Claims, error) {
	for _, name := range credentialRequired {
		if claimText(m, name) == "" {
			return Claims{}, fmt.Errorf("%w: %s", ErrMissing, name)
		}
	}
	c := Claims{Type: TypeSDJWT, Issuer: by.anchor.Name(), DocType: claimText(m, "vct"), BirthDate: claimText(m, "birthdate")}
	for _, t := range []struct {
		to   *string
		name string
	}{{&c.Family, "family_name"}, {&c.Given, "given_name"}, {&c.Document, "document_number"}, {&c.Country, "issuing_country"}} {
		s, err := plainText(t.name, claimText(m, t.name))
		if err != nil {
			return Claims{}, err
		}
		*t.to = s
	}
	if _, err := time.Parse(time.DateOnly, c.BirthDate); err != nil {
		return Claims{}, fmt.Errorf("%w: birthdate", ErrFormat)
	}
	if end := claimText(m, "date_of_expiry"); end != "" {
		at, err := time.Parse(time.DateOnly, end)
		if err != nil {
			return Claims{}, fmt.Errorf("%w: date_of_expiry", ErrFormat)
		}
		c.Expires = date{at, true}.end()
	}
	address, err := credentialAddress(m)
	if err != nil {
		return Claims{}, err
	}
	c.Address = address
	c.Status = statusOf(m)
	if s := by.leaf.Subject.Country; c.Country != "" && len(s) > 0 && !strings.EqualFold(s[0], c.Country) {
		return Claims{}, fmt.Errorf("%w: the signer is of another country than the document", ErrUntrusted)
	}
	return c, c.complete(now)
}

// statusOf reads status.status_list.
func statusOf(m map[string]any) *Status {
	s, _ := m["status"].(map[string]any)
	l, _ := s["status_list"].(map[string]any)
	n, ok := l["idx"].(json.Number)
	if !ok {
		return nil
	}
	i, err := n.Int64()
	if err != nil || i < 0 {
		return nil
	}
	return &Status{claimText(l, "uri"), uint64(i)}
}
