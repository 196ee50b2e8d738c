package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

// A goClient is the relying party of coreos/go-oidc and x/oauth2.
type goClient struct {
	t        *testing.T
	ctx      context.Context // with the HTTP client that these libraries use
	conf     oauth2.Config
	verifier *oidc.IDTokenVerifier
	provider *oidc.Provider
	key      *ecdsa.PrivateKey // private_key_jwt
	issuer   string
}

// A goCase is one way in which a relying party can be registered and ask.
type goCase struct {
	auth, mode, algorithm string

	external string // fingerprint of its key outside of the hub; "": it lies in the hub
}

func (v *relying) goClient(c goCase, callback string) *goClient {
	v.t.Helper()
	g := &goClient{t: v.t, issuer: v.edge.url, ctx: oidc.ClientContext(v.t.Context(), loopback(rootsOf(v.t, v.edge.caFile()), nil))}
	settings := map[string]any{"name": "Go " + c.auth, "redirect_uris": []string{callback}, "token_endpoint_auth_method": c.auth, "id_token_signed_response_alg": c.algorithm}
	if c.auth == "private_key_jwt" {
		var err error
		if g.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			v.t.Fatal(err)
		}
		settings["jwks"] = keySetOf(v.t, &g.key.PublicKey)
	}
	id, secret := v.relyingBy(c.external, settings)
	var err error
	if g.provider, err = oidc.NewProvider(g.ctx, v.edge.url); err != nil {
		v.t.Fatal(err)
	}
	g.conf = oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: g.provider.Endpoint(), RedirectURL: callback, Scopes: []string{oidc.ScopeOpenID, "profile"}}
	g.conf.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	if c.auth == "client_secret_basic" {
		g.conf.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	g.verifier = g.provider.VerifierContext(g.ctx, &oidc.Config{ClientID: id, SupportedSigningAlgs: []string{c.algorithm}})
	return g
}

// jwkOf is a public key as relying parties publish it.
func jwkOf(t *testing.T, key *ecdsa.PublicKey) map[string]string {
	t.Helper()
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	size, encoded := (len(point)-1)/2, base64.RawURLEncoding.EncodeToString
	return map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one", "x": encoded(point[1 : 1+size]), "y": encoded(point[1+size:])}
}

// keySetOf is the set with one public key.
func keySetOf(t *testing.T, key *ecdsa.PublicKey) map[string]any {
	t.Helper()
	return map[string]any{"keys": []any{jwkOf(t, key)}}
}

// assertion is how a relying party with a key proves itself (RFC 7523).
func (g *goClient) assertion() []oauth2.AuthCodeOption {
	g.t.Helper()
	if g.key == nil {
		return nil
	}
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": g.conf.ClientID, "sub": g.conf.ClientID, "aud": g.issuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	token.Header["kid"] = "one"
	text, err := token.SignedString(g.key)
	if err != nil {
		g.t.Fatal(err)
	}
	return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("client_assertion", text),
		oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")}
}

// Go's usual relying party, in every way in which clients prove themselves, in each
// response mode and with each algorithm, against a hub behind its own TLS.
func TestCoreosGoOIDCSignsPeopleIn(t *testing.T) {
	t.Parallel()
	v := relied(t, "goclient")
	subjects := map[string]bool{}
	for _, c := range []goCase{
		{"client_secret_basic", "query", "ES256", ""}, {"client_secret_post", "fragment", "RS256", ""}, {"private_key_jwt", "form_post", "EdDSA", ""},
	} {
		t.Run(c.auth+" "+c.mode+" "+c.algorithm, func(t *testing.T) { subjects[v.goSignsIn(t, c)] = true })
	}
	if len(subjects) != 1 {
		t.Errorf("one person of one environment has %d subjects", len(subjects))
	}
}

// goSignsIn signs one person in at a new application, and out again, and returns who they
// are there.
func (v *relying) goSignsIn(t *testing.T, c goCase) (subject string) {
	t.Helper()
	const callback = "https://app.example.com/callback"
	g := v.goClient(c, callback)
	verifier, state, nonce := oauth2.GenerateVerifier(), rand.Text(), rand.Text()
	p := v.prover()
	back := p.proves(g.conf.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce), oauth2.SetAuthURLParam("response_mode", c.mode)), callback)
	q := back.values(t)
	if back.mode() != c.mode || q.Get("state") != state || q.Get("iss") != v.edge.url || q.Get("error") != "" {
		t.Fatalf("%v: error %q, issuer %q", back, q.Get("error"), q.Get("iss"))
	}
	token, err := g.conf.Exchange(g.ctx, q.Get("code"), append(g.assertion(), oauth2.VerifierOption(verifier))...)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := g.verifier.Verify(g.ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	if id.Nonce != nonce || id.Subject == "" {
		t.Errorf("nonce %q, subject %q", id.Nonce, id.Subject)
	}
	var said struct {
		Name string `json:"name"`
	}
	info, err := g.provider.UserInfo(g.ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatal(err)
	}
	if err := info.Claims(&said); err != nil || info.Subject != id.Subject || said.Name == "" {
		t.Errorf("userinfo: %v, %q, %q", err, info.Subject, said.Name)
	}
	if _, err := g.conf.Exchange(g.ctx, q.Get("code"), append(g.assertion(), oauth2.VerifierOption(verifier))...); err == nil {
		t.Error("a code is good twice")
	}
	if left := p.opens(g.leaving(raw, callback), callback); left != callback+"?state=s" {
		t.Errorf("signing out leads to %q: %d %s", left, p.status, p.text())
	}
	return id.Subject
}

// leaving is the address at which a relying party ends a sign-in.
func (g *goClient) leaving(token, to string) string {
	g.t.Helper()
	var m struct {
		End string `json:"end_session_endpoint"`
	}
	if err := g.provider.Claims(&m); err != nil || m.End == "" {
		g.t.Fatalf("end_session_endpoint: %v", err)
	}
	return m.End + "?" + url.Values{"id_token_hint": {token}, "post_logout_redirect_uri": {to}, "state": {"s"}}.Encode()
}
