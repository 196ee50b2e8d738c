package party

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
)

// What settings say of code_challenge.
const (
	PKCEPlain    = "plain"    // the method plain is taken as well
	PKCEOptional = "optional" // none is taken as well
)

// checkOpenID checks the settings of an application.
func (s Settings) checkOpenID() error {
	switch {
	case len(s.Tenants) > 0 || s.AppID != "" || s.Cloud != "" || s.Account != "":
		return &Wrong{"tenants, app_id, cloud, account", "not for openid"}
	case s.Algorithm != "" && !slices.Contains(Algorithms, s.Algorithm):
		return &Wrong{"id_token_signed_response_alg", "want ES256, RS256 or EdDSA"}
	case s.PKCE != "" && s.PKCE != PKCEPlain && s.PKCE != PKCEOptional:
		return &Wrong{"pkce", "want nothing, plain or optional"}
	case s.Auth == AuthNone && s.PKCE != "":
		return &Wrong{"pkce", "a client that does not prove itself sends S256"}
	}
	if err := checkCallbacks("redirect_uris", s.Redirects); err != nil {
		return err
	}
	if err := checkCallbacks("post_logout_redirect_uris", s.PostLogout); err != nil {
		return err
	}
	return s.checkAuth()
}

func checkCallbacks(field string, all []string) error {
	if len(all) > maxRedirects {
		return &Wrong{field, fmt.Sprintf("want at most %d addresses", maxRedirects)}
	}
	for _, r := range all {
		if !IsCallback(r) {
			return &Wrong{field, "want addresses as https://host/path; http only to this machine itself"}
		}
	}
	return nil
}

func (s Settings) checkAuth() error {
	keys := len(s.JWKS) > 0 && string(s.JWKS) != "null"
	switch s.Auth {
	case "", "client_secret_basic", "client_secret_post", AuthNone:
		if keys || s.JWKSURI != "" {
			return &Wrong{"jwks, jwks_uri", "only for private_key_jwt"}
		}
	case AuthKey:
		if keys == (s.JWKSURI != "") {
			return &Wrong{"jwks", "private_key_jwt wants this or jwks_uri"}
		}
		if u, err := url.Parse(s.JWKSURI); s.JWKSURI != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(s.JWKSURI) > maxURL) {
			return &Wrong{"jwks_uri", "want an https address"}
		}
		if keys {
			if _, err := ParseKeys(s.JWKS); err != nil {
				return &Wrong{"jwks", err.Error()}
			}
		}
	default:
		return &Wrong{"token_endpoint_auth_method", "want nothing, client_secret_basic, client_secret_post, private_key_jwt or none"}
	}
	return nil
}

// plainHost is a host as it may stand in the policy of a page. Package url takes others: one
// with a semicolon in it would end the directive and begin one of its own.
var plainHost = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// IsPlainHost reports whether a host, with its port, may stand in the policy of a page.
func IsPlainHost(host string) bool { return plainHost.MatchString(host) }

// IsCallback reports whether people may be sent back to an address: https, or http on the
// person's own machine (RFC 8252 7.3), without a fragment.
func IsCallback(address string) bool {
	u, err := url.Parse(address)
	if err != nil || !IsPlainHost(u.Host) || u.User != nil || u.Fragment != "" || len(address) > maxURL || u.String() != address {
		return false
	}
	local := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && local
}
