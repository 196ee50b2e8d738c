package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol"
)

type core struct {
	StateDir string `toml:"state_dir"`
	Guard    struct {
		BaseDNs []string `toml:"base_dns"`
		Rate    int      `toml:"rate"`
	} `toml:"guard"`
	Wait Duration `toml:"wait"`
}

type Server struct {
	URL string `toml:"url"`
}

type kind struct {
	Server
	Password protocol.Secret `toml:"password"`
	Map      map[string]struct {
		Filter string `toml:"filter"`
	} `toml:"map"`
}

const good = `state_dir = "/s"
wait = "90s"

[guard]
base_dns = ["ou=people"]
rate = 3

[directory]
kind = "ldap"
url = "ldaps://dc"
password = "hunter2"
[directory.map.a]
filter = "(x=y)"
`

func file(text string) File { return File{Name: "agent.toml", Text: []byte(text)} }

func TestCoreAndKindDecodeTheirOwnTablesOfOneFile(t *testing.T) {
	var c core
	if err := file(good).Decode("", &c, "directory"); err != nil {
		t.Fatal(err)
	}
	if c.StateDir != "/s" || c.Guard.Rate != 3 || c.Wait.Duration != 90*time.Second {
		t.Errorf("core = %+v", c)
	}
	var k kind
	if err := file(good).Decode("directory", &k, "kind"); err != nil {
		t.Fatal(err)
	}
	if k.URL != "ldaps://dc" || k.Password.Reveal() != "hunter2" || k.Map["a"].Filter != "(x=y)" {
		t.Errorf("kind = %+v", k)
	}
	if s := fmt.Sprintf("%+v %#v", k, k); strings.Contains(s, "hunter2") {
		t.Errorf("the password shows: %s", s)
	}
}

func TestUnknownKeyIsRefusedWithFileLineAndNearestKey(t *testing.T) {
	for name, c := range map[string]struct{ table, text, want string }{
		"top":           {"", "sate_dir = '/s'", `agent.toml:1: unknown key "sate_dir"; did you mean "state_dir"?`},
		"in a table":    {"", "\n[guard]\nbase_dsn = []\n", `agent.toml:3: unknown key "guard.base_dsn"; did you mean "base_dns"?`},
		"table":         {"", "[gaurd]\n", `agent.toml:1: unknown key "gaurd"; did you mean "guard"?`},
		"others' table": {"", "[directroy]\n", `agent.toml:1: unknown key "directroy"; did you mean "directory"?`},
		"nothing near":  {"", "zzz = 1", `agent.toml:1: unknown key "zzz"`},
		"kind":          {"directory", "[directory]\nkind='x'\nurll='y'", `agent.toml:3: unknown key "directory.urll"; did you mean "url"?`},
		"embedded":      {"directory", "[directory]\nulr='y'", `agent.toml:2: unknown key "directory.ulr"; did you mean "url"?`},
		"kind's map":    {"directory", "[directory.map.q]\nfiltre='y'", `agent.toml:2: unknown key "directory.map.q.filtre"; did you mean "filter"?`},
		"wrong type":    {"", "\n[guard]\nrate = 'many'", "agent.toml:3: "},
		"broken":        {"", "a = [", "agent.toml:1: "},
		"duration":      {"", "wait = '-3s'", `agent.toml:1: `},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if c.table == "" {
				err = file(c.text).Decode("", &core{}, "directory")
			} else {
				err = file(c.text).Decode(c.table, &kind{}, "kind")
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if err != nil && strings.HasSuffix(c.want, `"zzz"`) && err.Error() != c.want {
				t.Errorf("got %v, want no suggestion", err)
			}
		})
	}
}

func TestAValueOfAnotherTypeIsToldInWords(t *testing.T) {
	type group struct {
		Group string `toml:"group"`
	}
	type all struct {
		Name   string                 `toml:"name"`
		Names  []string               `toml:"names"`
		Rate   int                    `toml:"rate"`
		On     bool                   `toml:"on"`
		Wait   Duration               `toml:"wait"`
		Groups []group                `toml:"groups"`
		Guard  struct{ Per Duration } `toml:"guard"`
	}
	for text, want := range map[string]string{
		"name = 1":              `agent.toml:1: key "name": found a whole number, want a text in quotes: "…"`,
		"\nnames = 'staff'":     `agent.toml:2: key "names": found a text, want a list of texts in brackets: ["…"]`,
		"names = [1]":           `agent.toml:1: key "names": found a whole number, want a text in quotes: "…"`,
		"rate = '5'":            `agent.toml:1: key "rate": found a text, want a whole number, without quotes`,
		"rate = 1.5":            `agent.toml:1: key "rate": found a number with a point, want a whole number, without quotes`,
		"on = 'yes'":            `agent.toml:1: key "on": found a text, want true or false, without quotes`,
		"[[groups]]\ngroup = 1": `agent.toml:2: key "groups.group": found a whole number, want a text in quotes: "…"`,
		"groups = 1":            `agent.toml:1: key "groups": found a whole number, want a table in double brackets: [[…]]`,
		"guard = true":          `agent.toml:1: key "guard": found true or false, want a table: […]`,
		"name = 2031-01-02":     `agent.toml:1: key "name": found a local date, want a text in quotes: "…"`,
		"name = staff":          `agent.toml:1: unexpected character U+0073 's' at start of value; a text stands in quotes`,
		"wait = 15":             `agent.toml: key "wait": found a value without quotes, want a text: "15" is not a duration such as "90s", "15m" or "24h"`,
		"[guard]\nper = 15":     `agent.toml: key "guard.per": found a value without quotes, want a text: "15" is not a duration such as "90s", "15m" or "24h"`,
	} {
		if err := file(text).Decode("", &all{}); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestSecretComesFromAFileThatOnlyItsOwnerReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pw")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("s3cret pass\r\n", 0o640)
	if s, err := ReadSecret(path); err != nil || s.Reveal() != "s3cret pass" {
		t.Errorf("got %q, %v", s.Reveal(), err)
	}
	write("s3cret", 0o644)
	if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("world-readable: %v", err)
	}
	write("\n", 0o600)
	if _, err := ReadSecret(path); err == nil {
		t.Error("an empty secret was accepted")
	}
}

func TestPathIsRelativeToTheFile(t *testing.T) {
	f := File{Name: "/etc/postern/agent.toml"}
	for in, want := range map[string]string{"": "", "pw": "/etc/postern/pw", "/run/pw": "/run/pw"} {
		if got := f.Path(in); got != want {
			t.Errorf("Path(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(good)
	f.Add("[[directory]]\na=1")
	f.Add("guard = 3")
	f.Fuzz(func(_ *testing.T, text string) {
		_ = file(text).Decode("", &core{}, "directory")
		_ = file(text).Decode("directory", &kind{}, "kind")
	})
}

func TestAServicesCredentialsAreTakenBeforeFilesOfTheSameName(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	given := filepath.Join(dir, "secrets_bind-password")
	if err := os.WriteFile(given, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := File{Name: "/etc/postern-agent/agent.toml"}
	for in, want := range map[string]string{
		"secrets/bind-password": given, "./secrets/bind-password": given,
		"secrets/other": "/etc/postern-agent/secrets/other", "ca.pem": "/etc/postern-agent/ca.pem",
		"/etc/postern-agent/secrets/bind-password": given, "/etc/secrets/bind-password": "/etc/secrets/bind-password",
		"../secrets/bind-password": "/etc/secrets/bind-password", "": "",
	} {
		if got := f.Path(in); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}
