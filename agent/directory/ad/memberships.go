package ad

import (
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// memberships are all groups of a domain and what each is in, so that the nested groups
// of many accounts need one search and not three each.
type memberships struct {
	byDN  map[string]*node
	bySID map[sid]*node
}

// A node is one group.
type node struct {
	group protocol.Group
	up    []string // DNs of the groups that it is in
}

// readMemberships reads every group of the domain.
func readMemberships(ctx context.Context, c *ldapconn.Conn, dom domain) (*memberships, error) {
	all := &memberships{byDN: map[string]*node{}, bySID: map[sid]*node{}}
	r := ldapconn.Request(dom.base, ldap.ScopeWholeSubtree, 0, "(objectCategory=group)", append(slices.Clone(groupAttributes), "memberOf")...)
	err := c.Pages(ctx, r, maxPage, func(e *ldap.Entry) error {
		g, err := groupOf(e)
		if err != nil {
			return err
		}
		n := &node{group: g.Group, up: e.GetAttributeValues("memberOf")}
		all.byDN[strings.ToLower(e.DN)] = n
		if g.sid != "" {
			all.bySID[g.sid] = n
		}
		return nil
	})
	return all, err
}

// of returns every group of an account, nested ones and the primary group included, in
// the order of their ids. e needs memberOf, objectSid and primaryGroupID.
func (m *memberships) of(e *ldap.Entry) []protocol.Group {
	found := map[*node]bool{}
	for _, dn := range e.GetAttributeValues("memberOf") {
		m.climb(dn, found)
	}
	if own, err := parseSID(e.GetRawAttributeValue("objectSid")); err == nil {
		if primary := m.bySID[own.sibling(e.GetAttributeValue("primaryGroupID"))]; primary != nil && !found[primary] {
			found[primary] = true
			for _, dn := range primary.up {
				m.climb(dn, found)
			}
		}
	}
	groups := make([]protocol.Group, 0, len(found))
	for n := range found {
		groups = append(groups, n.group)
	}
	return inOrder(groups)
}

// climb adds a group and everything that it is in. Groups may be in one another.
func (m *memberships) climb(dn string, found map[*node]bool) {
	n := m.byDN[strings.ToLower(dn)]
	if n == nil || found[n] || len(found) >= maxGroups {
		return // of another domain, or met already
	}
	found[n] = true
	for _, up := range n.up {
		m.climb(up, found)
	}
}

// inOrder sorts groups by id: the hub compares accounts with what it had.
func inOrder(groups []protocol.Group) []protocol.Group {
	slices.SortFunc(groups, func(a, b protocol.Group) int { return strings.Compare(a.ID, b.ID) })
	return groups
}
