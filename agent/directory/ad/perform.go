package ad

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Perform implements directory.Writer: one modify at the controller that gave the stamp.
func (d *Directory) Perform(ctx context.Context, change directory.Change) (directory.Result, error) {
	plan, err := planOf(change.Tasks)
	if err != nil {
		return directory.Result{}, err
	}
	if plan.Reset == change.Password.Empty() {
		return directory.Result{}, protocol.Err(protocol.CodeBadRequest, "a password is given exactly when one is to be set")
	}
	at, err := parseStamp(change.Stamp)
	if err != nil {
		return directory.Result{}, err
	}
	canonical, _, err := ldapconn.ParseUUID(change.ID)
	if err != nil {
		return directory.Result{}, err
	}
	err = d.pool.Do(ctx, at.Server, func(c *ldapconn.Conn) error {
		if _, err := d.must(ctx, c, canonical, "objectGUID"); err != nil {
			return err
		}
		m := modification(canonical, plan, change.Password)
		if change.Chosen {
			if m.Controls, err = policyHints(ctx, c); err != nil {
				return err
			}
		}
		err := explain(c.Modify(ctx, m))
		if protocol.CodeOf(err) == protocol.CodePermissionDenied {
			return d.nameRight(ctx, c, canonical, plan, err)
		}
		return err
	})
	if err != nil {
		return directory.Result{}, err
	}
	return d.verify(ctx, at.Server, canonical, plan, change.Password)
}

// modification is the one change: atomic, so that a password that the policy refuses
// leaves the lock as it was.
func modification(id string, plan directory.Plan, password protocol.Secret) *ldap.ModifyRequest {
	m := ldap.NewModifyRequest(guidDN(id), nil)
	if plan.Reset {
		m.Replace("unicodePwd", []string{unicodePwd(password)})
	}
	if plan.MustChange {
		m.Replace("pwdLastSet", []string{"0"})
	}
	if plan.Unlock {
		m.Replace("lockoutTime", []string{"0"})
	}
	return m
}

// hints are the OIDs of LDAP_SERVER_POLICY_HINTS, the newer one first (MS-ADTS
// 3.1.1.3.4.1.27): an administrator's reset skips history and least age without it.
var hints = []string{"1.2.840.113556.1.4.2239", "1.2.840.113556.1.4.2066"}

// hintsOn is SEQUENCE { INTEGER 1 }.
const hintsOn = "\x30\x03\x02\x01\x01"

// policyHints is the control for a password that a person chose, where the controller
// lists one: another one answers that it lacks a critical extension.
func policyHints(ctx context.Context, c *ldapconn.Conn) ([]ldap.Control, error) {
	root, err := c.Entry(ctx, "", "(objectClass=*)", "supportedControl")
	if err != nil || root == nil {
		return nil, err
	}
	return hintsAmong(root.GetAttributeValues("supportedControl")), nil
}

func hintsAmong(supported []string) []ldap.Control {
	for _, oid := range hints {
		if slices.Contains(supported, oid) {
			return []ldap.Control{ldap.NewControlString(oid, true, hintsOn)}
		}
	}
	return nil
}

// nameRight says which right a controller missed when it refused a change.
func (d *Directory) nameRight(ctx context.Context, c *ldapconn.Conn, id string, plan directory.Plan, refused error) error {
	dom, err := readDomain(ctx, c)
	if err != nil {
		return refused
	}
	e, err := d.withRights(ctx, c, id)
	if err != nil {
		return refused
	}
	if lack := lackOfRights(plan, e, dom.token); protocol.CodeOf(lack) == protocol.CodePermissionDenied {
		return lack
	}
	return refused
}

// unicodePwd is the form in which a password is written: quoted, in UTF-16 (MS-ADTS
// 3.1.1.3.1.5).
func unicodePwd(password protocol.Secret) string {
	units := utf16.Encode([]rune(`"` + password.Reveal() + `"`))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// verify looks at what the modify, which the controller says is done, really did.
func (d *Directory) verify(ctx context.Context, server, id string, plan directory.Plan, password protocol.Secret) (directory.Result, error) {
	var result directory.Result
	var good bool
	err := d.pool.Do(ctx, server, func(c *ldapconn.Conn) error {
		e, err := d.must(ctx, c, id, "msDS-User-Account-Control-Computed")
		if err != nil {
			return err
		}
		result.MustChange = plan.MustChange && bits(e, "msDS-User-Account-Control-Computed")&uacMustChange != 0
		good = !(plan.Unlock && locked(e))
		if good && plan.Reset {
			good, err = d.signsIn(ctx, server, e.DN, password)
		}
		return err
	})
	if err != nil {
		return result, nil // the controller confirmed the change; only the look at it failed
	}
	if !good {
		return directory.Result{}, fmt.Errorf("%w: %w", directory.ErrUnsure,
			protocol.Err(protocol.CodeInternal, "the controller confirmed the change, but the account does not show it"))
	}
	return result, nil
}

// signsIn tries the new password on a connection of its own. A locked account answers
// the same to every password, so it proves nothing against it.
func (d *Directory) signsIn(ctx context.Context, server, dn string, password protocol.Secret) (bool, error) {
	answer, err := d.pool.SignIn(ctx, server, dn, password)
	if err != nil || answer.OK() {
		return err == nil, err
	}
	why := dataOf(answer)
	return refusals[why].right || why == dataLocked, nil
}
