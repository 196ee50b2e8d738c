package ldap

import (
	"context"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Sizes of the questions about what changed.
const (
	askAtOnce  = 100   // ids in one filter
	maxTouched = 20000 // accounts; for more, reading everything is cheaper
)

// News are what happened since a pass.
type news struct {
	touched map[key]bool
	gone    map[key]bool
	told    bool // gone holds every deletion
}

// changes lists what changed since a state. done is false if a full pass must follow.
func (p *pass) changes(ctx context.Context, state *listState) (done bool, err error) {
	ch, ok, err := p.news(ctx, state)
	if err != nil || !ok {
		return false, err
	}
	if ok, err := p.continues(ctx, ch); err != nil || !ok {
		return false, err
	}
	if len(ch.touched)+len(ch.gone) == 0 && ch.told {
		return true, nil // also where nothing is remembered
	}
	if p.memory == nil || len(ch.touched) > maxTouched {
		return false, nil
	}
	if !ch.told {
		if err := p.sweep(ctx, &ch); err != nil {
			return false, err
		}
	}
	if err := p.groupChanges(ctx, ch); err != nil {
		return false, err
	}
	return p.accountChanges(ctx, ch)
}

// news asks the server what changed, or compares times. ok is false if neither can tell.
func (p *pass) news(ctx context.Context, state *listState) (ch news, ok bool, err error) {
	ch = news{touched: map[key]bool{}, gone: map[key]bool{}}
	if len(state.Cookies) > 0 {
		ok, err = p.refresh(ctx, state, &ch)
		return ch, ok, err
	}
	if p.memory == nil || state.Since.IsZero() {
		return ch, false, nil
	}
	cfg := p.directory.cfg
	since := cfg.changedSince(state.Since)
	note := func(e *ldap.Entry) { ch.touched[p.keyOfEntry(e)] = true }
	for _, base := range outermost(cfg.BaseDNs) {
		if err := p.each(ctx, base, ldapconn.And(cfg.Filter, since), note); err != nil {
			return ch, false, err
		}
	}
	return ch, true, p.eachGroup(ctx, since, note, cfg.IDAttribute, cfg.uuidAttribute())
}

// keyOfEntry is keyOf for an account or a group.
func (p *pass) keyOfEntry(e *ldap.Entry) key {
	id := first(entry{e}, p.directory.cfg.IDAttribute)
	if id == "" {
		id = fold(e.DN) // a group without a UUID
	}
	return p.directory.cfg.keyOf(entry{e}, id)
}

// sweep reads the ids of all accounts and groups: what is not among them is gone, what
// was not known is new, whatever it says of its last change.
func (p *pass) sweep(ctx context.Context, ch *news) error {
	cfg := p.directory.cfg
	here := make(map[key]bool, p.memory.accounts.n)
	note := func(known bool, k key) {
		here[k] = true
		if !known {
			ch.touched[k] = true
		}
	}
	for _, base := range outermost(cfg.BaseDNs) {
		err := p.each(ctx, base, cfg.Filter, func(e *ldap.Entry) {
			k := p.keyOfEntry(e)
			note(p.memory.accounts.has(k), k)
		})
		if err != nil {
			return err
		}
	}
	err := p.eachGroup(ctx, "", func(e *ldap.Entry) {
		k, _ := cfg.nodeOf(entry{e}, e.DN)
		note(p.memory.groups.nodes[k] != nil, k)
	}, cfg.uuidAttribute())
	if err != nil {
		return err
	}
	for k := range p.memory.accounts.all() {
		if !here[k] {
			ch.gone[k] = true
		}
	}
	for k := range p.memory.groups.nodes {
		if !here[k] {
			ch.gone[k] = true
		}
	}
	return nil
}

// groupChanges reads the groups that changed, and counts everybody whose groups differ
// now among the touched.
func (p *pass) groupChanges(ctx context.Context, ch news) error {
	cfg := p.directory.cfg
	if cfg.Groups == GroupsNone {
		return nil
	}
	handles, here := map[uint64]bool{}, map[key]bool{}
	if err := p.replaceGroups(ctx, keys(ch.touched), handles, here); err != nil {
		return err
	}
	for _, set := range []map[key]bool{ch.touched, ch.gone} {
		for k := range set {
			if p.memory.groups.nodes[k] != nil && !here[k] {
				p.memory.groups.replace(k, nil, handles)
			}
		}
	}
	if len(handles) == 0 {
		return nil
	}
	if cfg.Groups == GroupsMemberOf { // which the server writes into members without a trace
		if err := p.replaceGroups(ctx, p.memory.groups.among(handles), handles, here); err != nil {
			return err
		}
	}
	p.memory.groups.expand(handles)
	for k, a := range p.memory.accounts.all() {
		if handles[a.handle] {
			ch.touched[k] = true
		}
	}
	return nil
}

// replaceGroups reads the groups among some entries.
func (p *pass) replaceGroups(ctx context.Context, ids []key, handles map[uint64]bool, here map[key]bool) error {
	cfg := p.directory.cfg
	for some := range slices.Chunk(ids, askAtOnce) {
		err := p.eachGroup(ctx, cfg.anyOf(some), func(e *ldap.Entry) {
			k, n := cfg.nodeOf(entry{e}, e.DN)
			here[k] = true
			p.see(k, first(entry{e}, cfg.ChangeAttribute))
			p.memory.groups.replace(k, n, handles)
		}, cfg.nodeAttributes()...)
		if err != nil {
			return err
		}
	}
	return nil
}

// accountChanges lists the touched accounts, and as deleted those that were listed and
// are none any more: deleted, moved out of base_dns, or out of the filter.
func (p *pass) accountChanges(ctx context.Context, ch news) (done bool, err error) {
	cfg := p.directory.cfg
	here := map[key]bool{}
	if len(ch.touched) > maxTouched {
		return false, nil
	}
	for some := range slices.Chunk(keys(ch.touched), askAtOnce) {
		for _, base := range outermost(cfg.BaseDNs) {
			var bad error
			err := p.each(ctx, base, ldapconn.And(cfg.Filter, p.anyAccount(some)), func(e *ldap.Entry) {
				k, err := p.put(entry{e}, e.DN)
				if here[k] = true; err != nil {
					bad = err
				}
			}, cfg.listAttributes()...)
			if err != nil || bad != nil {
				return false, firstError(bad, err)
			}
		}
	}
	var deleted []string
	for _, set := range []map[key]bool{ch.touched, ch.gone} {
		for _, k := range keys(set) {
			if p.memory.accounts.has(k) && !here[k] {
				deleted = append(deleted, p.memory.idOf(k))
				p.memory.forget(k)
			}
		}
	}
	if full, err := p.movedBranch(ctx, ch, here); err != nil || full {
		return false, err
	}
	return true, p.end(deleted...)
}

// movedBranch reports whether an entry changed below which others stand: if it was
// renamed or moved, so were they, and none of them says so.
func (p *pass) movedBranch(ctx context.Context, ch news, accounts map[key]bool) (bool, error) {
	var rest []key
	for _, k := range keys(ch.touched) {
		if !accounts[k] && p.memory.groups.nodes[k] == nil {
			rest = append(rest, k)
		}
	}
	for some := range slices.Chunk(rest, askAtOnce) {
		for _, base := range p.server.suffixes {
			found := false
			err := p.each(ctx, base, p.directory.cfg.anyOf(some), func(e *ldap.Entry) {
				found = found || e.GetEqualFoldAttributeValue("hasSubordinates") == "TRUE" || count(e.GetEqualFoldAttributeValue("numSubordinates")) > 0
			}, "hasSubordinates", "numSubordinates")
			if err != nil || found {
				return found, err
			}
		}
	}
	return false, nil
}

// each calls f for every entry that a search finds.
func (p *pass) each(ctx context.Context, base, filter string, f func(*ldap.Entry), attributes ...string) error {
	if len(attributes) == 0 {
		attributes = []string{p.directory.cfg.IDAttribute, p.directory.cfg.uuidAttribute()}
	}
	r := ldapconn.Request(base, ldap.ScopeWholeSubtree, 0, filter, attributes...)
	return p.conn.Pages(ctx, r, maxPage, func(e *ldap.Entry) error { f(e); return nil })
}

// eachGroup is each for groups, of which those that the filter finds, if there is one.
func (p *pass) eachGroup(ctx context.Context, filter string, f func(*ldap.Entry), attributes ...string) error {
	cfg := p.directory.cfg
	if cfg.Groups == GroupsNone {
		return nil
	}
	bases, err := p.directory.groupBases(ctx, p.conn)
	if err != nil {
		return err
	}
	if filter = cfg.GroupFilter + filter; filter != cfg.GroupFilter {
		filter = ldapconn.And(filter)
	}
	for _, base := range outermost(bases) {
		if err := p.each(ctx, base, filter, f, attributes...); err != nil {
			return err
		}
	}
	return nil
}

// anyOf is the filter of the entries with these UUIDs.
func (cfg Config) anyOf(ids []key) string {
	var any []string
	for _, k := range ids {
		any = append(any, ldapconn.Equal(cfg.uuidAttribute(), storedUUID(cfg.uuidAttribute(), k)))
	}
	return ldapconn.Or(any...)
}

// anyAccount is anyOf for accounts, which may have no UUID.
func (p *pass) anyAccount(ids []key) string {
	cfg := p.directory.cfg
	var any []string
	for _, k := range ids {
		any = append(any, ldapconn.Equal(cfg.uuidAttribute(), storedUUID(cfg.uuidAttribute(), k)))
		if p.memory != nil && p.memory.ids[k] != "" {
			any = append(any, ldapconn.Equal(cfg.IDAttribute, p.memory.ids[k]))
		}
	}
	return ldapconn.Or(any...)
}

func keys(set map[key]bool) []key {
	all := make([]key, 0, len(set))
	for k := range set {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b key) int { return slices.Compare(a[:], b[:]) })
	return all
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
