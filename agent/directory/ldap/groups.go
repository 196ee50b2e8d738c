package ldap

import (
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Bounds of group look-ups.
const (
	maxGroups     = 1000 // listed when nobody asks for fewer, and of one account
	groupsAtOnce  = 50   // DNs in one filter
	maxGroupDepth = 20   // of nesting; loops end before that
	maxPrefix     = 256  // bytes
)

const memberOf = "memberOf"

// A group is a group with the place where it stands.
type group struct {
	protocol.Group
	dn string
}

// groupAttributes are what an account's entry says of its groups.
func (cfg Config) groupAttributes() []string {
	switch cfg.Groups {
	case GroupsMemberOf:
		return []string{cfg.MemberOfAttribute}
	case GroupsMemberUID:
		return []string{cfg.LoginAttribute}
	}
	return nil
}

// group maps a group's entry. Without a readable id the DN stands in.
func (cfg Config) group(s source, dn string) protocol.Group {
	g := protocol.Group{Kind: "group", Name: clean(first(s, cfg.GroupNameAttribute))}
	id, _, err := cfg.parseUUID(first(s, cfg.uuidAttribute()))
	if err != nil {
		id = fold(dn)
	}
	g.ID = id
	if g.Name == "" {
		g.Name = firstRDN(dn)
	}
	g.ID, g.Name = strings.Clone(g.ID), strings.Clone(g.Name) // not with the whole entry, which lists every member
	return g
}

func (cfg Config) groupOf(e *ldap.Entry) group { return group{cfg.group(entry{e}, e.DN), e.DN} }

// firstRDN is the value that a DN begins with.
func firstRDN(dn string) string {
	d, err := ldap.ParseDN(dn)
	if err != nil || len(d.RDNs) == 0 || len(d.RDNs[0].Attributes) == 0 {
		return dn
	}
	return clean(d.RDNs[0].Attributes[0].Value)
}

// Groups implements directory.Reader.
func (d *Directory) Groups(ctx context.Context, q protocol.GroupsRequest) (found []protocol.Group, err error) {
	if q.Prefix != "" && !checkText(q.Prefix, maxPrefix) {
		return nil, protocol.Err(protocol.CodeBadRequest, "the name is too long or not plain text")
	}
	limit := maxGroups
	if q.Max > 0 && q.Max < limit {
		limit = q.Max
	}
	filter := d.cfg.GroupFilter
	if q.Prefix != "" {
		filter = ldapconn.And(filter, ldapconn.Prefix(d.cfg.GroupNameAttribute, q.Prefix))
	}
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		groups, err := d.searchGroups(ctx, c, filter, limit)
		found = make([]protocol.Group, 0, len(groups))
		for _, g := range groups {
			found = append(found, g.Group)
		}
		return err
	})
	slices.SortFunc(found, func(a, b protocol.Group) int { return strings.Compare(a.Name, b.Name) })
	return found[:min(limit, len(found))], err
}

// searchGroups looks for groups below every branch that may hold them.
func (d *Directory) searchGroups(ctx context.Context, c *ldapconn.Conn, filter string, limit int) ([]group, error) {
	bases, err := d.groupBases(ctx, c)
	if err != nil {
		return nil, err
	}
	var found []group
	for _, base := range bases {
		entries, err := c.Search(ctx, ldapconn.Request(base, ldap.ScopeWholeSubtree, limit, filter, d.cfg.GroupNameAttribute, d.cfg.uuidAttribute(), d.cfg.MemberOfAttribute))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			found = append(found, d.cfg.groupOf(e))
		}
	}
	return found, nil
}

func (d *Directory) groupBases(ctx context.Context, c *ldapconn.Conn) ([]string, error) {
	if len(d.cfg.GroupBaseDNs) > 0 {
		return d.cfg.GroupBaseDNs, nil
	}
	s, err := d.server(ctx, c)
	if err != nil || len(s.suffixes) > 0 {
		return s.suffixes, err
	}
	return d.cfg.BaseDNs, nil
}

// groupsOf returns the groups of an account, nested ones included.
func (d *Directory) groupsOf(ctx context.Context, c *ldapconn.Conn, e *ldap.Entry) ([]protocol.Group, error) {
	all, err := d.memberships(ctx, c, e)
	groups := make([]protocol.Group, 0, len(all))
	for _, g := range all {
		groups = append(groups, g.Group)
	}
	return groups, err
}

// memberships is groupsOf with DNs.
func (d *Directory) memberships(ctx context.Context, c *ldapconn.Conn, e *ldap.Entry) ([]group, error) {
	switch d.cfg.Groups {
	case GroupsMemberOf:
		return d.climb(ctx, c, e.GetEqualFoldAttributeValues(d.cfg.MemberOfAttribute), d.readGroups)
	case GroupsMember:
		return d.climb(ctx, c, []string{e.DN}, d.groupsWith)
	case GroupsMemberUID:
		uid := e.GetEqualFoldAttributeValue(d.cfg.LoginAttribute)
		if uid == "" {
			return nil, nil
		}
		return d.searchGroups(ctx, c, ldapconn.And(d.cfg.GroupFilter, d.cfg.namesMember(uid)), maxGroups)
	}
	return nil, nil
}

// climb follows memberships upwards, level by level. step turns the DNs of one level
// into groups and the DNs that the next level is found by.
func (d *Directory) climb(ctx context.Context, c *ldapconn.Conn, level []string, step func(context.Context, *ldapconn.Conn, []string) ([]group, []string, error)) ([]group, error) {
	var all []group
	asked, seen := map[string]bool{}, map[string]bool{}
	for range maxGroupDepth {
		level = slices.DeleteFunc(level, func(dn string) bool { return isIn(asked, dn) })
		if len(level) == 0 || len(all) >= maxGroups {
			break
		}
		groups, up, err := step(ctx, c, level)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			if !isIn(seen, g.dn) {
				all = append(all, g)
			}
		}
		level = up
	}
	return all, nil
}

// isIn reports whether a DN was put into the set before, and puts it in.
func isIn(set map[string]bool, dn string) bool {
	folded := ldapconn.FoldDN(dn)
	was := set[folded]
	set[folded] = true
	return was
}

// namesMember is the filter of groups that list a member.
func (cfg Config) namesMember(member string) string {
	var any []string
	for _, n := range cfg.MemberAttributes {
		any = append(any, ldapconn.Equal(n, member))
	}
	return ldapconn.Or(any...)
}

// readGroups reads the groups at the DNs that memberOf names. A group that the agent
// cannot read keeps the name in its DN.
func (d *Directory) readGroups(ctx context.Context, c *ldapconn.Conn, dns []string) (groups []group, up []string, err error) {
	for _, dn := range dns[:min(len(dns), maxGroups)] {
		if !ldapconn.SameDN(dn, dn) {
			continue
		}
		e, err := c.Entry(ctx, dn, "(objectClass=*)", d.cfg.GroupNameAttribute, d.cfg.uuidAttribute(), d.cfg.MemberOfAttribute)
		if err != nil {
			return nil, nil, err
		}
		if e == nil {
			e = &ldap.Entry{DN: dn}
		}
		groups = append(groups, d.cfg.groupOf(e))
		up = append(up, e.GetEqualFoldAttributeValues(d.cfg.MemberOfAttribute)...)
	}
	return groups, up, nil
}

// groupsWith finds the groups that list one of the DNs as a member.
func (d *Directory) groupsWith(ctx context.Context, c *ldapconn.Conn, dns []string) (groups []group, up []string, err error) {
	for chunk := range slices.Chunk(dns, groupsAtOnce) {
		var any []string
		for _, dn := range chunk {
			any = append(any, d.cfg.namesMember(dn))
		}
		found, err := d.searchGroups(ctx, c, ldapconn.And(d.cfg.GroupFilter, ldapconn.Or(any...)), maxGroups)
		if err != nil {
			return nil, nil, err
		}
		groups = append(groups, found...)
	}
	for _, g := range groups {
		up = append(up, g.dn)
	}
	return groups, up, nil
}
