package ad

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Bits of userAccountControl and msDS-User-Account-Control-Computed (MS-ADTS 2.2.16
// and 3.1.1.4.5.17).
const (
	uacDisabled       = 0x2
	uacLockout        = 0x10     // computed only
	uacNeverExpires   = 0x10000  // the password; pwdLastSet = 0 has no effect then
	uacSmartcard      = 0x40000  // no sign-in with a password at all
	uacMustChange     = 0x800000 // computed only: expired, or to be changed at the next sign-in
	neverExpires      = 1<<63 - 1
	filetimeUnix      = 116444736000000000 // 1970 in hundreds of nanoseconds since 1601
	filetimePerSecond = 10000000
)

// maxIdentifier bounds what an employee can have typed; a mail address has at most 254
// bytes (RFC 5321).
const maxIdentifier = 320

// listed are the attributes of which a protocol.Account is made.
var listed = []string{
	"objectGUID", "mail", "userPrincipalName", "sAMAccountName", "proxyAddresses", "displayName", "cn", "userAccountControl", "accountExpires", "whenChanged",
}

// attributes returns what to ask for when accounts are listed.
func (d *Directory) attributes(more ...string) []string {
	all := append(slices.Clone(listed), more...)
	if d.cfg.BirthDateAttribute != "" {
		all = append(all, d.cfg.BirthDateAttribute)
	}
	return all
}

// account makes an Account without groups of an entry.
func (d *Directory) account(e *ldap.Entry) (protocol.Account, error) {
	id, err := guidText(e.GetRawAttributeValue("objectGUID"))
	if err != nil {
		return protocol.Account{}, unreadable("objectGUID of " + e.DN)
	}
	changed, _ := parseTime(e.GetAttributeValue("whenChanged")) // the zero time is "unknown"
	return protocol.Account{
		ID:          id,
		Identifiers: identifiers(e),
		Name:        firstOf(e.GetAttributeValue("displayName"), e.GetAttributeValue("cn")),
		BirthDate:   d.birthDate(id, e),
		Disabled:    disabled(e, time.Now()),
		UpdatedAt:   changed,
	}, nil
}

// identifiers are what a person may type to name the account, without repetition.
func identifiers(e *ldap.Entry) []string {
	all := append(addresses(e), e.GetAttributeValue("userPrincipalName"), e.GetAttributeValue("sAMAccountName"))
	return distinct(all)
}

// addresses are the mail addresses of the account itself.
func addresses(e *ldap.Entry) []string {
	all := []string{e.GetAttributeValue("mail")}
	for _, p := range e.GetAttributeValues("proxyAddresses") {
		if scheme, addr, ok := strings.Cut(p, ":"); ok && strings.EqualFold(scheme, "smtp") {
			all = append(all, addr)
		}
	}
	return distinct(all)
}

// distinct drops empty texts and repetitions in another case, and keeps the order.
func distinct(all []string) []string {
	var kept []string
	for _, s := range all {
		if s != "" && !slices.ContainsFunc(kept, func(k string) bool { return strings.EqualFold(k, s) }) {
			kept = append(kept, s)
		}
	}
	return kept
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// disabled reports whether an administrator switched the account off, or let it end.
func disabled(e *ldap.Entry, now time.Time) bool {
	if bits(e, "userAccountControl")&uacDisabled != 0 {
		return true
	}
	expires, err := strconv.ParseInt(e.GetAttributeValue("accountExpires"), 10, 64)
	if err != nil || expires <= 0 || expires == neverExpires {
		return false
	}
	return (expires-filetimeUnix)/filetimePerSecond <= now.Unix()
}

// bits reads an attribute that holds flags; absent is 0.
func bits(e *ldap.Entry, attribute string) uint32 {
	n, _ := strconv.ParseInt(e.GetAttributeValue(attribute), 10, 64)
	return uint32(n)
}

// birthDate returns the keyed hash, or "" without a key or a date.
func (d *Directory) birthDate(id string, e *ldap.Entry) string {
	key := d.key.Load()
	if key == nil || d.cfg.BirthDateAttribute == "" {
		return ""
	}
	date, ok := parseDate(e.GetAttributeValue(d.cfg.BirthDateAttribute))
	if !ok {
		return ""
	}
	return protocol.BirthDateHash(*key, id, date)
}

// parseDate reads YYYY-MM-DD, YYYYMMDD or a generalised time.
func parseDate(text string) (string, bool) {
	for _, layout := range []string{time.DateOnly, "20060102"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Format(time.DateOnly), true
		}
	}
	t, err := parseTime(text)
	if err != nil {
		return "", false
	}
	return t.Format(time.DateOnly), true
}

// parseTime reads a generalised time in UTC, with a fraction or without.
func parseTime(text string) (time.Time, error) {
	const utc = "20060102150405Z"
	t, err := time.Parse(utc, text) // Parse takes a fraction after the seconds
	return t.UTC(), err
}

// find reads the account with the id: nil if there is none in the configured bases.
func (d *Directory) find(ctx context.Context, c *ldapconn.Conn, id string, attributes ...string) (*ldap.Entry, error) {
	canonical, _, err := ldapconn.ParseUUID(id)
	if err != nil {
		return nil, err
	}
	e, err := c.Entry(ctx, guidDN(canonical), d.filter, attributes...)
	if err != nil || e == nil || !d.serves(e.DN) {
		return nil, err
	}
	return e, nil
}

// must is find for accounts that have to be there.
func (d *Directory) must(ctx context.Context, c *ldapconn.Conn, id string, attributes ...string) (*ldap.Entry, error) {
	e, err := d.find(ctx, c, id, attributes...)
	if err == nil && e == nil {
		err = notFound()
	}
	return e, err
}

func notFound() error {
	return protocol.Err(protocol.CodeAccountNotFound, "the domain has no such account below base_dns that passes filter")
}

// serves reports whether a DN is below one of the configured bases.
func (d *Directory) serves(dn string) bool {
	return len(d.cfg.BaseDNs) == 0 || slices.ContainsFunc(d.cfg.BaseDNs, func(b string) bool { return ldapconn.Within(dn, b) })
}

// bases returns where to search: the configured ones, or the whole domain.
func (d *Directory) bases(dom domain) []string {
	if len(d.cfg.BaseDNs) > 0 {
		return d.cfg.BaseDNs
	}
	return []string{dom.base}
}
