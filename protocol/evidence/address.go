package evidence

import (
	"slices"
	"strings"
)

// CredentialAddress is the claim in which an SD-JWT credential says where its holder
// lives (EUDI PID rulebook 4; OpenID Connect Core 5.1.1).
const CredentialAddress = "address"

// addressElements are those of ISO/IEC 18013-5, table 5, and of the EUDI PID rulebook
// 3.1, in the order in which an address is written. Documents need have none of them.
var addressElements = []string{"resident_address", "resident_postal_code", "resident_city", "resident_state", "resident_country"}

// addressMembers are the same in CredentialAddress.
var addressMembers = []string{"street_address", "postal_code", "locality", "region", "country"}

// AddressElements returns the elements in which mobile documents say where their holder
// lives, the most telling first. They are asked for only where that is what is wanted.
func AddressElements() []string { return slices.Clone(addressElements) }

// address reads where the holder lives, on one line; "" if the document does not say.
func (r *reader) address() string {
	var parts []string
	for _, e := range addressElements {
		parts = append(parts, r.text(e))
	}
	return oneLine(parts)
}

// credentialAddress is address for a credential.
func credentialAddress(m map[string]any) (string, error) {
	a, ok := m[CredentialAddress].(map[string]any)
	if !ok {
		return plainText(CredentialAddress, claimText(m, CredentialAddress))
	}
	if whole := claimText(a, "formatted"); whole != "" {
		return plainText(CredentialAddress, strings.Join(strings.FieldsFunc(whole, isNewline), ", "))
	}
	var parts []string
	for _, name := range addressMembers {
		part, err := plainText(name, claimText(a, name))
		if err != nil {
			return "", err
		}
		if number := claimText(a, "house_number"); name == "street_address" && number != "" {
			if number, err = plainText("house_number", number); err != nil {
				return "", err
			}
			part = strings.TrimSpace(part + " " + number)
		}
		parts = append(parts, part)
	}
	return oneLine(parts), nil
}

func isNewline(r rune) bool { return r == '\r' || r == '\n' }

// oneLine joins those parts that say something.
func oneLine(parts []string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}
