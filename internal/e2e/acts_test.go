package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// An administrator changes accounts in their directory from a terminal, as far as the
// agent's own file says: on a real server, which is asked what came of it.
func TestAnAdministratorChangesAccountsAsFarAsTheAgentsFileSays(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 2, MustChange: true, Acts: true})
	v := startEdge(t, edgeConfig{}).environment(t, "acts", "ldap") // a hub of its own: names of people are looked up in all environments of a key
	file := slapdAgent(s)
	file.Directory = strings.NewReplacer("disabled_attribute = \"corpStatus\"\n", "", "disabled_values = [\"left\"]\n", "").Replace(file.Directory)
	file.Guard = `acts = ["enable", "disable", "set_must_change", "add_to_group", "remove_from_group", "set_attribute", "delete_account"]
act_attributes = ["telephoneNumber", "mail"]
act_groups = ["cn=staff,` + testenv.SlapdGroups + `"]`
	a := v.startAgent(file)
	run := func(stdin string, args ...string) (out string, worked bool) {
		t.Helper()
		cmd := exec.CommandContext(soon(t), programs.postern, append([]string{"account"}, append(args, "--server", v.edge.url)...)...)
		cmd.Env, cmd.Stdin = append(os.Environ(), "POSTERN_KEY="+v.key), strings.NewReader(stdin)
		text, err := cmd.CombinedOutput()
		return string(text), err == nil
	}
	const canary = "+49(30)555-0471-177"
	cleo, fresh := testenv.SlapdDN("cleo"), testenv.SlapdEmployeePassword
	signsIn := func(dn string, want bool) {
		t.Helper()
		if err := s.WhoAmI(dn, fresh); (err == nil) != want {
			t.Errorf("%s signs in: %v; want %v", dn, err, want)
		}
	}
	for _, step := range []struct {
		args   string // after " < ", what standard input says: a line for each word
		worked bool
		says   string
		after  func()
	}{
		{"disable cleo@corp.example --dry-run", true, "enabled: true -> false", func() { signsIn(cleo, true) }},
		{"disable cleo@corp.example", true, "done", func() { signsIn(cleo, false) }},
		{"disable cleo@corp.example", false, "so already", nil},
		{"enable cleo@corp.example", true, "enabled: false -> true", func() { signsIn(cleo, true) }},
		{"group add cleo@corp.example staff", true, "group: (nothing) -> staff", func() {
			if got := s.Values(t, cleo, "memberOf"); len(got) != 1 {
				t.Errorf("groups: %q", got)
			}
		}},
		{"group remove cleo@corp.example staff", true, "group: staff -> (nothing)", nil},
		{"group add cleo@corp.example admins", false, "makes administrators", nil},
		{"group add cleo@corp.example team00", false, "guard.act_groups", nil},
		{"must-change cleo@corp.example", true, "must_change: false -> true", func() {
			if got := s.Values(t, cleo, "pwdReset"); len(got) != 1 || got[0] != "TRUE" {
				t.Errorf("pwdReset: %q", got)
			}
		}},
		{"set-attribute cleo@corp.example telephoneNumber --dry-run < " + canary + " 0302", true, "telephoneNumber: 0 value(s) -> 2 value(s)", nil},
		{"set-attribute cleo@corp.example telephoneNumber < " + canary + " 0302", true, "done", func() {
			if got := s.Values(t, cleo, "telephoneNumber"); len(got) != 2 || got[0] != canary {
				t.Errorf("telephoneNumber: %q", got)
			}
		}},
		{"set-attribute cleo@corp.example telephoneNumber < a#" + canary, false, "does not take such a value", nil},
		{"set-attribute cleo@corp.example telephoneNumber --clear", true, "done", func() {
			if got := s.Values(t, cleo, "telephoneNumber"); len(got) != 0 {
				t.Errorf("telephoneNumber: %q", got)
			}
		}},
		{"set-attribute cleo@corp.example mail < " + canary + "@evil.example", false, "the agent refuses", nil},
		{"set-attribute cleo@corp.example title < " + canary, false, "guard.act_attributes", nil},
		{"set-attribute cleo@corp.example noSuchThing < " + canary, false, "guard.act_attributes", nil},
		{"disable chief@corp.example", false, "administrators", func() { signsIn(testenv.SlapdDN("chief"), true) }},
		{"delete emp000001@corp.example", false, "cannot be undone", func() { signsIn(testenv.SlapdDN("emp000001"), true) }},
		{"delete emp000001@corp.example --yes emp000001@corp.example", true, "account: uid=emp000001", func() { signsIn(testenv.SlapdDN("emp000001"), false) }},
		{"operations cleo@corp.example", true, "set_must_change", nil},
	} {
		args, stdin, _ := strings.Cut(step.args, " < ")
		out, worked := run(strings.Join(strings.Fields(stdin), "\n"), strings.Fields(args)...)
		if worked != step.worked || !strings.Contains(out, step.says) {
			t.Errorf("account %s: %v\n%s\nwant %v, %q", step.args, worked, out, step.worked, step.says)
		}
		if step.after != nil {
			step.after()
		}
	}
	// What was set stands in the directory alone: not in the hub's database, in no log, and
	// nowhere at the agent.
	where := places{}
	files(t, where, v.edge.dir, "edge", "master.key", "Caddyfile")
	files(t, where, a.dir, "agent", "keys.json", "ldap-password")
	search(t, where, canaries{"value": canary})
	if standing(where, "set_attribute?attribute=telephoneNumber") == nil {
		t.Error("nothing says that the attribute was set")
	}
}
