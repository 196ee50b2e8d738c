package ad

import (
	"context"
	"errors"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// inChain is LDAP_MATCHING_RULE_IN_CHAIN (MS-ADTS 3.1.1.3.4.4.3): it follows groups
// in groups on the controller.
const inChain = "1.2.840.113556.1.4.1941"

// groupSecurity is the bit of groupType that makes a group one of rights.
const groupSecurity = 0x80000000

// maxGroups bounds the groups of one account, and those listed for one prefix. A
// Kerberos token holds about a thousand.
const maxGroups = 5000

var groupAttributes = []string{"objectGUID", "objectSid", "cn", "sAMAccountName", "groupType"}

// A group is one that an account belongs to, directly or through another one.
type group struct {
	protocol.Group
	dn    string
	sid   sid // "" for distribution groups that have none
	login string
}

func groupOf(e *ldap.Entry) (group, error) {
	id, err := guidText(e.GetRawAttributeValue("objectGUID"))
	if err != nil {
		return group{}, unreadable("objectGUID of " + e.DN)
	}
	kind := "distribution"
	if bits(e, "groupType")&groupSecurity != 0 {
		kind = "security"
	}
	g := group{
		Group: protocol.Group{ID: id, Name: firstOf(e.GetAttributeValue("cn"), e.GetAttributeValue("sAMAccountName")), Kind: kind},
		dn:    e.DN, login: e.GetAttributeValue("sAMAccountName"),
	}
	g.sid, _ = parseSID(e.GetRawAttributeValue("objectSid")) // "" matches no privileged group; tokenGroups tells those
	return g, nil
}

// groupsOf returns every group of an account, nested ones and the primary group with
// its own groups included. e needs objectSid and primaryGroupID.
func groupsOf(ctx context.Context, c *ldapconn.Conn, dom domain, e *ldap.Entry) ([]group, error) {
	own, err := parseSID(e.GetRawAttributeValue("objectSid"))
	if err != nil {
		return nil, unreadable("objectSid of " + e.DN)
	}
	filters := []string{memberOf(e.DN)}
	if rid := e.GetAttributeValue("primaryGroupID"); rid != "" {
		primary, err := c.Search(ctx, ldapconn.Request(dom.base, ldap.ScopeWholeSubtree, 1, ldapconn.Equal("objectSid", string(own.sibling(rid))), "cn"))
		if err != nil {
			return nil, err
		}
		for _, p := range primary {
			filters = append(filters, ldapconn.Equal("distinguishedName", p.DN), memberOf(p.DN))
		}
	}
	var all []group
	err = c.Pages(ctx, ldapconn.Request(dom.base, ldap.ScopeWholeSubtree, 0, ldapconn.And("(objectCategory=group)", ldapconn.Or(filters...)), groupAttributes...), maxPage, func(g *ldap.Entry) error {
		one, err := groupOf(g)
		all = append(all, one)
		return err
	})
	return all, err
}

func memberOf(dn string) string { return ldapconn.Equal("member:"+inChain+":", dn) }

// names are all that an administrator may call the groups in the agent's file.
func names(groups []group) []string {
	var all []string
	for _, g := range groups {
		all = append(all, g.Name, g.login, g.ID, g.dn, string(g.sid))
	}
	return distinct(all)
}

// errEnough ends a listing that has all that was asked for.
var errEnough = errors.New("ad: enough")

// Groups implements directory.Reader.
func (d *Directory) Groups(ctx context.Context, q protocol.GroupsRequest) ([]protocol.Group, error) {
	most := maxGroups
	if q.Max > 0 {
		most = min(q.Max, maxGroups)
	}
	filter := "(objectCategory=group)"
	if q.Prefix != "" {
		filter = ldapconn.And(filter, ldapconn.Prefix("cn", q.Prefix))
	}
	var all []protocol.Group
	err := d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		if err != nil {
			return err
		}
		all = nil
		return c.Pages(ctx, ldapconn.Request(dom.base, ldap.ScopeWholeSubtree, 0, filter, groupAttributes...), min(most, maxPage), func(e *ldap.Entry) error {
			if len(all) == most {
				return errEnough
			}
			g, err := groupOf(e)
			all = append(all, g.Group)
			return err
		})
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return all, err
}

func containsFold(all []string, s string) bool {
	for _, a := range all {
		if strings.EqualFold(a, s) {
			return true
		}
	}
	return false
}
