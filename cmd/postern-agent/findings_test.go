package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/internal/testenv"
)

func TestDoctorNamesPasswordsThatExpiredAndHoursThatAreOver(t *testing.T) {
	s := testenv.SharedSamba(t)
	const password = "Agent-Passw0rd-2031"
	well := sambaSite(t, s)
	well.secret(t, password)
	old, _ := s.AddPerson(t, testenv.SambaPartners, "svc-old", password, nil)
	s.Age(t, old, 60*24*time.Hour) // a domain that is as it was made wants a new one after 42 days
	never, _ := s.AddPerson(t, testenv.SambaPartners, "svc-never", password, nil)
	s.Set(t, never, map[string][]string{"logonHours": {string(make([]byte, 21))}}) // a bit for each hour of the week
	well.with("bind_dn", q("svc-old@corp.example")).expect(t, doctor.SignInPasswordOld, "data 532")
	well.with("bind_dn", q("svc-never@corp.example")).expect(t, doctor.SignInElsewhere, "data 530")
}

// The list has a controller, and not the one that passwords are set at.
func TestDoctorMissesThePDCEmulatorAmongTheServers(t *testing.T) {
	one, two := testenv.StartSambaPair(t)
	ca := write(t, "both.pem", read(t, one.CAFile)+read(t, two.CAFile))
	site := sambaSite(t, two).with("ca_file", q(ca))
	site.expect(t, doctor.WriterMissing, "the PDC emulator is dc1.corp.example")
	if r := site.with("urls", `["`+two.URL()+`", "`+one.URL()+`"]`).examine(t); len(r.numbers()) != 0 || !strings.Contains(r.text, "go to "+one.URL()) {
		t.Errorf("with both: %v\n%s", r.numbers(), r.text)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// clockOf is what a controller says of the time (MS-ADTS 3.1.1.3.2.2), in its message.
var clockOf = regexp.MustCompile(`(?s)currentTime.{1,20}?(\d{14})\.0Z`)

// What the controller says of its clock is changed on the way, and nothing else.
func TestDoctorNamesADirectoryWithAnotherClock(t *testing.T) {
	s := testenv.SharedSamba(t)
	now := time.Now()
	const form = "20060102150405"
	addr, ca := frontThat(t, s.Addr+":636", now.Add(-time.Hour), now.Add(60*24*time.Hour), func(answer []byte) []byte {
		if at := clockOf.FindSubmatchIndex(answer); at != nil {
			if said, err := time.Parse(form, string(answer[at[2]:at[3]])); err == nil {
				copy(answer[at[2]:at[3]], said.Add(10*time.Minute).Format(form))
			}
		}
		return answer
	})
	sambaSite(t, s).with("urls", `["ldaps://`+addr+`"]`, "ca_file", q(ca)).expect(t, doctor.DirectoryClock, "behind the directory")
}

// reconfigured starts a server of its own with another file.
func reconfigured(t *testing.T, o testenv.SlapdOptions, change func(string) string) *site {
	t.Helper()
	s := testenv.StartSlapd(t, o)
	rewritten(t, s, change)
	return slapdSite(t, s)
}

// rewritten changes the file of a server and starts it anew.
func rewritten(t *testing.T, s *testenv.Slapd, change func(string) string) {
	t.Helper()
	file := filepath.Join(s.Dir, "slapd.conf")
	before := read(t, file)
	after := change(before)
	if after == before {
		t.Fatal("nothing was changed")
	}
	s.Stop()
	if err := os.WriteFile(file, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}

// The lines that doctor prints go into the server's file, and then all is well.
func TestDoctorPrintsTheRulesThatOpenLDAPLacks(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{})
	well := slapdSite(t, s)
	for what, take := range map[string]func(string) string{
		"the right to set passwords": func(conf string) string {
			return strings.Replace(conf, `by dn.exact="`+testenv.SlapdAgent+`" =w`, `by dn.exact="`+testenv.SlapdAgent+`" none`, 1)
		},
		"the right to see what changed": func(conf string) string {
			return strings.Replace(conf, "access to attrs=userPassword\n", "access to attrs=entryCSN by * none\naccess to attrs=userPassword\n", 1)
		},
	} {
		var before string
		rewritten(t, s, func(conf string) string { before = conf; return take(conf) })
		r := well.examine(t, "--account", "anna")
		_, _, paste := r.step(doctor.RightMissing)
		if len(paste) == 0 {
			t.Fatalf("without %s: %v\n%s", what, r.numbers(), r.text)
		}
		rewritten(t, s, func(conf string) string {
			return strings.Replace(conf, "access to attrs=", strings.Join(paste, "\n")+"\naccess to attrs=", 1)
		})
		if r := well.examine(t, "--account", "anna"); len(r.numbers()) != 0 {
			t.Errorf("%s given back: %v\n%s", what, r.numbers(), r.text)
		}
		rewritten(t, s, func(string) string { return before })
	}
}

func TestDoctorNamesWhatTheRulesOfOpenLDAPForbid(t *testing.T) {
	const rules = "access to attrs=userPassword\n"
	only := func(dn string) func(string) string {
		return func(conf string) string {
			return strings.Replace(conf, rules, `access to dn.exact="`+dn+`" by dn.exact="`+testenv.SlapdAgent+`" disclose by * none`+"\n"+rules, 1)
		}
	}
	t.Run("the branch of accounts", func(t *testing.T) {
		reconfigured(t, testenv.SlapdOptions{}, only(testenv.SlapdPeople)).expect(t, doctor.DirectoryForbids, "access rules")
	})
	t.Run("what groups stand in", func(t *testing.T) {
		reconfigured(t, testenv.SlapdOptions{}, only(testenv.SlapdBase)).expect(t, doctor.DirectoryForbids, "access rules")
	})
	t.Run("more than five entries", func(t *testing.T) {
		few := reconfigured(t, testenv.SlapdOptions{}, func(conf string) string { return strings.Replace(conf, "size=unlimited", "size=5", 1) })
		few.expect(t, doctor.DirectoryUnusable, "lift its size limit for the agent's account")
	})
}

const mainDatabase = "overlay syncprov\nsyncprov-checkpoint"

// A server that is read only at the moment says nothing of rights.
func TestDoctorNamesWhatItCannotSee(t *testing.T) {
	site := reconfigured(t, testenv.SlapdOptions{NoPolicy: true}, func(conf string) string {
		return strings.Replace(conf, mainDatabase, "readonly on\n"+mainDatabase, 1)
	})
	r := site.examine(t, "--account", "anna")
	for number, says := range map[int]string{doctor.RightUnknown: "for get_temporary_password", doctor.PolicyUnknown: "its length is not told"} {
		if detail, _, _ := r.step(number); !strings.Contains(detail, says) {
			t.Errorf("%d does not say %q:\n%s", number, says, r.text)
		}
	}
}

// A copy of another server gives every change to that one.
func TestDoctorNamesAnOperationThatWouldFail(t *testing.T) {
	site := reconfigured(t, testenv.SlapdOptions{}, func(conf string) string {
		copied := `syncrepl rid=001 provider=ldap://127.0.0.1:1 type=refreshOnly interval=10:00:00:00 searchbase="` + testenv.SlapdBase + `" bindmethod=simple` + "\nupdateref ldap://127.0.0.1:1\n"
		return strings.Replace(conf, mainDatabase, copied+mainDatabase, 1)
	})
	r := site.examine(t, "--account", "anna")
	if detail, _, _ := r.step(doctor.OperationRefused); !strings.Contains(detail, "may not write userPassword of this account at this server") {
		t.Errorf("%q\n%s", detail, r.text)
	}
	if detail, _, _ := r.step(doctor.RightMissing); !strings.Contains(detail, "this server takes no writes; name one in urls that does") {
		t.Errorf("%q\n%s", detail, r.text)
	}
}

func TestDoctorNamesRightsThatNothingFailsWithout(t *testing.T) {
	s := testenv.SharedSamba(t)
	s.AddPerson(t, testenv.SambaPartners, "svc-plain", testenv.SambaServicePassword, nil)
	site := sambaSite(t, s).with("bind_dn", q("svc-plain@corp.example"))
	detail, _, paste := site.examine(t, "--account", "anna.berg").step(doctor.RightOptional)
	if !strings.Contains(detail, "deletions between full passes") || len(paste) == 0 {
		t.Errorf("%s %q", detail, paste)
	}
	_, _, policies := site.examine(t, "--account", "anna.berg").step(doctor.RightUnknown)
	if len(policies) != 1 || !pasted.MatchString(policies[0]) || !strings.Contains(policies[0], "Password Settings Container") {
		t.Errorf("of password policies: %q", policies)
	}
	for _, line := range slices.Concat(paste, policies) {
		s.Paste(t, line)
	}
	r := site.examine(t, "--account", "anna.berg")
	for _, number := range []int{doctor.RightOptional, doctor.RightUnknown} {
		if detail, _, _ := r.step(number); detail != "" {
			t.Errorf("after the lines were run: %d %s", number, detail)
		}
	}
}

func TestDoctorSaysThatOwnersMayNotBeTold(t *testing.T) {
	site := slapdSite(t, testenv.SharedSlapd(t, testenv.SlapdOptions{}))
	if detail, _, _ := site.examine(t).step(doctor.NoticesOff); !strings.Contains(detail, "let through") {
		t.Errorf("%q", detail)
	}
	site.more = strings.Replace(site.more, `"allow"`, `"refuse"`, 1)
	if detail, _, _ := site.examine(t).step(doctor.NoticesOff); detail != "" {
		t.Errorf("with guard.no_notice: %q", detail)
	}
}

// A second domain is looked into as the first one is, and nothing of the first one stands
// in for it.
func TestDoctorLooksIntoEveryDomain(t *testing.T) {
	corp, lab := testenv.SharedSamba(t), testenv.StartSambaDomain(t, "lab")
	service, _ := lab.AddPerson(t, lab.Base(), "svc-lab", testenv.SambaServicePassword, nil)
	well := sambaSite(t, corp)
	rules := well.more
	with := func(url, base, name string) *site {
		well.more = rules + "[[directory.domains]]\nurls = [" + q(url) + "]\nca_file = " + q(lab.CAFile) + "\nbase_dns = [" + q(base) + "]\nbind_dn = " + q(name) + "\n"
		return well
	}
	if r := with(lab.URL(), lab.Base(), service).examine(t); len(r.numbers()) != 0 || strings.Count(r.text, "the PDC emulator") != 2 || !strings.Contains(r.text, lab.Base()) {
		t.Errorf("findings = %v\n%s", r.numbers(), r.text)
	}
	with("ldaps://127.0.0.1:1", lab.Base(), service).expect(t, doctor.ServerAway, "connection refused")
	with(lab.URL(), "OU=Staf,"+lab.Base(), service).expect(t, doctor.NoSuchBase, "what exists is "+lab.Base())
	mended := with(lab.URL(), "OU=Domain Controlers,"+lab.Base(), service).examine(t)
	var wrote []string
	for _, step := range mended.Steps {
		if len(step.Write) > 0 {
			wrote = append(wrote, step.Table+": "+strings.Join(step.Write, "\n"), step.Lines[len(step.Lines)-1])
		}
	}
	if want := "directory.domains: base_dns = [" + q("OU=Domain Controllers,"+lab.Base()) + "]"; !slices.Equal(wrote, []string{want, "it stands in the table [[directory.domains]] number 1 of the file"}) {
		t.Errorf("a letter is wrong in the second domain: %q\n%s", wrote, mended.text)
	}
	with(lab.URL(), lab.Base(), "nobody@lab.example").expect(t, doctor.SignInWrong, "data 52e")
}
