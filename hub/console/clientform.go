package console

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// clientFields are the questions about a client, by its contract.
func (v *visit) clientFields(d party.Draft, fresh bool, env string, rows []store.Directory, domains []store.Domain) []field {
	fields := []field{{Name: "name", Kind: fieldText, Value: d.Name, Most: 80}}
	if d.Contract == party.OpenID && fresh {
		is := append([]option{{"", v.words.T("client.client_id.default")}, {env, v.words.T("client.client_id.env")}}, directoriesOf(rows)...)
		fields = append(fields, field{Name: "client_id", Kind: fieldChoice, Value: d.ClientID, Options: is})
	}
	if d.Contract == party.OpenID || !d.Contract.AsksPeople() {
		of := directoriesOf(rows)
		if d.Contract == party.OpenID {
			of = append([]option{{"", v.words.T("client.directory.default")}}, of...)
		}
		fields = append(fields, field{Name: "directory", Kind: fieldChoice, Value: d.Directory, Options: of})
	}
	switch d.Contract {
	case party.EntraEAM:
		fields = append(fields, field{Name: "tenants", Kind: fieldLines, Value: strings.Join(d.Tenants, "\n")}, field{Name: "app_id", Kind: fieldText, Value: d.AppID, Most: 36},
			field{Name: "cloud", Kind: fieldChoice, Value: d.Cloud, Options: v.options("client.cloud.", "", "us", "cn")})
	default:
		fields = append(fields, field{Name: "redirect_uris", Kind: fieldLines, Value: strings.Join(d.Redirects, "\n")})
	}
	if d.Contract == party.OpenID {
		fields = append(fields, v.openIDFields(d)...)
	}
	if !d.Contract.AsksPeople() {
		fields = append(fields, field{Name: "account", Kind: fieldChoice, Value: d.Account, Options: v.options("client.account.", "", party.ByImmutableID, party.ByIdentifier)})
	}
	if d.Contract != party.OktaIDV {
		fields = append(fields, field{Name: "allow_strict", Kind: fieldTick, On: d.AllowStrict})
	}
	at := []option{{"", v.words.T("client.domain.default")}}
	for _, x := range domains {
		if !x.Proven.IsZero() {
			at = append(at, option{x.Name, x.Name})
		}
	}
	if !slices.ContainsFunc(at, func(o option) bool { return o.Value == d.Domain }) {
		at = append(at, option{d.Domain, d.Domain}) // no longer proven, and not to be changed unseen
	}
	return append(fields, field{Name: "domain", Kind: fieldChoice, Value: d.Domain, Options: at})
}

func (v *visit) openIDFields(d party.Draft) []field {
	keys := string(d.JWKS)
	var other string
	if json.Unmarshal(d.JWKS, &other) == nil { // typed, and no JSON; or null
		keys = other
	}
	return []field{
		{Name: "post_logout_redirect_uris", Kind: fieldLines, Value: strings.Join(d.PostLogout, "\n")},
		{Name: "token_endpoint_auth_method", Kind: fieldChoice, Value: d.Auth, Options: v.options("client.auth.", "", "client_secret_basic", "client_secret_post", "private_key_jwt", "none")},
		{Name: "jwks", Kind: fieldLines, Value: keys},
		{Name: "jwks_uri", Kind: fieldText, Value: d.JWKSURI, Most: 512},
		{Name: "id_token_signed_response_alg", Kind: fieldChoice, Value: d.Algorithm, Options: v.options("client.alg.", "", "ES256", "RS256", "EdDSA")},
		{Name: "pkce", Kind: fieldChoice, Value: d.PKCE, Options: v.options("client.pkce.", "", "plain", "optional")},
		{Name: "require_pushed_authorization_requests", Kind: fieldTick, On: d.RequirePAR},
	}
}

func directoriesOf(rows []store.Directory) (list []option) {
	for _, d := range rows {
		list = append(list, option{d.ID, nameOf(d)})
	}
	return list
}

// clientTyped reads the form over what is kept: what it does not ask for stays.
func (v *visit) clientTyped(c store.OIDCClient) (party.Draft, error) {
	d := party.Draft{ClientID: c.ID, Contract: party.Contract(c.Contract), Directory: v.text("directory")}
	if c.ID == "" {
		d.ClientID = v.text("client_id")
	}
	err := json.Unmarshal(c.Settings, &d.Settings)
	d.Name, d.Domain, d.AllowStrict, d.Account = v.text("name"), v.text("domain"), v.checked("allow_strict"), v.text("account")
	d.Tenants, d.AppID, d.Cloud, d.Redirects = v.lines("tenants"), v.text("app_id"), v.text("cloud"), v.lines("redirect_uris")
	d.PostLogout, d.Auth, d.JWKSURI = v.lines("post_logout_redirect_uris"), v.text("token_endpoint_auth_method"), v.text("jwks_uri")
	d.Algorithm, d.PKCE, d.RequirePAR, d.JWKS = v.text("id_token_signed_response_alg"), v.text("pkce"), v.checked("require_pushed_authorization_requests"), nil
	if keys := v.text("jwks"); json.Valid([]byte(keys)) {
		d.JWKS = json.RawMessage(keys)
	} else if keys != "" {
		d.JWKS = json.RawMessage(store.JSON(keys)) // a text is no key set, and is said to be none
	}
	return d, err
}
