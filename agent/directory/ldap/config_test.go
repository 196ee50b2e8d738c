package ldap

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

const example = `
hub = "https://id.example.com"

[directory]
kind = "ldap"
urls = ["ldaps://ldap1.corp.example", "ldaps://ldap2.corp.example"]
ca_file = "ca.pem"
bind_dn = "cn=agent,ou=services,dc=corp,dc=example"
bind_password_file = "bind.password"
base_dns = ["ou=people,dc=corp,dc=example"]
mail_attributes = ["corpPersonalMail"]
mfa_attributes = ["corpTotpSecret"]
privileged_groups = ["admins"]
`

func TestTheConfigurationIsReadStrictly(t *testing.T) {
	cfg, err := Decode(settings.File{Name: "/etc/postern/agent.toml", Text: []byte(example)})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.URLs) != 2 || cfg.CAFile != "/etc/postern/ca.pem" || cfg.BindPasswordFile != "/etc/postern/bind.password" || cfg.MFAAttributes[0] != "corpTotpSecret" {
		t.Errorf("%+v", cfg)
	}
	for wrong, want := range map[string]string{
		"base_dn = [\"dc=x\"]":   "base_dns",
		"start_tsl = true":       "start_tls",
		"mfa_atributes = [\"\"]": "mfa_attributes",
	} {
		_, err := Decode(settings.File{Name: "agent.toml", Text: []byte(example + wrong + "\n")})
		if protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "agent.toml:14") {
			t.Errorf("%s: %v; want the line and %q", wrong, err, want)
		}
	}
}

func TestDefaultsAreOpenLDAPs(t *testing.T) {
	cfg, err := Config{BaseDNs: []string{"ou=people,dc=corp,dc=example"}}.complete()
	if err != nil || cfg.Name != "corp.example" || cfg.Filter != defaultFilter || cfg.IDAttribute != entryUUID || cfg.Groups != GroupsMemberOf || len(cfg.Identifiers) != 2 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestConfigurationThatCannotWorkIsRefused(t *testing.T) {
	good := Config{Config: ldapconn.Config{URLs: []string{"ldaps://x"}, BindDN: "cn=a", Password: protocol.NewSecret("x")}, BaseDNs: []string{"dc=x"}}
	if d, err := Open(good); err != nil || d.Close() != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no base":                          func(c *Config) { c.BaseDNs = nil },
		"a base that is no DN":             func(c *Config) { c.BaseDNs = []string{"corp.example"} },
		"a broken filter":                  func(c *Config) { c.Filter = "(objectClass=person" },
		"a broken group filter":            func(c *Config) { c.GroupFilter = "cn=*" },
		"a name with a filter":             func(c *Config) { c.Identifiers = []string{"mail)(uid"} },
		"an id attribute of none":          func(c *Config) { c.IDAttribute = "entry UUID" },
		"unknown group scheme":             func(c *Config) { c.Groups = "both" },
		"a change stamp of none":           func(c *Config) { c.ChangeAttribute = "when changed" },
		"an unknown profile":               func(c *Config) { c.Profile = "oracle" },
		"another way of resets":            func(c *Config) { c.PasswordBy = "guessing" },
		"a lock without meaning":           func(c *Config) { c.LockAttribute, c.LockHolds = "x", "sometimes" },
		"a flag without a value":           func(c *Config) { c.Profile, c.MustChangeAttribute, c.MustChangeValue = Profile389, "x", "" },
		"values without a name":            func(c *Config) { c.DisabledValues = []string{"left"} },
		"an mfa attribute":                 func(c *Config) { c.MFAAttributes = []string{"totp*"} },
		"a custom schema without a filter": func(c *Config) { c.Profile = ProfileCustom },
		"a policy that is no DN":           func(c *Config) { c.DefaultPolicy = "default" },
		"an administrator":                 func(c *Config) { c.PrivilegedAccounts = []string{"root"} },
		"no server":                        func(c *Config) { c.URLs = nil },
	} {
		cfg := good
		change(&cfg)
		if _, err := Open(cfg); protocol.CodeOf(err) != protocol.CodeConfiguration {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The table in docs/directories.md is what people copy: it must be read as it stands,
// and name every key.
func TestTheDocumentedTableIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "```\n[directory]\nkind = \"ldap\"\n")
	table, _, ok2 := strings.Cut(table, "```")
	if !ok || !ok2 {
		t.Fatal("the table is not there")
	}
	table = "[directory]\nkind = \"ldap\"\n" + table
	cfg, err := Decode(settings.File{Name: "/x/agent.toml", Text: []byte(table)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.complete(); err != nil {
		t.Error(err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		key := f.Tag.Get("toml")
		if key != "" && key != "-" && key != "plain" && !strings.Contains(table, "\n"+key+" = ") && !strings.Contains(table, "\n# "+key+" = ") {
			t.Errorf("the key %s is not documented", key)
		}
	}
}
