package policy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol"
)

func TestNoneAndDisabledNeverPermitAnything(t *testing.T) {
	for s, want := range map[Strength]bool{
		Disabled: false, None: false, "": false, "Name_Match": false,
		WeakNameMatch: true, NameMatch: true, NameAndBirthDate: true, Photo: true,
	} {
		if s.Permits() != want {
			t.Errorf("%q permits = %v, want %v", s, s.Permits(), want)
		}
	}
}

func TestT32_AWeakerWishIsIgnoredAndRecorded(t *testing.T) {
	for _, c := range []struct {
		own, wish, holds Strength
		ignored          bool
	}{
		{NameMatch, "", NameMatch, false},
		{NameMatch, NameMatch, NameMatch, false},
		{NameMatch, NameAndBirthDate, NameAndBirthDate, false},
		{NameMatch, WeakNameMatch, NameMatch, true},
		{NameMatch, Photo, NameMatch, true}, // cannot be compared
		{Photo, NameAndBirthDate, Photo, true},
		{NameMatch, Disabled, Disabled, false},
		{NameMatch, None, None, false},
		{Disabled, WeakNameMatch, Disabled, true},
		{None, Photo, None, true},
		{Disabled, None, Disabled, false},
		{"", NameMatch, "", true},
	} {
		holds, ignored := Stricter(c.own, c.wish)
		if holds != c.holds || ignored != c.ignored {
			t.Errorf("Stricter(%q, %q) = %q %v, want %q %v", c.own, c.wish, holds, ignored, c.holds, c.ignored)
		}
	}
}

// A wish never lets through what the directory's own policy forbids.
func FuzzStricter(f *testing.F) {
	f.Add("name_match", "weak_name_match")
	f.Add("disabled", "photo")
	f.Fuzz(func(t *testing.T, own, wish string) {
		holds, ignored := Stricter(Strength(own), Strength(wish))
		if holds.Permits() && !Strength(own).Permits() {
			t.Fatalf("%q with %q permits as %q", own, wish, holds)
		}
		if ignored && holds != Strength(own) {
			t.Fatalf("ignored wish %q changed %q to %q", wish, own, holds)
		}
	})
}

func TestFirstGroupThatFitsDecides(t *testing.T) {
	r := Rules{Default: NameMatch, Groups: []GroupRule{
		{Group{ID: "G-1", Name: "Interns"}, WeakNameMatch},
		{Group{Name: "Domain Admins"}, Disabled},
		{Group{ID: "g-2"}, Photo},
	}}
	for _, c := range []struct {
		groups []Group
		want   Strength
	}{
		{nil, NameMatch},
		{[]Group{{ID: "g-1"}}, WeakNameMatch},
		{[]Group{{ID: "x", Name: "Interns"}}, NameMatch}, // the rule has an id, so the name does not decide
		{[]Group{{ID: "y", Name: "domain admins"}}, Disabled},
		{[]Group{{ID: "g-2"}, {ID: "g-1"}}, WeakNameMatch},
		{[]Group{{}}, NameMatch},
	} {
		if got := r.For(c.groups); got != c.want {
			t.Errorf("For(%v) = %s, want %s", c.groups, got, c.want)
		}
	}
	if got := (Rules{}).For(nil); got.Permits() {
		t.Errorf("rules without a default permit %q", got)
	}
}

func TestDecideNamesEverythingThatTheAgentWillDo(t *testing.T) {
	ad := protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true, CanMustChange: true}
	noUnlock := Default()
	noUnlock.Policies["unlock_policy"] = Rules{Default: Disabled}
	pass := Default()
	pass.AccessPassMinutes, pass.AccessPassReusable = 60, true
	for _, c := range []struct {
		name   string
		action protocol.Action
		s      Settings
		t      protocol.Traits
		want   string // canonical tasks; "" not permitted
	}{
		{"active directory", "password", Default(), ad, "get_temporary_password?must_change=true,unlock"},
		{"unlock not allowed", "password", noUnlock, ad, "get_temporary_password?must_change=true"},
		{"plain", "password", Default(), protocol.Traits{CanGetTemporaryPassword: true}, "get_temporary_password"},
		{"link only", "password", Default(), protocol.Traits{CanGetPasswordLink: true, CanMustChange: true}, "get_password_link"},
		{"unlock", "unlock", Default(), ad, "unlock"},
		{"unlock disabled", "unlock", noUnlock, ad, ""},
		{"trait missing", "mfa", Default(), ad, ""},
		{"mfa", "mfa", Default(), protocol.Traits{CanRemoveAllMFA: true, CanGetMFALink: true}, "remove_all_mfa"},
		{"access pass", "temporary-access-pass", pass, protocol.Traits{CanGetTemporaryAccessPass: true}, "get_temporary_access_pass?lifetime_minutes=60&reusable=true"},
		{"unknown action", "delete", Default(), ad, ""},
		{"no settings", "password", Settings{}, ad, ""},
	} {
		d := Decide(Request{Action: c.action, Settings: c.s, Traits: c.t})
		if d.Permitted != (c.want != "") || d.Permitted && protocol.CanonicalTasks(d.Tasks) != c.want {
			t.Errorf("%s: %v %q, want %q", c.name, d.Permitted, protocol.CanonicalTasks(d.Tasks), c.want)
		}
		if d.Permitted {
			if _, err := protocol.ParseTasks(c.want); err != nil {
				t.Errorf("%s: the agent would refuse it: %v", c.name, err)
			}
		}
	}
}

func TestAdministratorsAreDisabledInANewDirectory(t *testing.T) {
	all := protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true, CanRemoveAllMFA: true, CanGetTemporaryAccessPass: true}
	for _, row := range protocol.Actions {
		d := Decide(Request{Action: row.Action, Settings: Default(), Traits: all, Groups: []Group{{ID: "s-512", Name: "Domain Admins"}}})
		if d.Permitted {
			t.Errorf("%s is permitted for Domain Admins", row.Action)
		}
		if len(d.Accept) == 0 || len(d.Tasks) == 0 {
			t.Errorf("%s: a refusal would show before the proof", row.Action)
		}
	}
}

func TestMethodsAreChosenPerActionAndGroup(t *testing.T) {
	m := Methods{Default: []Combination{{MailCode}}, Rules: []MethodRule{
		{Action: "mfa", Group: &Group{Name: "Finance"}, Accept: []Combination{{AgentCode, MailCode}}},
		{Group: &Group{Name: "Board"}, Accept: nil},
	}}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		action protocol.Action
		group  string
		want   []Combination
	}{
		{"mfa", "Finance", []Combination{{AgentCode, MailCode}}},
		{"password", "Finance", []Combination{{MailCode}}},
		{"password", "Board", nil},
	} {
		if got := m.For(c.action, []Group{{Name: c.group}}); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %v, want %v", c.action, c.group, got, c.want)
		}
	}
	s := Default()
	s.Methods = m
	if Decide(Request{Action: "unlock", Settings: s, Traits: protocol.Traits{CanUnlock: true}, Groups: []Group{{Name: "board"}}}).Permitted {
		t.Error("permitted though no combination is accepted")
	}
}

func TestOfferedIsWhatSomebodyMayHave(t *testing.T) {
	all := protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true, CanRemoveAllMFA: true}
	s := Default()
	s.Policies["mfa_policy"] = Rules{Default: None}
	s.Policies["unlock_policy"] = Rules{Default: Disabled, Groups: []GroupRule{{Group{Name: "Pilot"}, NameMatch}}}
	if got, want := Offered(s, all), []protocol.Action{"password", "unlock"}; !reflect.DeepEqual(got, want) {
		t.Errorf("offered %v, want %v", got, want)
	}
	s.Methods.Default = nil
	if got := Offered(s, all); got != nil {
		t.Errorf("offered %v without any method", got)
	}
}

func TestChecksRefuseWhatWouldOpenADoor(t *testing.T) {
	for name, text := range map[string]string{
		"empty combination": `{"policies":{},"methods":{"default":[[]]}}`,
		"unknown method":    `{"policies":{},"methods":{"default":[["telepathy"]]}}`,
		"method twice":      `{"policies":{},"methods":{"default":[["mail_code","mail_code"]]}}`,
		"unknown policy":    `{"policies":{"pasword_policy":{"groups":[],"default":"name_match"}},"methods":{"default":[]}}`,
		"unknown strength":  `{"policies":{"mfa_policy":{"groups":[],"default":"any"}},"methods":{"default":[]}}`,
		"no strength":       `{"policies":{"mfa_policy":{"groups":[]}},"methods":{"default":[]}}`,
		"nameless group":    `{"policies":{"mfa_policy":{"groups":[{"group":{},"policy":"photo"}],"default":"none"}},"methods":{"default":[]}}`,
		"misspelt member":   `{"polices":{}}`,
		"something after":   `{"policies":{},"methods":{"default":[]}} {}`,
		"negative limit":    `{"policies":{},"methods":{"default":[]},"recovery_operation_rate_limit":{"count":-1,"window":"1h"}}`,
		"no window":         `{"policies":{},"methods":{"default":[]},"recovery_operation_rate_limit":{"count":1}}`,
		"short access pass": `{"policies":{},"methods":{"default":[]},"temporary_access_pass_lifetime_minutes":9}`,
	} {
		if _, err := ParseSettings([]byte(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := ParseSettings([]byte(strings.Repeat(" ", maxSettings+1))); err == nil {
		t.Error("settings without bound are accepted")
	}
}

func TestDurationsAreReadAsTextAndAsNanosecondsAndWrittenAsText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`{"count":3,"window":"1h30m"}`:       90 * time.Minute,
		`{"count":3,"window":3600000000000}`: time.Hour,
		`{"count":3,"window":"60000000000"}`: time.Minute,
	} {
		var l RateLimit
		if err := json.Unmarshal([]byte(text), &l); err != nil || time.Duration(l.Window) != want {
			t.Errorf("%s: %v %v", text, time.Duration(l.Window), err)
		}
	}
	out, err := json.Marshal(RateLimit{3, Duration(90 * time.Minute)})
	if err != nil || string(out) != `{"count":3,"window":"1h30m0s"}` {
		t.Errorf("%s %v", out, err)
	}
	for _, bad := range []string{`true`, `"soon"`, `1.5`, `"` + strings.Repeat("1", 99) + `"`, `99999999999999999999`} {
		var d Duration
		if json.Unmarshal([]byte(bad), &d) == nil {
			t.Errorf("%s is accepted as %v", bad, time.Duration(d))
		}
	}
}

// What is accepted survives being stored.
func FuzzSettings(f *testing.F) {
	text, err := json.Marshal(Default())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"policies":{"mfa_policy":{"groups":[{"group":{"directory_immutable_identifier":"a","name":"b"},"policy":"photo"}],"default":"none"}},"methods":{"default":[["mail_code"]]},"recovery_operation_rate_limit":{"count":1,"window":1000000000}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSettings(b)
		if err != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSettings(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		out2, _ := json.Marshal(again)
		if string(out) != string(out2) {
			t.Fatalf("%s became %s", out, out2)
		}
	})
}

func FuzzRateLimit(f *testing.F) {
	f.Add([]byte(`{"count":3,"window":"1h"}`))
	f.Add([]byte(`{"count":3,"window":3600000000000}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var l RateLimit
		if json.Unmarshal(b, &l) != nil || l.Check() != nil {
			return
		}
		out, err := json.Marshal(l)
		var again RateLimit
		if err != nil || json.Unmarshal(out, &again) != nil || again != l {
			t.Fatalf("%v became %v", l, again)
		}
	})
}

func TestT30_TheFirstQuestionIsTheSameForEverybody(t *testing.T) {
	finance := &Group{Name: "Finance"}
	m := Methods{
		Default: []Combination{{MailCode, AgentCode}, {Passkey}},
		Rules: []MethodRule{
			{Group: finance, Accept: []Combination{{Passkey, AgentCode}, {DocumentReview, TOTP}}},
			{Action: "mfa", Accept: []Combination{{DigitalCredential}}},
			{Accept: []Combination{{Approval, DocumentReview}}},
		},
	}
	for action, want := range map[protocol.Action][]Method{
		"password": {MailCode, Passkey, TOTP},                    // of the last rule: a code before people are bothered
		"mfa":      {MailCode, Passkey, TOTP, DigitalCredential}, // rules of other operations are not offered
	} {
		if got := m.First(action); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", action, got, want)
		}
	}
}

func TestACombinationIsASet(t *testing.T) {
	c := Combination{MailCode, Passkey, Approval}
	for _, x := range []struct{ proven, left []Method }{
		{nil, []Method{MailCode, Passkey, Approval}},
		{[]Method{Passkey, AgentCode}, []Method{MailCode, Approval}},
		{[]Method{Approval, Passkey, MailCode}, []Method{}},
	} {
		if got := c.Without(x.proven); !reflect.DeepEqual(got, Combination(x.left)) {
			t.Errorf("without %v: %v, want %v", x.proven, got, x.left)
		}
	}
	if len(c) != 3 || c[0] != MailCode {
		t.Errorf("the combination itself changed: %v", c)
	}
}

func TestEveryMethodHasOneRowAndEvidence(t *testing.T) {
	seen := map[Method]bool{}
	for _, row := range MethodTable {
		if seen[row.Method] || len(row.Evidence) == 0 || row.Form == "" {
			t.Errorf("%+v", row)
		}
		seen[row.Method] = true
		if row.First && row.Slow() {
			t.Errorf("%s bothers people for somebody who has proven nothing", row.Method)
		}
		if row.Sends && row.Form != FormCode {
			t.Errorf("%s sends something that is not typed", row.Method)
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d methods", len(seen))
	}
}

func TestWhatTheAgentAsksForIsAskedForToo(t *testing.T) {
	hub := []Combination{{MailCode}, {Passkey, TOTP}}
	if got := Both(hub, nil); !reflect.DeepEqual(got, hub) {
		t.Errorf("an agent that asks for nothing: %v", got)
	}
	want := []Combination{{MailCode, Passkey, AgentCode}, {MailCode, Approval}, {Passkey, TOTP, AgentCode}, {Passkey, TOTP, Approval}}
	if got := Both(hub, [][]string{{"passkey", "agent_code"}, {"approval"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !reflect.DeepEqual(hub, []Combination{{MailCode}, {Passkey, TOTP}}) {
		t.Errorf("the policy itself changed: %v", hub)
	}
}
