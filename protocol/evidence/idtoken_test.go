package evidence_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// A provider is an identity provider with an EC and an RSA key, and who pins it.
type provider struct {
	ec      *ecdsa.PrivateKey
	rsa     *rsa.PrivateKey
	context protocol.Context
	anchors evidence.Anchors
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{context: protocol.Context{4, 2}}
	var err error
	if p.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	ec, err := evidencetest.PublicJWK(&p.ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ec["kid"] = "ec"
	enc := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	set, err := json.Marshal(map[string]any{"keys": []any{ec, map[string]any{
		"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": enc(p.rsa.N.Bytes()), "e": enc(big.NewInt(int64(p.rsa.E)).Bytes()),
	}, map[string]any{"kty": "oct", "kid": "shared", "k": "AAAA"}}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := evidence.ParseJWKS(set)
	if err != nil || len(keys.Keys) != 2 {
		t.Fatalf("%d keys, %v", len(keys.Keys), err)
	}
	p.anchors = evidence.Anchors{Providers: []evidence.Provider{{Issuer: "https://idp.example", ClientID: "recovery", Keys: keys, ACR: []string{"phr"}, AMR: []string{"hwk"}}}}
	return p
}

// token is a right token with some claims changed; nil takes one out.
func (p *provider) token(t testing.TB, change jwt.MapClaims) string {
	t.Helper()
	s, err := p.unsigned(jwt.SigningMethodES256, "ec", change).SignedString(p.ec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *provider) unsigned(m jwt.SigningMethod, kid string, change jwt.MapClaims) *jwt.Token {
	c := jwt.MapClaims{
		"iss": "https://idp.example", "aud": "recovery", "sub": "u-1", "nonce": p.context.String(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"auth_time": now.Unix(), "acr": "phr", "amr": []string{"hwk", "pin"}, "given_name": "Jürgen", "family_name": "Müller", "birthdate": "1980-02-29",
		"email": "jm@example.org", "email_verified": true,
	}
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	tok := jwt.NewWithClaims(m, c)
	tok.Header["kid"] = kid
	return tok
}

func TestAnIDTokenProvesWhoSignedIn(t *testing.T) {
	p := newProvider(t)
	c, err := evidence.CheckIDToken([]byte(p.token(t, nil)), p.context, p.anchors, now)
	if err != nil || c.Type != evidence.TypeIDToken || c.Issuer != "https://idp.example" || c.Subject != "u-1" || c.Family != "Müller" || c.BirthDate != "1980-02-29" ||
		c.ACR != "phr" || len(c.AMR) != 2 || c.Mail != "jm@example.org" {
		t.Errorf("%+v %v", c, err)
	}
	s, err := p.unsigned(jwt.SigningMethodRS256, "rsa", nil).SignedString(p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.CheckIDToken([]byte(s), p.context, p.anchors, now); err != nil {
		t.Errorf("RS256: %v", err)
	}
	c, err = evidence.CheckIDToken([]byte(p.token(t, jwt.MapClaims{"email_verified": "true", "birthdate": "0000-02-29"})), p.context, p.anchors, now)
	if err != nil || c.Mail != "" || c.BirthDate != "" {
		t.Errorf("an address that nobody verified, a birthday without a year: %+v %v", c, err)
	}
}

func TestT02_AnIDTokenForAnotherClientOrContextIsRefused(t *testing.T) {
	p := newProvider(t)
	for name, c := range map[string]struct {
		change jwt.MapClaims
		want   error
	}{
		"issuer":           {jwt.MapClaims{"iss": "https://idp.example/"}, evidence.ErrUntrusted},
		"audience":         {jwt.MapClaims{"aud": "console"}, evidence.ErrContext},
		"two audiences":    {jwt.MapClaims{"aud": []string{"recovery", "console"}}, evidence.ErrContext},
		"no audience":      {jwt.MapClaims{"aud": nil}, evidence.ErrContext},
		"azp":              {jwt.MapClaims{"azp": "console"}, evidence.ErrContext},
		"nonce":            {jwt.MapClaims{"nonce": protocol.Context{1}.String()}, evidence.ErrContext},
		"no nonce":         {jwt.MapClaims{"nonce": nil}, evidence.ErrContext},
		"old sign-in":      {jwt.MapClaims{"auth_time": now.Add(-time.Hour).Unix()}, evidence.ErrExpired},
		"no sign-in":       {jwt.MapClaims{"auth_time": nil}, evidence.ErrExpired},
		"old token":        {jwt.MapClaims{"iat": now.Add(-time.Hour).Unix()}, evidence.ErrExpired},
		"token of future":  {jwt.MapClaims{"iat": now.Add(time.Hour).Unix()}, evidence.ErrExpired},
		"expired":          {jwt.MapClaims{"exp": now.Add(-time.Hour).Unix()}, evidence.ErrExpired},
		"never expires":    {jwt.MapClaims{"exp": nil}, evidence.ErrExpired},
		"acr":              {jwt.MapClaims{"acr": "pwd"}, evidence.ErrRefused},
		"no acr":           {jwt.MapClaims{"acr": nil}, evidence.ErrRefused},
		"amr":              {jwt.MapClaims{"amr": []string{"pwd"}}, evidence.ErrRefused},
		"amr is no list":   {jwt.MapClaims{"amr": "hwk"}, evidence.ErrRefused},
		"nobody signed in": {jwt.MapClaims{"sub": nil}, evidence.ErrMissing},
	} {
		if _, err := evidence.CheckIDToken([]byte(p.token(t, c.change)), p.context, p.anchors, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestOnlyPinnedKeysSignIDTokens(t *testing.T) {
	p, other := newProvider(t), newProvider(t)
	if _, err := evidence.CheckIDToken([]byte(other.token(t, nil)), p.context, p.anchors, now); !errors.Is(err, evidence.ErrSignature) {
		t.Errorf("another key of the same name: %v", err)
	}
	unknown, err := p.unsigned(jwt.SigningMethodES256, "new", nil).SignedString(p.ec)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := p.unsigned(jwt.SigningMethodHS256, "ec", nil).SignedString([]byte("a secret that is shared"))
	if err != nil {
		t.Fatal(err)
	}
	none, err := p.unsigned(jwt.SigningMethodNone, "ec", nil).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	pss, err := p.unsigned(jwt.SigningMethodPS256, "rsa", nil).SignedString(p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"unknown key": unknown, "MAC": mac, "none": none, "another algorithm than the key's": pss, "empty": "", "spaces": p.token(t, nil) + " "} {
		if _, err := evidence.CheckIDToken([]byte(s), p.context, p.anchors, now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := evidence.CheckIDToken([]byte(p.token(t, nil)), p.context, evidence.Anchors{}, now); !errors.Is(err, evidence.ErrUntrusted) {
		t.Errorf("no provider: %v", err)
	}
}

func TestNamesCountOnlyAsVerifiedWhereTheProviderIsHeldToIt(t *testing.T) {
	p := newProvider(t)
	p.anchors.Providers[0].Verified = true
	if _, err := evidence.CheckIDToken([]byte(p.token(t, nil)), p.context, p.anchors, now); !errors.Is(err, evidence.ErrMissing) {
		t.Errorf("without verified_claims: %v", err)
	}
	c, err := evidence.CheckIDToken([]byte(p.token(t, jwt.MapClaims{"verified_claims": map[string]any{
		"verification": map[string]any{"trust_framework": "eidas"}, "claims": map[string]any{"given_name": "Verified", "family_name": "Name", "birthdate": "1970-01-01"},
	}})), p.context, p.anchors, now)
	if err != nil || c.Given != "Verified" || c.Family != "Name" || c.BirthDate != "1970-01-01" {
		t.Errorf("%+v %v", c, err)
	}
}
