package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/postern-id/postern/protocol/evidence"
)

// discovered is what a provider says of itself (OpenID Connect Discovery 4.2, RFC 8414).
type discovered struct {
	endpoint oauth2.Endpoint
	more     metadata
	at       time.Time
}

type metadata struct {
	PAR       string   `json:"pushed_authorization_request_endpoint"` // RFC 9126
	NamesIss  bool     `json:"authorization_response_iss_parameter_supported"`
	Claims    bool     `json:"claims_parameter_supported"`
	JWKS      string   `json:"jwks_uri"`
	Challenge []string `json:"code_challenge_methods_supported"`
}

// Bounds of what is remembered and read.
const (
	rememberFor = 10 * time.Minute
	maxKnown    = 256
	maxKeys     = 64 << 10
)

// discover reads, or remembers, the metadata of an issuer.
func (v *Verifier) discover(ctx context.Context, issuer string) (discovered, error) {
	v.mu.Lock()
	d, ok := v.known[issuer]
	v.mu.Unlock()
	if ok && v.cfg.Now().Sub(d.at) < rememberFor {
		return d, nil
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, v.cfg.Client), issuer)
	if err != nil {
		return d, fmt.Errorf("provider: discovery: %w", hide(err))
	}
	d = discovered{endpoint: p.Endpoint(), at: v.cfg.Now()}
	if err := p.Claims(&d.more); err != nil {
		return d, fmt.Errorf("provider: discovery: %w", err)
	}
	if err := d.check(issuer); err != nil {
		return d, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= maxKnown {
		clear(v.known)
	}
	v.known[issuer] = d
	return d, nil
}

// check refuses endpoints that are less protected than the issuer.
func (d discovered) check(issuer string) error {
	scheme, _, _ := strings.Cut(issuer, ":")
	for _, address := range []string{d.endpoint.AuthURL, d.endpoint.TokenURL, d.more.JWKS, d.more.PAR} {
		u, err := url.Parse(address)
		if address == "" && address == d.more.PAR {
			continue
		}
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != scheme {
			return errors.New("provider: discovery: an endpoint is missing, or not on https")
		}
	}
	return nil
}

// keys fetches the keys of a provider now: a person's answer is rare, and a stale key
// worse than a request.
func (v *Verifier) keys(ctx context.Context, address string) (evidence.JWKS, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return evidence.JWKS{}, err
	}
	res, err := v.cfg.Client.Do(r)
	if err != nil {
		return evidence.JWKS{}, fmt.Errorf("provider: keys: %w", hide(err))
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxKeys+1))
	if err != nil || res.StatusCode != http.StatusOK {
		return evidence.JWKS{}, fmt.Errorf("provider: keys: status %d", res.StatusCode)
	}
	return evidence.ParseJWKS(b)
}

// hide drops an address out of an error: its query may hold a code.
func hide(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
