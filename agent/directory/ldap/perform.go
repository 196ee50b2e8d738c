package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// DryRun implements directory.Writer.
func (d *Directory) DryRun(ctx context.Context, id string, tasks []protocol.Task) error {
	plan, err := directory.PlanOf(tasks)
	if err != nil {
		return err
	}
	return d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.readState(ctx, c, id)
		if err != nil {
			return err
		}
		if err := d.allows(s, plan); err != nil {
			return err
		}
		return d.probe(ctx, c, s.entry.DN, plan)
	})
}

// probe finds out whether the agent's account has the rights that the plan needs. It
// asks to delete values that do not exist: the server looks at the rights first, so
// without them it says insufficientAccessRights, with them noSuchAttribute, and
// nothing changes in either case.
func (d *Directory) probe(ctx context.Context, c *ldapconn.Conn, dn string, plan directory.Plan) error {
	nobodys := rand.Text() + rand.Text()
	var probes []ldap.PartialAttribute
	if plan.Reset {
		probes = append(probes, ldap.PartialAttribute{Type: d.cfg.PasswordAttribute, Vals: []string{nobodys}})
	}
	if plan.Unlock && !plan.Reset {
		for _, n := range d.cfg.UnlockAttributes {
			probes = append(probes, ldap.PartialAttribute{Type: n, Vals: []string{d.cfg.nobodys(n, nobodys)}})
		}
	}
	if plan.RemoveMFA {
		for _, n := range d.cfg.MFAAttributes {
			probes = append(probes, ldap.PartialAttribute{Type: n, Vals: []string{nobodys}})
		}
	}
	if n := d.cfg.MustChangeAttribute; plan.MustChange && n != "" {
		probes = append(probes, ldap.PartialAttribute{Type: n, Vals: []string{d.cfg.nobodys(n, nobodys)}})
	}
	for _, p := range probes {
		err := tryDelete(ctx, c, dn, p.Type, p.Vals[0])
		if ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights) || ldapconn.IsCode(err, ldap.LDAPResultReferral) {
			return ldapconn.Explain(err, protocol.CodeOf(err), "the agent's account may not write "+p.Type+" of this account at this server")
		}
		if errors.Is(err, directory.ErrUnsure) { // nothing was at stake
			return protocol.Err(protocol.CodeUnavailable, "the connection to the directory was lost")
		}
	}
	return nil
}

// nobodys is a value that an attribute does not have, but for a truth value, and that its
// syntax allows, as otherwise the server would not look at the rights.
func (cfg Config) nobodys(attribute, random string) string {
	switch {
	case strings.EqualFold(attribute, cfg.LockAttribute) && cfg.LockHolds != LockPresent:
		return "19000101000000Z" // a time before LDAP
	case strings.EqualFold(attribute, "passwordRetryCount"):
		return "-1"
	case strings.EqualFold(attribute, cfg.MustChangeAttribute) && strings.EqualFold(cfg.MustChangeValue, "TRUE"):
		return "FALSE"
	}
	return random
}

// Perform implements directory.Writer.
func (d *Directory) Perform(ctx context.Context, c directory.Change) (result directory.Result, err error) {
	plan, err := directory.PlanOf(c.Tasks)
	if err != nil {
		return result, err
	}
	if plan.Reset == c.Password.Empty() {
		return result, protocol.Err(protocol.CodeBadRequest, "a password is needed to set one, and for nothing else")
	}
	server := ""
	if c.Stamp != "" {
		s, err := readStamp(c.Stamp)
		if err != nil {
			return result, err
		}
		server = s.Server
	}
	err = d.pool.Do(ctx, server, func(conn *ldapconn.Conn) error {
		result, err = d.perform(ctx, conn, c, plan)
		return err
	})
	return result, err
}

func (d *Directory) perform(ctx context.Context, conn *ldapconn.Conn, c directory.Change, plan directory.Plan) (directory.Result, error) {
	s, err := d.readState(ctx, conn, c.ID)
	if err != nil {
		return directory.Result{}, err
	}
	if err := d.allowsNow(s, plan); err != nil {
		return directory.Result{}, err
	}
	if !plan.Reset {
		return directory.Result{}, conn.Modify(ctx, d.modification(s.entry.DN, c, plan))
	}
	if n := utf8.RuneCountInString(c.Password.Reveal()); n < s.policy.minLength {
		return directory.Result{}, protocol.Err(protocol.CodePasswordPolicy,
			"the new password is too short for the directory's policy: it asks for "+strconv.Itoa(s.policy.minLength)+" characters")
	}
	flagged, err := d.reset(ctx, conn, s, c, plan)
	if d.cfg.is389() && ldapconn.IsCode(err, ldap.LDAPResultConstraintViolation) && ldapconn.PolicyError(err) == ldapconn.NoPolicy {
		// It tells of the other rules by the control of the policy, of the history by nothing.
		err = ldapconn.Explain(err, protocol.CodePasswordPolicy, "the directory refuses the new password: it was used before, or breaks another rule of the password policy")
	}
	if err != nil || d.cfg.SkipVerify {
		return directory.Result{MustChange: flagged}, err
	}
	return d.verify(ctx, conn.Server(), s.entry.DN, c.Password, flagged)
}

// allowsNow is allows for the moment of the change: an account that is not locked any
// more, or has no authenticator any more, needs no refusal, as the change is harmless.
func (d *Directory) allowsNow(s state, plan directory.Plan) error {
	s.mfa = true
	setDefault(&s.locked, "not any more")
	return d.allows(s, plan)
}

// modification is one Modify for everything that the plan asks for.
func (d *Directory) modification(dn string, c directory.Change, plan directory.Plan) *ldap.ModifyRequest {
	r := ldap.NewModifyRequest(dn, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	if plan.Reset {
		r.Replace(d.cfg.PasswordAttribute, []string{c.Password.Reveal()})
	}
	if plan.MustChange && d.cfg.MustChangeAttribute != "" {
		r.Replace(d.cfg.MustChangeAttribute, []string{d.cfg.MustChangeValue})
	}
	if plan.Unlock { // Replace with nothing, as Delete fails where nothing is
		for _, n := range d.cfg.UnlockAttributes {
			if plan.Reset && strings.EqualFold(n, pwdAccountLockedTime) {
				continue // ppolicy clears it with the password, and would find it gone
			}
			r.Replace(n, nil)
		}
	}
	if plan.RemoveMFA {
		for _, n := range d.cfg.MFAAttributes {
			r.Replace(n, nil)
		}
	}
	return r
}

// reset sets the password and reports whether must-change was set with it. Without
// ppolicy nothing else may stand in the modification: its attributes are unknown.
func (d *Directory) reset(ctx context.Context, conn *ldapconn.Conn, s state, c directory.Change, plan directory.Plan) (mustChange bool, err error) {
	plan.Unlock = plan.Unlock && d.cfg.unlocks(s.server)
	flag := plan.MustChange && d.cfg.MustChangeAttribute != ""
	if d.cfg.PasswordBy == ByModify || d.cfg.ServerHashes && (flag || plan.RemoveMFA) {
		return flag, conn.Modify(ctx, d.modification(s.entry.DN, c, plan))
	}
	if err := conn.Extend(ctx, passwordModify(s.entry.DN, c.Password)); err != nil {
		return false, err
	}
	if plan.Unlock && !d.cfg.resetUnlocks() {
		if err := d.unlockAfter(ctx, conn, s.entry.DN, c, plan); err != nil {
			return false, err
		}
	}
	if !flag {
		return false, nil
	}
	// After the password, which would clear it. The password is set whatever comes
	// now, so a failure here is told by Result.MustChange, not by an error.
	r := ldap.NewModifyRequest(s.entry.DN, nil)
	r.Replace(d.cfg.MustChangeAttribute, []string{d.cfg.MustChangeValue})
	if err := conn.Modify(ctx, r); err != nil {
		d.log.Warn("must-change could not be set after a reset", "dn", s.entry.DN, "err", err)
		return false, nil
	}
	return true, nil
}

// resetUnlocks reports whether the server lifts a lock when a password is set.
func (cfg Config) resetUnlocks() bool { return cfg.Profile != ProfileCustom }

// unlockAfter lifts a lock after the password was set, where that alone does not. The
// password is set whatever comes now, so a failure is only logged.
func (d *Directory) unlockAfter(ctx context.Context, conn *ldapconn.Conn, dn string, c directory.Change, plan directory.Plan) error {
	err := conn.Modify(ctx, d.modification(dn, c, directory.Plan{Unlock: plan.Unlock}))
	if errors.Is(err, directory.ErrUnsure) {
		return err
	}
	if err != nil {
		d.log.Warn("the lock could not be lifted after a reset", "dn", dn, "err", err)
	}
	return nil
}

// passwordModify is the extended request of RFC 3062 §2 with the ppolicy control,
// which go-ldap's own request cannot carry. A reset also lifts a lock.
func passwordModify(dn string, password protocol.Secret) *ldap.ExtendedRequest {
	value := ber.Encode(ber.ClassContext, ber.TypePrimitive, 1, nil, "requestValue")
	fields := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "PasswdModifyRequestValue")
	fields.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, dn, "userIdentity"))
	fields.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 2, password.Reveal(), "newPasswd"))
	value.AppendChild(fields)
	r := ldap.NewExtendedRequest(oidPasswordModify, value)
	r.Controls = []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
	return r
}

// verify proves the new password by a sign-in at the same server. The server said
// that it is set; if it then refuses it, nobody knows what is true.
func (d *Directory) verify(ctx context.Context, server, dn string, password protocol.Secret, flagged bool) (directory.Result, error) {
	answer, err := d.pool.SignIn(ctx, server, dn, password)
	switch {
	case err != nil:
		d.log.Warn("a reset could not be verified by a sign-in", "dn", dn, "err", err)
		return directory.Result{MustChange: flagged}, nil
	case answer.Code == ldap.LDAPResultInvalidCredentials:
		cause := errors.Join(directory.ErrUnsure, errors.New("sign-in refused"))
		return directory.Result{}, ldapconn.Explain(cause, protocol.CodeInternal, "the directory accepted the new password and then refused a sign-in with it")
	}
	return directory.Result{MustChange: answer.Policy == ldapconn.PolicyChangeAfterReset || flagged && !d.cfg.ppolicy()}, nil
}
