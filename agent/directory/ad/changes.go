package ad

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Sizes of the questions about what changed.
const (
	askAtOnce = 100 // ids or names in one filter
	fewGroups = 20  // accounts whose groups are asked for one by one; for more, all groups are read once
)

// news are what happened since a mark.
type news struct {
	touched map[string]bool // ids of objects that may be accounts, and changed or left
	gone    map[string]bool // ids of objects that were deleted
	groups  map[string]bool // DNs of groups whose members, nested ones too, have to be listed anew
	members []string        // DNs of who joined or left a group
	moved   []string        // DNs of units: everything below may have moved
	renew   bool            // something that only a full pass shows: a group was deleted
}

// changes lists what changed since a mark, and as deleted what changed and is not among
// the configured accounts any more. done is false if a full pass must follow.
func (p *pass) changes(ctx context.Context, old mark, next *mark) (done bool, err error) {
	ch, err := p.sinceMark(ctx, old, next)
	if err != nil || ch.renew {
		return false, err
	}
	if err := p.resolve(ctx, &ch); err != nil || ch.renew {
		return false, err
	}
	ids := slices.Sorted(maps.Keys(ch.touched))
	p.seen = map[string]bool{}
	if p.d.cfg.lists() && len(ids) > fewGroups {
		if p.groups, err = readMemberships(ctx, p.c, p.dom); err != nil {
			return false, err
		}
	}
	for some := range slices.Chunk(ids, askAtOnce) {
		if err := p.list(ctx, ldapconn.And(p.d.filter, anyOf(some))); err != nil {
			return false, err
		}
	}
	for _, e := range p.bare {
		a, err := p.d.withGroups(ctx, p.c, p.dom, e)
		if err != nil {
			return false, err
		}
		if err := p.put(a); err != nil {
			return false, err
		}
	}
	deleted, err := p.deleted(ctx, ids, ch.gone)
	if err != nil {
		return false, err
	}
	return true, p.flush(deleted)
}

// deleted are the ids of accounts that are none any more: deleted, moved out of the
// bases or out of the filter. What is there and no account has never been one.
func (p *pass) deleted(ctx context.Context, touched []string, gone map[string]bool) ([]string, error) {
	var unseen []string
	for _, id := range touched {
		if !p.seen[id] {
			unseen = append(unseen, id)
		}
	}
	for some := range slices.Chunk(unseen, askAtOnce) {
		err := p.each(ctx, p.dom.base, ldapconn.And("(!"+accounts+")", anyOf(some)), func(_ *ldap.Entry, id string) { p.seen[id] = true })
		if err != nil {
			return nil, err
		}
	}
	var all []string
	for _, id := range append(unseen, slices.Sorted(maps.Keys(gone))...) {
		if !p.seen[id] {
			p.seen[id] = true // named once
			all = append(all, id)
		}
	}
	return all, nil
}

// sinceMark asks DirSync, or compares numbers where the controller refuses it.
func (p *pass) sinceMark(ctx context.Context, old mark, next *mark) (news, error) {
	if len(old.Cookie) > 0 {
		ch, cookie, err := p.dirSync(ctx, old.Cookie)
		if err == nil {
			next.Cookie = cookie
			return ch, nil
		}
		if !refusesDirSync(err) {
			return ch, err
		}
		p.d.log.Warn("the controller does not take up DirSync where it was; a full pass follows", "server", p.c.Server(), "error", err)
		return news{renew: true}, nil
	}
	return p.byNumber(ctx, old.USN)
}

// anyOf is the filter of the objects with these ids, which are canonical.
func anyOf(ids []string) string {
	var filters []string
	for _, id := range ids {
		_, raw, err := ldapconn.ParseUUID(id)
		if err != nil {
			continue // they come from guidText
		}
		stored := ldapconn.SwapGUID(raw)
		filters = append(filters, ldapconn.Equal("objectGUID", string(stored[:])))
	}
	return ldapconn.Or(filters...)
}

// resolve turns groups, members and units into the ids of the accounts that they mean.
func (p *pass) resolve(ctx context.Context, ch *news) error {
	if err := p.tombstones(ctx, ch); err != nil {
		return err
	}
	for some := range slices.Chunk(ch.members, askAtOnce) {
		var named []string
		for _, dn := range some {
			named = append(named, ldapconn.Equal("distinguishedName", dn))
		}
		err := p.each(ctx, p.dom.base, ldapconn.And("(|(objectCategory=group)"+accounts+")", ldapconn.Or(named...)), func(e *ldap.Entry, id string) {
			if slices.Contains(e.GetAttributeValues("objectClass"), "group") {
				ch.groups[e.DN] = true
			} else {
				ch.touched[id] = true
			}
		})
		if err != nil {
			return err
		}
	}
	touch := func(_ *ldap.Entry, id string) { ch.touched[id] = true }
	for dn := range ch.groups {
		if err := p.each(ctx, p.dom.base, ldapconn.And(accounts, ldapconn.Equal("memberOf:"+inChain+":", dn)), touch); err != nil {
			return err
		}
	}
	for _, dn := range ch.moved {
		if err := p.each(ctx, dn, accounts, touch); err != nil && !ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) {
			return err
		}
	}
	return nil
}

// tombstones looks for groups among what was deleted: nothing tells who was in them.
func (p *pass) tombstones(ctx context.Context, ch *news) error {
	if !p.d.cfg.lists() {
		return nil
	}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(ch.gone)), askAtOnce) {
		r := deletions(p.dom, "(objectClass=group)", anyOf(some))
		r.SizeLimit = 1
		found, err := p.c.Search(ctx, r)
		if err != nil && !ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) && !ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights) {
			return err
		}
		ch.renew = ch.renew || len(found) > 0
	}
	return nil
}

// each calls f for every object that a search finds.
func (p *pass) each(ctx context.Context, base, filter string, f func(*ldap.Entry, string)) error {
	return p.eachOf(ctx, ldapconn.Request(base, ldap.ScopeWholeSubtree, 0, filter, "objectGUID", "objectClass"), f)
}

func (p *pass) eachOf(ctx context.Context, r *ldap.SearchRequest, f func(*ldap.Entry, string)) error {
	return p.c.Pages(ctx, r, maxPage, func(e *ldap.Entry) error {
		id, err := guidText(e.GetRawAttributeValue("objectGUID"))
		if err != nil {
			return unreadable("objectGUID of " + e.DN)
		}
		f(e, id)
		return nil
	})
}

// deletions searches the container of deleted objects by its well-known GUID (MS-ADTS
// 6.1.1.4), whatever its name.
func deletions(dom domain, filters ...string) *ldap.SearchRequest {
	r := ldapconn.Request("<WKGUID=18e2ea80684f11d2b9aa00c04f79f805,"+dom.base+">", ldap.ScopeWholeSubtree, 0,
		ldapconn.And(append([]string{"(isDeleted=TRUE)"}, filters...)...), "objectGUID")
	r.Controls = []ldap.Control{ldap.NewControlMicrosoftShowDeleted()}
	return r
}

// byNumber compares uSNChanged, which each controller counts for itself. It does not see
// who left a group and what left by the move of a unit; the next full pass does. The
// wider search comes first, so that an account that changes between the two is not taken
// for a deleted one.
func (p *pass) byNumber(ctx context.Context, after uint64) (news, error) {
	ch := newNews()
	since := "(uSNChanged>=" + strconv.FormatUint(after+1, 10) + ")"
	err := p.each(ctx, p.dom.base, ldapconn.And("(objectCategory=person)", "(objectClass=user)", since), func(_ *ldap.Entry, id string) { ch.touched[id] = true })
	if err != nil {
		return ch, err
	}
	if p.d.cfg.lists() {
		err = p.each(ctx, p.dom.base, ldapconn.And("(objectCategory=group)", since), func(e *ldap.Entry, _ string) { ch.groups[e.DN] = true })
		if err != nil {
			return ch, err
		}
	}
	err = p.eachOf(ctx, deletions(p.dom, since), func(_ *ldap.Entry, id string) { ch.gone[id] = true })
	if ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject) || ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights) {
		err = nil // the agent may not see deletions
	}
	return ch, err
}

func newNews() news {
	return news{touched: map[string]bool{}, gone: map[string]bool{}, groups: map[string]bool{}}
}

// filterAttributes are the attributes that a configured filter looks at.
func filterAttributes(filter string) []string {
	compiled, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil // was checked when the agent started
	}
	var names []string
	walk(compiled, func(name string) {
		name, _, _ = strings.Cut(name, ":") // an extensible match names a rule, too
		if name != "" && !containsFold(names, name) {
			names = append(names, name)
		}
	})
	return names
}
