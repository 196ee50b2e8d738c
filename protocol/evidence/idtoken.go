package evidence

import (
	"crypto"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/postern-id/postern/protocol"
)

// idTokenAlgs are the signatures accepted from providers: no MACs, since whoever could
// check one could make it.
var idTokenAlgs = []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}

// CheckIDToken verifies a compact id_token of one of Anchors.Providers (OpenID Connect
// Core 3.1.3.7): signature by a pinned key, issuer, audience and azp, nonce equal to
// the context, a sign-in no older than MaxAge, acr and amr as the provider's row asks.
func CheckIDToken(raw []byte, c protocol.Context, a Anchors, now time.Time) (Claims, error) {
	if len(raw) > MaxRaw {
		return Claims{}, fmt.Errorf("%w: token of %d bytes", ErrFormat, len(raw))
	}
	var err error
	for _, p := range a.Providers {
		var m map[string]any
		if m, err = p.token(string(raw), c, a, now); err == nil {
			return p.claims(m)
		}
	}
	if len(a.Providers) == 1 {
		return Claims{}, err // says more than the summary
	}
	return Claims{}, fmt.Errorf("%w: no provider on the list made this token for this context", ErrUntrusted)
}

// token verifies a token of this provider and returns its claims.
func (p Provider) token(text string, c protocol.Context, a Anchors, now time.Time) (map[string]any, error) {
	m, err := parseJWT("id_token", text, idTokenAlgs, now, func(h map[string]any) (crypto.PublicKey, error) {
		return p.Keys.find(claimText(h, "kid"), claimText(h, "alg"))
	})
	if err != nil {
		return nil, err
	}
	_, expires := seconds(m, "exp")
	switch {
	case p.Issuer == "" || claimText(m, "iss") != p.Issuer:
		return nil, fmt.Errorf("%w: issuer", ErrUntrusted)
	case !p.audience(m):
		return nil, fmt.Errorf("%w: audience", ErrContext)
	case subtle.ConstantTimeCompare([]byte(claimText(m, "nonce")), []byte(c.String())) != 1:
		return nil, fmt.Errorf("%w: nonce", ErrContext)
	case !expires || !recent(m, "iat", a, now) || !recent(m, "auth_time", a, now):
		return nil, fmt.Errorf("%w: sign-in", ErrExpired)
	case len(p.ACR) > 0 && !slices.Contains(p.ACR, claimText(m, "acr")):
		return nil, fmt.Errorf("%w: acr", ErrRefused)
	}
	amr := texts(m, "amr")
	for _, want := range p.AMR {
		if !slices.Contains(amr, want) {
			return nil, fmt.Errorf("%w: amr", ErrRefused)
		}
	}
	return m, nil
}

// audience holds aud and azp to exactly this client: a token that others may also
// take is refused.
func (p Provider) audience(m map[string]any) bool {
	aud := texts(m, "aud")
	if s, one := m["aud"].(string); one {
		aud = []string{s}
	}
	if p.ClientID == "" || len(aud) != 1 || aud[0] != p.ClientID {
		return false
	}
	azp, there := m["azp"]
	return !there || azp == p.ClientID
}

// recent reports whether a time claim is there, and within MaxAge.
func recent(m map[string]any, name string, a Anchors, now time.Time) bool {
	at, ok := seconds(m, name)
	return ok && now.Sub(at) <= a.maxAge()+leeway && at.Sub(now) <= leeway
}

// texts returns an array of strings, or nil.
func texts(m map[string]any, name string) []string {
	list, _ := m[name].([]any)
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// claims reads who signed in.
func (p Provider) claims(m map[string]any) (Claims, error) {
	c := Claims{Type: TypeIDToken, Issuer: p.Issuer, Subject: claimText(m, "sub"), ACR: claimText(m, "acr"), AMR: texts(m, "amr")}
	if c.Subject == "" {
		return Claims{}, fmt.Errorf("%w: sub", ErrMissing)
	}
	if m["email_verified"] == true {
		c.Mail = claimText(m, "email")
	}
	names := m
	if p.Verified {
		v, _ := m["verified_claims"].(map[string]any)
		if names, _ = v["claims"].(map[string]any); names == nil {
			return Claims{}, fmt.Errorf("%w: verified_claims", ErrMissing)
		}
	}
	for _, t := range []struct {
		to   *string
		name string
	}{{&c.Family, "family_name"}, {&c.Given, "given_name"}, {&c.BirthDate, "birthdate"}} {
		name := t.name
		if other := p.Named[name]; other != "" {
			name = other
		}
		s, err := plainText(name, claimText(names, name))
		if err != nil {
			return Claims{}, err
		}
		*t.to = s
	}
	if at, err := time.Parse(time.DateOnly, c.BirthDate); err != nil || at.Year() == 0 {
		c.BirthDate = "" // "0000-05-01" and "1980" are allowed there, and prove no birth date
	}
	return c, nil
}

// find returns the pinned key for a header. A header without kid is served only by a
// set of one key.
func (s JWKS) find(kid, alg string) (crypto.PublicKey, error) {
	for _, k := range s.Keys {
		if k.Kid != kid && !(kid == "" && len(s.Keys) == 1) || k.Alg != "" && k.Alg != alg {
			continue
		}
		return k.public()
	}
	return nil, fmt.Errorf("%w: no pinned key of this name", ErrUntrusted)
}
