package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// An attribute has a name in its own spelling, and values.
type attribute struct {
	name   string
	values []string
}

// A node is an entry. Passwords are no attribute: nothing can read or search them.
type node struct {
	dn       string
	attrs    map[string]attribute // by name in lower case
	password hashed
	history  []hashed
}

// newNode makes an entry of pairs of name and value.
func newNode(dn string, pairs ...string) *node {
	n := &node{dn: dn, attrs: map[string]attribute{}}
	for i := 0; i < len(pairs); i += 2 {
		n.set(pairs[i], pairs[i+1])
	}
	n.set("entryUUID", idOf(dn))
	return n
}

func (n *node) get(name string) []string { return n.attrs[strings.ToLower(name)].values }

func (n *node) first(name string) string {
	if v := n.get(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// set replaces the values of an attribute; without any, the attribute is gone.
func (n *node) set(name string, values ...string) {
	key := strings.ToLower(name)
	if len(values) == 0 {
		delete(n.attrs, key)
		return
	}
	if old, ok := n.attrs[key]; ok {
		name = old.name
	}
	n.attrs[key] = attribute{name, slices.Clone(values)}
}

// clone copies a node, so that a change can be made whole or not at all.
func (n *node) clone() *node {
	c := *n
	c.attrs, c.history = maps.Clone(n.attrs), slices.Clone(n.history)
	return &c
}

// A hashed password. The directory lives in memory for minutes, so one round is enough.
type hashed struct {
	salt [16]byte
	sum  [sha256.Size]byte
}

func hashPassword(password string) hashed {
	var h hashed
	_, _ = rand.Read(h.salt[:]) // never fails
	h.sum = sha256.Sum256(append(h.salt[:], password...))
	return h
}

func (h hashed) is(password string) bool {
	sum := sha256.Sum256(append(h.salt[:], password...))
	return subtle.ConstantTimeCompare(sum[:], h.sum[:]) == 1
}

// A tree is the directory's content.
type tree struct {
	mu    sync.RWMutex
	nodes map[string]*node // by folded DN; a node in it is never changed, but replaced
	order []string
	last  time.Time // of the newest change
	wrote map[string]int
}

func newTree(agentPassword string) *tree {
	t := &tree{nodes: map[string]*node{}, wrote: map[string]int{}}
	for _, n := range entries(agentPassword) {
		t.stamp(n, baseDN)
		key := ldapconn.FoldDN(n.dn)
		t.nodes[key], t.order = n, append(t.order, key)
	}
	return t
}

// stamp marks a node as changed by somebody, now, and returns the moment, which is
// later than every other. The caller holds mu, or owns the tree.
func (t *tree) stamp(n *node, by string) time.Time {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if !now.After(t.last) {
		now = t.last.Add(time.Microsecond)
	}
	t.last = now
	n.set("entryCSN", now.Format("20060102150405.000000Z")+"#000000#000#000000")
	n.set("modifyTimestamp", now.Format("20060102150405Z"))
	n.set("modifiersName", by)
	return now
}

// find returns the entry at a DN, or nil.
func (t *tree) find(dn string) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.nodes[ldapconn.FoldDN(dn)]
}

// change lets f work on a copy of an entry, and keeps the copy if f succeeds or asks
// for that. It returns f's answer, or noSuchObject.
func (t *tree) change(dn, by string, f func(*node) answer) answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := ldapconn.FoldDN(dn)
	old := t.nodes[key]
	if old == nil {
		return answer{code: ldap.LDAPResultNoSuchObject}
	}
	n := old.clone()
	a := f(n)
	if a.untouched || a.code != ldap.LDAPResultSuccess && !a.keep {
		return a
	}
	if !a.keep {
		t.wrote[key]++
	}
	t.nodes[key] = n
	return a
}

// writes counts the successful changes to an entry, without what failed sign-ins leave.
func (t *tree) writes(dn string) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.wrote[ldapconn.FoldDN(dn)]
}

// below returns the entries in scope of a search, in the order of the tree, and
// whether its base exists.
func (t *tree) below(base string, scope int) ([]*node, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n := t.nodes[ldapconn.FoldDN(base)]; n == nil {
		return nil, false
	} else if scope == ldap.ScopeBaseObject {
		return []*node{n}, true
	}
	var out []*node
	for _, key := range t.order {
		n := t.nodes[key]
		if ldapconn.Within(n.dn, base) && (scope != ldap.ScopeSingleLevel || parent(n.dn, base)) {
			out = append(out, n)
		}
	}
	return out, true
}

// parent reports whether base is the entry right above dn.
func parent(dn, base string) bool {
	d, err := ldap.ParseDN(dn)
	b, err2 := ldap.ParseDN(base)
	return err == nil && err2 == nil && len(d.RDNs) == len(b.RDNs)+1
}
