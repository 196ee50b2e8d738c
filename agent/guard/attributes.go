package guard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-id/postern/protocol"
)

// neverSet are attributes that say who gets in, who somebody is, or what somebody may do,
// in lower case. The file cannot name them, so that a switch for telephone numbers never
// becomes one for accounts. What the file itself maps to such a use, the directory knows.
var neverSet = []string{
	// passwords, keys and what takes their place
	"userpassword", "unicodepwd", "dbcspwd", "ntpwdhistory", "lmpwdhistory", "supplementalcredentials", "authpassword", "passwordhistory",
	"sambantpassword", "sambalmpassword", "usercertificate", "usersmimecertificate", "userpkcs12", "altsecurityidentities", "sshpublickey",
	"totpsecret", "authauthority",
	// whether and from where somebody signs in
	"useraccountcontrol", "accountexpires", "lockouttime", "nsaccountlock", "accountunlocktime", "logonhours", "userworkstations",
	"logonworkstation", "inetuserstatus", "host", "authorizedservice", "dialupaccess",
	// who somebody is
	"objectclass", "objectguid", "objectsid", "sidhistory", "entryuuid", "entrydn", "nsuniqueid", "distinguishedname", "uid", "userid", "samaccountname",
	"userprincipalname", "serviceprincipalname", "uidnumber",
	// what somebody may do
	"member", "uniquemember", "memberuid", "memberof", "memberurl", "ismemberof", "primarygroupid", "gidnumber", "admincount", "ntsecuritydescriptor",
	"aci", "openldapaci", "authzto", "authzfrom", "saslauthzto", "saslauthzfrom", "olcaccess", "nsrole", "nsroledn", "sudorole", "managedby", "manager", "owner", "userparameters", "scriptpath", "profilepath", "homedirectory",
	"homedrive", "unixhomedirectory", "loginshell", "gecos", "dnsroot", "dnshostname", "seealso", "labeleduri",
	// where somebody's mail goes
	"targetaddress", "mailforwardingaddress", "mailalternateaddress", "legacyexchangedn",
}

// neverSetBegin are beginnings of such names: password policies, extensions of Active
// Directory (dial-in, remote desktops, Exchange and Unix among them), local administrators'
// passwords, one-time passwords, Kerberos, FreeIPA, RADIUS, shadow and sudo.
var neverSetBegin = []string{
	"pwd", "password", "msds-", "ms-", "mslaps-", "mspki", "msnp", "msra", "msts", "msexch", "msrtcsip", "mssfu", "oath", "krb", "ipa", "radius", "shadow",
	"sudo", "nsds", "nsslapd", "olc", "samba",
}

// checkAttributes refuses names that mean nothing, or too much.
func (r Rules) checkAttributes() error {
	for _, name := range r.ActAttributes {
		switch {
		case !protocol.AttributeName(name):
			return fmt.Errorf("guard.act_attributes: %q is no name of an attribute", name)
		case powerful(name):
			return fmt.Errorf("guard.act_attributes: %q says who gets in, who somebody is or what somebody may do; no file can let a hub set it", name)
		}
	}
	if slices.Contains(r.Acts, protocol.SetAttribute) && len(r.ActAttributes) == 0 {
		return fmt.Errorf("guard.acts: set_attribute without guard.act_attributes, which names what may be set")
	}
	return nil
}

func powerful(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(neverSet, func(n string) bool { return strings.EqualFold(n, name) }) ||
		slices.ContainsFunc(neverSetBegin, func(begin string) bool { return strings.HasPrefix(name, begin) })
}

// attribute is why the file does not let an attribute be set, or nil.
func (g *Guard) attribute(t protocol.Task) *protocol.Error {
	if t.Operation != protocol.SetAttribute {
		return nil
	}
	name := t.Params[protocol.ParamAttribute]
	if slices.ContainsFunc(g.rules.ActAttributes, func(n string) bool { return strings.EqualFold(n, name) }) && !powerful(name) {
		return nil
	}
	return protocol.Err(protocol.CodePermissionDenied, "the attribute is not among guard.act_attributes in the agent's file").For(protocol.ReasonAttributeOff)
}
