package ldap

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// A state is an account's entry with what decides about changes to it.
type state struct {
	entry    *ldap.Entry
	server   server
	policy   policy
	disabled bool
	admin    bool   // locked by an administrator
	locked   string // pwdAccountLockedTime of a lock by failed sign-ins that holds
	mfa      bool   // an authenticator is there
}

// stateAttributes are what readState needs.
func (cfg Config) stateAttributes() []string {
	names := []string{cfg.ChangeAttribute, "modifiersName"}
	switch {
	case cfg.ppolicy():
		names = append(names, pwdAccountLockedTime, pwdPolicySubentry, pwdStartTime, pwdEndTime)
	case cfg.is389():
		names = append(names, pwdPolicySubentry)
	}
	for _, n := range []string{cfg.DisabledAttribute, cfg.LockAttribute, cfg.PasswordChangedAttribute, cfg.MustChangeAttribute} {
		if n != "" {
			names = append(names, n)
		}
	}
	return slices.Concat(names, cfg.groupAttributes(), cfg.wordAttributes())
}

// wordAttributes are what passwords may have no part of: what 389-ds looks at where
// passwordCheckSyntax is on, and whatever else the file says that people are called.
func (cfg Config) wordAttributes() []string {
	names := slices.Concat([]string{"uid", "cn", attrFamily, attrGiven, "ou", "mail", cfg.GivenNameAttribute, cfg.FamilyNameAttribute},
		cfg.Identifiers, cfg.NameAttributes, cfg.MailAttributes)
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "" })
}

// readState reads an account as it is now.
func (d *Directory) readState(ctx context.Context, c *ldapconn.Conn, id string) (state, error) {
	e, err := d.find(ctx, c, id, d.cfg.stateAttributes()...)
	if err != nil {
		return state{}, err
	}
	s := state{entry: e}
	if s.server, err = d.server(ctx, c); err != nil {
		return state{}, err
	}
	if s.policy, err = d.policyOf(ctx, c, s.server, entry{e}); err != nil {
		return state{}, err
	}
	s.disabled = d.cfg.disabled(entry{e}, time.Now())
	s.admin = d.cfg.ppolicy() && first(entry{e}, pwdAccountLockedTime) == adminLock
	s.locked = d.cfg.locked(s.policy, first(entry{e}, d.cfg.LockAttribute), time.Now())
	s.mfa, err = d.hasMFA(ctx, c, e.DN)
	return s, err
}

// locked returns the value of lock_attribute if it says that the account is locked.
func (cfg Config) locked(p policy, value string, now time.Time) string {
	switch cfg.LockHolds {
	case LockSince:
		return p.lockedSince(value, now)
	case LockUntil:
		until, ok := generalizedTime(value)
		if !ok || now.After(until) && !until.Equal(time.Unix(0, 0)) { // 1970: until somebody unlocks it
			return ""
		}
	}
	return value
}

// lockedSince returns the time of a lock that still holds, or "". The attribute stays
// after the lock's time is over, until the next good sign-in.
func (p policy) lockedSince(value string, now time.Time) string {
	since, ok := generalizedTime(value)
	if !ok || p.lockFor > 0 && now.After(since.Add(p.lockFor)) {
		return ""
	}
	return value
}

// hasMFA asks whether one of the authenticator attributes is there. The right to
// search is enough: the agent needs not read them.
func (d *Directory) hasMFA(ctx context.Context, c *ldapconn.Conn, dn string) (bool, error) {
	if len(d.cfg.MFAAttributes) == 0 {
		return false, nil
	}
	var any []string
	for _, n := range d.cfg.MFAAttributes {
		any = append(any, ldapconn.Present(n))
	}
	e, err := c.Entry(ctx, dn, ldapconn.Or(any...), "1.1")
	return e != nil, err
}

// Facts implements directory.Writer.
func (d *Directory) Facts(ctx context.Context, id string) (facts directory.Facts, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.readState(ctx, c, id)
		if err != nil {
			return err
		}
		groups, err := d.memberships(ctx, c, s.entry)
		if err != nil {
			return err
		}
		facts, err = d.facts(s, groups)
		return err
	})
	return facts, err
}

func (d *Directory) facts(s state, groups []group) (directory.Facts, error) {
	id, err := d.cfg.canonicalID(first(entry{s.entry}, d.cfg.IDAttribute))
	if err != nil {
		return directory.Facts{}, configuration("id_attribute " + d.cfg.IDAttribute + " holds something that is no id")
	}
	f := directory.Facts{
		ID: id, DN: s.entry.DN, Disabled: s.disabled, Expired: d.cfg.ended(entry{s.entry}, time.Now()), Locked: s.locked != "",
		Self: ldapconn.SameDN(s.entry.DN, d.cfg.BindDN), Policy: s.policy.facts(),
		Privileged: d.cfg.privileged(s.entry.DN, groups),
	}
	for _, n := range d.cfg.wordAttributes() {
		f.Words = append(f.Words, entry{s.entry}.Values(n)...)
	}
	for _, g := range groups {
		f.Groups = append(f.Groups, g.Name, g.ID, g.dn)
	}
	return f, nil
}

// privileged says why an account is an administrator, or "".
func (cfg Config) privileged(dn string, groups []group) string {
	if slices.ContainsFunc(cfg.PrivilegedAccounts, func(a string) bool { return ldapconn.SameDN(a, dn) }) {
		return "listed in privileged_accounts"
	}
	for _, g := range groups {
		for _, p := range cfg.PrivilegedGroups {
			if strings.EqualFold(p, g.Name) || strings.EqualFold(p, g.ID) || ldapconn.SameDN(p, g.dn) {
				return "member of " + g.Name
			}
		}
	}
	return ""
}

// allows makes the checks that reading can make before a change.
func (d *Directory) allows(s state, plan directory.Plan) error {
	refuse := func(code protocol.Code, message string) *protocol.Error { return protocol.Err(code, message) }
	switch {
	case plan.Reset && d.cfg.PasswordBy == ByExtension && !s.server.passwordModify:
		return refuse(protocol.CodeUnsupported, "the directory does not offer to change passwords (RFC 3062); password_by = \"modify\" is the other way")
	case plan.RemoveMFA && len(d.cfg.MFAAttributes) == 0:
		return refuse(protocol.CodeUnsupported, "mfa_attributes names no attribute that holds authenticators")
	case plan.RemoveMFA && plan.Reset && !d.cfg.ServerHashes && d.cfg.PasswordBy != ByModify:
		return refuse(protocol.CodeUnsupported, "a password and authenticators can change together only where the server hashes passwords (server_hashes)")
	case plan.MustChange && !d.cfg.mustChanges(s.server, s.policy):
		return refuse(protocol.CodeUnsupported, d.cfg.whyNoMustChange(s.policy))
	case plan.Unlock && !plan.Reset && !d.cfg.unlocks(s.server):
		return refuse(protocol.CodeUnsupported, "the directory has no password policy: nothing locks, nothing can be unlocked (lock_attribute)")
	case s.admin && (plan.Reset || plan.Unlock):
		return refuse(protocol.CodeUnsupportedAccountState, "an administrator locked the account; a reset or unlock would lift that lock").For(protocol.ReasonAdminLock)
	case plan.Unlock && !plan.Reset && s.locked == "":
		return refuse(protocol.CodeUnsupportedAccountState, "the account is not locked").For(protocol.ReasonNotLocked)
	case plan.RemoveMFA && !s.mfa:
		return refuse(protocol.CodeUnsupportedAccountState, "the account has no authenticator, or the agent's account may not search mfa_attributes").For(protocol.ReasonNothing)
	}
	return nil
}

// name is what messages call the policy.
func (p policy) name() string {
	if p.dn == "" {
		return "none is known; set default_policy"
	}
	return p.dn
}
