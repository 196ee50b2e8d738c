package ldap

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

var _ directory.Advisor = (*Directory)(nil)

// Rights implements directory.Advisor. Rights to write are found as a dry run finds them:
// values are to be deleted that do not exist.
func (d *Directory) Rights(ctx context.Context, id string) (directory.Rights, error) {
	var r directory.Rights
	err := d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		s, err := d.readState(ctx, c, id)
		if err != nil {
			return err
		}
		r = directory.Rights{Agent: d.cfg.BindDN, Account: s.entry.DN}
		if r.Needs, err = d.rightsToWrite(ctx, c, s); err != nil {
			return err
		}
		for _, look := range []func(context.Context, *ldapconn.Conn, state) (directory.Right, bool, error){d.rightToRead, d.rightToList, d.rightToPolicy, d.rightToSync} {
			one, applies, err := look(ctx, c, s)
			if err != nil {
				return err
			}
			if applies {
				r.Needs = append(r.Needs, one)
			}
		}
		r.Excess, err = d.excess(ctx, c, s.entry.DN)
		return err
	})
	return r, err
}

// rightsToWrite looks at each attribute that an operation changes.
func (d *Directory) rightsToWrite(ctx context.Context, c *ldapconn.Conn, s state) (all []directory.Right, err error) {
	add := func(right, what string, attributes ...string) {
		for _, n := range attributes {
			if err != nil || n == "" {
				continue
			}
			var one directory.Right
			one, err = d.rightToWrite(ctx, c, s.entry, n, right, what)
			all = append(all, one)
		}
	}
	add("=w", string(protocol.GetTemporaryPassword), d.cfg.PasswordAttribute)
	if d.cfg.unlocks(s.server) {
		add("write", string(protocol.Unlock), d.cfg.UnlockAttributes...)
	}
	if d.cfg.mustChanges(s.server, s.policy) {
		add("write", "must_change", d.cfg.MustChangeAttribute)
	}
	add("=sw", string(protocol.RemoveAllMFA), d.cfg.MFAAttributes...)
	return all, err
}

// rightToWrite looks at one attribute. right is the level that OpenLDAP calls it by.
func (d *Directory) rightToWrite(ctx context.Context, c *ldapconn.Conn, e *ldap.Entry, attribute, right, what string) (directory.Right, error) {
	r := directory.Right{Name: "write " + attribute, For: []string{what}, Held: directory.HeldUnknown}
	value := d.cfg.nobodys(attribute, rand.Text()+rand.Text())
	err := tryDelete(ctx, c, e.DN, attribute, value)
	for _, other := range strangers() { // of another syntax: the server looks at that first
		if !ldapconn.IsCode(err, ldap.LDAPResultInvalidAttributeSyntax) {
			break
		}
		err = tryDelete(ctx, c, e.DN, attribute, other)
	}
	switch {
	case ldapconn.IsCode(err, ldap.LDAPResultNoSuchAttribute):
		r.Held = directory.HeldYes
	case ldapconn.IsCode(err, ldap.LDAPResultInsufficientAccessRights):
		r.Held, r.Why = directory.HeldNo, "the server's access rules do not let the agent's account write it"
		r.Fix = d.cfg.grant(attribute, right)
	case ldapconn.IsCode(err, ldap.LDAPResultReferral):
		r.Held, r.Why = directory.HeldNo, "this server takes no writes; name one in urls that does"
	case protocol.CodeOf(err) == protocol.CodeUnavailable || ctx.Err() != nil:
		return r, err
	default:
		r.Why = "the server answered something that says nothing of rights"
	}
	return r, nil
}

// tryDelete asks the server to delete a value that should not exist, twice at once: if it
// does, the second time fails, and with it all of the request (RFC 4511 4.6).
func tryDelete(ctx context.Context, c *ldapconn.Conn, dn, attribute, value string) error {
	m := ldap.NewModifyRequest(dn, nil)
	m.Delete(attribute, []string{value})
	m.Delete(attribute, []string{value})
	return c.Modify(ctx, m)
}

// strangers are values of other syntaxes that no entry has (RFC 4517 3.3): a name of
// nobody, a number with as many digits as chance makes improbable, a time before LDAP.
func strangers() []string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	n := binary.BigEndian.Uint64(b[:])
	return []string{"cn=" + rand.Text() + rand.Text(), fmt.Sprintf("-%d", n>>2|1<<61), time.Unix(-5_000_000_000-int64(n%2_000_000_000), 0).UTC().Format("20060102150405") + "Z"}
}

// grant are the lines that give the right to write an attribute.
func (cfg Config) grant(attribute, right string) []string {
	if cfg.is389() {
		allow := "write"
		if right == "=sw" {
			allow = "search,write"
		}
		return cfg.aci(cfg.BaseDNs[0], `(targetattr="`+attribute+`")`, "write "+attribute, allow)
	}
	return []string{fmt.Sprintf(`access to attrs=%s by dn.exact="%s" %s by * break`, attribute, cfg.BindDN, right)}
}

// aci are the lines of LDIF that add a rule of 389-ds to an entry.
func (cfg Config) aci(dn, target, name, allow string) []string {
	return []string{"dn: " + dn, "changetype: modify", "add: aci",
		fmt.Sprintf(`aci: %s(version 3.0; acl "postern %s"; allow (%s) userdn="ldap:///%s";)`, target, name, allow, cfg.BindDN)}
}

// rightToPolicy looks whether the password policy of the account can be read.
func (d *Directory) rightToPolicy(_ context.Context, _ *ldapconn.Conn, s state) (directory.Right, bool, error) {
	r := directory.Right{Name: "read the password policy " + s.policy.dn, For: []string{"length of temporary passwords", "must_change"}, Optional: true, Held: directory.HeldYes}
	if s.policy.dn == "" {
		return r, false, nil
	}
	if !s.policy.known {
		r.Held, r.Why = directory.HeldNo, "the server still enforces it; a temporary password that it refuses fails with a plain message"
		names := d.cfg.policyAttributes()
		if d.cfg.is389() {
			r.Fix = d.cfg.aci(s.policy.dn, `(targetattr="objectClass || `+strings.Join(names[:], " || ")+`")`, "read policy", "read,search")
		} else {
			r.Fix = []string{fmt.Sprintf(`access to dn.exact="%s" by dn.exact="%s" read by * break`, s.policy.dn, d.cfg.BindDN)}
		}
	}
	return r, true, nil
}

// rightToSync looks whether the server tells the agent of changes.
func (d *Directory) rightToSync(ctx context.Context, c *ldapconn.Conn, s state) (directory.Right, bool, error) {
	r := directory.Right{Name: "read contextCSN", For: []string{"changes at once"}, Optional: true, Held: directory.HeldYes}
	if d.cfg.NoSync || d.cfg.is389() || !s.server.sync || len(s.server.suffixes) == 0 {
		return r, false, nil
	}
	p := &pass{directory: d, conn: c, server: s.server}
	for _, suffix := range s.server.suffixes {
		cookie, err := p.cookieOf(ctx, suffix)
		if err != nil {
			return r, false, err
		}
		if len(cookie) == 0 {
			r.Held, r.Why = directory.HeldNo, "the overlay syncprov is missing on "+suffix+", or the agent's account may not read contextCSN there; times and ids are compared each hour"
			r.Fix = []string{fmt.Sprintf(`access to dn.exact="%s" attrs=entry,contextCSN by dn.exact="%s" read by * break`, suffix, d.cfg.BindDN)}
		}
	}
	return r, true, nil
}

// excess finds secrets that the agent's account can read.
func (d *Directory) excess(ctx context.Context, c *ldapconn.Conn, dn string) (all []directory.Right, err error) {
	secrets := append([]string{d.cfg.PasswordAttribute, "pwdHistory", "passwordHistory"}, d.cfg.MFAAttributes...)
	e, err := c.Entry(ctx, dn, "(objectClass=*)", secrets...)
	if err != nil || e == nil {
		return nil, err
	}
	for _, n := range secrets {
		if len(e.GetEqualFoldRawAttributeValues(n)) > 0 {
			all = append(all, directory.Right{Name: "read " + n, Held: directory.HeldYes,
				Why: "no operation reads it; who takes over the agent has what everybody's sign-in rests on"})
		}
	}
	return all, nil
}
