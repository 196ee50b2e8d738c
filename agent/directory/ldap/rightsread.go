package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// rightToRead looks whether the agent is shown what every entry has: the mark by which
// changes are found, and one of the names. What not every entry has cannot be told from
// what is hidden.
func (d *Directory) rightToRead(ctx context.Context, c *ldapconn.Conn, s state) (directory.Right, bool, error) {
	r := directory.Right{Name: "read " + d.cfg.ChangeAttribute + " and " + strings.Join(d.cfg.NameAttributes, " or "), For: []string{"what changed", "names of accounts"}, Held: directory.HeldYes}
	e, err := c.Entry(ctx, s.entry.DN, "(objectClass=*)", append([]string{d.cfg.ChangeAttribute}, d.cfg.NameAttributes...)...)
	if err != nil {
		return r, true, err
	}
	named := e != nil && slices.ContainsFunc(d.cfg.NameAttributes, func(n string) bool { return first(entry{e}, n) != "" })
	if !named || first(entry{e}, d.cfg.ChangeAttribute) == "" {
		r.Held, r.Why, r.Fix = directory.HeldNo, "the server's access rules hide them from the agent's account", d.cfg.mayRead()
	}
	return r, true, nil
}

// mayRead are the lines that show the agent's account what it must see of accounts, and no
// secret.
func (cfg Config) mayRead() []string {
	base := cfg.BaseDNs[0]
	if !cfg.is389() {
		names := append([]string{"entry", cfg.ChangeAttribute}, cfg.NameAttributes...)
		return []string{fmt.Sprintf(`access to dn.subtree="%s" attrs=%s by dn.exact="%s" read by * break`, base, strings.Join(names, ","), cfg.BindDN)}
	}
	hidden := append([]string{cfg.PasswordAttribute, "passwordHistory", "aci"}, cfg.MFAAttributes...)
	return cfg.aci(base, `(targetattr!="`+strings.Join(hidden, " || ")+`")`, "read accounts", "read,search,compare")
}

// listed is how much of a list rightToList reads: servers' limits are far below, and a
// person waits.
const listed = 100_000

var errListed = errors.New("ldap: enough was listed")

// rightToList reads who there is, as a full pass does, and nothing of anybody: limits of a
// server end a list that an administrator reads as a whole.
func (d *Directory) rightToList(ctx context.Context, c *ldapconn.Conn, _ state) (directory.Right, bool, error) {
	r := directory.Right{Name: "list all accounts", For: []string{"every pass that lists everything"}, Held: directory.HeldYes}
	stream, err := d.pool.Stream(ctx, c.Server())
	if err != nil {
		return r, true, err
	}
	defer stream.Close()
	n := 0
	count := func(*ldapconn.Row) error {
		if n++; n > listed {
			return errListed
		}
		return nil
	}
	for _, base := range outermost(d.cfg.BaseDNs) {
		q := ldapconn.Query{Base: base, Filter: d.cfg.Filter, Attributes: []string{"1.1"}, Page: defaultPage}
		err := stream.Search(ctx, q, count, func() error { return nil })
		if ldapconn.IsCode(err, ldap.LDAPResultSizeLimitExceeded) || ldapconn.IsCode(err, ldap.LDAPResultAdminLimitExceeded) || ldapconn.IsCode(err, ldap.LDAPResultTimeLimitExceeded) {
			r.Held, r.Why, r.Fix = directory.HeldNo, "a limit of the server ends the list early", d.cfg.unlimited()
			return r, true, nil
		}
		if errors.Is(err, errListed) {
			return r, true, nil
		}
		if err != nil {
			return r, true, err
		}
	}
	return r, true, nil
}

// unlimited are the lines that lift the server's limits for the agent's account.
func (cfg Config) unlimited() []string {
	if !cfg.is389() {
		return []string{fmt.Sprintf(`limits dn.exact="%s" size=unlimited time=unlimited`, cfg.BindDN)}
	}
	lines := []string{"dn: " + cfg.BindDN, "changetype: modify"}
	for i, n := range []string{"nsSizeLimit", "nsPagedSizeLimit", "nsLookThroughLimit", "nsPagedLookThroughLimit", "nsTimeLimit"} {
		if i > 0 {
			lines = append(lines, "-")
		}
		lines = append(lines, "replace: "+n, n+": -1")
	}
	return lines
}
