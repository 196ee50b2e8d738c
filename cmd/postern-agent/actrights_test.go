package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/internal/testenv"
)

// switchedOn lets account operations be done, to one group and one attribute, and to what is
// refused all the same.
func switchedOn(base, group string) string {
	return "[guard]\nbase_dns = [" + q(base) + "]\nno_notice = \"allow\"\n" +
		`acts = ["enable", "disable", "set_must_change", "add_to_group", "remove_from_group", "set_attribute", "delete_account"]` + "\n" +
		"act_groups = [" + q(group) + "]\nact_attributes = [\"telephoneNumber\", \"displayName\"]\n"
}

// wantsActRights examines an account whose agent lacks the rights for account operations, runs
// what is told, and examines it again.
func wantsActRights(t *testing.T, s *site, account string, rights []string, apply func(lines []string)) {
	t.Helper()
	r := s.examine(t, "--account", account)
	var named []string
	for _, step := range r.Steps {
		if step.Finding.Number != doctor.ActRightMissing {
			continue
		}
		named = append(named, strings.TrimPrefix(step.What, "right: "))
		if len(step.Paste) == 0 || !strings.Contains(step.Detail, "for ") {
			t.Errorf("%+v", step)
		}
		apply(step.Paste)
	}
	if !slices.Equal(named, rights) {
		t.Fatalf("missing are %q, want %q\n%s", named, rights, r.text)
	}
	detail, _, _ := r.step(doctor.ActNever)
	if !strings.Contains(detail, `"displayName": recoveries go by`) || strings.Count(detail, "\n") != 1 {
		t.Errorf("never done is %q", detail)
	}
	testenv.Eventually(t, "no right is missing after the lines were run", func() bool { // 389-ds goes by a rule a moment after it has it
		found := s.examine(t, "--account", account).numbers()
		return !slices.Contains(found, doctor.ActRightMissing) && !slices.Contains(found, doctor.RightMissing)
	})
	s.more = strings.Replace(s.more, "acts = [", "acts = [] #", 1)
	if r := s.examine(t, "--account", account); len(r.numbers()) != 0 {
		t.Errorf("nothing is switched on: %v\n%s", r.numbers(), r.text)
	}
}

func TestP15_DoctorPrintsTheLinesForAccountOperationsInADomain(t *testing.T) {
	s := testenv.SharedSamba(t)
	const password = "Agent-Passw0rd-2031"
	s.AddPerson(t, testenv.SambaPartners, "svc-acts-doctor", password, nil)
	site := sambaSite(t, s).with("bind_dn", q("svc-acts-doctor@corp.example"))
	site.secret(t, password)
	run := func(lines []string) {
		t.Helper()
		for _, line := range lines {
			m := pasted.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("the line cannot be run: %s", line)
			}
			s.Tool(t, "dsacl", "set", "--action=allow", "--objectdn="+m[1], "--sddl="+m[2])
		}
	}
	_, _, paste := site.examine(t, "--account", "anna.berg").step(doctor.RightMissing) // what recoveries need
	run(paste)
	group := "CN=Staff-Outer," + testenv.SambaStaff
	site.more = switchedOn(testenv.SambaStaff, group)
	wantsActRights(t, site, "anna.berg", []string{"write userAccountControl", "Delete", "write member of " + group, "write telephoneNumber"}, run)
}

func TestP15_DoctorPrintsTheRulesForAccountOperationsOnOpenLDAP(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{MustChange: true})
	site := slapdSite(t, s).with("disabled_attribute", q("corpStatus"), "disabled_values", `["left"]`)
	group := "cn=staff," + testenv.SlapdGroups
	site.more = switchedOn(testenv.SlapdPeople, group)
	wantsActRights(t, site, "anna", []string{"write corpStatus", "delete", "write members of " + group, "write telephoneNumber"}, func(lines []string) {
		rewritten(t, s, func(conf string) string {
			return strings.Replace(conf, "access to attrs=", strings.Join(lines, "\n")+"\naccess to attrs=", 1)
		})
	})
}

func TestP15_DoctorPrintsTheLinesForAccountOperationsOn389DirectoryServer(t *testing.T) {
	s := testenv.Start389(t)
	site := ds389Site(t, s)
	group := "cn=staff," + testenv.SlapdGroups
	site.more = switchedOn(testenv.SlapdPeople, group)
	wantsActRights(t, site, "anna", []string{"write nsAccountLock", "delete", "write members of " + group, "write telephoneNumber"}, func(lines []string) {
		s.Modify(t, strings.Join(lines, "\n")+"\n")
	})
	s.Modify(t, "dn: cn=config\nchangetype: modify\nreplace: passwordExp\npasswordExp: on\n\ndn: "+testenv.SlapdAgent+
		"\nchangetype: modify\nreplace: passwordExpirationTime\npasswordExpirationTime: 20200101000000Z\n-\nreplace: passwordExpWarned\npasswordExpWarned: 1\n")
	site.expect(t, doctor.SignInPasswordOld, "password of the agent's account has expired")
}

// refusedSoon waits until a server lets the agent's account in no more: policies count whole
// seconds.
func refusedSoon(t *testing.T, s *testenv.Slapd) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); s.WhoAmI(testenv.SlapdAgent, testenv.SlapdAgentPassword) == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the agent's account is still let in")
		}
	}
}

func TestDoctorNamesThatThePasswordOfTheAgentHasExpiredOnOpenLDAP(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{UseLockout: true})
	well := slapdSite(t, s)
	s.Modify(t, "dn: "+testenv.SlapdAgent+"\nchangetype: modify\nreplace: userPassword\nuserPassword: "+testenv.SlapdAgentPassword+"\n\n"+
		"dn: cn=default,ou=policies,"+testenv.SlapdBase+"\nchangetype: modify\nreplace: pwdMaxAge\npwdMaxAge: 1\n")
	refusedSoon(t, s)
	well.expect(t, doctor.SignInPasswordOld, "password of the agent's account has expired")
}

// An account that has ended is disabled. Of the agent's own the server says that it is locked,
// and doctor says what that may mean.
func TestDoctorNamesAnAccountThatHasEndedOnOpenLDAP(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{UseLockout: true})
	well := slapdSite(t, s)
	end := func(dn string) {
		t.Helper()
		s.Modify(t, "dn: "+dn+"\nchangetype: modify\nadd: pwdEndTime\npwdEndTime: 20200101000000Z\n")
	}
	end(testenv.SlapdDN("anna"))
	if detail, _, _ := well.examine(t, "--account", "anna").step(doctor.GuardRefuses); !strings.Contains(detail, "disabled") {
		t.Errorf("%q", detail)
	}
	end(testenv.SlapdAgent)
	well.expect(t, doctor.SignInLocked, "because it has ended (pwdEndTime)")
}

func TestT20_PolicyTestListsAttributesAndGroupsAndWhatIsRefused(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{Acts: true})
	site := slapdSite(t, s)
	site.more = switchedOn(testenv.SlapdPeople, "cn=staff,"+testenv.SlapdGroups)
	path := site.file(t)
	r := execute(t, "", "policy", "test", "--log-level", "error", "--config", path, "--account", "cleo")
	for _, want := range []string{"set_attribute            allowed, as far as the attribute is:\n", "telephoneNumber: may be changed\n", "displayName: recoveries go by", "cn=staff,ou=groups,dc=corp,dc=example: may be changed\n"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("lacks %q:\n%s", want, r.out)
		}
	}
	r = execute(t, "", "policy", "test", "--json", "--log-level", "error", "--config", path, "--account", "cleo")
	var out struct {
		Acts []struct {
			Operation string
			Allowed   bool
			Choices   []struct{ Name, Refused string }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &out); err != nil {
		t.Fatal(err)
	}
	for _, a := range out.Acts {
		if a.Operation == "set_attribute" && (!a.Allowed || len(a.Choices) != 2 || a.Choices[0].Refused != "" || !strings.Contains(a.Choices[1].Refused, "recoveries go by")) {
			t.Errorf("%+v", a)
		}
		if strings.HasSuffix(a.Operation, "_group") && (!a.Allowed || len(a.Choices) != 1 || a.Choices[0].Refused != "") {
			t.Errorf("%+v", a)
		}
	}
}
