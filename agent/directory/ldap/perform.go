package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
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
		probes = append(probes, ldap.PartialAttribute{Type: userPassword, Vals: []string{nobodys}})
	}
	if plan.Unlock && !plan.Reset {
		// A time before LDAP. The syntax does not allow a random text.
		probes = append(probes, ldap.PartialAttribute{Type: pwdAccountLockedTime, Vals: []string{"19700101000000Z"}})
	}
	if plan.RemoveMFA {
		for _, n := range d.cfg.MFAAttributes {
			probes = append(probes, ldap.PartialAttribute{Type: n, Vals: []string{nobodys}})
		}
	}
	for _, p := range probes {
		r := ldap.NewModifyRequest(dn, nil)
		r.Delete(p.Type, p.Vals)
		err := c.Modify(ctx, r)
		if ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights) || ldapconn.IsCode(err, ldap.LDAPResultReferral) {
			return ldapconn.Explain(err, protocol.CodeOf(err), "the agent's account may not write "+p.Type+" of this account at this server")
		}
		if errors.Is(err, directory.ErrUnsure) { // nothing was at stake
			return protocol.Err(protocol.CodeUnavailable, "the connection to the directory was lost")
		}
	}
	return nil
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
		r.Replace(userPassword, []string{c.Password.Reveal()})
	}
	if plan.MustChange {
		r.Replace(pwdReset, []string{"TRUE"})
	}
	if plan.Unlock { // Replace with nothing, as Delete fails where nothing is
		r.Replace(pwdAccountLockedTime, nil)
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
	if d.cfg.ServerHashes && (plan.MustChange || plan.RemoveMFA) {
		plan.Unlock = plan.Unlock && s.server.policy
		return plan.MustChange, conn.Modify(ctx, d.modification(s.entry.DN, c, plan))
	}
	if err := conn.Extend(ctx, passwordModify(s.entry.DN, c.Password)); err != nil {
		return false, err
	}
	if !plan.MustChange {
		return false, nil
	}
	// After the password, which would clear it. The password is set whatever comes
	// now, so a failure here is told by Result.MustChange, not by an error.
	r := ldap.NewModifyRequest(s.entry.DN, nil)
	r.Replace(pwdReset, []string{"TRUE"})
	if err := conn.Modify(ctx, r); err != nil {
		d.log.Warn("must-change could not be set after a reset", "dn", s.entry.DN, "err", err)
		return false, nil
	}
	return true, nil
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
	return directory.Result{MustChange: answer.Policy == ldapconn.PolicyChangeAfterReset}, nil
}
