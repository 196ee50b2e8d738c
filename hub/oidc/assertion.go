package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/store"
)

// How clients prove themselves, where it is not by a secret.
const (
	authKey  = "private_key_jwt"
	authNone = "none"
)

// assertionKind is the type of a client_assertion (RFC 7523 2.2).
const assertionKind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionAlgorithms are those in which clients sign.
var assertionAlgorithms = []string{es256, rs256, eddsa}

// Bounds of an assertion.
const (
	maxAssertion  = 8 << 10
	assertionLife = 5 * time.Minute
	assertionSkew = time.Minute // of the client's clock
	maxJTI        = 256
)

var errAssertion = errors.New("oidc: client_assertion")

// asserts is what an assertion says.
type asserts struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	ID       string   `json:"jti"`
	Expires  float64  `json:"exp"`
	From     float64  `json:"nbf"`
	Issued   float64  `json:"iat"`
}

// parseAssertion takes an assertion apart without believing it.
func parseAssertion(text string) (alg, kid string, a asserts, err error) {
	parts := strings.Split(text, ".")
	if len(text) > maxAssertion || len(parts) != 3 {
		return "", "", a, errAssertion
	}
	var header struct {
		Alg  string   `json:"alg"`
		Kid  string   `json:"kid"`
		Crit []string `json:"crit"`
	}
	for i, into := range []any{&header, &a} {
		b, err := enc.Strict().DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return "", "", a, errAssertion
		}
	}
	if !slices.Contains(assertionAlgorithms, header.Alg) || len(header.Crit) > 0 || a.Subject == "" {
		return "", "", a, errAssertion
	}
	return header.Alg, header.Kid, a, nil
}

// assertedCredentials reads a client that proves itself by a key.
func assertedCredentials(q params) (credentials, *oauthError) {
	if q["client_secret"] != "" {
		return credentials{}, invalid("invalid_request", "the client proves itself in more than one way")
	}
	_, _, a, err := parseAssertion(q["client_assertion"])
	if q["client_assertion_type"] != assertionKind || err != nil || q["client_id"] != "" && q["client_id"] != a.Subject {
		return credentials{}, errClient()
	}
	return credentials{id: a.Subject, assertion: q["client_assertion"]}, nil
}

// proves reports whether a client is who it says, in the one way that is its own.
func (p *Provider) proves(r *http.Request, c client, given credentials) (bool, error) {
	switch {
	case c.settings.Auth == authNone:
		return given.secret == "" && given.assertion == "" && !given.basic, nil
	case c.settings.Auth == authKey:
		return p.believes(r.Context(), c, given.assertion)
	case given.assertion != "":
		return false, nil
	case c.knows(given.secret):
		return true, nil
	case c.builtIn() && given.secret != "":
		return p.keyAdmits(r, c, given.secret)
	}
	return false, nil
}

// believes checks an assertion (RFC 7523 3, OpenID Connect Core 9): signed by a key of
// the client, for this issuer, good for five minutes, and once.
func (p *Provider) believes(ctx context.Context, c client, text string) (bool, error) {
	alg, kid, a, err := parseAssertion(text)
	if err != nil {
		return false, nil
	}
	now := p.cfg.Now()
	until := time.Unix(int64(a.Expires), 0)
	switch {
	case a.Issuer != c.ID, a.Subject != c.ID, len(a.Audience) != 1, a.Audience[0] != p.issuer(c.row),
		a.ID == "", len(a.ID) > maxJTI,
		!until.After(now), until.After(now.Add(assertionLife + assertionSkew)),
		a.From > float64(now.Add(assertionSkew).Unix()), a.Issued > float64(now.Add(assertionSkew).Unix()):
		return false, nil
	}
	keys, err := p.keysOf(ctx, c, kid)
	if err != nil {
		return false, err
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
	signed := slices.ContainsFunc(keys, func(k clientKey) bool {
		if k.algorithm != alg || kid != "" && k.id != kid {
			return false
		}
		_, err := parser.ParseWithClaims(text, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return k.public, nil })
		return err == nil
	})
	if !signed {
		return false, nil
	}
	err = p.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		return tx.UseOIDCToken(ctx, c.Env, store.HashToken("client_assertion\x00"+c.ID+"\x00"+a.ID), until.Add(assertionSkew))
	})
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// A clientKey is a public key of a client.
type clientKey struct {
	id, algorithm string
	public        crypto.PublicKey
}

// clientKeys are those that a client publishes.
type clientKeys struct {
	keys []clientKey
	at   time.Time
}

// How long keys that a client publishes are kept.
const (
	clientKeysLife  = 10 * time.Minute
	clientKeysAgain = 30 * time.Second // when a key is not among them
	maxClientKeys   = 16
	maxClientJWKS   = 16 << 10
	maxKept         = 512 // addresses that are remembered
)

// keysOf returns the keys of a client. One that is not known is looked for again, not too
// often; keys that cannot be had anew are good for as long again.
func (p *Provider) keysOf(ctx context.Context, c client, kid string) ([]clientKey, error) {
	if len(c.settings.JWKS) > 0 {
		return parseClientKeys(c.settings.JWKS)
	}
	p.mu.Lock()
	known, ok := p.clients[c.settings.JWKSURI]
	p.mu.Unlock()
	age := p.cfg.Now().Sub(known.at)
	has := kid == "" || slices.ContainsFunc(known.keys, func(k clientKey) bool { return k.id == kid })
	if ok && age < clientKeysLife && (has || age < clientKeysAgain) {
		return known.keys, nil
	}
	body, err := p.get(ctx, c.settings.JWKSURI)
	if err == nil {
		var fresh []clientKey
		if fresh, err = parseClientKeys(body); err == nil {
			known = clientKeys{fresh, p.cfg.Now()}
			p.remember(c.settings.JWKSURI, known)
		}
	}
	if err != nil && (!ok || age > 2*clientKeysLife) {
		return nil, fmt.Errorf("oidc: the keys of the client cannot be had: %w", err)
	}
	return known.keys, nil
}

func (p *Provider) remember(address string, keys clientKeys) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) >= maxKept {
		clear(p.clients)
	}
	p.clients[address] = keys
}

// parseClientKeys reads a key set (RFC 7517): keys of P-256, Ed25519 and RSA of at least
// 2048 bits. Others are left out; private keys are refused.
func parseClientKeys(raw []byte) ([]clientKey, error) {
	var set struct {
		Keys []struct {
			publicKey
			D string `json:"d"`
		} `json:"keys"`
	}
	if len(raw) > maxClientJWKS || json.Unmarshal(raw, &set) != nil {
		return nil, errors.New("the key set cannot be read")
	}
	var list []clientKey
	for _, k := range set.Keys {
		if k.D != "" {
			return nil, errors.New("the key set holds a private key")
		}
		public, algorithm, ok := k.read()
		if ok && k.Use != "enc" && (k.Alg == "" || k.Alg == algorithm || k.Alg == "Ed25519" && algorithm == eddsa) && len(list) < maxClientKeys {
			list = append(list, clientKey{k.Kid, algorithm, public})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the key set holds no key that is of use: want P-256, Ed25519, or RSA of at least 2048 bits")
	}
	return list, nil
}

// read returns the key and the one algorithm in which it signs.
func (k publicKey) read() (crypto.PublicKey, string, bool) {
	x, errX := enc.DecodeString(k.X)
	y, errY := enc.DecodeString(k.Y)
	switch {
	case k.Kty == "EC" && k.Crv == "P-256" && errX == nil && errY == nil && len(x) == 32 && len(y) == 32:
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		return public, es256, err == nil
	case k.Kty == "OKP" && k.Crv == "Ed25519" && errX == nil && len(x) == ed25519.PublicKeySize:
		return ed25519.PublicKey(x), eddsa, true
	case k.Kty == "RSA":
		n, errN := enc.DecodeString(k.N)
		e, errE := enc.DecodeString(k.E)
		if errN != nil || errE != nil || len(n) < rsaBits/8 || len(n) > 1024 || len(e) == 0 || len(e) > 4 {
			return nil, "", false
		}
		exp := int(new(big.Int).SetBytes(e).Int64())
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exp}
		return public, rs256, exp >= 3 && exp%2 == 1 && exp <= 1<<31-1 && public.N.BitLen() >= rsaBits
	}
	return nil, "", false
}
