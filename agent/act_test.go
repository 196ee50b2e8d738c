package agent

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// Acts implements directory.Actor: the company cannot set must-change.
func (c *company) Acts() []protocol.Operation {
	return []protocol.Operation{protocol.Enable, protocol.Disable, protocol.AddToGroup, protocol.RemoveFromGroup, protocol.SetAttribute, protocol.DeleteAccount}
}

// groupOf is the company's only way to make groups: they have the DN of their name.
func groupOf(name string) *directory.ActGroup {
	g := &directory.ActGroup{ID: "id-" + name, Name: name, DN: "cn=" + name + ",ou=groups,dc=corp,dc=example"}
	if name == "operators" {
		g.Privileged = "it is a member of Account Operators"
	}
	return g
}

// Foresee implements directory.Actor.
func (c *company) Foresee(_ context.Context, id string, act protocol.Task) (seen directory.Foreseen, err error) {
	p, err := c.find(id)
	if err != nil {
		return seen, err
	}
	switch o := act.Operation; {
	case o == protocol.Enable && p.Disabled, o == protocol.Disable && !p.Disabled:
		seen.Changes = []protocol.Difference{{What: protocol.WhatEnabled, Before: map[bool]string{true: "false", false: "true"}[p.Disabled], After: map[bool]string{true: "true", false: "false"}[p.Disabled]}}
	case o == protocol.AddToGroup:
		seen.Group = groupOf(act.Params[protocol.ParamGroup])
		if !slices.Contains(p.Groups, seen.Group.Name) {
			seen.Changes = []protocol.Difference{{What: protocol.WhatGroup, After: seen.Group.Name}}
		}
	case o == protocol.DeleteAccount:
		seen.Changes = []protocol.Difference{{What: protocol.WhatAccount, Before: p.DN}}
	}
	return seen, nil
}

// Rights implements directory.Advisor: recoveries lack nothing.
func (c *company) Rights(_ context.Context, id string) (directory.Rights, error) {
	p, err := c.find(id)
	return directory.Rights{Account: p.DN, Needs: []directory.Right{{Name: "write must_change", For: []string{"must_change"}, Held: directory.HeldYes}}}, err
}

// ActRights implements directory.ActAdvisor: the company lacks what its test says.
func (c *company) ActRights(_ context.Context, id string, of directory.ActScope) (all []directory.ActRight, err error) {
	add := func(name, on, never string, operations ...protocol.Operation) {
		if what := of.Among(operations...); len(what) > 0 {
			r := directory.ActRight{Right: directory.Right{Name: name, For: what, Held: directory.HeldYes}, Of: on, Never: never}
			if slices.Contains(c.lacks, name) {
				r.Held, r.Why, r.Fix = directory.HeldNo, "it is not delegated", []string{"grant " + name}
			}
			all = append(all, r)
		}
	}
	add("write must_change", "", "", protocol.Enable, protocol.Disable)
	add("delete", "", "", protocol.DeleteAccount)
	for _, g := range of.Groups {
		add("write member of "+g, g, map[bool]string{true: "it makes administrators"}[strings.Contains(g, "operators")], protocol.AddToGroup, protocol.RemoveFromGroup)
	}
	for _, a := range of.Attributes {
		add("write "+a, a, map[bool]string{true: directory.WhyEvidence}[a == "mobile"], protocol.SetAttribute)
	}
	_, err = c.find(id)
	return all, err
}

// Act implements directory.Actor.
func (c *company) Act(ctx context.Context, id string, act protocol.Task) error {
	seen, err := c.Foresee(ctx, id, act)
	if err != nil || len(seen.Changes) == 0 {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil {
		c.before(directory.Change{ID: id, Tasks: []protocol.Task{act}})
	}
	if c.refuse != nil {
		return c.refuse
	}
	all, err := c.load()
	if err != nil {
		return err
	}
	p := all[id]
	p.Writes++
	switch act.Operation {
	case protocol.Enable, protocol.Disable:
		p.Disabled = act.Operation == protocol.Disable
	case protocol.AddToGroup:
		p.Groups = append(p.Groups, seen.Group.Name)
	case protocol.DeleteAccount:
		delete(all, id)
	}
	err = c.save(all)
	if err == nil && c.after != nil {
		err = c.after(directory.Change{ID: id, Tasks: []protocol.Task{act}})
	}
	return err
}

// actRules switch account operations on.
func actRules(change ...func(*guard.Rules)) guard.Rules {
	rules := rulesOfTests
	rules.Acts = []protocol.Operation{protocol.Enable, protocol.Disable, protocol.AddToGroup, protocol.DeleteAccount}
	rules.ActGroups = []string{"CN=vpn, OU=groups,DC=corp,DC=example"}
	for _, f := range change {
		f(&rules)
	}
	return rules
}

// acted begins and performs one account operation.
func (r *rig) acted(t *testing.T, account, operation string) (protocol.Begun, protocol.Outcome) {
	t.Helper()
	q, b := r.beginOn(t, account, operation)
	f := r.request(q, b)
	f.Members.Recipient, f.Evidence = nil, nil
	f.Context = f.Members.Context()
	return b, r.performed(t, f)
}

func TestT20_AccountOperationsAreOffUntilTheFileSaysSo(t *testing.T) {
	r := newRig(t, rulesOfTests)
	d, err := ask[protocol.Description](t, r.service, protocol.MethodDescribe, protocol.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range protocol.Acts {
		if d.Traits.Can(row.Operation) {
			t.Errorf("%s is advertised", row.Operation)
		}
		value := ""
		if row.Param != "" {
			value = "vpn"
		}
		task, _ := row.Task(value)
		b, out := r.acted(t, accountID(1), task.String())
		if b.Finding == nil || !strings.Contains(b.Finding.Message, "guard.acts") || len(b.Changes) > 0 || out.State != protocol.Failed || out.Error.Code != protocol.CodePermissionDenied {
			t.Errorf("%s: %+v, %+v", row.Operation, b, out)
		}
	}
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestAnAccountOperationSaysWhatItChangesAndIsDoneOnce(t *testing.T) {
	r := newRig(t, actRules())
	d, err := ask[protocol.Description](t, r.service, protocol.MethodDescribe, protocol.Empty{})
	if err != nil || !d.Traits.CanDisable || d.Traits.CanSetMustChange || d.Traits.CanRemoveFromGroup {
		t.Errorf("traits = %+v, %v", d.Traits, err)
	}
	q, b := r.beginOn(t, accountID(1), "disable")
	if want := (protocol.Difference{What: protocol.WhatEnabled, Before: "true", After: "false"}); b.Finding != nil || len(b.Changes) != 1 || b.Changes[0] != want {
		t.Fatalf("begun = %+v", b)
	}
	if r.company.writes(t) != 0 {
		t.Fatal("the dry run wrote")
	}
	f := r.request(q, b)
	if out := r.performed(t, f); out.State != protocol.Done || !out.Verify(r.service.id.keys.sign.Public().(ed25519.PublicKey)) || !r.company.person(t, accountID(1)).Disabled {
		t.Fatalf("outcome = %+v", out)
	}
	r.company.edit(t, accountID(1), func(p *person) { p.Disabled = false })
	r.restart(t)
	f.ID = "again"
	if out := r.performed(t, f); out.State != protocol.Done || !out.Replayed || r.company.person(t, accountID(1)).Disabled {
		t.Errorf("T14: a replay: %+v", out)
	}
	if b, out := r.acted(t, accountID(1), "enable"); b.Finding == nil || b.Finding.Code != protocol.CodeUnsupportedAccountState || out.State != protocol.Failed {
		t.Errorf("enable of an enabled account: %+v, %+v", b.Finding, out)
	}
	if _, out := r.acted(t, accountID(12), "enable"); out.State != protocol.Done || r.company.person(t, accountID(12)).Disabled {
		t.Errorf("enable of a disabled account: %+v", out)
	}
}

func TestP02_NoAccountOperationReachesAProtectedAccountOrGroup(t *testing.T) {
	r := newRig(t, actRules())
	for i := firstProtected; i <= lastProtected; i++ {
		if i == 12 || i == 16 { // disabled, which is no reason, and without an address, which nobody needs
			continue
		}
		for _, o := range []string{"enable", "disable", "delete_account", "add_to_group?group=vpn"} {
			if b, out := r.acted(t, accountID(i), o); b.Finding == nil || len(b.Changes) > 0 || out.State != protocol.Failed {
				t.Errorf("%s of account %d: %+v, %+v", o, i, b, out)
			}
		}
	}
	for _, group := range []string{"operators", "staff2", "id-vpn2", "id-vpn"} {
		task := protocol.Task{Operation: protocol.AddToGroup, Params: map[string]string{"group": group}}
		if b, out := r.acted(t, accountID(1), task.String()); b.Finding == nil || out.State != protocol.Failed {
			t.Errorf("group %q: %+v, %+v", group, b, out)
		}
	}
	if n := r.company.writes(t); n != 0 {
		t.Fatalf("%d writes", n)
	}
	if _, out := r.acted(t, accountID(1), "add_to_group?group=vpn"); out.State != protocol.Done {
		t.Errorf("the group of the file: %+v", out)
	}
	for _, strange := range []string{"disable?group=vpn", "add_to_group", "disable,enable", "add_to_group?group=" + strings.Repeat("a", 600)} {
		b, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, protocol.BeginRequest{Recovery: make([]byte, protocol.RandomPart), Account: accountID(2), Operation: strange, Origin: "x"})
		if err == nil && b.Finding == nil {
			t.Errorf("%.40s was begun", strange)
		}
	}
}

func TestAnAccountThatNeedsEvidenceIsNoSubjectOfAccountOperations(t *testing.T) {
	r, _ := strictRig(t, required([]string{proof.MethodPasskey}, []string{proof.MethodApproval}))
	r.cfg.Guard.Acts = []protocol.Operation{protocol.Disable}
	r.restart(t)
	if b, out := r.acted(t, kim, "disable"); b.Finding == nil || b.Finding.Code != protocol.CodePermissionDenied || out.State != protocol.Failed || r.company.writes(t) != 0 {
		t.Errorf("%+v, %+v", b.Finding, out)
	}
}

func TestT31_AccountOperationsHaveALimitOfTheirOwn(t *testing.T) {
	r := newRig(t, actRules(func(rules *guard.Rules) { rules.ActsPerHour, rules.PerHour = 2, 2 }))
	for i := 1; i <= 2; i++ {
		if _, out := r.acted(t, accountID(i), "disable"); out.State != protocol.Done {
			t.Fatalf("%d: %+v", i, out)
		}
	}
	r.restart(t)
	if _, out := r.acted(t, accountID(3), "disable"); out.State != protocol.Unchanged || out.Error.Code != protocol.CodeRateLimited || !strings.Contains(out.Error.Message, "acts_per_hour") {
		t.Errorf("the third: %+v", out)
	}
	q, b := r.beginOn(t, accountID(4), reset)
	if out := r.performed(t, r.request(q, b)); out.State != protocol.Done {
		t.Errorf("a recovery beside them: %+v", out)
	}
}

func TestT08_AnAccountOperationNeedsItsEntryInTheLog(t *testing.T) {
	r := newRig(t, actRules())
	q, b := r.beginOn(t, accountID(1), "disable")
	f := r.request(q, b)
	body, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.service.serve(t.Context(), protocol.MethodPerform, body, "node")
	if code := protocol.CodeOf(err); code != protocol.CodeLogUnproven || r.company.writes(t) != 0 {
		t.Errorf("without a proof: %v", err)
	}
}

func TestT33_WhileTheAgentEvaluatesNoAccountOperationIsCarriedOut(t *testing.T) {
	r := newRig(t, actRules())
	r.evaluating(t, true)
	if b, out := r.acted(t, accountID(1), "delete_account"); !b.Evaluation || len(b.Changes) != 1 || out.State != protocol.Evaluated || out.Error != nil || r.company.writes(t) != 0 {
		t.Errorf("%+v, %+v", b, out)
	}
}

func TestALostAnswerOfAnAccountOperationIsSettledByTheAccount(t *testing.T) {
	r := newRig(t, actRules())
	lost := func(directory.Change) error { return errors.Join(directory.ErrUnsure, errors.New("cut")) }
	r.company.after = lost
	for _, o := range []string{"disable", "delete_account"} {
		if _, out := r.acted(t, accountID(1), o); out.State != protocol.Done {
			t.Errorf("%s that was made: %+v", o, out)
		}
	}
	r.company.setRefuse(lost(directory.Change{}))
	if _, out := r.acted(t, accountID(2), "disable"); out.State != protocol.Unknown {
		t.Errorf("disable that was not made: %+v", out)
	}
	r.company.setRefuse(protocol.Err(protocol.CodePermissionDenied, "no right"))
	if _, out := r.acted(t, accountID(3), "disable"); out.State != protocol.Failed {
		t.Errorf("disable that was refused: %+v", out)
	}
}

func TestT16_T18_TheAgentSaysWhatNeedsASecondAdministrator(t *testing.T) {
	rules := setRules()
	rules.SecondAdministrator, rules.SensitiveGroups = []protocol.Operation{protocol.DeleteAccount}, []string{"vpn"}
	r := newRig(t, rules)
	for operation, want := range map[string]bool{"disable": false, "delete_account": true, "add_to_group?group=vpn": true} {
		if _, b := r.beginOn(t, accountID(1), operation); b.Finding != nil || b.Second != want {
			t.Errorf("%s: %+v", operation, b)
		}
	}
	if b, _ := r.set(t, accountID(1), "telephoneNumber", []string{"1"}); b.Finding != nil || b.Second {
		t.Errorf("set an attribute: %+v", b)
	}
	rules.SecondAdministrator = []protocol.Operation{protocol.GetTemporaryPassword}
	if _, err := guard.New(rules, nil, r.now); err == nil {
		t.Error("a recovery among guard.second_administrator is taken")
	}
}
