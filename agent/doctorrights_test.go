package agent

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// findingsOf are the steps with a finding of the number.
func findingsOf(r *doctor.Report, number int) (all []doctor.Step) {
	for _, s := range r.Steps {
		if s.Number == number {
			all = append(all, s)
		}
	}
	return all
}

const (
	vpnGroup       = "cn=vpn,ou=groups,dc=corp,dc=example"
	operatorsGroup = "cn=operators,ou=groups,dc=corp,dc=example"
)

// switchOn lets every account operation of the company be done.
func switchOn(r *guard.Rules) {
	r.SensitiveGroups = nil
	r.Acts = []protocol.Operation{protocol.Enable, protocol.AddToGroup, protocol.SetAttribute, protocol.DeleteAccount}
	r.ActGroups, r.ActAttributes = []string{vpnGroup, operatorsGroup}, []string{"telephoneNumber", "mobile"}
}

func TestDoctorNamesTheRightsThatAccountOperationsLack(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg, c := h.enrolled(t, "http"), newCompany(t)
	cfg.Guard.SensitiveGroups = nil
	c.lacks = []string{"delete", "write member of " + vpnGroup, "write telephoneNumber"}
	r := examined(t, cfg, c, "")
	if r.Has(doctor.ActRightMissing) || r.Has(doctor.ActNever) {
		t.Errorf("nothing is switched on: %+v", r.Steps)
	}
	switchOn(&cfg.Guard)
	r = examined(t, cfg, c, "")
	var named []string
	for _, s := range findingsOf(r, doctor.ActRightMissing) {
		named = append(named, strings.TrimPrefix(s.What, "right: "))
		if s.Severity() != doctor.Problem || !strings.Contains(s.Detail, "not delegated") || !slices.Equal(s.Paste, []string{"grant " + strings.TrimPrefix(s.What, "right: ")}) {
			t.Errorf("%+v", s)
		}
	}
	slices.Sort(named)
	if !slices.Equal(named, c.lacks) {
		t.Errorf("missing are %q, want %q", named, c.lacks)
	}
	never := findingsOf(r, doctor.ActNever)
	if len(never) != 2 || never[0].What != "guard.act_groups" || !strings.Contains(never[0].Detail, "administrators") || never[1].What != "guard.act_attributes" || !strings.Contains(never[1].Detail, `"mobile": recoveries go by`) {
		t.Errorf("never: %+v", never)
	}
	both := 0
	for _, s := range r.Steps {
		if s.What == "right: write must_change" {
			both++
			if !strings.Contains(s.Detail, "must_change, enable") {
				t.Errorf("a right that both need: %+v", s)
			}
		}
	}
	if both != 1 {
		t.Errorf("a right that both need is told of %d times", both)
	}
	cfg.Guard.Acts, c.lacks = []protocol.Operation{protocol.DeleteAccount}, []string{"write must_change"}
	if r := examined(t, cfg, c, ""); r.Has(doctor.ActRightMissing) || r.Has(doctor.ActNever) {
		t.Errorf("only deleting is switched on: %+v", r.Steps)
	}
}

func TestT20_PolicyTestListsWhatTheFileLetsBeChangedAndWhatIsRefusedAllTheSame(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg, c := h.enrolled(t, "http"), newCompany(t)
	switchOn(&cfg.Guard)
	c.lacks = []string{"write member of " + vpnGroup}
	open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) { return c, nil }
	out, err := TestPolicy(t.Context(), Options{Config: cfg, Open: open}, accountID(1), "")
	if err != nil {
		t.Fatal(err)
	}
	acts := map[protocol.Operation]ActPolicy{}
	for _, a := range out.Acts {
		acts[a.Operation] = a
	}
	set := acts[protocol.SetAttribute]
	if !set.Allowed || set.Open != protocol.ParamAttribute || !slices.Equal(set.Choices, []ActChoice{{Name: "telephoneNumber"}, {"mobile", directory.WhyEvidence}}) {
		t.Errorf("set_attribute: %+v", set)
	}
	join := acts[protocol.AddToGroup]
	if join.Allowed || len(join.Choices) != 2 || !strings.Contains(join.Choices[0].Refused, "lacks the right 'write member of "+vpnGroup) || join.Choices[1].Refused != "it makes administrators" {
		t.Errorf("add_to_group, of which no group is left: %+v", join)
	}
	if out := acts[protocol.RemoveFromGroup]; out.Allowed || len(out.Choices) > 0 {
		t.Errorf("remove_from_group is off: %+v", out)
	}
	if c.writes(t) != 0 {
		t.Error("an account was changed")
	}
}
