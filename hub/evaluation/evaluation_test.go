package evaluation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// answering is an agent by a table.
type answering struct {
	photos []bool // of each account: whether a picture matters
	mu     sync.Mutex
	say    map[string]protocol.Evaluation // by immutable id; others can all
	err    error
	asked  []string
	hold   chan struct{} // closed when the agent may answer
}

// Evaluate implements Agents.
func (a *answering) Evaluate(ctx context.Context, _, _ string, q protocol.EvaluateRequest) (out protocol.Evaluations, err error) {
	a.mu.Lock()
	hold := a.hold
	a.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return out, protocol.Err(protocol.CodeUnavailable, "too late")
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return out, a.err
	}
	for _, who := range q.Accounts {
		a.asked, a.photos = append(a.asked, who.ID), append(a.photos, who.Photo)
		e, known := a.say[who.ID]
		if !known {
			e = protocol.Evaluation{Has: []protocol.Fact{protocol.FactMail, protocol.FactName}}
		}
		e.ID = who.ID
		for len(e.Reasons) < len(who.Operations) {
			e.Reasons = append(e.Reasons, "")
		}
		out.Accounts = append(out.Accounts, e)
	}
	return out, nil
}

func (a *answering) set(f func(*answering)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

type rig struct {
	*Runs
	storetest.Fixture
	agent *answering
}

// newRig is a directory on trial with n accounts named Person 0 … and mail codes.
func newRig(t *testing.T, s *store.Store, accounts ...protocol.Account) *rig {
	t.Helper()
	r := &rig{Fixture: storetest.Seed(t, s), agent: &answering{say: map[string]protocol.Evaluation{}}}
	r.Runs = New(Config{
		Store: s, Agents: r.agent, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Origin: func(d string) string { return "https://" + d },
		Verifiers: []verify.Verifier{mailcode.New(nil, nil), wallet.New(wallet.Config{Store: s, Now: time.Now})},
		Addresses: func(context.Context, *store.Tx, store.Account, protocol.Action) (bool, bool, error) {
			return false, false, nil
		},
	})
	r.Fixture.Accounts(t, s, accounts...)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.AddDomain(ctx, r.Env.ID, "recover.example.test")
		return errors.Join(err, tx.DomainProven(ctx, r.Env.ID, "recover.example.test"), tx.SetTraits(ctx, r.Env.ID, r.Directory.ID, protocol.Traits{CanGetTemporaryPassword: true, CanUnlock: true}))
	})
	r.enrol(t)
	return r
}

// enrol enrols an agent that says that it evaluates.
func (r *rig) enrol(t *testing.T) {
	t.Helper()
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		secret := store.NewToken()
		if _, err := tx.CreateTicket(ctx, r.Env.ID, r.Directory.ID, store.HashToken(secret), time.Hour); err != nil {
			return err
		}
		a, err := tx.EnrolAgent(ctx, store.HashToken(secret), store.Agent{Name: "a", NoiseKey: make([]byte, 32), SignKey: make([]byte, 32)})
		if err != nil {
			return err
		}
		return tx.AgentSeen(ctx, r.Env.ID, a.ID, "a", "1", "g", true)
	})
}

func (r *rig) tx(t *testing.T, f func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := r.Store.Tx(t.Context(), func(tx *store.Tx) error { return f(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) start(t *testing.T, s Scope) Run {
	t.Helper()
	run, err := store.Change(t.Context(), r.Store, func(tx *store.Tx) (Run, error) { return r.Start(t.Context(), tx, r.Env.ID, r.Directory.ID, s, "me") })
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func (r *rig) get(t *testing.T, id string) Run {
	t.Helper()
	run, err := store.Get(t.Context(), r.Store, func(tx *store.Tx) (Run, error) { return r.Get(t.Context(), tx, r.Env.ID, id) })
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func (r *rig) accounts(t *testing.T, id string, f store.EvaluationFilter) []Account {
	t.Helper()
	if f.Count == 0 {
		f.Count = store.MaxAccounts
	}
	all, err := store.Get(t.Context(), r.Store, func(tx *store.Tx) ([]Account, error) { return r.Runs.Accounts(t.Context(), tx, r.Env.ID, id, f) })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// run lets a node work until the run has left its state, and ends the node.
func (r *rig) run(t *testing.T, until func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.Wake()
	testenv.Eventually(t, "the run leaves its state", until)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func crowd(n int) []protocol.Account {
	var all []protocol.Account
	for i := range n {
		all = append(all, protocol.Account{ID: fmt.Sprintf("id-%03d", i), Identifiers: []string{fmt.Sprintf("p%03d@example.com", i)}, Name: fmt.Sprintf("Person %c%c", 'A'+i%26, 'A'+i/26)})
	}
	return all
}

func TestARunLooksAtEverybodyAndSumsUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := newRig(t, s, crowd(60)...)
		r.agent.say["id-003"] = protocol.Evaluation{Reasons: []protocol.Reason{protocol.ReasonAdministrator, protocol.ReasonAdministrator}, Has: []protocol.Fact{protocol.FactMail}}
		r.agent.say["id-004"] = protocol.Evaluation{Reasons: []protocol.Reason{protocol.ReasonRights, ""}, Has: []protocol.Fact{protocol.FactMail}}
		r.agent.say["id-005"] = protocol.Evaluation{} // no second address
		run := r.start(t, Scope{})
		if _, err := store.Change(t.Context(), s, func(tx *store.Tx) (Run, error) {
			return r.Start(t.Context(), tx, r.Env.ID, r.Directory.ID, Scope{}, "me")
		}); !errors.Is(err, ErrRunning) {
			t.Errorf("a second run at the same time: %v", err)
		}
		r.run(t, func() bool { return !r.get(t, run.ID).Running() })
		run = r.get(t, run.ID)
		if run.State != store.EvaluationDone || run.Done != 60 || run.Total != 60 || run.Totals.All != 57 || run.Totals.Some != 1 || run.Totals.None != 2 {
			t.Errorf("run = %+v", run)
		}
		for why, n := range map[protocol.Reason]int{protocol.ReasonAdministrator: 1, protocol.ReasonRights: 1, protocol.ReasonNoMail: 1} {
			if run.Totals.Reasons[why] != n {
				t.Errorf("%s: %d, want %d", why, run.Totals.Reasons[why], n)
			}
			if got := r.accounts(t, run.ID, store.EvaluationFilter{Reason: string(why)}); len(got) != n || !slices.Contains(got[0].Reasons, why) {
				t.Errorf("accounts by %s: %+v", why, got)
			}
		}
		slices.Sort(r.agent.asked)
		if n := len(slices.Compact(r.agent.asked)); n != 60 {
			t.Errorf("%d accounts were asked about", n)
		}
	})
}

func TestARunGoesOnWhereItWasAfterARestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := newRig(t, s, crowd(70)...)
		run := r.start(t, Scope{})
		hold := make(chan struct{})
		r.run(t, func() bool {
			if r.get(t, run.ID).Done >= 25 {
				r.agent.set(func(a *answering) { a.hold = hold }) // the node dies in the middle of a page
				return true
			}
			return false
		})
		before := r.get(t, run.ID).Done
		if before < 25 || before >= 70 {
			t.Fatalf("done %d before the restart", before)
		}
		r.agent.set(func(a *answering) { a.hold = nil })
		r.run(t, func() bool { return !r.get(t, run.ID).Running() })
		if got := r.get(t, run.ID); got.State != store.EvaluationDone || got.Done != 70 || got.Totals.All != 70 || len(r.accounts(t, run.ID, store.EvaluationFilter{})) != 70 {
			t.Errorf("run = %+v", got)
		}
	})
}

func TestARunEndsWhenTheAgentsFileNoLongerSaysEvaluation(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	r := newRig(t, s, crowd(3)...)
	r.agent.err = protocol.Err(protocol.CodePermissionDenied, "off")
	run := r.start(t, Scope{})
	r.run(t, func() bool { return !r.get(t, run.ID).Running() })
	if got := r.get(t, run.ID); got.State != store.EvaluationFailed || got.Problem != ProblemOff {
		t.Errorf("run = %+v", got)
	}
	r.agent.err = protocol.Err(protocol.CodeUnavailable, "away")
	run = r.start(t, Scope{})
	r.run(t, func() bool { return r.get(t, run.ID).Problem == ProblemAgent })
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return r.Cancel(ctx, tx, r.Env.ID, run.ID) })
	if got := r.get(t, run.ID); got.State != store.EvaluationCancelled {
		t.Errorf("run = %+v", got)
	}
}

func TestAScopeIsAGroupOrAList(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	all := crowd(40)
	all[1].Groups = []protocol.Group{{ID: "g1", Name: "Finance"}}
	r := newRig(t, s, all...)
	for _, c := range []struct {
		scope Scope
		want  int
	}{{Scope{Group: "g1"}, 1}, {Scope{Accounts: []string{"p002@example.com", "P003@Example.com", "nobody@example.com"}}, 2}} {
		run := r.start(t, c.scope)
		r.run(t, func() bool { return !r.get(t, run.ID).Running() })
		if got := r.accounts(t, run.ID, store.EvaluationFilter{}); len(got) != c.want {
			t.Errorf("%+v: %d accounts", c.scope, len(got))
		}
	}
	if err := (Scope{Group: "g", Accounts: []string{"a"}}).Check(); err == nil {
		t.Error("both a group and a list")
	}
}

func TestNamesThatCannotTellPeopleApartAreReported(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	r := newRig(t, s)
	who := func(name, birth string, common, bare bool) person {
		return person{account: store.Account{Name: name, BirthDate: birth}, common: common, bare: bare}
	}
	for _, c := range []struct {
		p    person
		s    policy.Strength
		want protocol.Reason
	}{
		{who("Alex Hill", "", true, false), policy.NameMatch, ReasonCommonName},
		{who("Alex Hill", "", true, false), policy.WeakNameMatch, ""},
		{who("Alex Hill", "", false, false), policy.NameAndBirthDate, protocol.ReasonNoBirthDate},
		{who("", "", false, true), policy.NameMatch, protocol.ReasonNoName},
		{who("☎", "", false, true), policy.NameMatch, ReasonUnmatchable},
		{who("Alex Hill", "x", false, false), policy.Photo, ReasonNoPhoto},
		{photographed(who("Alex Hill", "x", false, false)), policy.Photo, ""},
	} {
		if got := unnamed(c.p, c.s); got != c.want {
			t.Errorf("%s under %s: %q, want %q", c.p.account.Name, c.s, got, c.want)
		}
	}
	if got := r.lacks(t.Context(), place{}, person{decisions: []policy.Decision{{}}, ownMail: []bool{false}}, protocol.Evaluation{}, 0, policy.TOTP); got != ReasonMethodOff {
		t.Errorf("a method without a verifier: %q", got)
	}
}

func TestT16_ReportsAreDeletedAfterThirtyDays(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	r := newRig(t, s, crowd(2)...)
	run := r.start(t, Scope{})
	r.run(t, func() bool { return !r.get(t, run.ID).Running() })
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.PurgeEvaluations(ctx, tx.Now().Add(keepFor-time.Hour))
	})
	if n := len(r.accounts(t, run.ID, store.EvaluationFilter{})); n != 2 {
		t.Errorf("%d rows a while before", n)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.PurgeEvaluations(ctx, tx.Now().Add(keepFor+time.Hour))
	})
	if n := len(r.accounts(t, run.ID, store.EvaluationFilter{})); n != 0 {
		t.Errorf("%d rows afterwards", n)
	}
}

func TestCellsAreNoFormulas(t *testing.T) {
	for text, want := range map[string]string{"=1+1": "'=1+1", "+49": "'+49", "-x": "'-x", "@a": "'@a", "\tx": "'\tx", "Ada": "Ada", "": ""} {
		if got := Cell(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func photographed(p person) person {
	p.account.Photo = store.Photo{SHA256: "sum"}
	return p
}

func TestAReportNamesThePhotoThatIsMissing(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	r := newRig(t, s)
	settings := policy.Default()
	for name := range settings.Policies {
		settings.Policies[name] = policy.Rules{Default: policy.Photo}
	}
	d := policy.Decide(policy.Request{Action: protocol.ActionPassword, Settings: settings, Traits: protocol.Traits{CanGetTemporaryPassword: true}})
	got := r.operation(t.Context(), place{site: "recover.test"}, person{decisions: []policy.Decision{d}, ownMail: []bool{false}, ownPhone: []bool{false}}, protocol.Evaluation{}, 0, protocol.ActionPassword)
	if len(got.Reasons) != 1 || got.Reasons[0] != ReasonNoPhoto || got.Could {
		t.Errorf("%+v", got)
	}
	at := place{site: "recover.test", settings: settings, offered: []protocol.Action{protocol.ActionPassword}}
	at.directory.Traits = protocol.Traits{CanGetTemporaryPassword: true}
	who := person{account: store.Account{ImmutableID: "id-1", Name: "Alex Hill"}, decisions: []policy.Decision{d}, ownMail: []bool{false}, ownPhone: []bool{false}}
	for _, has := range [][]protocol.Fact{nil, {protocol.FactPhoto}} {
		a := r.judge(t.Context(), at, who, protocol.Evaluation{Has: has, Reasons: []protocol.Reason{""}})
		if slices.Contains(a.Reasons, ReasonNoPhoto) != (has == nil) {
			t.Errorf("the directory has %v: %v", has, a.Reasons)
		}
	}
	if _, err := r.ask(t.Context(), store.Evaluation{}, []person{who, photographed(who)}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.agent.photos, []bool{true, false}) {
		t.Errorf("asked for pictures: %v", r.agent.photos)
	}
}
