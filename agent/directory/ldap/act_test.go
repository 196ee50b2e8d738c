package ldap

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// actsAt runs the account operations at a server whose agent has the documented rights.
func actsAt(t *testing.T, o testenv.SlapdOptions, change func(*Config)) (*testenv.Slapd, directorytest.Acts) {
	t.Helper()
	o.People, o.Acts = 8, true
	s := testenv.StartSlapd(t, o)
	cfg := configFor(t, s.Addr(), s.CAFile)
	if change != nil {
		change(&cfg)
	}
	return s, directorytest.Acts{
		Actor: openAt(t, cfg), Person: person("cleo", "cleo@corp.example", "Cleo Carter"), Leaver: person("emp000005", "", ""),
		Group: "staff", Powerful: "deputies", SignIn: s.WhoAmI,
		Single: "employeeNumber", Many: "telephoneNumber", Phone: "telephoneNumber", Own: "corpTotpSecret", Evidence: "mobile",
		Values: valuesOf(s),
	}
}

// valuesOf reads attributes as the server's administrator.
func valuesOf(s administered) func(t *testing.T, dn, attribute string) []string {
	return func(t *testing.T, dn, attribute string) []string {
		t.Helper()
		values := s.Values(t, dn, attribute)
		for i, v := range values { // ldapsearch writes what is no ASCII in base64
			if raw, err := base64.StdEncoding.DecodeString(v); err == nil && slices.Contains([]string{"employeeNumber", "acmeLanguage"}, attribute) && len(v) > 20 {
				values[i] = string(raw)
			}
		}
		return values
	}
}

func TestActsOnSlapd(t *testing.T) {
	t.Parallel()
	s, a := actsAt(t, testenv.SlapdOptions{MustChange: true}, func(cfg *Config) { cfg.DisabledAttribute, cfg.DisabledValues = "", nil })
	a.MustChange = func(t *testing.T, dn string) bool {
		v := s.Values(t, dn, "pwdReset")
		return len(v) == 1 && v[0] == "TRUE"
	}
	directorytest.RunActs(t, a)
}

// A directory without a password policy, whose own attribute switches accounts off.
func TestActsWithAnAttributeOfTheFile(t *testing.T) {
	t.Parallel()
	s, a := actsAt(t, testenv.SlapdOptions{NoPolicy: true}, func(cfg *Config) {
		cfg.Groups, cfg.DisabledAttribute, cfg.DisabledValues = GroupsMember, "corpStatus", []string{"left"}
	})
	p := a.Person
	disable, enable := protocol.Task{Operation: protocol.Disable}, protocol.Task{Operation: protocol.Enable}
	if err := a.Act(t.Context(), p.ID, disable); err != nil {
		t.Fatal(err)
	}
	if v := s.Values(t, p.DN, "corpStatus"); len(v) != 1 || v[0] != "left" {
		t.Errorf("disabled: %q", v)
	}
	if err := a.Act(t.Context(), p.ID, enable); err != nil {
		t.Fatal(err)
	}
	if v := s.Values(t, p.DN, "corpStatus"); len(v) != 0 {
		t.Errorf("enabled: %q", v)
	}
	_, err := a.Foresee(t.Context(), p.ID, protocol.Task{Operation: protocol.SetMustChange})
	if protocol.CodeOf(err) != protocol.CodeUnsupported {
		t.Errorf("must change without a policy: %v", err)
	}
}

// An attribute goes by several names: the rules know the one that the server answers with.
func TestT20_AnotherNameOfAnAttributeGetsPastNoRule(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 1, Acts: true})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	p := person("cleo", "", "")
	for _, name := range []string{"userid", "rfc822Mailbox", "commonName", "surname", "mobileTelephoneNumber", "fax"} {
		before := s.Values(t, p.DN, name)
		set := directory.Set{Attribute: name, Values: []string{"+49 30 1"}}
		seen, err := d.ForeseeSet(t.Context(), p.ID, set)
		for _, err := range []error{err, d.Set(t.Context(), p.ID, set)} {
			if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodePermissionDenied || len(seen.Changes) != 0 {
				t.Errorf("%s: %+v, %v", name, seen, err)
			}
		}
		if after := s.Values(t, p.DN, name); !slices.Equal(before, after) {
			t.Errorf("%s was %q and is %q", name, before, after)
		}
	}
}

func TestActsWithoutTheRightsChangeNothing(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 1})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	p := person("cleo", "", "")
	set := directory.Set{Attribute: "telephoneNumber", Values: []string{"+49 30 1"}}
	_, err := d.ForeseeSet(t.Context(), p.ID, set)
	for _, err := range []error{err, d.Set(t.Context(), p.ID, set)} {
		if protocol.CodeOf(err) != protocol.CodePermissionDenied {
			t.Errorf("set_attribute: %v", err)
		}
	}
	for _, act := range []protocol.Task{
		{Operation: protocol.AddToGroup, Params: map[string]string{protocol.ParamGroup: "staff"}}, {Operation: protocol.DeleteAccount},
	} {
		if err := d.Act(t.Context(), p.ID, act); protocol.CodeOf(err) != protocol.CodePermissionDenied {
			t.Errorf("%s: %v", act, err)
		}
	}
	if n := len(s.Changes(t, p.DN, testenv.SlapdAgent)); n != 0 {
		t.Errorf("%d changes in the server's log", n)
	}
}
