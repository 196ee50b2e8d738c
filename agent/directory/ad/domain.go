package ad

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// A domain is what one controller says of itself and of its domain.
type domain struct {
	base   string // defaultNamingContext
	dns    string // corp.example
	guid   string // of the domain object
	sid    sid
	ds     string       // dsServiceName: this controller's settings
	pdc    string       // that of the controller with the role of the PDC emulator
	samba  bool         // made by the Samba Team
	dc     string       // invocationId of this controller: USNs are numbers of its own
	usn    uint64       // highestCommittedUSN
	now    time.Time    // by its clock
	token  map[sid]bool // who the agent is signed in as, groups included
	policy directory.PasswordPolicy
}

// Well-known members of every token that a controller may leave out of tokenGroups
// (MS-DTYP 2.4.2.4).
const (
	sidEveryone      sid = "S-1-1-0"
	sidAuthenticated sid = "S-1-5-11"
	sidSelf          sid = "S-1-5-10"
)

// readDomain asks the controller at the other end of c.
func readDomain(ctx context.Context, c *ldapconn.Conn) (domain, error) {
	var d domain
	root, err := c.Entry(ctx, "", "(objectClass=*)", "defaultNamingContext", "dsServiceName", "highestCommittedUSN", "tokenGroups", "currentTime", "vendorName")
	if err != nil {
		return d, err
	}
	if root == nil || root.GetAttributeValue("defaultNamingContext") == "" {
		return d, protocol.Err(protocol.CodeConfiguration, "the server is no domain controller: its root has no defaultNamingContext; name a controller in urls, not a global catalogue or another directory")
	}
	d.base = root.GetAttributeValue("defaultNamingContext")
	d.dns, d.ds = dnsName(d.base), root.GetAttributeValue("dsServiceName")
	d.samba = strings.HasPrefix(root.GetAttributeValue("vendorName"), "Samba")
	if d.usn, err = strconv.ParseUint(root.GetAttributeValue("highestCommittedUSN"), 10, 63); err != nil {
		return d, unreadable("highestCommittedUSN of the root")
	}
	if d.now, err = parseTime(root.GetAttributeValue("currentTime")); err != nil {
		return d, unreadable("currentTime of the root")
	}
	if d.token, err = tokenOf(root); err != nil {
		return d, err
	}
	d.token[sidEveryone], d.token[sidAuthenticated] = true, true
	if err := d.readController(ctx, c, d.ds); err != nil {
		return d, err
	}
	return d, d.readBase(ctx, c)
}

// readController finds the invocationId, which changes when a controller is restored
// from a backup.
func (d *domain) readController(ctx context.Context, c *ldapconn.Conn, dn string) error {
	e, err := c.Entry(ctx, dn, "(objectClass=*)", "invocationId")
	if err != nil {
		return err
	}
	if e == nil {
		return unreadable("invocationId of " + dn)
	}
	if d.dc, err = guidText(e.GetRawAttributeValue("invocationId")); err != nil {
		return unreadable("invocationId of " + dn)
	}
	return nil
}

func (d *domain) readBase(ctx context.Context, c *ldapconn.Conn) error {
	e, err := c.Entry(ctx, d.base, "(objectClass=*)", "objectGUID", "objectSid", "minPwdLength", "pwdProperties", "fSMORoleOwner")
	if err != nil {
		return err
	}
	if e == nil {
		return unreadable("objectGUID of " + d.base)
	}
	if d.guid, err = guidText(e.GetRawAttributeValue("objectGUID")); err != nil {
		return unreadable("objectGUID of " + d.base)
	}
	if d.sid, err = parseSID(e.GetRawAttributeValue("objectSid")); err != nil {
		return unreadable("objectSid of " + d.base)
	}
	d.pdc = e.GetAttributeValue("fSMORoleOwner")
	d.policy.MinLength, _ = strconv.Atoi(e.GetAttributeValue("minPwdLength")) // 0 is "unknown"
	properties, _ := strconv.Atoi(e.GetAttributeValue("pwdProperties"))
	d.policy.Complexity = properties&domainPasswordComplex != 0
	return nil
}

// domainPasswordComplex is DOMAIN_PASSWORD_COMPLEX of pwdProperties (MS-SAMR 2.2.1.3).
const domainPasswordComplex = 1

// policyOf returns the password policy that applies to an account: the resultant
// fine-grained one, else the domain's. One that the agent may not read is unknown.
func (d *domain) policyOf(ctx context.Context, c *ldapconn.Conn, e *ldap.Entry) (directory.PasswordPolicy, error) {
	dn := e.GetAttributeValue("msDS-ResultantPSO")
	if dn == "" {
		return d.policy, nil
	}
	pso, err := c.Entry(ctx, dn, "(objectClass=*)", "msDS-MinimumPasswordLength", "msDS-PasswordComplexityEnabled")
	if err != nil || pso == nil || pso.GetAttributeValue("msDS-MinimumPasswordLength") == "" {
		return directory.PasswordPolicy{}, err
	}
	length, _ := strconv.Atoi(pso.GetAttributeValue("msDS-MinimumPasswordLength")) // 0 is "unknown"
	return directory.PasswordPolicy{
		MinLength:  length,
		Complexity: strings.EqualFold(pso.GetAttributeValue("msDS-PasswordComplexityEnabled"), "TRUE"),
	}, nil
}

// tokenOf reads the SIDs of tokenGroups, of the root or of an account.
func tokenOf(e *ldap.Entry) (map[sid]bool, error) {
	raw := e.GetRawAttributeValues("tokenGroups")
	if len(raw) == 0 {
		return nil, unreadable("tokenGroups")
	}
	token := make(map[sid]bool, len(raw))
	for _, v := range raw {
		s, err := parseSID(v)
		if err != nil {
			return nil, unreadable("tokenGroups")
		}
		token[s] = true
	}
	return token, nil
}

// unreadable says that the guard or the journal would be blind: nothing goes on then.
func unreadable(what string) error {
	return protocol.Err(protocol.CodeConfiguration, "the agent's account cannot read "+what+"; give it the ordinary read rights of an authenticated user (membership in Windows Authorization Access Group for tokenGroups)")
}

// dnsName turns DC=corp,DC=example into corp.example.
func dnsName(base string) string {
	dn, err := ldap.ParseDN(base)
	if err != nil {
		return base
	}
	var labels []string
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			labels = append(labels, a.Value)
		}
	}
	return strings.Join(labels, ".")
}
