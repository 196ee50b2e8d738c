package testenv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"
)

// lockoutThreshold is how many failed binds lock an account of the seeded domain.
const lockoutThreshold = 3

// Dial connects over LDAPS, not signed in. The test closes the connection.
func (s *Samba) Dial(t testing.TB) *ldap.Conn {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := ldap.DialURL(s.URL(), ldap.DialWithTLSConfig(&tls.Config{RootCAs: roots, ServerName: s.Host, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Admin connects and signs in as the domain's administrator.
func (s *Samba) Admin(t testing.TB) *ldap.Conn {
	t.Helper()
	c := s.Dial(t)
	if err := c.Bind("administrator@"+s.domain+".example", SambaAdminPassword); err != nil {
		t.Fatal(err)
	}
	return c
}

// Bind signs in on a connection of its own and says how that ended: nil, or an error
// with the directory's diagnostic ("data 773" is the right password of an account
// that must change it).
func (s *Samba) Bind(t testing.TB, name, password string) error {
	t.Helper()
	c := s.Dial(t)
	defer func() { _ = c.Close() }()
	return c.Bind(name, password)
}

// Lock locks an account by real failed sign-ins.
func (s *Samba) Lock(t testing.TB, name string) {
	t.Helper()
	for range lockoutThreshold {
		if err := s.Bind(t, name, "wrong on purpose"); err == nil {
			t.Fatalf("%s signed in with a wrong password", name)
		}
	}
	if err := s.Bind(t, name, "wrong on purpose"); err == nil || !strings.Contains(err.Error(), "data 775") {
		t.Fatalf("%s is not locked: %v", name, err)
	}
}

// AddPerson makes an enabled account in an organisational unit and returns its DN and
// stored objectGUID. Attributes are in addition to the name, the login and the UPN. Who is
// there from an earlier round of the same tests leaves first.
func (s *Samba) AddPerson(t testing.TB, ou, login, password string, attributes map[string][]string) (dn string, guid []byte) {
	t.Helper()
	c := s.Admin(t)
	defer func() { _ = c.Close() }()
	dn = "CN=" + ldap.EscapeDN(login) + "," + ou
	if err := c.Del(ldap.NewDelRequest(dn, nil)); err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		t.Fatal(err)
	}
	add := ldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", []string{"user"})
	add.Attribute("sAMAccountName", []string{login})
	add.Attribute("userPrincipalName", []string{login + "@corp.example"})
	add.Attribute("userAccountControl", []string{"512"})
	add.Attribute("unicodePwd", []string{quotedUTF16(password)})
	for k, v := range attributes {
		add.Attribute(k, v)
	}
	if err := c.Add(add); err != nil {
		t.Fatal(err)
	}
	r, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"objectGUID"}, nil))
	if err != nil || len(r.Entries) != 1 {
		t.Fatalf("%s was added but not found: %v", dn, err)
	}
	return dn, r.Entries[0].GetRawAttributeValue("objectGUID")
}

// Set replaces attributes of an entry as the domain's administrator; an empty list
// removes the attribute.
func (s *Samba) Set(t testing.TB, dn string, attributes map[string][]string) {
	t.Helper()
	c := s.Admin(t)
	defer func() { _ = c.Close() }()
	m := ldap.NewModifyRequest(dn, nil)
	for k, v := range attributes {
		m.Replace(k, v)
	}
	if err := c.Modify(m); err != nil {
		t.Fatal(err)
	}
}

// SetPassword sets a password as the domain's administrator.
func (s *Samba) SetPassword(t testing.TB, dn, password string) {
	t.Helper()
	s.Set(t, dn, map[string][]string{"unicodePwd": {quotedUTF16(password)}})
}

// quotedUTF16 is the form in which unicodePwd is written (MS-ADTS 3.1.1.3.1.5).
func quotedUTF16(password string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(`"` + password + `"`)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

// Values reads attributes of an entry as the domain's administrator, in this order.
func (s *Samba) Values(t testing.TB, dn string, attributes ...string) (values []string) {
	t.Helper()
	e := s.entry(t, dn, attributes)
	for _, a := range attributes {
		values = append(values, strings.Join(e.GetAttributeValues(a), " "))
	}
	return values
}

// ID is an entry's objectGUID in its canonical form.
func (s *Samba) ID(t testing.TB, dn string) string {
	t.Helper()
	b := s.entry(t, dn, []string{"objectGUID"}).GetRawAttributeValue("objectGUID")
	if len(b) != 16 {
		t.Fatalf("objectGUID of %s: % x", dn, b)
	}
	// The first three parts are stored little-endian (MS-DTYP 2.3.4.2).
	return fmt.Sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%x-%x", b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8:10], b[10:])
}

func (s *Samba) entry(t testing.TB, dn string, attributes []string) *ldap.Entry {
	t.Helper()
	c := s.Admin(t)
	defer func() { _ = c.Close() }()
	r, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", attributes, nil))
	if err != nil || len(r.Entries) != 1 {
		t.Fatalf("%s: %v", dn, err)
	}
	return r.Entries[0]
}

// Tool runs samba-tool on the controller's own database, as an administrator does at its
// console.
func (s *Samba) Tool(t testing.TB, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sambaJoin)
	defer cancel()
	args = append(args, "-s", s.conf(), "-H", filepath.Join(s.Dir, "private", "sam.ldb"))
	if err := RunAs(ctx, "", s.Dir, s.tools["samba-tool"], args...); err != nil {
		t.Fatal(err)
	}
}

// Paste runs a line on the controller as its administrator would paste it into a shell.
func (s *Samba) Paste(t testing.TB, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sambaJoin)
	defer cancel()
	cmd, err := command(ctx, Command{Path: "/bin/sh", Args: []string{"-c", line}, Dir: s.Dir, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SMB_CONF_PATH=" + s.conf()}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

//go:embed samba_acl.py
var sambaACL []byte

// Allow adds an entry, in SDDL, to the access list of an object, as the system itself.
func (s *Samba) Allow(t testing.TB, dn, sddl string) { t.Helper(); s.editACL(t, dn, "add", sddl) }

// Disallow takes everything away that an object's access list has for the trustee of an entry.
func (s *Samba) Disallow(t testing.TB, dn, sddl string) { t.Helper(); s.editACL(t, dn, "remove", sddl) }

func (s *Samba) editACL(t testing.TB, dn, verb, sddl string) {
	t.Helper()
	script := filepath.Join(s.Dir, "acl.py")
	if err := os.WriteFile(script, sambaACL, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), sambaJoin)
	defer cancel()
	if err := RunAs(ctx, "", s.Dir, sambaPython, script, s.conf(), filepath.Join(s.Dir, "private", "sam.ldb"), dn, verb, sddl); err != nil {
		t.Fatal(err)
	}
}

//go:embed samba_age.py
var sambaAge []byte

// windowsEpoch is 1601 before 1970, in hundreds of nanoseconds (MS-DTYP 2.3.3).
const windowsEpoch = 116444736000000000

// Age makes the password of an account as old as a duration says.
func (s *Samba) Age(t testing.TB, dn string, by time.Duration) {
	t.Helper()
	script := filepath.Join(s.Dir, "age.py")
	if err := os.WriteFile(script, sambaAge, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), sambaJoin)
	defer cancel()
	when := strconv.FormatInt(time.Now().Add(-by).UnixNano()/100+windowsEpoch, 10)
	if err := RunAs(ctx, "", s.Dir, sambaPython, script, filepath.Join(s.Dir, "private", "sam.ldb.d"), dn, when); err != nil {
		t.Fatal(err)
	}
}
