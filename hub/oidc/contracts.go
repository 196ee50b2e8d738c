package oidc

import (
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
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

// A contractRow is what differs between contracts.
type contractRow struct {
	contract  Contract
	path      string // the issuer is public_url and this
	endpoints string // path below which its endpoints stand
	post      bool   // requests come as a form that another site posts; otherwise in a query
	code      bool   // answers with a code; otherwise with an id_token in a form
	pushes    bool   // takes pushed requests
	pushed    bool   // and no others, with PKCE
	people    bool   // asks who somebody is, not whether they hold an account
	scopes    []string
	algorithm string
	authorize audit.Kind
	finish    audit.Kind
	screen    bool // its requests wait on a page here, where a phone can go on
}

// contracts is the vocabulary of contracts.
var contracts = []contractRow{
	{EntraEAM, "/entra/eam", "/entra/eam", true, false, false, false, false, []string{"openid"}, rs256, audit.EntraEAMAuthorize, audit.EntraEAMFinish, false},
	{OktaEAM, "/okta/eam", "/okta/eam", false, true, false, false, false, []string{"openid"}, rs256, audit.OktaEAMAuthorize, audit.OktaEAMFinish, false},
	{OktaIDV, "", "/oauth2", false, true, true, true, true, []string{"openid", "profile", "identity_assurance"}, rs256, audit.OAuth2V2Authorize, audit.OAuth2V2Authorize, false},
	{OpenID, "", "/oauth2", false, true, true, false, true, openIDScopes, es256, audit.OAuth2Authorize, audit.OAuth2Authorize, true},
}

// An issuerRow is where contracts are asked that share one issuer: which of them it is,
// the client says.
type issuerRow struct {
	path, endpoints    string
	post, code, pushes bool
	rows               []contractRow
}

// issuers groups the contracts by issuer.
func issuers() (all []issuerRow) {
	for _, row := range contracts {
		i := slices.IndexFunc(all, func(at issuerRow) bool { return at.path == row.path })
		if i < 0 {
			i, all = len(all), append(all, issuerRow{row.path, row.endpoints, row.post, row.code, row.pushes, nil})
		}
		all[i].rows = append(all[i].rows, row)
	}
	return all
}

// serves reports whether a contract is asked at this issuer.
func (at issuerRow) serves(c Contract) bool {
	return slices.ContainsFunc(at.rows, func(r contractRow) bool { return r.contract == c })
}

// ContractByName returns the contract of a name, and whether there is one.
func ContractByName(name string) (Contract, bool) {
	row, ok := rowOf(Contract(name))
	return row.contract, ok
}

// Contracts lists the names of all contracts.
func Contracts() []string {
	var names []string
	for _, r := range contracts {
		names = append(names, string(r.contract))
	}
	return names
}

func rowOf(c Contract) (contractRow, bool) {
	i := slices.IndexFunc(contracts, func(r contractRow) bool { return r.contract == c })
	if i < 0 {
		return contractRow{}, false
	}
	return contracts[i], true
}

// AsksPeople reports whether the contract asks who somebody is, so that it belongs to no
// directory.
func (c Contract) AsksPeople() bool {
	row, _ := rowOf(c)
	return row.people
}

// references are the values of amr (RFC 8176) of the methods that have one that they
// deserve. All of them prove possession.
var references = map[policy.Method]string{
	policy.Passkey: "fido", policy.DigitalCredential: "pop", policy.TOTP: "otp", policy.SMSCode: "sms",
}

// possession are the values of acr that a proof of possession meets, as Entra ID spells
// them.
var possession = []string{"possessionorinherence", "knowledgeorpossession", "knowledgeorpossessionorinherence", "possession"}

// methodsFor returns the methods whose reference is among those asked for; all that have
// one where none is named.
func methodsFor(amr []string) []policy.Method {
	var list []policy.Method
	for _, row := range policy.MethodTable {
		if ref := references[row.Method]; ref != "" && (len(amr) == 0 || slices.Contains(amr, ref)) {
			list = append(list, row.Method)
		}
	}
	return list
}

// metBy returns the first of the asked classes that a proof of possession meets, and
// whether there is one. Nothing asked is met by nothing said.
func metBy(acr []string) (string, bool) {
	for _, a := range acr {
		if slices.Contains(possession, a) {
			return a, true
		}
	}
	return "", len(acr) == 0
}

// reference returns the one amr value of what was proven, in the order of the asked ones,
// "" if none of them was.
func reference(asked []string, proven []policy.Method) string {
	for _, m := range methodsFor(asked) {
		if slices.Contains(proven, m) {
			return references[m]
		}
	}
	return ""
}
