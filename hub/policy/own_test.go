package policy

import (
	"reflect"
	"testing"

	"github.com/postern-id/postern/protocol"
)

func TestRecoveryOptionsHaveAnOperationOfTheirOwn(t *testing.T) {
	s := Default()
	traits := protocol.Traits{CanUnlock: true}
	d := Decide(Request{Action: protocol.ActionOptions, Settings: s, Traits: traits})
	if !d.Permitted || protocol.CanonicalTasks(d.Tasks) != "recovery_options" || d.Strength != NameMatch {
		t.Errorf("T1: %+v", d)
	}
	d = Decide(Request{Action: protocol.ActionEnrollKey, Settings: s, Traits: traits, Key: "ab"})
	if d.Permitted || len(d.Tasks) > 0 {
		t.Errorf("an agent without a keyring: %+v", d)
	}
	traits.CanEnrollKey = true
	d = Decide(Request{Action: protocol.ActionEnrollKey, Settings: s, Traits: traits, Key: "ab"})
	if !d.Permitted || protocol.CanonicalTasks(d.Tasks) != "enroll_key?key=ab" {
		t.Errorf("T3: %+v", d)
	}
	for _, a := range Offered(s, traits) {
		if _, own := protocol.OwnAction(a); own {
			t.Errorf("the first page offers %s", a)
		}
	}
}

func TestT17_OptionsAskForTheStrictestThatTheAccountMayHave(t *testing.T) {
	s := Default()
	s.Policies["mfa_policy"] = Rules{Default: NameAndBirthDate}
	if d := Decide(Request{Action: protocol.ActionOptions, Settings: s, Traits: protocol.Traits{CanUnlock: true}}); d.Strength != NameAndBirthDate {
		t.Errorf("%s", d.Strength)
	}
	d := Decide(Request{Action: protocol.ActionOptions, Settings: s, Traits: protocol.Traits{CanUnlock: true}, Groups: []Group{{Name: "Domain Admins"}}})
	if s.Policies["mfa_policy"] = (Rules{Default: Disabled}); !d.Permitted {
		t.Error("who may have one thing may enrol")
	}
	d = Decide(Request{Action: protocol.ActionOptions, Settings: s, Traits: protocol.Traits{CanUnlock: true}, Groups: []Group{{Name: "Domain Admins"}}})
	if d.Permitted {
		t.Error("who may recover nothing enrols something")
	}
}

func TestT17_AFactorOpensOnlyWhatItsEnrolmentWouldHaveOpened(t *testing.T) {
	finance := Group{Name: "Finance"}
	m := Methods{
		Default: []Combination{{MailCode}, {Passkey}},
		Rules: []MethodRule{
			{Group: &finance, Accept: []Combination{{Passkey}, {DigitalCredential, AgentCode}}},
			{Action: "mfa", Accept: []Combination{{Passkey}, {AgentCode, Approval}}},
		},
	}
	for _, x := range []struct {
		action protocol.Action
		groups []Group
		by     Roots
		want   bool
	}{
		{"password", nil, RootsOf(MailCode), true},
		{"password", nil, nil, false},
		{"password", nil, Roots{{}}, false},
		{"password", []Group{finance}, RootsOf(MailCode), false},
		{"password", []Group{finance}, RootsOf(AgentCode, DigitalCredential), true},
		{"mfa", nil, RootsOf(MailCode), false}, // mail would not have cleared the authenticators
		{"mfa", nil, RootsOf(Approval, AgentCode, MailCode), true},
		{"password", nil, RootsOf(MailCode).Or(RootsOf(SMSCode)), false}, // nobody knows by which of the two
		{"mfa", nil, RootsOf(AgentCode).With(RootsOf(Approval).Or(RootsOf(Approval, MailCode))), true},
	} {
		if got := m.Enough(x.action, x.groups, x.by); got != x.want {
			t.Errorf("%s %v by %v: %v", x.action, x.groups, x.by, got)
		}
	}
	if m.Rules = append(m.Rules, MethodRule{Action: protocol.ActionOptions, Accept: []Combination{{MailCode}}}); m.Enough("password", []Group{finance}, RootsOf(MailCode)) {
		t.Error("a rule of everybody decides over that of the group, which comes first")
	}
	m.Rules = m.Rules[:2]
	m.Rules = append(m.Rules, MethodRule{Action: protocol.ActionOptions, Accept: []Combination{{MailCode, AgentCode}}})
	if m.Enough("password", nil, RootsOf(MailCode)) || !m.Enough("mfa", nil, RootsOf(MailCode, AgentCode)) {
		t.Error("the administrator's rule for enrolment does not decide")
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
}

func TestResetOptionsAreThreeSwitchesOverMethods(t *testing.T) {
	for o, want := range map[ResetOptions][]Combination{
		{}:                                {},
		{ByMail: true}:                    {{MailCode}},
		{BySMS: true}:                     {{SMSCode}},
		{ByMail: true, BySMS: true}:       {{MailCode}, {SMSCode}},
		{RequireCode: true}:               {{TOTP}},
		{RequireCode: true, ByMail: true}: {{MailCode, TOTP}},
		{RequireCode: true, BySMS: true}:  {{SMSCode, TOTP}},
		{true, true, true}:                {{MailCode, TOTP}, {SMSCode, TOTP}},
	} {
		if got := o.Combinations(); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %v, want %v", o, got, want)
		}
		if back, ok := ResetOptionsOf(want); !ok || back != o {
			t.Errorf("%v is read as %+v %v", want, back, ok)
		}
	}
	if _, ok := ResetOptionsOf([]Combination{{Passkey}}); ok {
		t.Error("a passkey is none of the switches")
	}
	var m Methods
	sales := Group{Name: "Sales"}
	m.SetReset(nil, ResetOptions{ByMail: true})
	m.SetReset(&sales, ResetOptions{BySMS: true})
	m.SetReset(&sales, ResetOptions{BySMS: true, RequireCode: true})
	if got := m.ResetRules(); len(got) != 2 || got[0].Group != nil || !got[0].ByMail || *got[1].Group != sales || !got[1].RequireCode {
		t.Errorf("read as %+v", got)
	}
	if got := m.For(protocol.ActionOptions, []Group{sales}); !reflect.DeepEqual(got, []Combination{{SMSCode}}) || !m.Enough("password", []Group{sales}, RootsOf(SMSCode)) {
		t.Errorf("an app is enrolled by %v", got)
	}
	m.SetReset(nil, ResetOptions{RequireCode: true})
	if got := m.For(protocol.ActionOptions, nil); !reflect.DeepEqual(got, []Combination{{MailCode}}) || m.Check() != nil {
		t.Errorf("an app alone is enrolled by %v", got)
	}
	m.SetReset(nil, ResetOptions{ByMail: true})
	if len(m.Rules) != 2 || !reflect.DeepEqual(m.For("password", []Group{sales}), []Combination{{SMSCode, TOTP}}) || !reflect.DeepEqual(m.For("mfa", nil), []Combination{{MailCode}}) {
		t.Errorf("%+v", m)
	}
}
