package party

import (
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
)

// A Contract is one way in which an identity provider or an application asks.
type Contract string

// The contracts.
const (
	EntraEAM Contract = "entra_eam" // Microsoft Entra ID, external authentication method
	OktaEAM  Contract = "okta_eam"  // Okta, identity provider as a factor
	OktaIDV  Contract = "okta_idv"  // Okta, identity-verification vendor
	OpenID   Contract = "openid"    // applications of the organisation itself
)

// Terms are what differs between contracts.
type Terms struct {
	Contract  Contract
	Path      string // the issuer is public_url and this
	Endpoints string // path below which its endpoints stand
	Post      bool   // requests come as a form that another site posts; otherwise in a query
	Code      bool   // answers with a code; otherwise with an id_token in a form
	Pushes    bool   // takes pushed requests
	Pushed    bool   // and no others, with PKCE
	People    bool   // asks who somebody is, not whether they hold an account
	Scopes    []string
	Algorithm string
	Authorize audit.Kind
	Finish    audit.Kind
	Screen    bool // its requests wait on a page here, where a phone can go on
}

// contracts is the vocabulary of contracts.
var contracts = []Terms{
	{EntraEAM, "/entra/eam", "/entra/eam", true, false, false, false, false, []string{"openid"}, RS256, audit.EntraEAMAuthorize, audit.EntraEAMFinish, false},
	{OktaEAM, "/okta/eam", "/okta/eam", false, true, false, false, false, []string{"openid"}, RS256, audit.OktaEAMAuthorize, audit.OktaEAMFinish, false},
	{OktaIDV, "", "/oauth2", false, true, true, true, true, []string{"openid", "profile", "identity_assurance"}, RS256, audit.OAuth2V2Authorize, audit.OAuth2V2Authorize, false},
	{OpenID, "", "/oauth2", false, true, true, false, true, Scopes, ES256, audit.OAuth2Authorize, audit.OAuth2Authorize, true},
}

// Algorithms are those in which tokens of applications may be signed, the usual one
// first.
var Algorithms = []string{ES256, RS256, EdDSA}

// Scopes are what an application may ask for.
var Scopes = append([]string{"profile", request.Email, request.Address}, request.Scopes()...)

// An Issuer is where contracts are asked that share one: which of them it is, the client
// says.
type Issuer struct {
	Path, Endpoints    string
	Post, Code, Pushes bool
	Contracts          []Terms
}

// Issuers groups the contracts by issuer.
func Issuers() (all []Issuer) {
	for _, row := range contracts {
		i := slices.IndexFunc(all, func(at Issuer) bool { return at.Path == row.Path })
		if i < 0 {
			i, all = len(all), append(all, Issuer{row.Path, row.Endpoints, row.Post, row.Code, row.Pushes, nil})
		}
		all[i].Contracts = append(all[i].Contracts, row)
	}
	return all
}

// Serves reports whether a contract is asked at this issuer.
func (at Issuer) Serves(c Contract) bool {
	return slices.ContainsFunc(at.Contracts, func(r Terms) bool { return r.Contract == c })
}

// ContractByName returns the contract of a name, and whether there is one.
func ContractByName(name string) (Contract, bool) {
	row, ok := termsOf(Contract(name))
	return row.Contract, ok
}

// Contracts lists the names of all contracts.
func Contracts() []string {
	var names []string
	for _, r := range contracts {
		names = append(names, string(r.Contract))
	}
	return names
}

func termsOf(c Contract) (Terms, bool) {
	i := slices.IndexFunc(contracts, func(r Terms) bool { return r.Contract == c })
	if i < 0 {
		return Terms{}, false
	}
	return contracts[i], true
}

// AsksPeople reports whether the contract asks who somebody is, so that it belongs to no
// directory.
func (c Contract) AsksPeople() bool {
	row, _ := termsOf(c)
	return row.People
}

// Addresses are what an administrator of the identity provider types in there.
type Addresses struct {
	Issuer    string `json:"issuer"`
	Discovery string `json:"discovery_url"`
	Authorize string `json:"authorization_endpoint"`
	Token     string `json:"token_endpoint,omitempty"`
	PAR       string `json:"pushed_authorization_request_endpoint,omitempty"`
	UserInfo  string `json:"userinfo_endpoint,omitempty"`
	JWKS      string `json:"jwks_uri"`
	End       string `json:"end_session_endpoint,omitempty"`
}

// Paths below an issuer, and below its endpoints.
const (
	DiscoveryPath = "/.well-known/openid-configuration" // OpenID Connect Discovery 4
	EndPath       = "/logout"                           // OpenID Connect RP-Initiated Logout 2
)

// AddressesOf returns the addresses of a contract below an origin.
func AddressesOf(c Contract, origin string) Addresses {
	row, _ := termsOf(c)
	return row.Addresses(origin)
}

// Addresses returns what an administrator types in: the addresses of the contract below an
// origin.
func (t Terms) Addresses(origin string) Addresses {
	at := origin + t.Endpoints
	out := Addresses{Issuer: origin + t.Path, Discovery: origin + t.Path + DiscoveryPath, Authorize: at + "/authorize", JWKS: at + "/jwks"}
	if t.Code {
		out.Token, out.UserInfo = at+"/token", at+"/userinfo"
	}
	if t.Pushes {
		out.PAR = at + "/par"
	}
	if t.Contract == OpenID {
		out.End = at + EndPath
	}
	return out
}
