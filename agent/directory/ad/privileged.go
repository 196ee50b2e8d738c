package ad

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// builtinGroups are privileged groups of BUILTIN, by their last part (MS-DTYP 2.4.2.4).
// Names are for messages only: groups may be renamed and are translated.
var builtinGroups = map[uint32]string{
	544: "Administrators",
	548: "Account Operators",
	549: "Server Operators",
	550: "Print Operators",
	551: "Backup Operators",
	552: "Replicator",
	557: "Incoming Forest Trust Builders",
	578: "Hyper-V Administrators",
}

// domainGroups are privileged groups of any domain, by their relative id.
var domainGroups = map[uint32]string{
	498: "Enterprise Read-only Domain Controllers",
	512: "Domain Admins",
	516: "Domain Controllers",
	517: "Cert Publishers",
	518: "Schema Admins",
	519: "Enterprise Admins",
	520: "Group Policy Creator Owners",
	521: "Read-only Domain Controllers",
	526: "Key Admins",
	527: "Enterprise Key Admins",
}

// privilegedAccounts are built-in accounts of any domain, by their relative id.
var privilegedAccounts = map[uint32]string{
	500: "the built-in Administrator",
	502: "krbtgt",
}

// Prefixes of SIDs.
const (
	builtinPrefix = "S-1-5-32"
	domainPrefix  = "S-1-5-21-"
)

// Bits of userAccountControl that no person's account has (MS-ADTS 2.2.16).
const (
	uacServerTrust        = 0x2000
	uacTrustedForAnything = 0x80000 // TRUSTED_FOR_DELEGATION: may act as anybody towards anything
	uacPartialSecrets     = 0x04000000
)

// privileged says why an account is a built-in administrator, or "". own is its SID,
// groups are the SIDs of everything that it belongs to, the primary group and nested
// ones included. A group of relative id below 1000 cannot be made by anybody, so the
// number alone decides, in whatever domain of the forest and language.
func privileged(e *ldap.Entry, own sid, groups map[sid]bool) string {
	if _, rid := own.domain(); strings.HasPrefix(string(own), domainPrefix) && privilegedAccounts[rid] != "" {
		return "is " + privilegedAccounts[rid]
	}
	if e.GetAttributeValue("msDS-SecondaryKrbTgtNumber") != "" {
		return "is the krbtgt account of a read-only controller"
	}
	if n := e.GetAttributeValue("adminCount"); n != "" && n != "0" {
		return "adminCount is " + n
	}
	if bits(e, "userAccountControl")&(uacServerTrust|uacTrustedForAnything|uacPartialSecrets) != 0 {
		return "is trusted for delegation or as a controller"
	}
	for g := range groups {
		if name := privilegedGroup(g); name != "" {
			return "member of " + name
		}
	}
	return ""
}

// privilegedGroup returns the English name of a privileged group, or "".
func privilegedGroup(g sid) string {
	prefix, rid := g.domain()
	switch {
	case prefix == builtinPrefix:
		return builtinGroups[rid]
	case strings.HasPrefix(prefix, domainPrefix):
		return domainGroups[rid]
	}
	return ""
}
