package recovery

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// maxAddress bounds a typed address, in bytes (RFC 5321, section 4.5.3.1.3).
const maxAddress = 254

// NormalAddress is the one form of an address in which two spellings are compared:
// composed, in lower case, the domain in its ASCII form. A text that is no address is
// ErrAddress.
func NormalAddress(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	at := strings.LastIndexByte(typed, '@')
	if at < 1 || len(typed) > maxAddress || strings.ContainsFunc(typed, forbidden) {
		return "", ErrAddress
	}
	domain, err := idna.Lookup.ToASCII(norm.NFC.String(strings.TrimSuffix(typed[at+1:], ".")))
	if err != nil || slices.Contains(strings.Split(domain, "."), "") {
		return "", ErrAddress
	}
	return norm.NFC.String(strings.ToLower(norm.NFC.String(typed[:at]))) + "@" + strings.ToLower(domain), nil
}

func forbidden(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar
}

// spellings returns the forms in which a directory may hold a normal address.
func spellings(normal string) []string {
	at := strings.LastIndexByte(normal, '@')
	if domain, err := idna.Lookup.ToUnicode(normal[at+1:]); err == nil && domain != normal[at+1:] {
		return []string{normal, normal[:at+1] + domain}
	}
	return []string{normal}
}
