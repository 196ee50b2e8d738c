package provider

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

// assertionType is that of private_key_jwt (RFC 7523 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLife is how long a client's own assertion is good.
const assertionLife = time.Minute

// signer returns the key and how it signs.
func (s Settings) signer() (crypto.Signer, jwt.SigningMethod, error) {
	key, err := parseKey(s.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return key, jwt.SigningMethodES256, nil
		case 384:
			return key, jwt.SigningMethodES384, nil
		}
	case ed25519.PrivateKey:
		return key, jwt.SigningMethodEdDSA, nil
	case *rsa.PrivateKey:
		if k.N.BitLen() >= 2048 {
			return key, jwt.SigningMethodPS256, nil
		}
	}
	return nil, nil, errors.New("provider: a key of a kind that providers do not take")
}

// assertion proves the client by its key, once.
func (s Settings) assertion(d discovered, now time.Time) (string, error) {
	key, method, err := s.signer()
	if err != nil {
		return "", err
	}
	audience := s.Issuer
	if s.Audience == audienceToken {
		audience = d.endpoint.TokenURL
	}
	t := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": s.ClientID, "sub": s.ClientID, "aud": audience, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if s.KeyID != "" {
		t.Header["kid"] = s.KeyID
	}
	return t.SignedString(key)
}

// proof is what the client adds to the form of a request to prove itself.
func (s Settings) proof(d discovered, now time.Time) (url.Values, error) {
	switch s.auth() {
	case AuthPost:
		return url.Values{"client_secret": {s.ClientSecret}}, nil
	case AuthKey:
		a, err := s.assertion(d, now)
		return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {a}}, err
	}
	return nil, nil
}

// config is the client in the words of package oauth2.
func (s Settings) config(d discovered, origin string) oauth2.Config {
	c := oauth2.Config{ClientID: s.ClientID, Endpoint: d.endpoint, RedirectURL: origin + ReturnPath, Scopes: s.Scopes}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "profile"}
	}
	c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	if s.auth() == AuthBasic {
		c.Endpoint.AuthStyle, c.ClientSecret = oauth2.AuthStyleInHeader, s.ClientSecret
	}
	return c
}

// maxReply bounds what a provider answers to a pushed request, in bytes.
const maxReply = 64 << 10

// push sends the request itself ahead, and returns the name that the browser carries
// (RFC 9126).
func (v *Verifier) push(ctx context.Context, s Settings, d discovered, form url.Values) (string, error) {
	proof, err := s.proof(d, v.cfg.Now())
	if err != nil {
		return "", err
	}
	for name, values := range proof {
		form[name] = values
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.more.PAR, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.auth() == AuthBasic {
		r.SetBasicAuth(url.QueryEscape(s.ClientID), url.QueryEscape(s.ClientSecret))
	}
	res, err := v.cfg.Client.Do(r)
	if err != nil {
		return "", fmt.Errorf("provider: pushed request: %w", hide(err))
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	var reply struct {
		URI   string `json:"request_uri"`
		Error string `json:"error"`
	}
	if err != nil || json.Unmarshal(b, &reply) != nil || res.StatusCode != http.StatusCreated || reply.URI == "" {
		return "", fmt.Errorf("provider: pushed request: status %d, error %.60q", res.StatusCode, reply.Error)
	}
	return reply.URI, nil
}

// fetch exchanges a code for the id_token.
func (v *Verifier) fetch(ctx context.Context, s Settings, d discovered, origin, code, verifier string) (string, error) {
	opts := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	proof, err := s.proof(d, v.cfg.Now())
	if err != nil {
		return "", err
	}
	for name := range proof {
		opts = append(opts, oauth2.SetAuthURLParam(name, proof.Get(name)))
	}
	c := s.config(d, origin)
	t, err := c.Exchange(context.WithValue(ctx, oauth2.HTTPClient, v.cfg.Client), code, opts...)
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return "", fmt.Errorf("%w: status %d, error %.60q", errRefused, refused.Response.StatusCode, refused.ErrorCode)
	}
	if err != nil {
		return "", fmt.Errorf("provider: token: %w", hide(err))
	}
	raw, _ := t.Extra("id_token").(string)
	if raw == "" {
		return "", fmt.Errorf("%w: no id_token", errRefused)
	}
	return raw, nil
}

// errRefused says that the provider does not take the code, or answers without proof.
var errRefused = errors.New("provider: the code was refused")
