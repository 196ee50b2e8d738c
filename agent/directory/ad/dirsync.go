package ad

import (
	"context"
	"errors"
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Flags of LDAP_SERVER_DIRSYNC (MS-ADTS 3.1.1.3.4.1.3): what the agent may read anyway,
// without the right to replicate, and of groups only who joined and who left.
const dirSyncFlags = 0x1 | 0x80000000

// maxRounds bounds one reading; a controller gives at least an object at a time, mostly
// a thousand.
const maxRounds = 100000

var errDirSync = errors.New("ad: the controller answers DirSync without its control")

// changed is the filter of what can matter: a deleted object has lost its category, and
// of a unit only that it was renamed or moved is of interest.
const changed = "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit)(objectClass=container))"

// beginDirSync returns a cookie that stands for this moment. It asks for the domain's
// own entry alone: what it stands for does not depend on the filter. It is empty where
// the controller refuses DirSync.
func (p *pass) beginDirSync(ctx context.Context) ([]byte, error) {
	_, cookie, err := p.readDirSync(ctx, "(objectClass=domainDNS)", []string{"name"}, nil)
	if err != nil && refusesDirSync(err) {
		p.d.log.Info("the controller refuses DirSync; changes are found by their numbers", "server", p.c.Server(), "error", err)
		return nil, nil
	}
	return cookie, err
}

// refusesDirSync holds for answers that mean that it will never work, or not with this
// cookie: then there are other ways.
func refusesDirSync(err error) bool {
	for _, code := range []uint16{
		ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnavailableCriticalExtension,
		ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultProtocolError, ldap.LDAPResultOperationsError,
	} {
		if ldapconn.IsCode(err, code) {
			return true
		}
	}
	return errors.Is(err, errDirSync)
}

// dirSync reads what changed since a cookie, and the cookie for the next time.
func (p *pass) dirSync(ctx context.Context, cookie []byte) (news, []byte, error) {
	ch := newNews()
	entries, cookie, err := p.readDirSync(ctx, changed, p.d.watched(), cookie)
	if err != nil {
		return ch, nil, err
	}
	for _, e := range entries {
		if err := ch.note(e, p.d.cfg.lists()); err != nil {
			return ch, nil, err
		}
	}
	return ch, cookie, nil
}

// watched are the attributes whose change makes an account a changed one.
func (d *Directory) watched() []string {
	all := slices.Concat(d.attributes("objectClass", "isDeleted", "name", "primaryGroupID", "groupType"), filterAttributes(d.cfg.Filter))
	if d.cfg.lists() {
		all = append(all, "member")
	}
	return distinct(slices.DeleteFunc(all, func(a string) bool {
		return strings.EqualFold(a, "whenChanged") || strings.EqualFold(a, "memberOf") // moves with everything; is computed
	}))
}

// readDirSync reads until the controller has no more.
func (p *pass) readDirSync(ctx context.Context, filter string, attributes []string, cookie []byte) (all []*ldap.Entry, next []byte, err error) {
	r := ldapconn.Request(p.dom.base, ldap.ScopeWholeSubtree, 0, filter, attributes...)
	for range maxRounds {
		var found *ldap.SearchResult
		err := p.c.Raw(ctx, func(c *ldap.Conn) (err error) {
			found, err = c.DirSync(r, dirSyncFlags, 0, cookie)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		answer, ok := ldap.FindControl(found.Controls, ldap.ControlTypeDirSync).(*ldap.ControlDirSync)
		if !ok {
			return nil, nil, errDirSync
		}
		all, cookie = append(all, found.Entries...), answer.Cookie
		if answer.Flags == 0 {
			return all, cookie, nil
		}
	}
	return nil, nil, errDirSync
}

// note sorts one object, of which only what changed is there.
func (ch *news) note(e *ldap.Entry, groups bool) error {
	id, err := guidText(e.GetRawAttributeValue("objectGUID"))
	if err != nil {
		return unreadable("objectGUID of " + e.DN)
	}
	class := e.GetAttributeValues("objectClass") // of new objects alone
	renamed := has(e, "name")
	switch {
	case strings.EqualFold(e.GetAttributeValue("isDeleted"), "TRUE"):
		ch.gone[id] = true
		return nil
	case len(class) > 0 && !slices.Contains(class, "user") && !slices.Contains(class, "group"):
		return nil // a new unit
	case len(class) == 0 && renamed:
		ch.moved = append(ch.moved, e.DN) // whatever it is, what stands below moved with it
	}
	if slices.Contains(class, "user") || len(class) == 0 {
		ch.touched[id] = true
	}
	if groups {
		ch.noteGroup(e, renamed)
	}
	return nil
}

// noteGroup keeps whose memberships changed. A group that got another name, or another
// kind, is another one for everybody in it.
func (ch *news) noteGroup(e *ldap.Entry, renamed bool) {
	if renamed || has(e, "sAMAccountName") || has(e, "groupType") || has(e, "cn") {
		ch.groups[e.DN] = true
	}
	for _, a := range e.Attributes {
		if name, _, _ := strings.Cut(a.Name, ";"); strings.EqualFold(name, "member") {
			ch.members = append(ch.members, a.Values...)
		}
	}
}

// has reports whether an entry tells of an attribute, if only that it is empty now.
func has(e *ldap.Entry, attribute string) bool {
	return slices.ContainsFunc(e.Attributes, func(a *ldap.EntryAttribute) bool { return strings.EqualFold(a.Name, attribute) })
}

// walk calls f with every attribute of a compiled filter (RFC 4511 4.5.1.7).
func walk(filter *ber.Packet, f func(name string)) {
	switch filter.Tag {
	case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
		for _, part := range filter.Children {
			walk(part, f)
		}
	case ldap.FilterPresent:
		f(filter.Data.String())
	case ldap.FilterExtensibleMatch:
		for _, part := range filter.Children {
			if part.Tag == ldap.MatchingRuleAssertionType {
				f(part.Data.String())
			}
		}
	default:
		if len(filter.Children) > 0 {
			f(filter.Children[0].Data.String())
		}
	}
}
