package flow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
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

// keyedHash names an address in counters and rows without saying it.
func keyedHash(key []byte, env, normal string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(env + "\x00" + normal))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// bucketOf is what requests of one client are counted under: an IPv4 address, or the
// /64 in which one IPv6 host may have any address.
func bucketOf(client string) string {
	ip, err := netip.ParseAddr(client)
	if err != nil {
		return "unknown"
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	prefix, _ := ip.Prefix(64) // never fails for 64 of 128 bits
	return prefix.String()
}
