package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/protocol"
)

// evaluating switches evaluation on or off in the file, as an administrator of the
// agent's machine does.
func (r *rig) evaluating(t *testing.T, on bool) {
	t.Helper()
	r.cfg.Evaluation = on
	r.restart(t)
}

func TestT33_WhileTheFileSaysEvaluationNothingIsEverWritten(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.evaluating(t, true)
	before := r.company.person(t, accountID(1))
	q, b := r.beginOn(t, accountID(1), reset)
	if !b.Evaluation || b.Finding != nil {
		t.Fatalf("begun = %+v", b)
	}
	out := r.performed(t, r.request(q, b))
	if out.State != protocol.Evaluated || out.Error != nil || out.Sealed != nil {
		t.Fatalf("outcome = %+v", out)
	}
	if after := r.company.person(t, accountID(1)); after.Password != before.Password || after.Writes != 0 || !after.Locked {
		t.Errorf("the account was changed: %+v", after)
	}
	if h := helloOf(r.cfg, "1", "", r.clock.now()); !h.Evaluation {
		t.Error("the hello does not say so")
	}
	var told bool
	text, err := os.ReadFile(filepath.Join(r.state, eventsFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		told = told || e.Method == "perform" && e.Trial && e.State == protocol.Evaluated
	}
	if !told {
		t.Error("the agent's own log does not say that it was a trial")
	}
}

func TestT33_ARecoveryThatBeganAsATrialIsNeverCarriedOut(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.evaluating(t, true)
	q, b := r.beginOn(t, accountID(1), reset)
	frame := r.request(q, b)
	r.evaluating(t, false) // the file is edited while the person is at it
	if out := r.performed(t, frame); out.State != protocol.Evaluated || r.company.writes(t) != 0 {
		t.Errorf("outcome = %+v, %d writes", out, r.company.writes(t))
	}
	q, b = r.beginOn(t, accountID(1), reset)
	frame = r.request(q, b)
	r.evaluating(t, true) // and the other way around
	if out := r.performed(t, frame); out.State != protocol.Evaluated || r.company.writes(t) != 0 {
		t.Errorf("outcome = %+v, %d writes", out, r.company.writes(t))
	}
}

func TestATrialSaysWhatWouldHaveStoodInTheWay(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.evaluating(t, true)
	q, b := r.beginOn(t, accountID(1), reset)
	r.company.edit(t, accountID(1), func(p *person) { p.Disabled = true })
	out := r.performed(t, r.request(q, b))
	if out.State != protocol.Evaluated || out.Error == nil || out.Error.Reason != protocol.ReasonDisabled {
		t.Errorf("outcome = %+v", out)
	}
	forged := out
	forged.Error = nil
	if forged.Verify(r.id.keys.signPublic()) {
		t.Error("the signature holds for a trial in which nothing stood in the way")
	}
}

func TestATrialCountsTowardsTheLimitsOnceAndOnlyIfItWouldBeDone(t *testing.T) {
	rules := rulesOfTests
	rules.PerAccountPerHour = 1
	r := newRig(t, rules)
	r.evaluating(t, true)
	try := func() *protocol.Error {
		t.Helper()
		q, b := r.beginOn(t, accountID(1), reset)
		out := r.performed(t, r.request(q, b))
		if out.State != protocol.Evaluated {
			t.Fatalf("outcome = %+v", out)
		}
		return out.Error
	}
	r.company.edit(t, accountID(1), func(p *person) { p.Disabled = true })
	if why := try(); why == nil || why.Reason != protocol.ReasonDisabled {
		t.Errorf("a disabled account: %v", why)
	}
	r.company.edit(t, accountID(1), func(p *person) { p.Disabled = false })
	if why := try(); why != nil {
		t.Errorf("the first of the hour: %v", why)
	}
	if why := try(); why == nil || why.Code != protocol.CodeRateLimited {
		t.Errorf("the second of the hour: %v", why)
	}
}

func TestATrialTiesNoDocumentAndTellsTheOwnerThatItIsOne(t *testing.T) {
	r, srv := strictRig(t, required([]string{"agent_code"}))
	r.evaluating(t, true)
	frame, _ := r.frameFor(t, reset)
	r.proveCode(t, srv, 1, frame.Members.Recovery)
	out := r.performed(t, frame)
	if out.State != protocol.Evaluated || out.Error != nil || r.company.writes(t) != 0 {
		t.Fatalf("outcome = %+v", out)
	}
	last, err := srv.Wait(t.Context(), func(m mailbox.Message) bool { return m.ID == "2" })
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(last.Subject, trialWords[languageOf("en")].subject) || !strings.Contains(last.Text, "This is a trial") {
		t.Errorf("the notice says %q: %q", last.Subject, last.Text)
	}
}

func TestT33_EvaluationIsAnsweredOnlyWhileTheFileSaysSo(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q := protocol.EvaluateRequest{Accounts: []protocol.EvaluateAccount{{ID: accountID(1), Operations: []string{reset}}}}
	_, err := ask[protocol.Evaluations](t, r.service, protocol.MethodEvaluate, q)
	wantCode(t, err, protocol.CodePermissionDenied)
	r.evaluating(t, true)
	if _, err = ask[protocol.Evaluations](t, r.service, protocol.MethodEvaluate, q); err != nil {
		t.Fatal(err)
	}
	q.Accounts = slices.Repeat(q.Accounts, protocol.MaxEvaluated+1)
	_, err = ask[protocol.Evaluations](t, r.service, protocol.MethodEvaluate, q)
	wantCode(t, err, protocol.CodeBadRequest)
	q.Accounts = q.Accounts[:protocol.MaxEvaluated]
	r.assessed.n, r.assessed.since = assessedPerHour, r.clock.now()
	_, err = ask[protocol.Evaluations](t, r.service, protocol.MethodEvaluate, q)
	wantCode(t, err, protocol.CodeRateLimited)
}

func TestEachAccountIsEvaluatedWithItsTrueReason(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.evaluating(t, true)
	want := map[int]protocol.Reason{
		1: "", 10: protocol.ReasonAdministrator, 11: protocol.ReasonAgentAccount, 12: protocol.ReasonDisabled, 13: protocol.ReasonOutside,
		14: protocol.ReasonRefusedGroup, 16: protocol.ReasonNoNotice, 99: protocol.ReasonGone,
	}
	var q protocol.EvaluateRequest
	for i := range want {
		q.Accounts = append(q.Accounts, protocol.EvaluateAccount{ID: accountID(i), Operations: []string{reset}})
	}
	got, err := ask[protocol.Evaluations](t, r.service, protocol.MethodEvaluate, q)
	if err != nil || len(got.Accounts) != len(want) {
		t.Fatalf("%+v %v", got, err)
	}
	for i, reason := range want {
		at := slices.IndexFunc(got.Accounts, func(e protocol.Evaluation) bool { return e.ID == accountID(i) })
		if e := got.Accounts[at]; len(e.Reasons) != 1 || e.Reasons[0] != reason {
			t.Errorf("account %d: %v, want %q", i, e.Reasons, reason)
		}
	}
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestT16_AStrictAccountIsEvaluatedWithWhatItCannotProveYet(t *testing.T) {
	rule := required([]string{"agent_code"}, []string{"passkey"})
	rule.NoNotice = proof.NoticeAllow // an address that is too young is nobody who could be told either
	r, _ := strictRig(t, rule)
	if err := r.known.Settle(); err != nil {
		t.Fatal(err)
	}
	r.evaluating(t, true)
	q := protocol.EvaluateRequest{Accounts: []protocol.EvaluateAccount{{ID: kim, Operations: []string{reset}}}}
	one := func() protocol.Evaluation {
		t.Helper()
		got, err := ask[protocol.Evaluations](t, r.service, protocol.MethodEvaluate, q)
		if err != nil {
			t.Fatal(err)
		}
		return got.Accounts[0]
	}
	e := one()
	if e.Reasons[0] != protocol.ReasonNoEvidence || e.Unprovable[proof.MethodAgentCode] != protocol.ReasonYoung || e.Unprovable[proof.MethodPasskey] != protocol.ReasonNoPasskey || e.Terms == nil {
		t.Errorf("at first: %+v", e)
	}
	r.clock.forward(known.Wait)
	if e = one(); e.Reasons[0] != "" || e.Unprovable[proof.MethodAgentCode] != "" {
		t.Errorf("after 72 hours: %+v", e)
	}
	r.company.edit(t, kim, func(p *person) { p.Who = directory.Person{} })
	if e = one(); slices.Contains(e.Has, protocol.FactName) || !slices.Contains(e.Has, protocol.FactMail) {
		t.Errorf("has = %v", e.Has)
	}
}
