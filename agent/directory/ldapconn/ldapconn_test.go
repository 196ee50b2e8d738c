package ldapconn

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

func TestOnlyEncryptedOrLoopbackConnectionsAreConfigurable(t *testing.T) {
	for name, c := range map[string]struct {
		cfg Config
		ok  bool
	}{
		"ldaps":                     {Config{URLs: []string{"ldaps://dc1.corp.example"}}, true},
		"starttls":                  {Config{URLs: []string{"ldap://dc1.corp.example"}, StartTLS: true}, true},
		"plain to loopback":         {Config{URLs: []string{"ldap://127.0.0.1:3890"}, Plain: true}, true},
		"plain to IPv6 loopback":    {Config{URLs: []string{"ldap://[::1]:3890"}, Plain: true}, true},
		"plain, not asked for":      {Config{URLs: []string{"ldap://127.0.0.1:3890"}}, false},
		"plain to another machine":  {Config{URLs: []string{"ldap://10.0.0.1"}, Plain: true}, false},
		"plain to a name":           {Config{URLs: []string{"ldap://localhost"}, Plain: true}, false},
		"ldaps with starttls":       {Config{URLs: []string{"ldaps://dc1"}, StartTLS: true}, false},
		"one good and one bad":      {Config{URLs: []string{"ldaps://dc1", "ldap://dc2"}}, false},
		"another scheme":            {Config{URLs: []string{"https://dc1"}}, false},
		"a password in the address": {Config{URLs: []string{"ldaps://u:p@dc1"}}, false},
		"a path":                    {Config{URLs: []string{"ldaps://dc1/dc=example"}}, false},
		"no address":                {Config{}, false},
	} {
		c.cfg.BindDN, c.cfg.Password = "cn=agent", protocol.NewSecret("x")
		p, err := Open(c.cfg)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && protocol.CodeOf(err) != protocol.CodeConfiguration {
			t.Errorf("%s: code %s", name, protocol.CodeOf(err))
		}
		if err == nil && p.Close() != nil {
			t.Errorf("%s: close", name)
		}
	}
}

func TestConfigurationErrorsNameTheKey(t *testing.T) {
	good := Config{URLs: []string{"ldaps://dc1"}, BindDN: "cn=agent", Password: protocol.NewSecret("x")}
	for want, change := range map[string]func(*Config){
		"ca_file":            func(c *Config) { c.CAFile = filepath.Join(t.TempDir(), "none.pem") },
		"bind_password_file": func(c *Config) { c.Password = protocol.Secret{} },
		"urls":               func(c *Config) { c.URLs = nil },
	} {
		cfg := good
		change(&cfg)
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestPathsAreRelativeToTheConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("hunter2 and more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{BindPasswordFile: "pw"}
	cfg.Locate(settings.File{Name: filepath.Join(dir, "agent.toml")})
	got, err := cfg.password()
	if err != nil || got.Reveal() != "hunter2 and more" {
		t.Errorf("password: %v", err)
	}
}

func TestP27_FiltersEscapeEverythingFromOutside(t *testing.T) {
	for value, want := range map[string]string{
		"anna@corp.example":     "(mail=anna@corp.example)",
		"*":                     `(mail=\2a)`,
		"a)(uid=*":              `(mail=a\29\28uid=\2a)`,
		"x\x00y":                `(mail=x\00y)`,
		`back\slash`:            `(mail=back\5cslash)`,
		"jürgen":                `(mail=j\c3\bcrgen)`,
		")(|(objectClass=*)(a=": `(mail=\29\28|\28objectClass=\2a\29\28a=)`,
	} {
		if got := Equal("mail", value); got != want {
			t.Errorf("Equal(%q) = %s, want %s", value, got, want)
		}
		if err := CheckFilter(Equal("mail", value)); err != nil {
			t.Errorf("Equal(%q) cannot be parsed: %v", value, err)
		}
	}
	if got, want := Prefix("cn", "a*"), `(cn=a\2a*)`; got != want {
		t.Errorf("Prefix = %s, want %s", got, want)
	}
}

func TestConfiguredNamesAreChecked(t *testing.T) {
	for name, ok := range map[string]bool{
		"mail": true, "cn;lang-de": true, "x-corp-id": true, "": false, "mail)(uid": false, "a b": false, "mäil": false, "1.2": false, "*": false,
	} {
		if err := CheckAttribute(name); (err == nil) != ok {
			t.Errorf("CheckAttribute(%q): %v", name, err)
		}
	}
	for filter, ok := range map[string]bool{
		"(objectClass=person)": true, "(&(a=b)(!(c=*)))": true, "objectClass=person": false, "(a=b": false, "": false, "(a=b))": false,
	} {
		if err := CheckFilter(filter); (err == nil) != ok {
			t.Errorf("CheckFilter(%q): %v", filter, err)
		}
	}
}

func TestP04_IdsParseAsUUIDBeforeUse(t *testing.T) {
	got, raw, err := ParseUUID("0A1B2C3D-4E5F-6071-8293-a4b5c6d7e8f9")
	if err != nil || got != "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9" || raw[0] != 0x0a || raw[15] != 0xf9 {
		t.Errorf("got %s, %x, %v", got, raw, err)
	}
	if got := FormatUUID(SwapGUID(raw)); got != "3d2c1b0a-5f4e-7160-8293-a4b5c6d7e8f9" {
		t.Errorf("swapped %s", got)
	}
	for _, bad := range []string{"", "*", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8fg",
		"x; Add-ADGroupMember 'Domain Admins' eve", "{0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9}", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\x00"} {
		if _, _, err := ParseUUID(bad); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("ParseUUID(%q): %v", bad, err)
		}
	}
}

func TestDNsCompareByMeaning(t *testing.T) {
	const base = "dc=corp,dc=example"
	for _, c := range []struct {
		dn, other    string
		same, within bool
	}{
		{"uid=a," + base, "UID=A, DC=Corp, DC=Example", true, true},
		{"uid=a," + base, base, false, true},
		{base, base, true, true},
		{"uid=a,dc=evilcorp,dc=example", base, false, false},
		{`cn=a\,` + base, base, false, false},
		{`cn=O'Brien,` + base, `cn=O\27Brien,` + base, true, true},
		{"", base, false, false},
		{"no dn", "no dn", false, false},
		{"uid=a," + base, "", false, false},
	} {
		if got := SameDN(c.dn, c.other); got != c.same {
			t.Errorf("SameDN(%q, %q) = %v", c.dn, c.other, got)
		}
		if got := Within(c.dn, c.other); got != c.within {
			t.Errorf("Within(%q, %q) = %v", c.dn, c.other, got)
		}
	}
	if FoldDN("CN=Team A, OU=Groups,"+base) != FoldDN("cn=team a,ou=groups,"+base) {
		t.Error("FoldDN tells spellings apart")
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":             nil,
		"a tag alone":       {0x30},
		"indefinite":        {0x30, 0x80, 0, 0},
		"too long":          {0x30, 5, 1},
		"length of lengths": {0x30, 0x85, 0, 0, 0, 0, 1, 0},
		"huge":              {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		"length is cut":     {0x30, 0x82, 1},
	} {
		if _, _, _, err := split(b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
