package ldap

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// A membership is every group with its members, so that the groups of all accounts need
// one look. One goroutine uses it.
type membership struct {
	nodes map[key]*node
	byDN  map[uint64]*node
	named bool     // entries name their groups themselves
	of    *reverse // nil: is to be made anew before it is asked

	lists  map[uint64][]protocol.Group // what groupsOf has given, by what it began with; emptied with every change
	direct []*node                     // room for those of one account
}

// maxLists bounds the lists that are kept: most accounts share a few.
const maxLists = 4096

// A node is one group.
type node struct {
	group   protocol.Group
	handle  uint64   // of its DN
	up      []uint64 // groups that it says to be in, where the server keeps memberOf
	members []uint64 // handles, sorted
}

func newMembership(named bool) *membership {
	return &membership{nodes: map[key]*node{}, byDN: map[uint64]*node{}, named: named, lists: map[uint64][]protocol.Group{}}
}

// readMembership reads every group.
func (p *pass) readMembership(ctx context.Context, s *ldapconn.Stream) (*membership, error) {
	all := newMembership(p.directory.cfg.Groups == GroupsMemberOf)
	if p.directory.cfg.Groups == GroupsNone {
		return all, nil
	}
	bases, err := p.directory.groupBases(ctx, p.conn)
	if err != nil {
		return nil, err
	}
	cfg := p.directory.cfg
	for _, base := range outermost(bases) {
		q := ldapconn.Query{Base: base, Filter: cfg.GroupFilter, Attributes: cfg.nodeAttributes()}
		err := p.read(ctx, s, q, func(r *ldapconn.Row) error {
			k, n := cfg.nodeOf(r, r.DN)
			p.see(k, first(r, cfg.ChangeAttribute))
			all.put(k, n)
			return nil
		}, func() error { return ctx.Err() })
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// nodeAttributes are what nodeOf reads.
func (cfg Config) nodeAttributes() []string {
	return append([]string{cfg.GroupNameAttribute, cfg.uuidAttribute(), cfg.ChangeAttribute, cfg.MemberOfAttribute}, cfg.MemberAttributes...)
}

// nodeOf maps a group's entry.
func (cfg Config) nodeOf(s source, dn string) (key, *node) {
	n := &node{group: cfg.group(s, dn), handle: handleOf(dn)}
	for _, attribute := range cfg.MemberAttributes {
		values := s.Values(attribute)
		n.members = slices.Grow(n.members, len(values))
		for _, m := range values {
			n.members = append(n.members, handleOf(m))
		}
	}
	slices.Sort(n.members)
	n.members = slices.Compact(n.members)
	if cfg.Groups == GroupsMemberOf {
		for _, up := range s.Values(cfg.MemberOfAttribute) {
			n.up = append(n.up, handleOf(up))
		}
		slices.Sort(n.up)
	}
	return cfg.keyOf(s, n.group.ID), n
}

// put adds a group, or replaces it.
func (m *membership) put(k key, n *node) {
	m.remove(k)
	m.changed()
	m.nodes[k], m.byDN[n.handle] = n, n
}

func (m *membership) remove(k key) {
	old := m.nodes[k]
	if old == nil {
		return
	}
	m.changed()
	delete(m.nodes, k)
	if m.byDN[old.handle] == old {
		delete(m.byDN, old.handle)
	}
}

// changed drops what was made of the groups.
func (m *membership) changed() {
	clear(m.lists)
	m.of = nil
}

// above appends the groups that have a handle among their members.
func (m *membership) above(to []*node, handle uint64) []*node {
	if m.of == nil {
		m.of = reversed(m.nodes, m.named)
	}
	return m.of.append(to, handle)
}

// replace puts a group, or removes it when n is nil, and notes the handles of everybody
// whose groups may differ now.
func (m *membership) replace(k key, n *node, touched map[uint64]bool) {
	old := m.nodes[k]
	var before, after []uint64
	if old != nil {
		before = old.members
	}
	if n != nil {
		after = n.members
	}
	all := old == nil || n == nil || old.group != n.group || old.handle != n.handle || !slices.Equal(old.up, n.up)
	for _, h := range append(slices.Clone(before), after...) {
		if !all {
			_, was := slices.BinarySearch(before, h)
			_, is := slices.BinarySearch(after, h)
			if was && is {
				continue
			}
		}
		touched[h] = true
	}
	m.remove(k)
	if n != nil {
		m.put(k, n)
	}
}

// among are the groups that have one of the handles.
func (m *membership) among(handles map[uint64]bool) []key {
	var all []key
	for k, n := range m.nodes {
		if handles[n.handle] {
			all = append(all, k)
		}
	}
	return all
}

// expand notes the members of the groups among the handles too, nested ones as well.
func (m *membership) expand(touched map[uint64]bool) {
	var next []*node
	for h := range touched {
		if n := m.byDN[h]; n != nil {
			next = append(next, n)
		}
	}
	for len(next) > 0 {
		n := next[len(next)-1]
		next = next[:len(next)-1]
		for _, h := range n.members {
			if touched[h] {
				continue
			}
			touched[h] = true
			if inner := m.byDN[h]; inner != nil {
				next = append(next, inner)
			}
		}
	}
}

// groupsOf returns every group of an account, nested ones included, in the order of
// their ids. direct are the groups that the account itself names. Accounts share the
// list: nobody changes it.
func (m *membership) groupsOf(handle uint64, direct []uint64) []protocol.Group {
	var sum maphash.Hash
	sum.SetSeed(seed)
	var b [8]byte
	m.direct = m.above(m.direct[:0], handle)
	for _, n := range m.direct {
		binary.LittleEndian.PutUint64(b[:], n.handle)
		_, _ = sum.Write(b[:]) // never fails
	}
	for _, h := range direct {
		binary.LittleEndian.PutUint64(b[:], h)
		_, _ = sum.Write(b[:])
	}
	begin := sum.Sum64()
	if groups, known := m.lists[begin]; known {
		return groups
	}
	if len(m.lists) >= maxLists {
		clear(m.lists)
	}
	groups := m.climb(handle, direct)
	m.lists[begin] = groups
	return groups
}

// climb is groupsOf without what was given before.
func (m *membership) climb(handle uint64, direct []uint64) []protocol.Group {
	level := m.above(nil, handle)
	for _, h := range direct {
		if n := m.byDN[h]; n != nil {
			level = append(level, n)
		}
	}
	found := map[*node]bool{}
	for range maxGroupDepth {
		var up []*node
		for _, n := range level {
			if found[n] || len(found) >= maxGroups {
				continue
			}
			found[n] = true
			up = m.above(up, n.handle)
			for _, h := range n.up {
				if above := m.byDN[h]; above != nil {
					up = append(up, above)
				}
			}
		}
		if level = up; len(level) == 0 {
			break
		}
	}
	groups := make([]protocol.Group, 0, len(found))
	for n := range found {
		groups = append(groups, n.group)
	}
	slices.SortFunc(groups, func(a, b protocol.Group) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Name, b.Name))
	})
	return groups
}
