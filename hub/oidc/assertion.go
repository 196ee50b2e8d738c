package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// assertionKind is the type of a client_assertion (RFC 7523 2.2).
const assertionKind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionAlgorithms are those in which clients sign.
var assertionAlgorithms = []string{party.ES256, party.RS256, party.EdDSA}

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
func (p *Provider) proves(r *http.Request, c party.Party, given credentials) (bool, error) {
	switch {
	case c.Settings.Auth == party.AuthNone:
		return given.secret == "" && given.assertion == "" && !given.basic, nil
	case c.Settings.Auth == party.AuthKey:
		return p.believes(r.Context(), c, given.assertion)
	case given.assertion != "":
		return false, nil
	case c.Knows(given.secret):
		return true, nil
	case c.BuiltIn() && given.secret != "":
		return p.keyAdmits(r, c, given.secret)
	}
	return false, nil
}

// believes checks an assertion (RFC 7523 3, OpenID Connect Core 9): signed by a key of
// the client, for this issuer, good for five minutes, and once.
func (p *Provider) believes(ctx context.Context, c party.Party, text string) (bool, error) {
	alg, kid, a, err := parseAssertion(text)
	if err != nil {
		return false, nil
	}
	now := p.cfg.Now()
	until := time.Unix(int64(a.Expires), 0)
	switch {
	case a.Issuer != c.ID, a.Subject != c.ID, len(a.Audience) != 1, a.Audience[0] != p.issuer(c.Terms),
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
	signed := slices.ContainsFunc(keys, func(k party.Key) bool {
		if k.Algorithm != alg || kid != "" && k.ID != kid {
			return false
		}
		_, err := parser.ParseWithClaims(text, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return k.Public, nil })
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

// clientKeys are those that a client publishes.
type clientKeys struct {
	keys  []party.Key
	at    time.Time // zero: they were never to be had
	tried time.Time // in vain
}

// How long keys that a client publishes are kept.
const (
	clientKeysLife  = 10 * time.Minute
	clientKeysAgain = 30 * time.Second // when a key is not among them
	clientKeysRetry = 5 * time.Second  // when they are not to be had: any stranger who names the client has them looked for
	maxKept         = 512              // addresses that are remembered
)

// keysOf returns the keys of a client. One that is not known is looked for again, not too
// often; keys that cannot be had anew are good for as long again.
func (p *Provider) keysOf(ctx context.Context, c party.Party, kid string) ([]party.Key, error) {
	if len(c.Settings.JWKS) > 0 {
		return party.ParseKeys(c.Settings.JWKS)
	}
	p.mu.Lock()
	known := p.clients[c.Settings.JWKSURI]
	p.mu.Unlock()
	now := p.cfg.Now()
	age := now.Sub(known.at)
	has := kid == "" || slices.ContainsFunc(known.keys, func(k party.Key) bool { return k.ID == kid })
	if age < clientKeysLife && (has || age < clientKeysAgain) {
		return known.keys, nil
	}
	err := errAway
	if now.Sub(known.tried) >= clientKeysRetry {
		err = p.fetchKeys(ctx, c.Settings.JWKSURI, &known, now)
	}
	if err != nil && age > 2*clientKeysLife {
		return nil, fmt.Errorf("oidc: the keys of the client cannot be had: %w", err)
	}
	return known.keys, nil
}

// errAway says that keys were looked for in vain a moment ago.
var errAway = errors.New("they were not to be had a moment ago")

// fetchKeys reads the keys of a client anew, and remembers what came of it.
func (p *Provider) fetchKeys(ctx context.Context, address string, known *clientKeys, now time.Time) error {
	var fresh []party.Key
	body, err := p.get(ctx, address)
	if err == nil {
		fresh, err = party.ParseKeys(body)
	}
	switch {
	case err == nil:
		*known = clientKeys{keys: fresh, at: now}
	case ctx.Err() != nil:
		return err // who asked left
	default:
		known.tried = now
	}
	p.remember(address, *known)
	return err
}

func (p *Provider) remember(address string, keys clientKeys) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) >= maxKept {
		clear(p.clients)
	}
	p.clients[address] = keys
}

// keyAdmits reports whether a secret is an API key that may make requests in the client's
// environment, from where it is used.
func (p *Provider) keyAdmits(r *http.Request, c party.Party, secret string) (ok bool, err error) {
	ctx := r.Context()
	var key store.APIKey
	err = p.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if key, err = tx.APIKeyByHash(ctx, store.HashToken(secret)); err != nil {
			return err
		}
		env, err := tx.Environment(ctx, c.Env)
		if err != nil {
			return err
		}
		org, err := tx.Organisation(ctx, env.Org)
		if err != nil {
			return err
		}
		from, _ := netip.ParseAddr(addressOf(r))
		ok = key.Org == env.Org && key.Admits(c.Env) && store.AtLeast(key.Role, store.RoleUser) && org.Admits(from)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err == nil && ok && key.UseDue(p.cfg.Now()) {
		err = p.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.TouchAPIKey(ctx, key.Org, key.ID) })
	}
	return ok, err
}
