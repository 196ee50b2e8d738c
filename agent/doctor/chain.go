package doctor

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Verdict is why a certificate is not taken.
type Verdict string

// Verdicts of Judge.
const (
	Untrusted Verdict = "untrusted" // nobody whom this machine trusts has issued it
	OtherName Verdict = "other name"
	NotNow    Verdict = "not valid now"
)

// Judge reads the error of a TLS handshake: why the certificate was not taken, "" if it
// was not about one, and the chain that the server showed.
func Judge(err error) (Verdict, []*x509.Certificate) {
	var broken *tls.CertificateVerificationError
	if !errors.As(err, &broken) {
		return "", nil
	}
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return OtherName, broken.UnverifiedCertificates
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return NotNow, broken.UnverifiedCertificates
	}
	return Untrusted, broken.UnverifiedCertificates
}

// maxChain bounds how much of a chain is shown.
const maxChain = 6

// Chain describes certificates, the server's own first, in one line each.
func Chain(chain []*x509.Certificate) []string {
	var lines []string
	for i, c := range chain[:min(len(chain), maxChain)] {
		sum := sha256.Sum256(c.Raw)
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, nameOf(c.Subject.String(), c.DNSNames)),
			"   issued by "+OneLine(c.Issuer.String()),
			fmt.Sprintf("   valid %s to %s, SHA-256 %s", day(c.NotBefore), day(c.NotAfter), hex.EncodeToString(sum[:])))
	}
	return lines
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// nameOf is a subject with the names that it is for.
func nameOf(subject string, names []string) string {
	if len(names) == 0 {
		return OneLine(subject)
	}
	return OneLine(subject + " for " + strings.Join(names[:min(len(names), maxChain)], ", "))
}

// inspectors are words in the names of authorities that products make to open TLS, and
// the products.
var inspectors = []struct{ word, product string }{
	{"zscaler", "Zscaler"}, {"netskope", "Netskope"}, {"fortinet", "Fortinet FortiGate"}, {"fortigate", "Fortinet FortiGate"}, {"palo alto", "Palo Alto Networks"},
	{"blue coat", "Symantec (Blue Coat) ProxySG"}, {"bluecoat", "Symantec (Blue Coat) ProxySG"}, {"cisco umbrella", "Cisco Umbrella"}, {"sophos", "Sophos"},
	{"check point", "Check Point"}, {"mcafee", "Skyhigh (McAfee) Web Gateway"}, {"skyhigh", "Skyhigh Web Gateway"}, {"forcepoint", "Forcepoint"}, {"websense", "Forcepoint"},
	{"barracuda", "Barracuda"}, {"watchguard", "WatchGuard"}, {"sonicwall", "SonicWall"}, {"untangle", "Arista (Untangle)"}, {"iboss", "iboss"}, {"cloudflare gateway", "Cloudflare Gateway"},
	{"kaspersky", "Kaspersky"}, {"eset ssl filter", "ESET"}, {"bitdefender", "Bitdefender"}, {"avast", "Avast"}, {"avg web", "AVG"}, {"squid", "Squid"}, {"mitmproxy", "mitmproxy"},
	{"fiddler", "Fiddler"}, {"burp", "Burp"}, {"charles proxy", "Charles"},
}

// Inspector names the product that opens TLS, by the names in a chain; "" if none is known.
func Inspector(chain []*x509.Certificate) string {
	for _, c := range chain {
		issuer := strings.ToLower(c.Issuer.String())
		for _, i := range inspectors {
			if strings.Contains(issuer, i.word) {
				return i.product
			}
		}
	}
	return ""
}
