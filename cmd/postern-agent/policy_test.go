package main

import (
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// What administrators may ask of an account is judged as an order is: by the switches,
// the account, the group, and what the directory says.
func TestPolicyTestSaysWhatAdministratorsMayAskAndWhy(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{MustChange: true, Acts: true})
	site := slapdSite(t, s).with("privileged_groups", `["admins"]`, "default_policy", q("cn=default,ou=policies,"+testenv.SlapdBase))
	site.more = `[guard]
base_dns = ["` + testenv.SlapdPeople + `"]
no_notice = "allow"
acts = ["disable", "set_must_change", "add_to_group"]
act_groups = ["cn=staff,` + testenv.SlapdGroups + `", "cn=deputies,` + testenv.SlapdGroups + `"]
`
	path := site.file(t)
	for _, c := range []struct {
		account, group string
		want           []string
	}{
		{"anna", "", []string{"of administrators", "set_must_change          carried out; ", "add_to_group             allowed, as far as the group is: name one with --group", "delete_account           refused: "}},
		{"chief", "", []string{"set_must_change          refused: built-in administrators"}},
		{"cleo", "deputies", []string{"add_to_group             refused: the group makes administrators of its members"}},
		{"cleo", "nowhere", []string{"add_to_group             refused: "}},
	} {
		args := []string{"policy", "test", "--log-level", "error", "--config", path, "--account", c.account}
		if c.group != "" {
			args = append(args, "--group", c.group)
		}
		r := execute(t, "", args...)
		for _, want := range c.want {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s, %q lacks %q:\n%s%s", c.account, c.group, want, r.out, r.err)
			}
		}
	}
	if n := len(s.Changes(t, testenv.SlapdDN("anna"), testenv.SlapdAgent)); n != 0 {
		t.Errorf("%d changes", n)
	}
	site.more = strings.Replace(site.more, "[guard]", "[evidence]\norigins = [\"https://recover.example.com\"]\n[[evidence.group]]\ngroup = \"*\"\nrequire_agent_verifiable = true\nmethods = [[\"approval\"]]\n[guard]", 1)
	if r := execute(t, "", "policy", "test", "--log-level", "error", "--config", site.file(t), "--account", "anna"); !strings.Contains(r.out, "set_must_change          refused: the agent's file asks for evidence") {
		t.Errorf("where the hub's word is not enough:\n%s%s", r.out, r.err)
	}
}
