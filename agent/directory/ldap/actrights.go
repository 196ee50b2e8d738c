package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

var _ directory.ActAdvisor = (*Directory)(nil)

// oidEffectiveRights is the control by which 389 Directory Server tells what somebody may do
// with an entry (draft-ietf-ldapext-acl-model-08, section 9.1).
const oidEffectiveRights = "1.3.6.1.4.1.42.2.27.9.5.2"

// ActRights implements directory.ActAdvisor. Rights are found as Rights finds them.
func (d *Directory) ActRights(ctx context.Context, id string, of directory.ActScope) (all []directory.ActRight, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.readState(ctx, c, id)
		if err != nil {
			return err
		}
		a := actAdviser{d: d, c: c, s: s, of: of}
		for _, look := range []func(context.Context) error{a.marks, a.deletes, a.groups, a.attributes} {
			if err := look(ctx); err != nil {
				return err
			}
		}
		all = a.all
		return nil
	})
	return all, err
}

// An actAdviser looks at one account.
type actAdviser struct {
	d   *Directory
	c   *ldapconn.Conn
	s   state
	of  directory.ActScope
	all []directory.ActRight
}

// marks looks at the attributes that switch an account off and that ask for a new password.
func (a *actAdviser) marks(ctx context.Context) error {
	var names []string
	cfg := a.d.cfg
	if cfg.DisabledAttribute != "" {
		names = append(names, cfg.DisabledAttribute)
	}
	what := a.of.Among(protocol.Enable, protocol.Disable)
	if a.s.server.policy && cfg.ppolicy() { // also taken back where the file names an attribute
		names = append(names, pwdAccountLockedTime)
	}
	for _, n := range names {
		if err := a.onAccount(ctx, n, what); err != nil {
			return err
		}
	}
	if cfg.MustChangeAttribute == "" || !cfg.mustChanges(a.s.server, a.s.policy) {
		return nil
	}
	return a.onAccount(ctx, cfg.MustChangeAttribute, a.of.Among(protocol.SetMustChange))
}

// onAccount looks at an attribute of the account, if anything needs it.
func (a *actAdviser) onAccount(ctx context.Context, attribute string, what []string) error {
	if len(what) == 0 {
		return nil
	}
	r, err := a.write(ctx, a.s.entry, attribute, what)
	a.all = append(a.all, directory.ActRight{Right: r})
	return err
}

// write looks at an attribute of an entry: the account, or a group.
func (a *actAdviser) write(ctx context.Context, e *ldap.Entry, attribute string, what []string) (directory.Right, error) {
	r, err := a.d.rightToWrite(ctx, a.c, e, attribute, "write", "")
	r.For = what
	if len(r.Fix) > 0 {
		r.Fix = a.d.cfg.grantAt(a.d.cfg.baseOf(a.s.entry.DN), "dn.subtree", attribute)
		if e != a.s.entry {
			r.Fix = a.d.cfg.grantAt(e.DN, "dn.exact", attribute)
		}
	}
	return r, err
}

// baseOf is the branch of the file that an account stands in.
func (cfg Config) baseOf(dn string) string {
	for _, base := range cfg.BaseDNs {
		if ldapconn.Within(dn, base) {
			return base
		}
	}
	return cfg.BaseDNs[0]
}

// grantAt are the lines that give the right to write an attribute below a branch, or of one
// entry.
func (cfg Config) grantAt(dn, scope, attribute string) []string {
	if cfg.is389() {
		return cfg.aci(dn, `(targetattr="`+attribute+`")`, "write "+attribute, "write")
	}
	return []string{cfg.access(scope, dn, attribute, "write")}
}

// access is a rule of OpenLDAP that leaves everybody else's rights as they are.
func (cfg Config) access(scope, dn, attribute, right string) string {
	return fmt.Sprintf(`access to %s="%s" attrs=%s by dn.exact="%s" %s by * break`, scope, dn, attribute, cfg.BindDN, right)
}

// deletes looks at the right to delete the account.
func (a *actAdviser) deletes(ctx context.Context) error {
	what := a.of.Among(protocol.DeleteAccount)
	if len(what) == 0 {
		return nil
	}
	r, err := a.d.rightToDelete(ctx, a.c, a.s)
	r.For = what
	a.all = append(a.all, directory.ActRight{Right: r})
	return err
}

// rightToDelete looks whether the agent may delete an account, and deletes nothing: slapd is
// asked to move it to where nothing is, for which it wants the same rights and looks at them
// first; 389 Directory Server tells effective rights. Others are not asked.
func (d *Directory) rightToDelete(ctx context.Context, c *ldapconn.Conn, s state) (directory.Right, error) {
	r := directory.Right{Name: "delete", Held: directory.HeldUnknown, Why: "the server says nothing of this right before it deletes"}
	var err error
	switch {
	case s.server.openldap:
		r.Held, err = d.mayMove(ctx, c, s.entry.DN)
	case s.server.effective:
		r.Held, err = d.effective(ctx, c, s.entry.DN)
	}
	switch r.Held {
	case directory.HeldYes:
		r.Why = ""
	case directory.HeldNo:
		r.Why, r.Fix = "the server's access rules do not let the agent's account delete it", d.cfg.grantDelete(d.cfg.baseOf(s.entry.DN))
	}
	return r, err
}

// grantDelete are the lines that give the right to delete accounts below a branch. On OpenLDAP
// they let nobody add one: that takes more on "children".
func (cfg Config) grantDelete(base string) []string {
	if cfg.is389() {
		return cfg.aci(base, "", "delete accounts", "delete")
	}
	return []string{cfg.access("dn.children", base, "entry", "write"), cfg.access("dn.subtree", base, "children", "=z")}
}

// mayMove asks slapd to move an entry below one whose name chance has just made.
func (d *Directory) mayMove(ctx context.Context, c *ldapconn.Conn, dn string) (directory.Held, error) {
	rdn, rest, ok := cutRDN(dn)
	if !ok {
		return directory.HeldUnknown, nil
	}
	err := c.MoveTo(ctx, dn, rdn, "cn="+rand.Text()+rand.Text()+","+rest)
	switch {
	case ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights):
		return directory.HeldNo, nil
	case ldapconn.IsCode(err, ldap.LDAPResultNoSuchObject):
		return directory.HeldYes, nil
	case protocol.CodeOf(err) == protocol.CodeUnavailable || ctx.Err() != nil:
		return directory.HeldUnknown, err
	case errors.Is(err, directory.ErrUnsure): // nothing was at stake
		return directory.HeldUnknown, protocol.Err(protocol.CodeUnavailable, "the connection to the directory was lost")
	}
	return directory.HeldUnknown, nil
}

// cutRDN splits a DN behind its first name, spelled as it was.
func cutRDN(dn string) (rdn, rest string, ok bool) {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++ // the next one is part of the name
		case ',':
			return dn[:i], dn[i+1:], true
		}
	}
	return "", "", false
}

// effective asks 389 Directory Server what the agent may do with an entry: "d" is to delete.
func (d *Directory) effective(ctx context.Context, c *ldapconn.Conn, dn string) (directory.Held, error) {
	r := ldapconn.Request(dn, ldap.ScopeBaseObject, 0, "(objectClass=*)", "entryLevelRights")
	r.Controls = []ldap.Control{ldap.NewControlString(oidEffectiveRights, true, "dn: "+d.cfg.BindDN)}
	found, err := c.Search(ctx, r)
	if err != nil || len(found) == 0 {
		if protocol.CodeOf(err) == protocol.CodeUnavailable {
			return directory.HeldUnknown, err
		}
		return directory.HeldUnknown, nil // not told to this account
	}
	rights := first(entry{found[0]}, "entryLevelRights")
	switch {
	case rights == "":
		return directory.HeldUnknown, nil
	case strings.Contains(rights, "d"): // "none" has none
		return directory.HeldYes, nil
	}
	return directory.HeldNo, nil
}

// groups looks at the members of each group that the file names.
func (a *actAdviser) groups(ctx context.Context) error {
	what := a.of.Among(protocol.AddToGroup, protocol.RemoveFromGroup)
	if len(what) == 0 || a.d.cfg.Groups == GroupsNone {
		return nil
	}
	for _, named := range a.of.Groups {
		r, err := a.onGroup(ctx, named, what)
		if err != nil {
			return err
		}
		a.all = append(a.all, r)
	}
	return nil
}

func (a *actAdviser) onGroup(ctx context.Context, named string, what []string) (directory.ActRight, error) {
	r := directory.ActRight{Right: directory.Right{Name: "write members of " + named, For: what, Held: directory.HeldUnknown}, Of: named}
	e, err := a.d.groupAt(ctx, a.c, strings.TrimSpace(named))
	if err != nil {
		return r, err
	}
	if e == nil {
		r.Never = "the directory has no such group that the agent can see; guard.act_groups takes ids and distinguished names"
		return r, nil
	}
	why, err := a.d.powers(ctx, a.c, a.d.cfg.groupOf(e))
	if err != nil {
		return r, err
	}
	if why != "" {
		r.Never = "the group makes administrators of its members: " + why
	}
	attribute, _, err := a.d.membership(e, a.s.entry)
	if err != nil {
		attribute = a.d.cfg.MemberAttributes[0] // of an account that no group can name
	}
	name := r.Name
	r.Right, err = a.write(ctx, e, attribute, what)
	r.Name = name
	return r, err
}

// groupAt finds a group as the agent's file names it; nil if there is none.
func (d *Directory) groupAt(ctx context.Context, c *ldapconn.Conn, named string) (*ldap.Entry, error) {
	if _, _, err := ldapconn.ParseUUID(named); err == nil {
		e, err := d.findGroup(ctx, c, named)
		if protocol.CodeOf(err) == protocol.CodeBadRequest {
			return nil, nil
		}
		return e, err
	}
	bases, err := d.groupBases(ctx, c)
	if err != nil || !slices.ContainsFunc(bases, func(base string) bool { return ldapconn.Within(named, base) }) {
		return nil, err
	}
	return c.Entry(ctx, named, d.cfg.GroupFilter, d.cfg.actGroupAttributes()...)
}

// attributes looks at each attribute that the file lets be set.
func (a *actAdviser) attributes(ctx context.Context) error {
	what := a.of.Among(protocol.SetAttribute)
	if len(what) == 0 {
		return nil
	}
	for _, name := range a.of.Attributes {
		r := directory.ActRight{Right: directory.Right{Name: "write " + name, For: what, Held: directory.HeldUnknown}, Of: name}
		var err error
		if r.Never, err = a.d.never(ctx, a.c, name); err == nil && r.Never == "" {
			r.Right, err = a.write(ctx, a.s.entry, name, what)
		}
		if err != nil {
			return err
		}
		a.all = append(a.all, r)
	}
	return nil
}

// never says why an attribute is not set, whatever the rights are; "" if it is.
func (d *Directory) never(ctx context.Context, c *ldapconn.Conn, attribute string) (string, error) {
	names, err := fits(ctx, c, directory.Set{Attribute: attribute})
	var no *protocol.Error
	switch {
	case slices.ContainsFunc(names, d.cfg.uses):
		return whyUsed, nil
	case errors.As(err, &no) && no.Reason == protocol.ReasonValue:
		return no.Message, nil
	case err == nil && slices.ContainsFunc(names, d.cfg.evidence):
		return directory.WhyEvidence, nil
	}
	return "", err
}
