package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/protocol"
)

// A hub that somebody took over asks for everything of everybody, in every order.
func TestP02_MaliciousHubNeverChangesAProtectedAccount(t *testing.T) {
	r := newRig(t, rulesOfTests)
	dice := mrand.New(mrand.NewPCG(7, 11))
	pick := func(s ...string) string { return s[dice.IntN(len(s))] }
	var begun []protocol.PerformRequest
	state := func() protocol.PerformRequest {
		if len(begun) == 0 {
			return protocol.PerformRequest{}
		}
		return begun[dice.IntN(len(begun))]
	}
	for range 4000 {
		account := accountID(firstProtected + dice.IntN(lastProtected-firstProtected+1))
		switch dice.IntN(8) {
		case 0, 1:
			q := protocol.BeginRequest{
				Recovery: make([]byte, protocol.RandomPart), Origin: "evil.example", Long: dice.IntN(2) == 0,
				Account:   pick(account, accountID(1), strings.ToUpper(account), "*", account+"\x00", "cn=x"),
				Operation: pick("unlock", reset, "get_temporary_password", "remove_all_mfa,unlock", "explode"),
			}
			_, _ = rand.Read(q.Recovery)
			b, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, q)
			if err == nil {
				begun = append(begun, r.request(q, b))
			}
		case 2, 3, 4:
			f := state()
			f.ID = rand.Text()
			switch dice.IntN(4) {
			case 0:
				f.Members.Account = account // begun for somebody else
				f.Context = f.Members.Context()
			case 1:
				f.Evidence = []protocol.Evidence{{Type: "agent_code", Raw: []byte("12345678")}, {Type: pick("mdoc", "review", "webauthn")}}
			}
			_, _ = ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
		case 5:
			_, _ = ask[protocol.CheckedCode](t, r.service, protocol.MethodCheckCode, protocol.CheckCodeRequest{Recovery: state().Members.Recovery, Code: "00000000"})
		case 6:
			_, _ = ask[protocol.SentCode](t, r.service, protocol.MethodSendCode, protocol.SendCodeRequest{Recovery: state().Members.Recovery})
		case 7:
			body := make([]byte, dice.IntN(200))
			for i := range body {
				body[i] = byte(dice.Uint32())
			}
			_, _ = r.serve(t.Context(), protocol.Method(dice.IntN(int(protocol.MethodPhoto)+2)), body, "node")
		}
	}
	for i := firstProtected; i <= lastProtected; i++ {
		if p := r.company.person(t, accountID(i)); p.Writes != 0 {
			t.Errorf("%s was changed %d times", p.Identifier, p.Writes)
		}
	}
	if r.company.person(t, accountID(1)).Writes == 0 {
		t.Error("the test asked nothing that is allowed")
	}
}

func FuzzServe(f *testing.F) {
	methods := slices.Sorted(maps.Keys(calls))
	seed := func(m protocol.Method, body string) { f.Add(byte(slices.Index(methods, m)), []byte(body)) }
	for _, m := range methods {
		seed(m, "{}")
	}
	seed(protocol.MethodBegin, `{"recovery":"AAAAAAAAAAAAAAAAAAAAAA==","account":"00000000-0000-4000-8000-000000000010","operation":"unlock","origin":"x"}`)
	seed(protocol.MethodPerform, `{"id":"x","ttl":60,"sent":1800000000,"members":{"recovery":"x","recipient":"AAEC"},"context":"AA"}`)
	seed(protocol.MethodList, `{"pass":"x","page":-1}`)
	r := newRig(f, rulesOfTests)
	f.Fuzz(func(t *testing.T, method byte, body []byte) {
		m := methods[int(method)%len(methods)]
		if _, err := r.serve(t.Context(), m, body, "node"); protocol.CodeOf(err) == protocol.CodeInternal {
			t.Fatalf("%s: %v", calls[m].name, err) // the agent outlives a panic, so only its answer tells
		}
		for i := firstProtected; i <= lastProtected; i++ {
			if r.company.person(t, accountID(i)).Writes != 0 {
				t.Fatal("a protected account was changed")
			}
		}
	})
}

func TestProtectedAccountIsRefusedAtBeginAndAgainAtPerform(t *testing.T) {
	r := newRig(t, rulesOfTests)
	for i := firstProtected; i <= lastProtected; i++ {
		q, b := r.beginOn(t, accountID(i), reset)
		if b.Finding == nil || b.Finding.Code != protocol.CodePermissionDenied {
			t.Errorf("account %d: finding = %v", i, b.Finding)
		}
		if out := r.performed(t, r.request(q, b)); out.State != protocol.Failed || out.Error == nil || out.Error.Code != protocol.CodePermissionDenied {
			t.Errorf("account %d: %+v", i, out)
		}
	}
	// An account that becomes protected after it was begun.
	q, b := r.beginOn(t, accountID(1), reset)
	r.company.edit(t, accountID(1), func(p *person) { p.Privileged = "adminCount is 1" })
	if out := r.performed(t, r.request(q, b)); out.State != protocol.Failed || r.company.writes(t) != 0 {
		t.Errorf("outcome = %+v", out)
	}
}

func TestDryRunFindsAtBeginWhatWouldFail(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.company.edit(t, accountID(1), func(p *person) { p.Locked = false })
	if _, b := r.beginOn(t, accountID(1), "unlock"); b.Finding == nil || b.Finding.Code != protocol.CodeUnsupportedAccountState {
		t.Errorf("finding = %v", b.Finding)
	}
	r.company.edit(t, accountID(2), func(p *person) { p.Policy.MinLength = 200 })
	if _, b := r.beginOn(t, accountID(2), reset); b.Finding == nil || b.Finding.Code != protocol.CodePasswordPolicy {
		t.Errorf("finding = %v", b.Finding)
	}
	r.company.setDown(protocol.Err(protocol.CodeUnavailable, "no route"))
	_, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, protocol.BeginRequest{
		Recovery: make([]byte, 16), Account: accountID(3), Operation: reset, Origin: "x",
	})
	wantCode(t, err, protocol.CodeUnavailable)
	r.company.setDown(nil)
	_, err = ask[protocol.Begun](t, r.service, protocol.MethodBegin, protocol.BeginRequest{
		Recovery: make([]byte, 16), Account: accountID(99), Operation: reset, Origin: "x",
	})
	wantCode(t, err, protocol.CodeAccountNotFound)
}

func TestP27_RequestsThatNoHubSendsAreRefusedBeforeTheDirectoryIsAsked(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.company.setDown(protocol.Err(protocol.CodeInternal, "the directory was asked"))
	good := protocol.BeginRequest{Recovery: make([]byte, 16), Account: accountID(1), Operation: "unlock", Origin: "x"}
	for name, change := range map[string]func(*protocol.BeginRequest){
		"recovery":      func(q *protocol.BeginRequest) { q.Recovery = make([]byte, 15) },
		"no account":    func(q *protocol.BeginRequest) { q.Account = "" },
		"control":       func(q *protocol.BeginRequest) { q.Account = "a\nb" },
		"NUL":           func(q *protocol.BeginRequest) { q.Account = "a\x00" },
		"long":          func(q *protocol.BeginRequest) { q.Account = strings.Repeat("a", 513) },
		"not canonical": func(q *protocol.BeginRequest) { q.Operation = "unlock?" },
		"parameter":     func(q *protocol.BeginRequest) { q.Operation = "unlock?force=true" },
		"verify":        func(q *protocol.BeginRequest) { q.Operation = "verify" },
		"no origin":     func(q *protocol.BeginRequest) { q.Origin = "" },
	} {
		q := good
		change(&q)
		_, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, q)
		if protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	two := good
	two.Operation = "get_temporary_password,get_password_link"
	_, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, two)
	wantCode(t, err, protocol.CodeUnsupported)
	for _, ref := range []protocol.Ref{{}, {ID: "a", Identifier: "b"}, {ID: "a\x00"}, {Identifier: strings.Repeat("x", 600)}} {
		_, err := ask[protocol.AccountList](t, r.service, protocol.MethodGet, ref)
		wantCode(t, err, protocol.CodeBadRequest)
	}
	_, err = r.serve(t.Context(), 99, []byte("{}"), "node")
	wantCode(t, err, protocol.CodeUnsupported)
	_, err = r.serve(t.Context(), protocol.MethodBegin, []byte("{"), "node")
	wantCode(t, err, protocol.CodeBadRequest)
}

func TestLostAnswerIsSettledByTheChangeStamp(t *testing.T) {
	lost := fmt.Errorf("%w: connection reset", directory.ErrUnsure)
	for name, c := range map[string]struct {
		before func(*company)
		want   protocol.State
		writes int
	}{
		"it was done": {func(c *company) { c.after = func(directory.Change) error { return lost } }, protocol.Done, 1},
		"it was not":  {func(c *company) { c.setRefuse(lost) }, protocol.Unchanged, 0},
		"an error that says nothing": {
			func(c *company) { c.after = func(directory.Change) error { return context.DeadlineExceeded } }, protocol.Done, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rulesOfTests)
			c.before(r.company)
			q, b := r.beginOn(t, accountID(1), reset)
			out := r.performed(t, r.request(q, b))
			if out.State != c.want || r.company.writes(t) != c.writes {
				t.Fatalf("%+v, %d writes", out, r.company.writes(t))
			}
			if c.want == protocol.Done && r.opened(t, out) != r.company.person(t, accountID(1)).Password {
				t.Error("the secret is not the account's password")
			}
			if c.want == protocol.Unchanged && out.Sealed != nil {
				t.Error("a password that was not set is shown")
			}
		})
	}
}

func TestUnchangedMayBeTriedAgainUnderANewIdAndReplaysNothing(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.company.setRefuse(protocol.Err(protocol.CodePasswordPolicy, "the password is in the history"))
	q, b := r.beginOn(t, accountID(1), reset)
	frame := r.request(q, b)
	if out := r.performed(t, frame); out.State != protocol.Unchanged || out.Error.Code != protocol.CodePasswordPolicy || out.Replayed {
		t.Fatalf("first = %+v", out)
	}
	r.company.setRefuse(nil)
	if out := r.performed(t, frame); out.State != protocol.Unchanged || !out.Replayed {
		t.Errorf("the same frame again = %+v", out)
	}
	frame.ID = rand.Text()
	out := r.performed(t, frame)
	if out.State != protocol.Done || out.Replayed || r.company.writes(t) != 1 {
		t.Errorf("a second press = %+v", out)
	}
	if r.opened(t, out) != r.company.person(t, accountID(1)).Password {
		t.Error("the secret is that of the first try")
	}
}

func TestFailureIsFinal(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.company.setRefuse(protocol.Err(protocol.CodePermissionDenied, "insufficient access rights"))
	q, b := r.beginOn(t, accountID(1), reset)
	frame := r.request(q, b)
	if out := r.performed(t, frame); out.State != protocol.Failed || out.Error.Code != protocol.CodePermissionDenied || out.Sealed != nil {
		t.Fatalf("outcome = %+v", out)
	}
	r.company.setRefuse(nil)
	frame.ID = rand.Text()
	if out := r.performed(t, frame); out.State != protocol.Failed || !out.Replayed || r.company.writes(t) != 0 {
		t.Errorf("again = %+v", out)
	}
}

func TestCallerWhoHangsUpDoesNotStopAModifyThatHasBegun(t *testing.T) {
	r := newRig(t, rulesOfTests)
	ctx, cancel := context.WithCancel(t.Context())
	r.company.before = func(directory.Change) { cancel() }
	r.company.after = func(directory.Change) error { return nil }
	q, b := r.beginOn(t, accountID(1), reset)
	out, err := askWith[protocol.Outcome](ctx, r.service, protocol.MethodPerform, r.request(q, b))
	if err != nil || out.State != protocol.Done || r.company.writes(t) != 1 {
		t.Errorf("outcome = %+v, %v", out, err)
	}
	// Before the journal has it, hanging up means that nothing happens.
	q, b = r.beginOn(t, accountID(2), reset)
	ctx, cancel = context.WithCancel(t.Context())
	r.company.mu.Lock()
	r.company.hold = cancel
	r.company.mu.Unlock()
	out, err = askWith[protocol.Outcome](ctx, r.service, protocol.MethodPerform, r.request(q, b))
	if err != nil || out.State != protocol.Unchanged || r.company.writes(t) != 1 {
		t.Errorf("outcome = %+v, %v", out, err)
	}
}

func TestT31_BreakerCountsPerformedOperationsOnly(t *testing.T) {
	rules := rulesOfTests
	rules.PerDay = 3
	r := newRig(t, rules)
	for range 50 { // starts, and refusals
		r.beginOn(t, accountID(1), reset)
		q, b := r.beginOn(t, accountID(firstProtected), reset)
		r.performed(t, r.request(q, b))
	}
	for i := 1; i <= 3; i++ {
		q, b := r.beginOn(t, accountID(i), reset)
		if out := r.performed(t, r.request(q, b)); out.State != protocol.Done {
			t.Fatalf("operation %d: %+v", i, out)
		}
	}
	r.restart(t)
	q, b := r.beginOn(t, accountID(4), reset)
	if out := r.performed(t, r.request(q, b)); out.State != protocol.Unchanged || out.Error.Code != protocol.CodeRateLimited || !strings.Contains(out.Error.Message, "guard.per_day") {
		t.Errorf("the fourth of the day: %+v", out)
	}
	if r.company.writes(t) != 3 {
		t.Errorf("%d writes", r.company.writes(t))
	}
}

func TestT20_NothingInARequestWidensTheGuard(t *testing.T) {
	rules := rulesOfTests
	rules.Operations = []protocol.Operation{protocol.Unlock}
	r := newRig(t, rules)
	d, err := ask[protocol.Description](t, r.service, protocol.MethodDescribe, protocol.Empty{})
	if err != nil || d.Traits.CanGetTemporaryPassword || d.Traits.CanRemoveAllMFA || !d.Traits.CanUnlock || d.Traits.CanSendCode {
		t.Errorf("traits = %+v, %v", d.Traits, err)
	}
	q, b := r.beginOn(t, accountID(1), reset)
	if b.Finding == nil {
		t.Error("an operation outside of the file has no finding")
	}
	if out := r.performed(t, r.request(q, b)); out.State != protocol.Failed {
		t.Errorf("outcome = %+v", out)
	}
	q, b = r.beginOn(t, accountID(1), "unlock")
	f := r.request(q, b)
	f.Members.Recipient = nil // nothing is sealed
	f.Context = f.Members.Context()
	if out := r.performed(t, f); out.State != protocol.Done || out.Sealed != nil {
		t.Errorf("outcome = %+v", out)
	}
}

func TestOneAccountIsChangedByOneCallAtATime(t *testing.T) {
	r := newRig(t, rulesOfTests)
	var mu sync.Mutex
	working, most := 0, 0
	r.company.before = func(directory.Change) {
		mu.Lock()
		working++
		most = max(most, working)
		mu.Unlock()
	}
	r.company.after = func(directory.Change) error {
		mu.Lock()
		working--
		mu.Unlock()
		return nil
	}
	var wg sync.WaitGroup
	for range 20 {
		q, b := r.beginOn(t, accountID(1), reset)
		f := r.request(q, b)
		wg.Go(func() { r.performed(t, f) })
	}
	wg.Wait()
	if most != 1 || r.company.writes(t) != 20 {
		t.Errorf("%d at once, %d writes", most, r.company.writes(t))
	}
}

func TestOutcomeDuringAnOperationSaysThatNobodyKnowsYet(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	f := r.request(q, b)
	var during error
	r.company.mu.Lock()
	r.company.hold = func() {
		_, during = r.asked(t, f)
	}
	r.company.mu.Unlock()
	r.performed(t, f)
	wantCode(t, during, protocol.CodeInternal)
}

// asked is what the agent says of a request whose answer was lost.
func (r *rig) asked(t *testing.T, f protocol.PerformRequest) (protocol.Outcome, error) {
	t.Helper()
	return ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: f.Context, Request: f.ID})
}

// P25: what the hub gave up is not carried out by a frame that comes late, so nobody has
// to wait until no frame can be on its way.
func TestP25_ARequestThatTheHubGaveUpIsRefusedWhenItComes(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	f := r.request(q, b)
	for range 2 { // the answer may be lost, too
		_, err := r.asked(t, f)
		wantCode(t, err, protocol.CodeGivenUp)
	}
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
	wantCode(t, err, protocol.CodeUnavailable)
	if n := r.company.writes(t); n != 0 {
		t.Fatalf("%d writes", n)
	}
	again := f
	again.ID = "pressed again"
	r.performed(t, again)
	out, err := r.asked(t, again)
	if err != nil || out.State != protocol.Done || r.company.writes(t) != 1 {
		t.Errorf("outcome = %+v, %v; %d writes", out, err, r.company.writes(t))
	}
}

// An earlier press of the same context says nothing of one that is on its way.
func TestP25_ALaterRequestIsNotTakenForAnEarlierOne(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	first := r.request(q, b)
	r.company.setRefuse(protocol.Err(protocol.CodePasswordPolicy, "too short"))
	if out, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, first); err != nil || out.State != protocol.Unchanged {
		t.Fatalf("%+v, %v", out, err)
	}
	r.company.setRefuse(nil)
	second := first
	second.ID = "pressed again"
	landed := r.service.flights.enter(first.Context)
	_, err := r.asked(t, second)
	wantCode(t, err, protocol.CodeInternal) // it came, and waits
	landed()
	_, err = r.asked(t, second)
	wantCode(t, err, protocol.CodeGivenUp)
	_, err = ask[protocol.Outcome](t, r.service, protocol.MethodPerform, second)
	wantCode(t, err, protocol.CodeUnavailable)
	if out, err := r.asked(t, first); err != nil || out.State != protocol.Unchanged {
		t.Errorf("the first: %+v, %v", out, err)
	}
}

func TestBrokenDirectoryKindDoesNotTakeTheAgentWithIt(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.company.before = func(directory.Change) { panic("a defect") }
	q, b := r.beginOn(t, accountID(1), reset)
	f := r.request(q, b)
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
	wantCode(t, err, protocol.CodeInternal)
	r.company.before = nil
	r.settleAll(t.Context())
	out, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: f.Context})
	if err != nil || out.State != protocol.Unchanged {
		t.Errorf("outcome = %+v, %v", out, err)
	}
}

func TestSensitiveAccountNeedsACodeThatTheAgentChecked(t *testing.T) {
	rules := guard.Rules{SensitiveGroups: []string{"finance"}}
	r := newRig(t, rules)
	_, b := r.beginOn(t, accountID(15), reset)
	if b.Finding == nil || !strings.Contains(b.Finding.Message, "evidence that the agent checks itself") {
		t.Errorf("without a mail route: finding = %v", b.Finding)
	}
}

func TestCallsWaitForTheirOwnClassOnly(t *testing.T) {
	s := newSlots()
	var held []func()
	for range bulkSlots {
		release, err := s.take(t.Context(), bulk)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, release)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.take(ctx, bulk)
	wantCode(t, err, protocol.CodeUnavailable)
	for _, class := range []slotClass{lookup, recovery} {
		release, err := s.take(t.Context(), class)
		if err != nil {
			t.Fatalf("class %d waits for listings: %v", class, err)
		}
		release()
	}
	for _, release := range held {
		release()
	}
	if release, err := s.take(t.Context(), bulk); err != nil {
		t.Error(err)
	} else {
		release()
	}
}
