package evidencetest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// VCT is the type of the credentials that IssueSDJWT makes.
const VCT = "urn:eudi:pid:1"

var b64 = base64.RawURLEncoding

// An SDJWT is an issued credential with the holder's key.
type SDJWT struct {
	Issuer      string            // the signed part
	Disclosures map[string]string // by claim name, in base64url
	Key         *ecdsa.PrivateKey
}

// IssueSDJWT makes a person identification credential, valid from now, every claim
// about the person selectively disclosable.
func (a *Authority) IssueSDJWT(p Person, now time.Time) (*SDJWT, error) {
	claims := map[string]any{
		"family_name": p.Family, "given_name": p.Given, "birthdate": p.BirthDate,
		"document_number": p.Document, "issuing_country": a.Country, "date_of_expiry": p.Expires,
	}
	if p.Home != nil {
		home := map[string]any{}
		for i, name := range []string{"street_address", "postal_code", "locality", "region", "country"} {
			if i < len(p.Home) {
				home[name] = p.Home[i]
			}
		}
		claims["address"] = home
	}
	return a.IssueClaims(claims, nil, now)
}

// IssueClaims makes a credential with these disclosable claims; plain members are
// added to the signed part, over what it holds by itself.
func (a *Authority) IssueClaims(disclosable, plain map[string]any, now time.Time) (*SDJWT, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	c := &SDJWT{Disclosures: map[string]string{}, Key: key}
	var digests []string
	for name, value := range disclosable {
		d, err := disclose(name, value)
		if err != nil {
			return nil, err
		}
		c.Disclosures[name] = d
		digests = append(digests, hash(d))
	}
	slices.Sort(digests)
	jwk, err := PublicJWK(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{
		"iss": "https://pid.example", "vct": VCT, "iat": now.Unix(), "exp": now.AddDate(0, 0, documentDays).Unix(),
		"cnf": map[string]any{"jwk": jwk}, "_sd": digests, "_sd_alg": "sha-256",
	}
	for name, value := range plain {
		claims[name] = value
	}
	c.Issuer, err = a.Credentials.JWT("dc+sd-jwt", claims)
	return c, err
}

// disclose returns one disclosure with a fresh salt.
func disclose(name string, value any) (string, error) {
	b, err := json.Marshal([]any{rand.Text(), name, value})
	return b64.EncodeToString(b), err
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return b64.EncodeToString(sum[:])
}

// JWT signs claims with ES256 and the signer's certificate in x5c.
func (s Signer) JWT(typ string, claims jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"] = typ
	t.Header["x5c"] = []string{base64.StdEncoding.EncodeToString(s.Certificate.Raw)}
	return t.SignedString(s.Key)
}

// Present discloses these claims and binds them to an audience and a nonce.
func (c *SDJWT) Present(audience, nonce string, now time.Time, claims ...string) (string, error) {
	parts := []string{c.Issuer}
	for _, name := range claims {
		d, ok := c.Disclosures[name]
		if !ok {
			return "", fmt.Errorf("evidencetest: the credential holds no %s", name)
		}
		parts = append(parts, d)
	}
	return c.Bind(strings.Join(parts, "~")+"~", jwt.MapClaims{"aud": audience, "nonce": nonce, "iat": now.Unix()})
}

// Bind appends a key binding JWT with these claims and the hash of what is shown,
// which ends in "~".
func (c *SDJWT) Bind(shown string, claims jwt.MapClaims) (string, error) {
	claims["sd_hash"] = hash(shown)
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"] = "kb+jwt"
	s, err := t.SignedString(c.Key)
	return shown + s, err
}

// PublicJWK is an EC key on P-256 as a JSON Web Key.
func PublicJWK(key *ecdsa.PublicKey) (map[string]any, error) {
	p, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64.EncodeToString(p[1:33]), "y": b64.EncodeToString(p[33:])}, nil
}
