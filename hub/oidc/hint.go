package oidc

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// hintFresh is how old an id_token_hint may be. Its exp has passed on purpose and says
// nothing.
const hintFresh = 10 * time.Minute

// hintSkew is how far the clock of the one who signed may be ahead.
const hintSkew = time.Minute

// errHint says that an id_token_hint is not one that the client's tenant signed for it
// just now. The reason is for the log.
var errHint = errors.New("oidc: id_token_hint")

// A hint is what Entra ID says of the person, signed.
type hint struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
	Tenant  string `json:"tid"`
	Object  string `json:"oid"`
	Issued  int64  `json:"iat"`
	once    string // by which a second use is known
}

// audience is aud, which may be a text or a list.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// parseHint takes a hint apart without believing it: only what names the keys.
func parseHint(text string) (kid string, h hint, err error) {
	if len(text) > maxHint {
		return "", h, fmt.Errorf("%w: too long", errHint)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return "", h, fmt.Errorf("%w: not a signed token", errHint)
	}
	var header struct {
		Alg  string   `json:"alg"`
		Kid  string   `json:"kid"`
		Crit []string `json:"crit"`
	}
	strict := base64.RawURLEncoding.Strict()
	for i, into := range []any{&header, &h} {
		b, err := strict.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return "", h, fmt.Errorf("%w: cannot be read", errHint)
		}
	}
	if header.Alg != party.RS256 || header.Kid == "" || len(header.Crit) > 0 {
		return "", h, fmt.Errorf("%w: want RS256 with a key id", errHint)
	}
	h.once = store.HashToken("id_token_hint\x00" + parts[0] + "." + parts[1])
	return header.Kid, h, nil
}

// checkHint reads and believes a hint: one of the client's tenants signed it for the
// client's application, within ten minutes.
func (p *Provider) checkHint(ctx context.Context, c party.Party, text string) (hint, error) {
	kid, h, err := parseHint(text)
	if err != nil {
		return h, err
	}
	if !slices.Contains(c.Settings.Tenants, h.Tenant) {
		return h, fmt.Errorf("%w: another tenant", errHint)
	}
	authority, _ := party.AuthorityOf(c.Settings.Cloud)
	if want := authority + "/" + h.Tenant + "/v2.0"; h.Issuer != want {
		return h, fmt.Errorf("%w: iss does not belong to tid", errHint)
	}
	key, err := p.tenantKey(ctx, authority, kid, h.Issuer, h.Tenant)
	if err != nil {
		return h, err
	}
	var claims struct {
		Audience audience `json:"aud"`
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{party.RS256}), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
	raw := jwt.MapClaims{}
	if _, err := parser.ParseWithClaims(text, raw, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return h, fmt.Errorf("%w: signature", errHint)
	}
	body, err := json.Marshal(raw)
	if err != nil || json.Unmarshal(body, &claims) != nil || len(claims.Audience) != 1 || claims.Audience[0] != c.Settings.AppID {
		return h, fmt.Errorf("%w: aud is another application", errHint)
	}
	age := p.cfg.Now().Sub(time.Unix(h.Issued, 0))
	switch {
	case age > hintFresh || age < -hintSkew:
		return h, fmt.Errorf("%w: iat is %s ago", errHint, age.Round(time.Second))
	case !party.IsGUID(h.Object) || h.Subject == "" || len(h.Subject) > 256:
		return h, fmt.Errorf("%w: oid or sub is missing", errHint)
	}
	return h, nil
}

// Bounds of what is fetched of a cloud, and how long it is kept.
const (
	tenantKeysLife  = 24 * time.Hour
	tenantKeysAgain = 5 * time.Minute // when a key is not among them
	maxTenantKeys   = 64
	maxMetadata     = 1 << 20
	tenantKeyBits   = 2048 // at least
)

// tenantKeys are the keys that sign for all tenants of a cloud.
type tenantKeys struct {
	issuer string // template with {tenantid}
	keys   map[string]tenantKey
	at     time.Time
}

type tenantKey struct {
	public *rsa.PublicKey
	issuer string // for which alone it signs; may be a template; "" any of the cloud
}

var errKeys = errors.New("oidc: the keys of the tenant cannot be had")

// tenantKey returns the key of an id, for an issuer. A key that is not known is looked
// for again, not too often.
func (p *Provider) tenantKey(ctx context.Context, authority, kid, issuer, tenant string) (*rsa.PublicKey, error) {
	p.mu.Lock()
	known, ok := p.tenants[authority]
	p.mu.Unlock()
	age := p.cfg.Now().Sub(known.at)
	if _, has := known.keys[kid]; !ok || age > tenantKeysLife || !has && age > tenantKeysAgain {
		fresh, err := p.fetchTenantKeys(ctx, authority)
		switch {
		case err == nil:
			known = fresh
			p.mu.Lock()
			p.tenants[authority] = fresh
			p.mu.Unlock()
		case !has || age > 2*tenantKeysLife:
			return nil, fmt.Errorf("%w: %w", errKeys, err)
		}
	}
	fits := func(template string) bool { return strings.ReplaceAll(template, "{tenantid}", tenant) == issuer }
	k, ok := known.keys[kid]
	if !ok || !fits(known.issuer) || k.issuer != "" && !fits(k.issuer) {
		return nil, fmt.Errorf("%w: no such key signs for this issuer", errHint)
	}
	return k.public, nil
}

// fetchTenantKeys reads the metadata that is common to all tenants, and its keys.
func (p *Provider) fetchTenantKeys(ctx context.Context, authority string) (tenantKeys, error) {
	base := cmp.Or(p.cfg.Authority, authority)
	var meta struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	b, err := p.get(ctx, base+"/common/v2.0"+party.DiscoveryPath)
	if err != nil {
		return tenantKeys{}, err
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return tenantKeys{}, errors.New("the metadata cannot be read")
	}
	u, err := url.Parse(meta.JWKS)
	if err != nil || u.Scheme != "https" && !strings.HasPrefix(base, "http://") || u.Host == "" || u.User != nil {
		return tenantKeys{}, errors.New("jwks_uri is not an https address")
	}
	if b, err = p.get(ctx, meta.JWKS); err != nil {
		return tenantKeys{}, err
	}
	keys, err := parseTenantKeys(b)
	return tenantKeys{meta.Issuer, keys, p.cfg.Now()}, err
}

func (p *Provider) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	res, err := p.cfg.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxMetadata))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	return b, err
}

// parseTenantKeys reads a key set (RFC 7517): RSA keys of at least 2048 bits, others are
// left out.
func parseTenantKeys(raw []byte) (map[string]tenantKey, error) {
	var set struct {
		Keys []struct {
			Kty    string `json:"kty"`
			Use    string `json:"use"`
			Kid    string `json:"kid"`
			N      string `json:"n"`
			E      string `json:"e"`
			Issuer string `json:"issuer"`
		} `json:"keys"`
	}
	if len(raw) > maxMetadata || json.Unmarshal(raw, &set) != nil {
		return nil, errors.New("the key set cannot be read")
	}
	keys := map[string]tenantKey{}
	for _, k := range set.Keys {
		n, errN := enc.DecodeString(k.N)
		e, errE := enc.DecodeString(k.E)
		if k.Kty != "RSA" || k.Use == "enc" || k.Kid == "" || errN != nil || errE != nil || len(n) < tenantKeyBits/8 || len(n) > 1024 || len(e) == 0 || len(e) > 4 || len(keys) >= maxTenantKeys {
			continue
		}
		exp := int(new(big.Int).SetBytes(e).Int64())
		if exp < 3 || exp%2 == 0 || exp > 1<<31-1 {
			continue
		}
		keys[k.Kid] = tenantKey{&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exp}, k.Issuer}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set holds no key that is of use")
	}
	return keys, nil
}
