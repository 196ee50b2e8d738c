package operation

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// An office is a hub with one account and the far end of its agent's tunnel, which signs
// what it answers like the agent of a customer.
type office struct {
	*Operations
	now     time.Time
	account store.Account
	org     string
	agent   string
	key     ed25519.PrivateKey
	begun   protocol.Begun // what the next begin says beside its own parts
	state   protocol.State // of the next outcome
	asked   []protocol.Method
	sent    []protocol.PerformRequest
	lose    bool // the answer of the next operation
	away    bool // nobody executes
}

func newOffice(t *testing.T) *office {
	t.Helper()
	return officeOn(t, storetest.Open(t, storetest.SQLite(t)))
}

func officeOn(t *testing.T, st *store.Store) *office {
	t.Helper()
	f := storetest.Seed(t, st)
	f.Accounts(t, st, protocol.Account{ID: "7", Name: "Ada", Identifiers: []string{"ada@example.com"}})
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{now: time.Now(), org: f.Org.ID, key: key, state: protocol.Done}
	err = st.Tx(t.Context(), func(tx *store.Tx) (err error) {
		if o.account, err = tx.AccountOf(t.Context(), f.Env.ID, f.Directory.ID, "7"); err != nil {
			return err
		}
		if _, err := tx.CreateTicket(t.Context(), f.Env.ID, f.Directory.ID, "ticket", time.Minute); err != nil {
			return err
		}
		a, err := tx.EnrolAgent(t.Context(), "ticket", store.Agent{Name: "a", NoiseKey: make([]byte, 32), SignKey: public})
		o.agent = a.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Operations = New(Config{Store: st, Agents: o, Now: func() time.Time { return o.now }})
	return o
}

// Call implements Agents.
func (o *office) Call(_ context.Context, _ To, m protocol.Method, _ protocol.Priority, req, resp any) error {
	o.asked = append(o.asked, m)
	switch m {
	case protocol.MethodBegin:
		b := o.begun
		b.Agent, b.Recovery, b.Account, b.NotAfter = o.agent, make([]byte, protocol.RandomPart), req.(protocol.BeginRequest).Account, o.now.Add(10*time.Minute).Unix()
		*resp.(*protocol.Begun) = b
	case protocol.MethodOutcome:
		*resp.(*protocol.Outcome) = o.outcome(req.(protocol.OutcomeRequest).Context)
	}
	return nil
}

func (o *office) outcome(c protocol.Context) protocol.Outcome {
	out := protocol.Outcome{Context: c, State: o.state}
	out.Sign(o.key)
	return out
}

// Execute implements Agents: the node of the tunnel is this one.
func (o *office) Execute(ctx context.Context, to To, id string) error {
	if o.away {
		return protocol.Err(protocol.CodeUnavailable, "")
	}
	return o.Operations.Execute(ctx, to, id, func(_ context.Context, _ string, q protocol.PerformRequest) (protocol.Outcome, error) {
		o.sent = append(o.sent, q)
		if o.lose {
			return protocol.Outcome{}, protocol.Err(protocol.CodeInternal, "lost")
		}
		return o.outcome(q.Context), nil
	})
}

// Reachable implements Agents.
func (o *office) Reachable(context.Context, string, string) bool { return true }

func (o *office) order(t *testing.T, op protocol.Operation) ActResult {
	t.Helper()
	r, err := o.Act(t.Context(), ActOrder{Account: o.account, Task: protocol.Task{Operation: op}, Origin: "https://hub.example", Actor: audit.Principal{Role: "admin", APIKey: "k"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// log is the account's audit events of account operations as kind=state.
func (o *office) log(t *testing.T) (all []string) {
	t.Helper()
	rows, err := store.Get(t.Context(), o.Store, func(tx *store.Tx) ([]store.AuditRow, error) {
		return tx.AuditRows(t.Context(), o.org, store.AuditFilter{Envs: []string{o.account.Env}, Count: 100, OldestFirst: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		word := r.Kind
		for _, s := range []string{"done", "failed", "refused", "unknown"} {
			if strings.Contains(r.Leaf, `"state":"`+s+`"`) {
				word += "=" + s
			}
		}
		all = append(all, word)
	}
	return all
}

// What the log says of an order, and that nothing lies open at the agent afterwards that
// nobody will send.
func TestT31_EveryOrderHasItsEndAndRefusedOnesLeaveNothingOpenAtTheAgent(t *testing.T) {
	o := newOffice(t)
	if r := o.order(t, protocol.Disable); r.State != recovery.Done || len(o.sent) != 1 {
		t.Errorf("an order: %+v, sent %d times", r, len(o.sent))
	}
	o.begun = protocol.Begun{Finding: protocol.Err(protocol.CodePermissionDenied, "guard.acts").For(protocol.ReasonAdministrator)}
	o.asked = nil
	if r := o.order(t, protocol.Enable); r.Refusal == nil || r.ID != "" || len(o.sent) != 1 {
		t.Errorf("a refused order: %+v, sent %d times", r, len(o.sent))
	}
	if !slices.Equal(o.asked, []protocol.Method{protocol.MethodBegin, protocol.MethodDrop}) {
		t.Errorf("asked of the agent for an order that it refused: %v", o.asked)
	}
	want := []string{"operation_requested", "operation_finished=done", "operation_finished=refused"}
	if got := o.log(t); !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}

// Whoever says once more that an order is to be executed, also over a forged frame between
// nodes, has nothing sent; nor does an order that was left too long, or is another agent's.
func TestT10_T14_AnAccountOperationIsSentOnceAndOnlyWhileItIsCleared(t *testing.T) {
	o := newOffice(t)
	send := func(context.Context, string, protocol.PerformRequest) (protocol.Outcome, error) {
		t.Error("it was sent")
		return protocol.Outcome{}, nil
	}
	to := To{Env: o.account.Env, Directory: o.account.Directory, Agent: o.agent}
	r := o.order(t, protocol.Disable)
	o.away = true
	left := o.order(t, protocol.Disable)
	if left.State != recovery.Failed || left.Code != protocol.CodeUnavailable {
		t.Errorf("an order that reached nobody: %+v", left)
	}
	for name, c := range map[string]struct {
		to To
		id string
	}{
		"done":                {to, r.ID},
		"lapsed":              {to, left.ID},
		"unknown":             {to, "nobody"},
		"another environment": {To{Env: "other", Directory: to.Directory, Agent: to.Agent}, r.ID},
	} {
		if err := o.Operations.Execute(t.Context(), c.to, actPrefix+c.id, send); err == nil {
			t.Errorf("%s: executed again", name)
		}
	}
}

// An answer that was lost is asked for, and one that the agent did not sign is not taken,
// however often it comes; in the end nobody knows, and a person looks.
func TestT28_LostAnswersOfAccountOperationsAreSettledByWhatTheAgentSigned(t *testing.T) {
	o := newOffice(t)
	o.now, o.lose = time.Now().Add(-time.Hour), true
	lost := o.order(t, protocol.Disable)
	if lost.State != recovery.Sent {
		t.Fatalf("an answer that was lost: %+v", lost)
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	act := func() store.Act {
		a, err := store.Get(t.Context(), o.Store, func(tx *store.Tx) (store.Act, error) { return tx.Act(t.Context(), o.account.Env, lost.ID) })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	own := o.key
	o.key = stranger
	o.now = time.Now()
	o.ResolveActs(t.Context())
	if a := act(); a.State != recovery.Sent || !a.Due.After(o.now) {
		t.Errorf("after an answer that somebody else signed: %s, asked again at %s", a.State, a.Due)
	}
	o.now = o.now.Add(resolveUntil)
	if err := o.resolveAct(t.Context(), act()); err != nil || act().State != recovery.Unknown {
		t.Errorf("after a day of such answers: %s, %v", act().State, err)
	}
	o.key, o.now = own, time.Now().Add(-time.Hour)
	lost = o.order(t, protocol.Disable)
	o.now = time.Now()
	o.ResolveActs(t.Context())
	if a := act(); a.State != recovery.Done || !a.Due.IsZero() {
		t.Errorf("after the agent's own answer: %s, due %s", a.State, a.Due)
	}
}

func TestWhatAnAgentForeseesIsBoundedPlainText(t *testing.T) {
	o := newOffice(t)
	long := strings.Repeat("x", maxValue+1)
	for name, b := range map[string]protocol.Begun{
		"too many":  {Changes: make([]protocol.Difference, maxChanges+1)},
		"too long":  {Changes: []protocol.Difference{{What: protocol.WhatGroup, After: long}}},
		"a command": {Changes: []protocol.Difference{{What: protocol.WhatGroup, After: "\x1b]0;staff\a"}}},
	} {
		o.begun = b
		if _, err := o.Act(t.Context(), ActOrder{Account: o.account, Task: protocol.Task{Operation: protocol.Disable}}); err == nil || len(o.sent) > 0 {
			t.Errorf("%s: %v, sent %d", name, err, len(o.sent))
		}
	}
	o.begun = protocol.Begun{Finding: protocol.Err(protocol.CodePermissionDenied, "\x1b[2J"+long)}
	if r := o.order(t, protocol.Disable); r.Refusal == nil || r.Refusal.Message != "" || r.Refusal.Code != protocol.CodePermissionDenied {
		t.Errorf("a refusal that is no plain text: %+v", r.Refusal)
	}
}

func TestT17_T18_OnlyOwnersOrderWhatIsFinalOrConcernsStaff(t *testing.T) {
	o := newOffice(t)
	needs := func(op protocol.Operation) (owner bool) {
		t.Helper()
		err := o.Store.Read(t.Context(), func(tx *store.Tx) (err error) {
			owner, err = NeedsOwner(t.Context(), tx, o.account, protocol.Task{Operation: op})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return owner
	}
	if needs(protocol.Disable) || needs(protocol.AddToGroup) || !needs(protocol.DeleteAccount) || !needs(protocol.Unlock) {
		t.Error("of an ordinary account only what is final takes an owner")
	}
	err := o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.AddStaff(t.Context(), &store.Staff{Org: o.org, ID: store.NewID(), Name: "Ada", Mail: "Ada@example.com", Role: "approver"})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range protocol.Acts {
		if !needs(row.Operation) {
			t.Errorf("%s of an approver takes no owner", row.Operation)
		}
		if _, err := o.Act(t.Context(), ActOrder{Account: o.account, Task: protocol.Task{Operation: row.Operation}, Actor: audit.Principal{Role: "admin"}}); !errors.Is(err, ErrOwner) || len(o.asked) > 0 {
			t.Errorf("%s of an approver by an administrator: %v, asked %v", row.Operation, err, o.asked)
		}
	}
}

// The rows go with their account.
func TestAccountOperationsAreForgottenWithTheAccount(t *testing.T) {
	o := newOffice(t)
	o.order(t, protocol.Disable)
	err := o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		if all, err := tx.ActsOf(t.Context(), o.account.Env, o.account.ID); err != nil || len(all) != 1 {
			t.Fatalf("before: %d, %v", len(all), err)
		}
		if _, err := tx.Exec(t.Context(), "UPDATE accounts SET swept_at = 1"); err != nil {
			return err
		}
		if n, err := tx.PurgeAccounts(t.Context()); err != nil || n != 1 {
			return errors.Join(err, errors.New("nothing was purged"))
		}
		all, err := tx.ActsOf(t.Context(), o.account.Env, o.account.ID)
		if len(all) != 0 {
			t.Errorf("kept: %+v", all)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
