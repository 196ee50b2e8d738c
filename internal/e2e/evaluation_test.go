package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// pictureOf keeps the page at two sizes, where somebody wants to look at it, and lets axe
// look at both.
func pictureOf(t *testing.T, b *testenv.Browser, name string) {
	t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"phone", 390, 844}, {"desktop", 1280, 800}} {
		b.Viewport(size.width, size.height)
		for _, v := range b.Axe() {
			t.Errorf("%s, %s: %s", name, size.name, v)
		}
		if dir := os.Getenv("POSTERN_SCREENSHOTS"); dir != "" {
			b.Screenshot(filepath.Join(dir, "evaluation-"+name+"-"+size.name+".png"))
		}
	}
}

// evaluatedAccount is one account of a report.
type evaluatedAccount struct {
	Name    string
	Could   int
	Reasons []protocol.Reason
}

// evaluated runs an evaluation over REST and returns its accounts by name.
func (v *environment) evaluated(scope map[string]any) map[string]evaluatedAccount {
	v.t.Helper()
	var run struct{ ID, State, Problem string }
	path := "/api/directories/" + v.directory + "/evaluations"
	v.do(http.MethodPost, path, scope, &run)
	poll(v.t, "a finished evaluation", func() bool {
		v.do(http.MethodGet, path+"/"+run.ID, nil, &run)
		return run.State != "running"
	})
	if run.State != "done" {
		v.t.Fatalf("the evaluation ended as %+v", run)
	}
	var list struct{ Accounts []evaluatedAccount }
	v.do(http.MethodGet, path+"/"+run.ID+"/accounts?count=1000", nil, &list)
	all := map[string]evaluatedAccount{}
	for _, a := range list.Accounts {
		all[a.Name] = a
	}
	return all
}

// While the agent's file says so, an employee goes through everything, ends in "would
// have", and the account is as it was; and the report names for everybody the true reason.
func TestT33_EvaluationAgainstActiveDirectoryChangesNothingAndReportsTheTrueReasons(t *testing.T) {
	t.Parallel()
	s := testenv.SharedSamba(t)
	home := func(login string) map[string][]string {
		return map[string][]string{"mail": {login + "@corp.example"}, "otherMailbox": {login + "@home.example"}}
	}
	person := func(ou, login, name string, more map[string][]string) string {
		all := map[string][]string{"displayName": {name}}
		for k, values := range more {
			all[k] = values
		}
		dn, _ := s.AddPerson(t, ou, login, testenv.SambaEmployeePassword, all)
		return dn
	}
	tina := person(testenv.SambaStaff, "tina.trial", "Tina Trialstone", home("tina.trial"))
	person(testenv.SambaStaff, "nora.nomail", "Nora Nomailer", map[string][]string{"mail": {"nora.nomail@corp.example"}})
	person(testenv.SambaStaff, "alex.one", "Alex Twinhill", home("alex.one"))
	person(testenv.SambaStaff, "alex.two", "Alex Twinhill ", home("alex.two"))
	person(testenv.SambaPartners, "walter.walled", "Walter Walledoff", home("walter.walled"))
	s.Set(t, "CN=Carla Chief,"+testenv.SambaStaff, home("chief"))

	e := startEdge(t, edgeConfig{})
	v := e.environment(t, "trial", "ad")
	v.permit()
	file := sambaAgent(s)
	file.Evaluation = true
	a := v.startAgent(file)

	before := s.Values(t, tina, "uSNChanged", "pwdLastSet")
	b := testenv.Chromium(t)
	b.Open(v.site + "/")
	b.WaitText("This is a trial.")
	pictureOf(t, b, "start")
	j := v.on(b)
	j.start("tina.trial@corp.example", "password")
	b.WaitText("This is a trial.")
	j.prove(v.code("tina.trial@home.example", 0))
	b.WaitText("This is a trial.")
	pictureOf(t, b, "ready")
	b.Wait(`document.querySelector('[name=recipient]').value`)
	j.press("Your password would have been reset")
	pictureOf(t, b, "would-have")
	if after := s.Values(t, tina, "uSNChanged", "pwdLastSet"); !slices.Equal(before, after) {
		t.Errorf("the account was changed: %v, before %v", after, before)
	}
	if err := s.Bind(t, "tina.trial@corp.example", testenv.SambaEmployeePassword); err != nil {
		t.Errorf("the password is another one: %v", err)
	}
	if all := a.events("perform"); len(all) != 1 || all[0].State != string(protocol.Evaluated) {
		t.Errorf("the agent's own log: %+v", all)
	}
	poll(t, "the notice", func() bool { return len(v.mails("tina.trial@home.example")) > 1 })
	if m := v.mails("tina.trial@home.example")[0]; !strings.Contains(m.Subject, "Trial") || !strings.Contains(m.Text, "Nothing was changed") {
		t.Errorf("the notice: %s\n%s", m.Subject, m.Text)
	}

	before = s.Values(t, tina, "uSNChanged", "pwdLastSet") // the sign-in above is noted in the account
	authority, err := evidencetest.NewAuthority("UT", "Utopia", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v.trusts("Utopia", authority)
	v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code", "digital_credential"}}}})
	found := v.evaluated(map[string]any{})
	for name, want := range map[string][]protocol.Reason{
		"Tina Trialstone": nil, "Carla Chief": {protocol.ReasonAdministrator}, "Nora Nomailer": {protocol.ReasonNoNotice, protocol.ReasonNoMail},
		"Alex Twinhill": {"common_name"}, "Walter Walledoff": {protocol.ReasonRights}, "Dora Disabled": {protocol.ReasonDisabled},
	} {
		got, there := found[name]
		if !there {
			t.Errorf("%s is missing in the report", name)
			continue
		}
		for _, why := range want {
			if !slices.Contains(got.Reasons, why) {
				t.Errorf("%s: %v, want %s", name, got.Reasons, why)
			}
		}
		if (got.Could == 2) != (want == nil) || want == nil && len(got.Reasons) > 0 || len(want) == 1 && name != "Dora Disabled" && len(got.Reasons) != 1 {
			t.Errorf("%s: could %d, %v", name, got.Could, got.Reasons)
		}
	}
	if after := s.Values(t, tina, "uSNChanged", "pwdLastSet"); !slices.Equal(before, after) {
		t.Errorf("the report changed an account: %v, before %v", after, before)
	}
	v.fromATerminal("Tina Trialstone")
	console := testenv.Chromium(t)
	e.signIn(t, console)
	console.Open(fmt.Sprintf("%s/console/evaluation?env=%s&directory=%s", e.url, v.id, v.directory))
	console.WaitText("could recover today")
	console.WaitText("The agent's account lacks rights")
	pictureOf(t, console, "report")
	console.Open(fmt.Sprintf("%s/console/evaluation?env=%s&directory=%s&reason=common_name", e.url, v.id, v.directory))
	console.WaitText("Alex Twinhill")
	if text := console.Text(); strings.Contains(text, "Tina Trialstone") {
		t.Error("the filter by reason lets others through")
	}
	console.Eval(`document.querySelector('#group').value = 'Finance'`)
	console.Click("form[action$='evaluation/start'] button")
	console.WaitText("Fritz Finance")

	file.Evaluation = false
	a.write(file)
	a.stop()
	a.start()
	poll(t, "the agent at work", func() bool {
		status, _, err := v.try(http.MethodPost, "/api/directories/"+v.directory+"/evaluations", map[string]any{})
		return err == nil && status == http.StatusConflict
	})
	b.Open(v.site + "/")
	poll(t, "a site without the notice", func() bool { b.Reload(); return !strings.Contains(b.Text(), "This is a trial.") })
}

// fromATerminal has the command make the same report.
func (v *environment) fromATerminal(name string) {
	v.t.Helper()
	run := func(args ...string) (out, progress string) {
		var stderr strings.Builder
		cmd := exec.CommandContext(soon(v.t), programs.postern, append([]string{"directory", "evaluate", v.directory, "--server", v.edge.url}, args...)...)
		cmd.Env, cmd.Stderr = append(os.Environ(), "POSTERN_KEY="+v.key), &stderr
		text, err := cmd.Output()
		if err != nil {
			v.t.Fatalf("%v: %s", err, stderr.String())
		}
		return string(text), stderr.String()
	}
	out, _ := run("--csv", "--account", "tina.trial@corp.example")
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, ","+name+",all,") {
		v.t.Errorf("as csv:\n%s", out)
	}
	out, _ = run("--json", "--group", "Finance")
	for line := range strings.Lines(out) {
		if !json.Valid([]byte(line)) {
			v.t.Errorf("no json: %s", line)
		}
	}
	out, progress := run() // the last one, so that the console shows it
	if !strings.Contains(out, "everything") || !strings.Contains(out, "administrator") || !strings.Contains(progress, "accounts") {
		v.t.Errorf("from a terminal:\n%s\n%s", out, progress)
	}
}

func TestT33_EvaluationAgainstOpenLDAPChangesNothing(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	good, left, other, bare := o.colleague(0), o.colleague(1), o.colleague(2), o.colleague(3)
	o.slapd.Modify(t, "dn: "+left.dn+"\nchangetype: modify\nreplace: corpStatus\ncorpStatus: left\n\n"+
		"dn: "+bare.dn+"\nchangetype: modify\ndelete: corpPersonalMail\n\n")
	v := sharedEdge(t).environment(t, "trial-ldap", "ldap")
	v.permit()
	file := o.agent()
	file.Evaluation = true
	file.Guard = "base_dns = [\"" + testenv.SlapdPeople + "\"]"
	v.startAgent(file)
	p := v.visit()
	p.begin(good.email, "password")
	p.post("code", "code", v.code(good.personal, 0))
	poll(t, "the button", func() bool { p.get(""); return p.ready() })
	p.press()
	poll(t, "what would have happened", func() bool { p.get(""); return strings.Contains(p.text(), "would have been reset") })
	o.unchanged(good)
	found := map[string][]protocol.Reason{}
	for name, a := range v.evaluated(map[string]any{"accounts": []string{good.email, left.email, other.email, bare.email}}) {
		found[name] = a.Reasons
	}
	if len(found) != 4 {
		t.Fatalf("%d accounts: %v", len(found), found)
	}
	for email, want := range map[string]protocol.Reason{left.email: protocol.ReasonDisabled, bare.email: protocol.ReasonNoMail} {
		if !slices.ContainsFunc(slices.Collect(maps.Values(found)), func(all []protocol.Reason) bool { return slices.Contains(all, want) }) {
			t.Errorf("%s: nobody has %s: %v", email, want, found)
		}
	}
	for _, who := range []colleague{good, left, other, bare} {
		if n := o.changes(who); n != 0 {
			t.Errorf("%s: %d changes", who.email, n)
		}
	}
}
