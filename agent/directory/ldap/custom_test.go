package ldap

import (
	"os"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// documentedCustom is the whole example of a custom schema, as people copy it.
func documentedCustom(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "[directory]\nkind = \"ldap\"\nprofile = \"custom\"\n"
	_, table, ok := strings.Cut(string(text), "```\n"+head)
	table, _, ok2 := strings.Cut(table, "```")
	if !ok || !ok2 {
		t.Fatal("the example is not there")
	}
	return head + table
}

// A directory with classes, attributes and ids of its own works by the documented
// configuration alone.
func TestACustomSchemaWorksByConfigurationAlone(t *testing.T) {
	t.Parallel()
	custom, err := Decode(settings.File{Name: "/x/agent.toml", Text: []byte(documentedCustom(t))})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture(t, testenv.SlapdOptions{MustChange: true, Custom: true}, func(cfg *Config) {
		at := cfg.Config // where the test's server is
		*cfg = custom
		cfg.Config = at
	})
	for _, p := range []*directorytest.Person{&f.Person, &f.Disabled, &f.Chief, &f.Deputy, &f.MFA} {
		p.ID = testenv.SlapdNumber(p.DN)
	}
	for i := range f.Spares {
		f.Spares[i].ID = testenv.SlapdNumber(f.Spares[i].DN)
	}
	for i := range f.Refusals {
		f.Refusals[i].Person.ID = testenv.SlapdNumber(f.Refusals[i].Person.DN)
	}
	f.Disabled = person("lea", "lea@corp.example", "Lea Lopez") // ppolicy's own marks are not mapped
	f.Disabled.ID = testenv.SlapdNumber(f.Disabled.DN)
	f.Refusals = f.Refusals[:1] // so is which policy is whose
	directorytest.Run(t, f)
}

func TestWhatACustomSchemaLacksIsNamed(t *testing.T) {
	example := documentedCustom(t)
	for _, key := range []string{"filter", "id_attribute", "identifiers", "name_attributes", "change_attribute", "groups", "group_filter"} {
		before, line, ok := strings.Cut(example, "\n"+key+" = ")
		_, after, ok2 := strings.Cut(line, "\n")
		if !ok || !ok2 {
			t.Fatalf("%s is not in the example", key)
		}
		wantKey(t, key, before+"\n"+after)
		wantKey(t, key, before+"\n"+key+" = \"\"\n"+after)
	}
	for key, value := range map[string]string{
		"lock_attribute": `"not an attribute"`, "member_attributes": `["a b"]`, "mfa_attributes": `["*"]`, "group_filter": `"cn=*"`, "filter": `"((("`,
		"default_policy": `"default"`, "privileged_accounts": `["root"]`, "lock_holds": `"sometimes"`, "password_by": `"magic"`, "uuid_attribute": `"a*"`,
	} {
		wantKey(t, key, without(example, key)+"\n"+key+" = "+value+"\n")
	}
}

func without(table, key string) string {
	before, line, ok := strings.Cut(table, "\n"+key+" = ")
	if !ok {
		return table
	}
	_, after, _ := strings.Cut(line, "\n")
	return before + "\n" + after
}

// wantKey fails the test unless the table is refused with words that name the key.
func wantKey(t *testing.T, key, table string) {
	t.Helper()
	cfg, err := Decode(settings.File{Name: "/x/agent.toml", Text: []byte(table)})
	if err == nil {
		_, err = cfg.complete()
	}
	if protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), key) {
		t.Errorf("%s: %v", key, err)
	}
}
