package oidc

import (
	"slices"

	"github.com/postern-id/postern/hub/policy"
)

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
