package party

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// How an account is found by what an identity provider says of it.
const (
	ByImmutableID = "immutable_id" // it is the account's immutable id
	ByIdentifier  = "identifier"   // it is one of the account's identifiers
)

// Settings are what an administrator decides about one client. They hold no secret.
type Settings struct {
	Name        string   `json:"name"`
	Domain      string   `json:"domain,omitempty"`        // recovery domain; "": the first proven one
	Tenants     []string `json:"tenants,omitempty"`       // entra_eam: ids of the tenants that may ask
	AppID       string   `json:"app_id,omitempty"`        // entra_eam: of the application that the tenants consented to
	Cloud       string   `json:"cloud,omitempty"`         // entra_eam: "", us or cn
	Redirects   []string `json:"redirect_uris,omitempty"` // okta_eam, okta_idv: exact
	Account     string   `json:"account,omitempty"`       // how the account is found; "": by immutable_id for Entra, by identifier for Okta
	AllowStrict bool     `json:"allow_strict,omitempty"`  // accounts whose agent asks for evidence that it checks itself may sign in here (T11)

	// The rest is for the contract openid alone.
	Algorithm  string          `json:"id_token_signed_response_alg,omitempty"` // of the keys that are made from now on; "": ES256
	Auth       string          `json:"token_endpoint_auth_method,omitempty"`   // "": a secret, in the header or in the form
	JWKS       json.RawMessage `json:"jwks,omitempty"`                         // private_key_jwt: the client's public keys,
	JWKSURI    string          `json:"jwks_uri,omitempty"`                     // or where they are
	PKCE       string          `json:"pkce,omitempty"`                         // "": S256; plain: plain as well; optional: none as well
	RequirePAR bool            `json:"require_pushed_authorization_requests,omitempty"`
	PostLogout []string        `json:"post_logout_redirect_uris,omitempty"` // besides redirect_uris; exact
}

// Bounds of settings.
const (
	maxName      = 80
	maxTenants   = 16
	maxRedirects = 8
	maxURL       = 512
)

// A cloud is one of Microsoft's, with the host that signs for it.
type cloud struct{ name, authority string }

var clouds = []cloud{
	{"", "https://login.microsoftonline.com"}, {"us", "https://login.microsoftonline.us"}, {"cn", "https://login.partner.microsoftonline.cn"},
}

// entraReturn is where every tenant of each cloud takes answers.
const entraReturn = "/common/federation/externalauthprovider"

func entraRedirects() []string {
	var list []string
	for _, c := range clouds {
		list = append(list, c.authority+entraReturn)
	}
	return list
}

// AuthorityOf returns the origin that signs for a cloud, and whether there is such a cloud.
func AuthorityOf(name string) (string, bool) {
	i := slices.IndexFunc(clouds, func(c cloud) bool { return c.name == name })
	if i < 0 {
		return "", false
	}
	return clouds[i].authority, true
}

// A Wrong is a setting that cannot be: the first that an administrator must mend.
type Wrong struct{ Field, Text string }

// Error implements error.
func (w *Wrong) Error() string { return "party: " + w.Field + ": " + w.Text }

// Check returns a *Wrong for what cannot work.
func (s Settings) Check(c Contract) error {
	if s.Name == "" || len(s.Name) > maxName || strings.ContainsFunc(s.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return &Wrong{"name", fmt.Sprintf("want one line of at most %d bytes", maxName)}
	}
	if c == OpenID {
		return s.checkOpenID()
	}
	if s.Algorithm+s.Auth+s.JWKSURI+s.PKCE != "" || len(s.JWKS) > 0 || s.RequirePAR || len(s.PostLogout) > 0 {
		return &Wrong{"id_token_signed_response_alg, token_endpoint_auth_method, jwks, jwks_uri, pkce, require_pushed_authorization_requests", "only for openid"}
	}
	if c == EntraEAM {
		return s.checkEntra()
	}
	return s.checkOkta(c)
}

func (s Settings) checkEntra() error {
	if _, ok := AuthorityOf(s.Cloud); !ok {
		return &Wrong{"cloud", "want nothing, us or cn"}
	}
	if len(s.Tenants) == 0 || len(s.Tenants) > maxTenants {
		return &Wrong{"tenants", fmt.Sprintf("want the ids of 1 to %d tenants", maxTenants)}
	}
	const guid = "want ids of the form 00000000-0000-0000-0000-000000000000, in lower case"
	if !IsGUID(s.AppID) {
		return &Wrong{"app_id", guid}
	}
	if slices.ContainsFunc(s.Tenants, func(id string) bool { return !IsGUID(id) }) {
		return &Wrong{"tenants", guid}
	}
	if len(s.Redirects) > 0 {
		return &Wrong{"redirect_uris", "those of Entra ID are known and cannot be set"}
	}
	return s.checkAccount()
}

func (s Settings) checkOkta(c Contract) error {
	if len(s.Tenants) > 0 || s.AppID != "" || s.Cloud != "" {
		return &Wrong{"tenants, app_id, cloud", "only for entra_eam"}
	}
	if len(s.Redirects) == 0 || len(s.Redirects) > maxRedirects {
		return &Wrong{"redirect_uris", fmt.Sprintf("want 1 to %d addresses", maxRedirects)}
	}
	for _, r := range s.Redirects {
		u, err := url.Parse(r)
		if err != nil || u.Scheme != "https" || !IsPlainHost(u.Host) || u.User != nil || u.Fragment != "" || u.RawQuery != "" || len(r) > maxURL || u.String() != r {
			return &Wrong{"redirect_uris", "want addresses as https://host/path"}
		}
	}
	if c.AsksPeople() && (s.Account != "" || s.AllowStrict) {
		return &Wrong{"account, allow_strict", "this contract asks about no account"}
	}
	return s.checkAccount()
}

func (s Settings) checkAccount() error {
	if s.Account != "" && s.Account != ByImmutableID && s.Account != ByIdentifier {
		return &Wrong{"account", "want immutable_id or identifier"}
	}
	return nil
}

// IsGUID reports whether s is one in canonical form.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdef", c) {
			return false
		}
	}
	return true
}
