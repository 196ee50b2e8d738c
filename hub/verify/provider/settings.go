package provider

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// How a client proves itself to a provider (OpenID Connect Core 9).
const (
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
	AuthKey   = "private_key_jwt"
	AuthNone  = "none" // PKCE alone
)

// Settings are one outside identity provider, with a client that serves recoveries
// alone (T1).
type Settings struct {
	Name         string            `json:"name"` // on the button
	Issuer       string            `json:"issuer"`
	ClientID     string            `json:"client_id"`
	Auth         string            `json:"client_auth,omitempty"` // AuthBasic when empty
	ClientSecret string            `json:"client_secret,omitempty"`
	PrivateKey   string            `json:"private_key,omitempty"` // PEM, PKCS #8
	KeyID        string            `json:"key_id,omitempty"`
	Audience     string            `json:"assertion_audience,omitempty"` // of private_key_jwt: "issuer" (also when empty) or "token_endpoint"
	Scopes       []string          `json:"scopes,omitempty"`             // openid and profile when empty
	ACR          []string          `json:"acr,omitempty"`                // accepted, of which one is needed; asked for
	AMR          []string          `json:"amr,omitempty"`                // all needed
	Verified     bool              `json:"verified_claims,omitempty"`    // names count only from verified_claims
	Claims       map[string]string `json:"claims,omitempty"`             // where given_name, family_name and birthdate have other names
	Directories  []string          `json:"directories"`                  // ids: whose accounts may be recovered by it
	Requests     bool              `json:"requests,omitempty"`           // people who answer a request may prove their name by it
	OtherTenant  bool              `json:"other_tenant,omitempty"`       // the issuer is the kind of a directory, but another organisation's
}

// Bounds of settings, in bytes and entries.
const (
	maxName    = 80
	maxText    = 2048
	maxKey     = 16 << 10
	maxEntries = 32
)

// names are the claims that may have another name.
var names = []string{"given_name", "family_name", "birthdate"}

// Wrong is what an administrator must mend.
type Wrong struct{ Field, Text string }

// Error implements error.
func (w *Wrong) Error() string { return "provider: " + w.Field + ": " + w.Text }

func mend(field, text string) error { return &Wrong{field, text} }

// CheckIn is Check, and refuses a directory or this hub, whose name is hub, as its own
// verifier.
func (s Settings) CheckIn(ctx context.Context, tx *store.Tx, env, hub string) error {
	if err := s.Check(); err != nil {
		return err
	}
	for _, id := range s.Directories {
		d, err := tx.Directory(ctx, env, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return mend("directories", "this environment has no such directory")
		case err != nil:
			return err
		case s.Own(d.Kind):
			return mend("directories", "a directory is never its own verifier: whoever lost the account cannot sign in there, whoever stole it can. If the issuer is another organisation's, say other_tenant")
		}
	}
	domains, err := tx.Domains(ctx, env)
	if err != nil {
		return err
	}
	own := []string{strings.ToLower(hub)}
	for _, d := range domains {
		own = append(own, d.Name)
	}
	if u, err := url.Parse(s.Issuer); err != nil || slices.Contains(own, strings.ToLower(u.Hostname())) {
		return mend("issuer", "this hub is never its own verifier")
	}
	return nil
}

// Check reports the first thing that an administrator must mend.
func (s Settings) Check() error {
	u, err := url.Parse(s.Issuer)
	switch {
	case s.Name == "" || len(s.Name) > maxName || strings.ContainsAny(s.Name, "\r\n\t"):
		return mend("name", "want 1 to 80 bytes, as people know the service")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(s.Issuer) > maxText:
		return mend("issuer", "want an address like https://login.example.com")
	case s.ClientID == "" || len(s.ClientID) > maxText || strings.ContainsFunc(s.ClientID, func(r rune) bool { return r <= ' ' || r > '~' }):
		return mend("client_id", "want that of a client which the provider keeps for recoveries alone")
	case len(s.Directories) == 0 && !s.Requests || len(s.Directories) > maxEntries:
		return mend("directories", "say requests, or list those that may be recovered by it; never one whose people sign in there with the account that is recovered")
	case len(s.Scopes) > maxEntries || len(s.ACR) > maxEntries || len(s.AMR) > maxEntries:
		return mend("scopes", "too many scopes, acr or amr")
	case len(s.Scopes) > 0 && !slices.Contains(s.Scopes, "openid"):
		return mend("scopes", "must hold openid")
	}
	for _, text := range slices.Concat(s.Scopes, s.ACR, s.AMR) {
		if text == "" || len(text) > maxText || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return mend("scopes", "scopes, acr and amr are words without spaces")
		}
	}
	for name, other := range s.Claims {
		if !slices.Contains(names, name) || other == "" || len(other) > maxName {
			return mend("claims", fmt.Sprintf("%.40q is none of given_name, family_name, birthdate", name))
		}
	}
	return s.checkAuth()
}

func (s Settings) checkAuth() error {
	if len(s.ClientSecret) > maxText || len(s.PrivateKey) > maxKey || len(s.KeyID) > maxText {
		return mend("client_secret", "client_secret, private_key or key_id is too long")
	}
	switch s.auth() {
	case AuthBasic, AuthPost:
		if s.ClientSecret == "" || s.PrivateKey != "" {
			return mend("client_secret", "want one, or private_key with client_auth private_key_jwt")
		}
	case AuthNone:
		if s.ClientSecret != "" || s.PrivateKey != "" {
			return mend("client_auth", "none takes neither client_secret nor private_key")
		}
	case AuthKey:
		if s.Audience != "" && s.Audience != audienceIssuer && s.Audience != audienceToken {
			return mend("assertion_audience", "issuer or token_endpoint")
		}
		if _, _, err := s.signer(); err != nil || s.ClientSecret != "" {
			return mend("private_key", "want PEM (PKCS #8) of a key on P-256, P-384, Ed25519 or of RSA, and no client_secret")
		}
	default:
		return mend("client_auth", "client_secret_basic, client_secret_post, private_key_jwt or none")
	}
	return nil
}

// Audiences of a client's own assertion.
const (
	audienceIssuer = "issuer"
	audienceToken  = "token_endpoint"
)

func (s Settings) auth() string {
	if s.Auth == "" {
		return AuthBasic
	}
	return s.Auth
}

// parseKey reads a PKCS #8 key.
func parseKey(text string) (crypto.Signer, error) {
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		return nil, errors.New("provider: no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, errors.New("provider: not PKCS #8")
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("provider: not a key that signs")
	}
	return s, nil
}

// Shown returns the settings without what is secret.
func (s Settings) Shown() Settings {
	s.ClientSecret, s.PrivateKey = "", ""
	return s
}

// ofKind are the hosts, or the ends of hosts, at which people of a kind of directory
// sign in.
var ofKind = map[string][]string{
	"azure-ad": {"login.microsoftonline.com", "sts.windows.net", "login.microsoftonline.us", ".ciamlogin.com"},
	"okta":     {".okta.com", ".oktapreview.com", ".okta-emea.com"},
	"onelogin": {".onelogin.com"},
	"auth0":    {".auth0.com"},
	"duo":      {".duosecurity.com"},
	"clerk":    {".clerk.accounts.dev", ".clerk.com"},
	"workos":   {".workos.com"},
}

// Own reports whether the issuer is, as far as can be told, the service of a directory
// of this kind itself: whoever lost the account cannot sign in there, and whoever stole
// it can.
func (s Settings) Own(kind string) bool {
	u, err := url.Parse(s.Issuer)
	if err != nil || s.OtherTenant {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(ofKind[kind], func(end string) bool {
		return host == end || strings.HasPrefix(end, ".") && strings.HasSuffix(host, end)
	})
}
