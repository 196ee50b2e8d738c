package evidencetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/protocol/evidence"
)

// A Wallet holds one document of each form and answers requests of OpenID4VP 1.0.
type Wallet struct {
	MDoc  *MDoc
	SDJWT *SDJWT
}

// NewWallet makes a wallet with both documents of a person.
func (a *Authority) NewWallet(p Person, now time.Time) (*Wallet, error) {
	m, err := a.IssueMDoc(p, now)
	if err != nil {
		return nil, err
	}
	s, err := a.IssueSDJWT(p, now)
	return &Wallet{m, s}, err
}

// A Request is what a verifier asks for.
type Request struct {
	ClientID        string         `json:"client_id"`
	ResponseType    string         `json:"response_type"`
	ResponseMode    string         `json:"response_mode"`
	ResponseURI     string         `json:"response_uri"`
	Nonce           string         `json:"nonce"`
	State           string         `json:"state"`
	WalletNonce     string         `json:"wallet_nonce"`
	ExpectedOrigins []string       `json:"expected_origins"`
	Query           Query          `json:"dcql_query"`
	Metadata        ClientMetadata `json:"client_metadata"`
}

// A Query is a DCQL query, as far as this wallet understands it.
type Query struct {
	Credentials []struct {
		ID     string `json:"id"`
		Format string `json:"format"`
		Claims []struct {
			ID   string   `json:"id"`
			Path []string `json:"path"`
		} `json:"claims"`
		ClaimSets [][]string `json:"claim_sets"`
	} `json:"credentials"`
}

// ClientMetadata is what a verifier says of itself.
type ClientMetadata struct {
	JWKS struct {
		Keys []json.RawMessage `json:"keys"`
	} `json:"jwks"`
	Encodings []string `json:"encrypted_response_enc_values_supported"`
}

// ParseRequest reads a signed request and checks it as a wallet does: signature by the
// certificate that comes along, which must bear the host of the client id. It does not
// ask who issued the certificate.
func ParseRequest(signed string) (Request, error) {
	var r Request
	var leaf *x509.Certificate
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithStrictDecoding()).ParseWithClaims(signed, claims, func(t *jwt.Token) (any, error) {
		chain, _ := t.Header["x5c"].([]any)
		if t.Header["typ"] != "oauth-authz-req+jwt" || len(chain) == 0 {
			return nil, errors.New("not a signed request")
		}
		first, _ := chain[0].(string)
		der, err := base64.StdEncoding.DecodeString(first)
		if err != nil {
			return nil, err
		}
		if leaf, err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
		return leaf.PublicKey, nil
	})
	if err != nil {
		return r, fmt.Errorf("evidencetest: request: %w", err)
	}
	if err := parseClaims(claims, &r); err != nil {
		return r, err
	}
	host, prefixed := strings.CutPrefix(r.ClientID, evidence.ClientPrefix)
	if !prefixed || !slices.Contains(leaf.DNSNames, host) {
		return r, errors.New("evidencetest: the certificate does not bear the client id")
	}
	return r, nil
}

func parseClaims(claims jwt.MapClaims, r *Request) error {
	b, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, r)
}

// AnswerPost answers a redirect request with the credential that has this query id and
// returns the encrypted response.
func (w *Wallet) AnswerPost(r Request, id string, now time.Time) (string, error) {
	return w.answer(r, id, r.ClientID, now, func(thumbprint []byte) ([]byte, error) {
		return evidence.Transcript("OpenID4VPHandover", r.ClientID, r.Nonce, thumbprint, r.ResponseURI)
	})
}

// AnswerBrowser answers one request of the Digital Credentials API from a page of this
// origin and returns the member data of the browser's answer.
func (w *Wallet) AnswerBrowser(protocol string, data json.RawMessage, origin, id string, now time.Time) (json.RawMessage, error) {
	var r Request
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if protocol == "openid4vp-v1-signed" {
		var signed struct {
			Request string `json:"request"`
		}
		err := json.Unmarshal(data, &signed)
		if err != nil {
			return nil, err
		}
		if r, err = ParseRequest(signed.Request); err != nil {
			return nil, err
		}
		if !slices.Contains(r.ExpectedOrigins, origin) {
			return nil, errors.New("evidencetest: the request is for another origin")
		}
	} else if r.ClientID != "" {
		return nil, errors.New("evidencetest: an unsigned request with a client id")
	}
	jwe, err := w.answer(r, id, "origin:"+origin, now, func(thumbprint []byte) ([]byte, error) {
		return evidence.Transcript("OpenID4VPDCAPIHandover", origin, r.Nonce, thumbprint)
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"response": jwe})
}

// answer presents what was asked for under a query id and encrypts it.
func (w *Wallet) answer(r Request, id, audience string, now time.Time, transcript func(thumbprint []byte) ([]byte, error)) (string, error) {
	key, thumbprint, err := r.key()
	if err != nil {
		return "", err
	}
	format, names, err := r.Query.wanted(id, w)
	if err != nil {
		return "", err
	}
	var presented string
	if format == "mso_mdoc" {
		t, err := transcript(thumbprint)
		if err != nil {
			return "", err
		}
		b, err := w.MDoc.Present(t, names...)
		if err != nil {
			return "", err
		}
		presented = b64.EncodeToString(b)
	} else if presented, err = w.SDJWT.Present(audience, r.Nonce, now, names...); err != nil {
		return "", err
	}
	payload := map[string]any{"vp_token": map[string][]string{id: {presented}}}
	if r.State != "" {
		payload["state"] = r.State
	}
	return Encrypt(key, r.Metadata.encoding(), payload)
}

// key returns the verifier's key and its RFC 7638 thumbprint.
func (r Request) key() (jose.JSONWebKey, []byte, error) {
	var k jose.JSONWebKey
	if len(r.Metadata.JWKS.Keys) == 0 {
		return k, nil, errors.New("evidencetest: the verifier has no key")
	}
	if err := k.UnmarshalJSON(r.Metadata.JWKS.Keys[0]); err != nil {
		return k, nil, err
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	return k, sum, err
}

func (m ClientMetadata) encoding() jose.ContentEncryption {
	if slices.Contains(m.Encodings, string(jose.A256GCM)) {
		return jose.A256GCM
	}
	return jose.A128GCM
}

// Encrypt makes a compact JWE for a verifier's key.
func Encrypt(key jose.JSONWebKey, enc jose.ContentEncryption, payload any) (string, error) {
	public, ok := key.Key.(*ecdsa.PublicKey)
	if !ok {
		return "", errors.New("evidencetest: the verifier's key is not an EC key")
	}
	b, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	e, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: jose.ECDH_ES, Key: public, KeyID: key.KeyID}, nil)
	if err != nil {
		return "", err
	}
	jwe, err := e.Encrypt(b)
	if err != nil {
		return "", err
	}
	return jwe.CompactSerialize()
}

// wanted returns format and claim names of one query: the first claim set that the
// wallet can serve, or all claims.
func (q Query) wanted(id string, w *Wallet) (format string, names []string, err error) {
	for _, c := range q.Credentials {
		if c.ID != id {
			continue
		}
		byID := map[string]string{}
		for _, claim := range c.Claims {
			name := claim.Path[len(claim.Path)-1]
			byID[claim.ID] = name
			names = append(names, name)
		}
		for _, set := range c.ClaimSets {
			var some []string
			for _, ref := range set {
				some = append(some, byID[ref])
			}
			if w.holds(c.Format, some) {
				return c.Format, some, nil
			}
		}
		return c.Format, names, nil
	}
	return "", nil, fmt.Errorf("evidencetest: nobody asked for %q", id)
}

func (w *Wallet) holds(format string, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		if format == "mso_mdoc" {
			return !slices.ContainsFunc(w.MDoc.Items, func(it Item) bool { return it.Name == name })
		}
		return w.SDJWT.Disclosures[name] == ""
	})
}
