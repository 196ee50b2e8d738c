package flow_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// signIn begins the proof of an account, which is opened by a code by mail and takes a
// saved code or mail: mail stands here for a method that the one who asks takes.
func (s *stack) signIn(account string, change func(*flow.SignIn)) *browser {
	s.t.Helper()
	q := flow.SignIn{Env: s.env, Directory: s.dir, Account: account, Hint: "somebody", Methods: []policy.Method{policy.MailCode}, Exchange: "exchange", Language: "en",
		Client: recovery.Client{Address: "192.0.2.7", Origin: "https://recover.example.com"}}
	if change != nil {
		change(&q)
	}
	id, session, err := s.SignIn(s.t.Context(), q)
	if err != nil {
		s.t.Fatalf("sign-in: %v", err)
	}
	b := s.start("nobody@example.com") // for its key
	b.id, b.session = id, session
	return b
}

func (b *browser) finish(give bool) (got flow.SignedIn, err error) {
	err = b.FinishSignIn(b.t.Context(), b.env, b.id, b.session, give, func(_ *store.Tx, s flow.SignedIn) error { got = s; return nil })
	return got, err
}

func TestASignInProvesOneAccountOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ann")
		b := s.signIn("ann", nil)
		if err := b.submit(b.code()); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepReady || v.Action != protocol.ActionSignIn || v.HandOver {
			t.Fatalf("view %+v", v)
		}
		if err := b.press(); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("T1: pressed: %v", err)
		}
		other := *b
		other.session = "guess"
		if _, err := other.finish(true); !errors.Is(err, recovery.ErrNotFound) {
			t.Errorf("another session: %v", err)
		}
		got, err := b.finish(true)
		if err != nil || got.Account != "ann" || got.Exchange != "exchange" || !slices.Equal(got.Proven, []policy.Method{policy.MailCode}) || got.Strict {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := b.finish(true); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("twice: %v", err)
		}
		if v := b.view(); v.Step != flow.StepEnded || v.Ended != recovery.EndReturned {
			t.Errorf("afterwards: %+v", v)
		}
		if n := len(s.agent.changes()); n != 0 {
			t.Errorf("%d changes in the directory", n)
		}
	})
}

func TestASignInThatIsNotProvenGivesNothing(t *testing.T) {
	s := newStack(t, storetest.SQLite(t), nil)
	s.person("ann")
	s.person("off", func(a *protocol.Account) { a.Disabled = true })
	for name, c := range map[string]struct {
		account string
		code    bool
		give    bool
	}{"stopped": {"ann", true, false}, "before the proof": {"ann", false, true}, "nobody": {"", false, true}, "disabled": {"off", false, true}, "unknown": {"zoe", false, true}} {
		b := s.signIn(c.account, nil)
		b.settled("proving")
		if c.code {
			if err := b.submit(b.code()); err != nil {
				t.Fatal(err)
			}
		} else if err := b.submit("12345678"); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("%s: a guess is %v", name, err)
		}
		if got, err := b.finish(c.give); err != nil || len(got.Proven) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestASignInTakesCombinationsThatTheOneWhoAsksAccepts(t *testing.T) {
	s := newStack(t, storetest.SQLite(t), nil)
	s.person("ann")
	s.settings(func(d *store.DirectorySettings) {
		d.Methods = json.RawMessage(`{"default":[["agent_code"],["mail_code","approval"],["mail_code"]]}`)
	})
	b := s.signIn("ann", nil)
	b.settled("proving")
	if v := b.view(); v.Ask.Method != policy.MailCode || len(v.Methods) > 1 {
		t.Errorf("asked for %s among %v", v.Ask.Method, v.Methods)
	}
	if err := b.submit(b.code()); err != nil {
		t.Fatal(err)
	}
	if got, err := b.finish(true); err != nil || len(got.Proven) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	none := s.signIn("ann", func(q *flow.SignIn) { q.Methods = []policy.Method{policy.Passkey} })
	none.settled("proving")
	if err := none.submit(none.code()); err == nil {
		if got, err := none.finish(true); err != nil || len(got.Proven) != 0 {
			t.Errorf("no method is accepted, and was proven: %+v, %v", got, err)
		}
	}
	s.settings(func(d *store.DirectorySettings) {
		d.Policies.Authenticate = json.RawMessage(`{"default":"disabled","groups":[]}`)
	})
	if _, _, err := s.SignIn(t.Context(), flow.SignIn{Env: s.env, Directory: s.dir, Account: "ann", Methods: []policy.Method{policy.MailCode}}); !errors.Is(err, recovery.ErrNotAdmitted) {
		t.Errorf("a directory that lets nobody: %v", err)
	}
}

func TestT11_AStrictAccountSignsInOnlyWhereAnAdministratorAllowsIt(t *testing.T) {
	s := newStack(t, storetest.SQLite(t), nil)
	s.person("ann")
	s.agent.set(func(a *testAgent) { a.terms = &protocol.Terms{Methods: [][]string{{"mail_code"}}} })
	for _, allowed := range []bool{false, true} {
		b := s.signIn("ann", func(q *flow.SignIn) { q.Strict = allowed })
		if err := b.submit(b.code()); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); (v.Step == flow.StepReady) != allowed || !allowed && v.Problem != recovery.ProblemNotAllowed {
			t.Errorf("allowed %v: step %s, problem %q", allowed, v.Step, v.Problem)
		}
		if got, err := b.finish(true); err != nil || (len(got.Proven) > 0) != allowed || !got.Strict {
			t.Errorf("allowed %v: %+v, %v", allowed, got, err)
		}
	}
}
