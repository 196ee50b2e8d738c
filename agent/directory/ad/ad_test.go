package ad

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

func TestConfigurationIsCheckedBeforeAnythingIsAsked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"plain":     func(c *Config) { c.Plain = true },
		"no tls":    func(c *Config) { c.URLs = []string{"ldap://127.0.0.1"} },
		"filter":    func(c *Config) { c.Filter = "objectClass=*" },
		"attribute": func(c *Config) { c.MailAttributes = []string{"mail)(cn=*"} },
		"secret":    func(c *Config) { c.BirthDateAttribute = "ms-Mcs-AdmPwd" },
		"base":      func(c *Config) { c.BaseDNs = []string{"corp.example"} },
	} {
		cfg := Config{Config: ldapconn.Config{URLs: []string{"ldaps://127.0.0.1"}, BindDN: "svc@corp.example", Password: protocol.NewSecret("x")}}
		if _, err := Open(cfg); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := Open(cfg); protocol.CodeOf(err) != protocol.CodeConfiguration {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettleComparesStamps(t *testing.T) {
	dc := "11111111-1111-1111-1111-111111111111"
	before := stamp{DC: dc, Now: 1000, Password: write{3, dc, 100, 500}, Last: write{3, dc, 100, 500}, Lock: write{2, dc, 90, 400}}
	after := func(f func(*stamp)) stamp { s := before; s.MustChange, s.Unlocked = true, true; f(&s); return s }
	both := directory.Plan{Reset: true, MustChange: true, Unlock: true}
	only := directory.Plan{Unlock: true}
	for name, c := range map[string]struct {
		plan  directory.Plan
		after stamp
		want  protocol.State
	}{
		"nothing":              {both, before, protocol.Unchanged},
		"failed sign-ins only": {both, after(func(s *stamp) { s.Lock = write{3, dc, 120, 1001} }), protocol.Unchanged},
		"one modify": {both, after(func(s *stamp) {
			s.Password, s.Last, s.Lock = write{4, dc, 130, 1002}, write{4, dc, 130, 1002}, write{3, dc, 129, 1001}
		}), protocol.Done},
		"flag was set already":      {both, after(func(s *stamp) { s.Password = write{4, dc, 130, 1002} }), protocol.Done},
		"reset, flag not set":       {both, after(func(s *stamp) { s.Password, s.MustChange = write{4, dc, 130, 1002}, false }), protocol.Unknown},
		"reset, still locked":       {both, after(func(s *stamp) { s.Password, s.Unlocked = write{4, dc, 130, 1002}, false }), protocol.Unknown},
		"reset, then flag":          {both, after(func(s *stamp) { s.Password, s.Last = write{4, dc, 130, 1002}, write{5, dc, 131, 1002} }), protocol.Unknown},
		"flag a while later":        {both, after(func(s *stamp) { s.Password, s.Last = write{4, dc, 130, 1002}, write{4, dc, 131, 1010} }), protocol.Unknown},
		"two resets":                {both, after(func(s *stamp) { s.Password = write{5, dc, 140, 1002} }), protocol.Unknown},
		"long after the operation":  {both, after(func(s *stamp) { s.Password = write{4, dc, 140, 1121} }), protocol.Unknown},
		"at another controller":     {both, after(func(s *stamp) { s.Password = write{4, "22222222-1111-1111-1111-111111111111", 7, 1002} }), protocol.Unknown},
		"controller was restored":   {both, after(func(s *stamp) { s.DC = "22222222-1111-1111-1111-111111111111" }), protocol.Unknown},
		"unlocked":                  {only, after(func(s *stamp) { s.Lock = write{3, dc, 130, 1002} }), protocol.Done},
		"lock ran out, locked anew": {only, after(func(s *stamp) { s.Lock, s.Unlocked = write{3, dc, 130, 1002}, false }), protocol.Unknown},
		"unlocked and locked again": {only, after(func(s *stamp) { s.Lock = write{4, dc, 131, 1002} }), protocol.Unknown},
		"password beside an unlock": {only, after(func(s *stamp) { s.Password = write{4, dc, 131, 1002} }), protocol.Unchanged},
	} {
		if got := settle(c.plan, before, c.after); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func FuzzDescriptor(f *testing.F) {
	everyone := []byte{1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	entry := append([]byte{aceDenied, 0, 20, 0, 0, 1, 0, 0}, everyone...)
	acl := append([]byte{4, 0, 28, 0, 1, 0, 0, 0}, entry...)
	sd := append([]byte{1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0}, acl...)
	list, err := parseDescriptor(sd)
	allowed, denied := list.verdict(map[sid]bool{sidEveryone: true}, rightReset)
	if err != nil || list.open || len(list.aces) != 1 || allowed || !denied {
		f.Fatalf("parseDescriptor = %+v, %v", list, err)
	}
	f.Add(sd)
	f.Add(sd[:30])
	f.Fuzz(func(t *testing.T, raw []byte) {
		acl, err := parseDescriptor(raw)
		if err != nil && acl.aces != nil {
			t.Errorf("a malformed descriptor gave %v", acl.aces)
		}
	})
}

func FuzzStamp(f *testing.F) {
	f.Add(`{"server":"ldaps://x:636#127.0.0.1:636","dc":"a"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseStamp(text); err == nil && (s.Server == "" || s.DC == "") {
			t.Errorf("%q is taken for a stamp", text)
		}
	})
}

// The table in docs/directories.md is what people copy: it must be read as it stands, and
// name every key.
func TestTheDocumentedTableIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "[directory]\nkind = \"ad\"\n"
	_, table, ok := strings.Cut(string(text), "```\n"+head)
	table, _, ok2 := strings.Cut(table, "```")
	if !ok || !ok2 {
		t.Fatal("the table is not there")
	}
	var cfg Config
	if err := (settings.File{Name: "/x/agent.toml", Text: []byte(head + table)}).Decode("directory", &cfg, "kind"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err != nil {
		t.Error(err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		key := f.Tag.Get("toml")
		if key != "" && key != "-" && key != "plain" && !strings.Contains(table, "\n"+key+" = ") && !strings.Contains(table, "\n# "+key+" = ") && !strings.HasPrefix(table, key+" = ") {
			t.Errorf("the key %s is not documented", key)
		}
	}
}

// What the agent's sample shows of [directory] is enough to begin with, once it is no
// comment any more.
func TestTheSampleOfTheAgentIsEnoughForADirectory(t *testing.T) {
	text, err := os.ReadFile("../../sample.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n[directory]\n")
	table, _, _ = strings.Cut(table, "\n[")
	for _, key := range []string{"urls", "ca_file", "bind_dn", "bind_password_file", "base_dns"} {
		before, after, ok := strings.Cut(table, "\n# "+key+" = ")
		if !ok {
			t.Fatalf("the sample lacks %s", key)
		}
		table = before + "\n" + key + " = " + after
	}
	var cfg Config
	if err := (settings.File{Name: "/x/agent.toml", Text: []byte("[directory]\n" + table)}).Decode("directory", &cfg, "kind"); err != nil {
		t.Fatal(err)
	}
	if len(cfg.BaseDNs) == 0 || len(cfg.URLs) == 0 || cfg.BindDN == "" || cfg.CAFile == "" {
		t.Errorf("%+v", cfg)
	}
	cfg.CAFile = "" // the sample's authority is a file that only its reader has
	if _, err := Open(cfg); err != nil {
		t.Error(err)
	}
}
