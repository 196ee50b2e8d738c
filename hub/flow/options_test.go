package flow_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/passkey"
	"github.com/postern-id/postern/hub/verify/savedcode"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// withFactors adds people's own factors to a stack, whose policy accepts mail or a
// passkey or a saved code.
func withFactors(t *testing.T, c store.Config) (*stack, *factor.Factors) {
	t.Helper()
	var factors *factor.Factors
	s := newStack(t, c, func(cfg *config) {
		factors = factor.New(factor.Config{Store: cfg.Store, Mail: nothing{}, Notices: nothing{}, Rules: directory.Rules})
		cfg.Factors, cfg.does.Factors = factors, factors
		cfg.Verifiers = append(cfg.Verifiers, passkey.New(factors), savedcode.NewVerifier(factors))
	})
	s.settings(func(d *store.DirectorySettings) {
		d.Methods = json.RawMessage(`{"default":[["mail_code"],["passkey"],["saved_code"]]}`)
	})
	return s, factors
}

// nothing is sent by these tests.
type nothing struct{}

func (nothing) SendCode(context.Context, factor.Message) error              { return nil }
func (nothing) QueueFactor(context.Context, *store.Tx, factor.Notice) error { return nil }
func (nothing) Wake()                                                       {}

func toOptions(q *flow.Start) { q.Intent.Flow = flow.FlowOptions }

// options opens my recovery options with a code by mail.
func (s *stack) options(address string) *browser {
	s.t.Helper()
	b := s.start(address, toOptions)
	b.choose(protocol.ActionOptions)
	if err := b.ChooseMethod(b.t.Context(), b.env, b.id, b.session, "mail_code", nil); err != nil {
		s.t.Fatal(err)
	}
	sent := b.mail.count()
	b.wait("a code", func() bool { return b.mail.count() > sent || b.row().State == "proving" && b.mail.count() > 0 })
	if err := b.submit(b.code()); err != nil {
		s.t.Fatalf("submit: %v", err)
	}
	return b
}

func (b *browser) owner() factor.Owner {
	b.t.Helper()
	o, err := b.Owner(b.t.Context(), b.env, b.id, b.session)
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

func enrolPasskey(t *testing.T, f *factor.Factors, o factor.Owner) *evidencetest.Authenticator {
	t.Helper()
	a := evidencetest.NewAuthenticator(o.Origin)
	id, ask, err := f.BeginPasskey(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.FinishPasskey(t.Context(), o, id, "phone", a.Register(challengeIn(t, ask))); err != nil {
		t.Fatal(err)
	}
	return a
}

func challengeIn(t *testing.T, ask json.RawMessage) [32]byte {
	t.Helper()
	var q struct{ Challenge string }
	if err := json.Unmarshal(ask, &q); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(q.Challenge)
	if err != nil || len(raw) != 32 {
		t.Fatalf("challenge %q: %v", q.Challenge, err)
	}
	return [32]byte(raw)
}

func TestT01_T17_OptionsOpenOnlyForTheirOwnVerificationAndPerformNothing(t *testing.T) {
	s, _ := withFactors(t, storetest.SQLite(t))
	s.person("ada")
	ctx := t.Context()
	first := s.start("ada@example.com", toOptions)
	if v := first.view(); len(v.Actions) != 1 || v.Actions[0] != protocol.ActionOptions {
		t.Errorf("offered %v", v.Actions)
	}
	if err := first.Choose(ctx, first.env, first.id, first.session, "", protocol.ActionPassword); !errors.Is(err, recovery.ErrNotAdmitted) {
		t.Errorf("another action by this entrance: %v", err)
	}
	if _, err := first.Owner(ctx, first.env, first.id, first.session); !errors.Is(err, recovery.ErrStep) {
		t.Errorf("T17, before the proof: %v", err)
	}
	plain := s.start("ada@example.com")
	if err := plain.Choose(ctx, plain.env, plain.id, plain.session, "", protocol.ActionOptions); !errors.Is(err, recovery.ErrNotAdmitted) {
		t.Errorf("by the first page: %v", err)
	}
	b := s.options("ada@example.com")
	if rec := b.row(); rec.Tasks != "recovery_options" {
		t.Errorf("T1: the evidence is for %q", rec.Tasks)
	}
	o := b.owner()
	if o.Account != "ada" || len(o.Proven) != 1 || o.RPID != "recover.example.com" || len(o.Contacts.Mail) != 1 {
		t.Errorf("%+v", o)
	}
	if _, err := b.Owner(ctx, b.env, b.id, "another session"); !errors.Is(err, recovery.ErrNotFound) {
		t.Errorf("another session: %v", err)
	}
	if err := b.press(); !errors.Is(err, recovery.ErrStep) || s.agent.count(protocol.MethodPerform) > 0 {
		t.Errorf("something is performed: %v", err)
	}
	s.clock.advance(31 * time.Minute)
	if _, err := b.Owner(ctx, b.env, b.id, b.session); !errors.Is(err, recovery.ErrStep) {
		t.Errorf("half an hour later: %v", err)
	}
	ready := s.start("ada@example.com")
	ready.choose(protocol.ActionPassword)
	ready.byMail()
	if _, err := ready.Owner(ctx, ready.env, ready.id, ready.session); !errors.Is(err, recovery.ErrStep) {
		t.Errorf("T1, evidence for a password opens options: %v", err)
	}
}

// asksPasskey goes to the request of a passkey.
func (s *stack) asksPasskey(address string) (*browser, flow.Ask) {
	s.t.Helper()
	b := s.start(address)
	b.choose(protocol.ActionPassword)
	if v := b.view(); v.Step != flow.StepMethod || len(v.Methods) != 3 {
		s.t.Fatalf("step %s, methods %v", v.Step, v.Methods)
	}
	if err := b.ChooseMethod(b.t.Context(), b.env, b.id, b.session, "passkey", b.recipient); err != nil {
		s.t.Fatal(err)
	}
	b.settled("proving")
	s.clock.advance(2 * time.Second)
	var ask flow.Ask
	b.wait("a request", func() bool { ask = b.view().Ask; return ask.Open })
	return b, ask
}

func TestAPasskeyRecoversAndItsEvidenceReachesTheAgent(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, factors := withFactors(t, c)
		s.person("ada")
		a := enrolPasskey(t, factors, s.options("ada@example.com").owner())
		early, ask := s.asksPasskey("ada@example.com")
		if err := early.submit(string(a.Assert(challengeIn(t, ask.Request)))); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("T17, within 72 hours: %v", err)
		}
		s.clock.advance(factor.Wait)
		decoy, hollow := s.asksPasskey("nobody@example.com")
		if err := decoy.submit(string(a.Assert(challengeIn(t, hollow.Request)))); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("T30, a key of somebody else for an unknown address: %v", err)
		}
		b, ask := s.asksPasskey("ada@example.com")
		if len(ask.Request) != len(hollow.Request) {
			t.Errorf("T30: known %s, unknown %s", ask.Request, hollow.Request)
		}
		raw := a.Assert(challengeIn(t, ask.Request))
		if err := b.submit(string(a.Assert([32]byte{1}))); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("another challenge: %v", err)
		}
		if err := b.submit(string(raw)); err != nil {
			t.Fatal(err)
		}
		if err := b.press(); err != nil || b.view().Step != flow.StepDone {
			t.Fatalf("%v, step %s", err, b.view().Step)
		}
		q := s.agent.asked[len(s.agent.asked)-1]
		if len(q.Evidence) != 1 || q.Evidence[0].Type != evidence.TypePasskey || q.Credential != nil {
			t.Fatalf("evidence %+v", q.Evidence)
		}
		if err := evidence.CheckPasskey(q.Evidence[0].Raw, a.Credential(), q.Context, evidence.Anchors{Origins: []string{"https://recover.example.com"}}); err != nil {
			t.Errorf("the agent cannot check it again: %v", err)
		}
	})
}

func TestT03_EnrollKeyBearsTheHashOfTheCredential(t *testing.T) {
	s, factors := withFactors(t, storetest.SQLite(t))
	s.person("ada")
	ctx := t.Context()
	b := s.options("ada@example.com")
	a := enrolPasskey(t, factors, b.owner())
	rows, err := factors.List(ctx, b.owner())
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	cred, err := factors.Credential(ctx, b.owner(), rows[0].ID)
	if err != nil || cred.Hash() != a.Credential().Hash() {
		t.Fatal(err)
	}
	enrol := func() *browser {
		id, session, err := b.EnrollKey(ctx, b.env, b.id, b.session, rows[0].ID, cred)
		if err != nil {
			t.Fatal(err)
		}
		return &browser{s, id, session, b.key, b.recipient}
	}
	if v := enrol().view(); len(v.Actions) > 0 {
		t.Errorf("offered by an agent without a keyring: %v", v.Actions)
	}
	s.traits(protocol.Traits{CanGetTemporaryPassword: true, CanEnrollKey: true})
	e := enrol()
	e.choose(protocol.ActionEnrollKey)
	e.byMail()
	if err := e.Perform(ctx, e.env, e.id, e.session, nil); err != nil || e.view().Step != flow.StepDone {
		t.Fatalf("%v, step %s, problem %s", err, e.view().Step, e.view().Problem)
	}
	q := s.agent.asked[0]
	hash := a.Credential().Hash()
	var got evidence.Credential
	if err := json.Unmarshal(q.Credential, &got); err != nil || got.Hash() != hash || q.Members.Operation != "enroll_key?key="+hex.EncodeToString(hash[:]) {
		t.Errorf("operation %q, credential %s: %v", q.Members.Operation, q.Credential, err)
	}
	rows, err = factors.List(ctx, b.owner())
	if err != nil || rows[0].AgentAt.Sub(s.clock.now().Add(factor.Wait)).Abs() > time.Minute {
		t.Errorf("%+v %v", rows, err)
	}
}

func TestT17_ThisWasNotMeRemovesWhatDoesNotCountYet(t *testing.T) {
	s, factors := withFactors(t, storetest.SQLite(t))
	s.person("ada")
	b := s.options("ada@example.com")
	enrolPasskey(t, factors, b.owner())
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.AddObjection(ctx, store.Objection{Hash: recovery.HashSecret("token"), Env: s.env, Recovery: b.id, Directory: s.dir, Account: "ada",
			Action: string(protocol.ActionOptions), ExpiresAt: s.clock.now().Add(time.Hour)})
	})
	o := b.owner()
	if _, err := s.NotMe(t.Context(), s.env, "token"); err != nil {
		t.Fatal(err)
	}
	if rows, err := factors.List(t.Context(), o); err != nil || len(rows) > 0 {
		t.Errorf("%+v %v", rows, err)
	}
	if _, err := b.Owner(t.Context(), b.env, b.id, b.session); !errors.Is(err, recovery.ErrStep) {
		t.Errorf("the options stay open: %v", err)
	}
}

func TestT17_ThisWasNotMeRemovesWhatCountsAlready(t *testing.T) {
	s, factors := withFactors(t, storetest.SQLite(t))
	s.person("ada")
	b := s.options("ada@example.com")
	a := enrolPasskey(t, factors, b.owner())
	s.clock.advance(factor.Wait + 24*time.Hour)
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.AddObjection(ctx, store.Objection{Hash: recovery.HashSecret("token"), Env: s.env, Recovery: b.id, Directory: s.dir, Account: "ada",
			Action: string(protocol.ActionOptions), ExpiresAt: s.clock.now().Add(time.Hour)})
	})
	if _, err := s.NotMe(t.Context(), s.env, "token"); err != nil {
		t.Fatal(err)
	}
	s.clock.advance(25 * time.Hour) // the block has ended
	again, ask := s.asksPasskey("ada@example.com")
	if err := again.submit(string(a.Assert(challengeIn(t, ask.Request)))); !errors.Is(err, recovery.ErrWrongCode) {
		t.Errorf("what somebody else enrolled opens the account on the fifth day: %v", err)
	}
	if events := b.events()[audit.FactorRemoved]; len(events) != 1 {
		t.Errorf("%d events of the removal", len(events))
	}
}

// withKey opens my recovery options with a passkey.
func (s *stack) withKey(address string, a *evidencetest.Authenticator) *browser {
	s.t.Helper()
	b := s.start(address, toOptions)
	b.choose(protocol.ActionOptions)
	if err := b.ChooseMethod(b.t.Context(), b.env, b.id, b.session, "passkey", nil); err != nil {
		s.t.Fatal(err)
	}
	b.settled("proving")
	var ask flow.Ask
	s.clock.advance(2 * time.Second)
	b.wait("a request", func() bool { ask = b.view().Ask; return ask.Open })
	if err := b.submit(string(a.Assert(challengeIn(s.t, ask.Request)))); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// A key that mail enrolled enrols another one, and that one is worth mail, too.
func TestT17_AKeyLendsWhatEnrolledItAndNotItsName(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, factors := withFactors(t, c)
		s.person("ada")
		s.settings(func(d *store.DirectorySettings) {
			d.Methods = json.RawMessage(`{"default":[["mail_code"],["passkey"],["saved_code"]],"rules":[{"action":"unlock","accept":[["passkey"],["saved_code"],["digital_credential"]]}]}`)
		})
		first := enrolPasskey(t, factors, s.options("ada@example.com").owner())
		s.clock.advance(factor.Wait + time.Minute)
		b := s.withKey("ada@example.com", first)
		if o := b.owner(); len(o.Roots) != 1 || len(o.Roots[0]) != 1 || o.Roots[0][0] != "mail_code" || len(o.Factors) != 1 {
			t.Errorf("proven by %v, which rests on %v, with %v", o.Proven, o.Roots, o.Factors)
		}
		second := enrolPasskey(t, factors, b.owner())
		s.clock.advance(factor.Wait + time.Minute)
		s.withKey("ada@example.com", second) // worth what the first is worth
		thief := s.start("ada@example.com")
		thief.choose(protocol.ActionUnlock)
		if err := thief.ChooseMethod(t.Context(), thief.env, thief.id, thief.session, "passkey", nil); err != nil {
			t.Fatal(err)
		}
		thief.settled("proving")
		s.clock.advance(2 * time.Second)
		var ask flow.Ask
		thief.wait("a request", func() bool { ask = thief.view().Ask; return ask.Open })
		if err := thief.submit(string(second.Assert(challengeIn(t, ask.Request)))); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("after two steps mail opens what wants a passkey or a document: %v", err)
		}
	})
}

// P7, P10: one saved code, in two hundred recoveries at once, opens one of them.
func TestP07_P10_ASavedCodeOpensOneRecoveryOfMany(t *testing.T) {
	s, factors := withFactors(t, storetest.SQLite(t))
	s.person("ada")
	codes, err := factors.NewCodes(t.Context(), s.options("ada@example.com").owner())
	if err != nil {
		t.Fatal(err)
	}
	s.clock.advance(factor.Wait)
	const many = 20
	list := make([]*browser, many)
	for i := range list {
		b := s.start("ada@example.com")
		b.choose(protocol.ActionUnlock)
		if err := b.ChooseMethod(t.Context(), b.env, b.id, b.session, "saved_code", nil); err != nil {
			t.Fatal(err)
		}
		b.settled("proving")
		list[i] = b
	}
	var wg sync.WaitGroup
	for i := range 10 * many {
		wg.Go(func() {
			err := list[i%many].submit(codes[0])
			if err != nil && !errors.Is(err, recovery.ErrWrongCode) && !errors.Is(err, recovery.ErrTooMany) && !errors.Is(err, recovery.ErrStep) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ready := 0
	for _, b := range list {
		if b.row().State == "ready" {
			ready++
		}
	}
	if ready != 1 {
		t.Errorf("%d recoveries are open", ready)
	}
}

func TestRulesAreThoseOfTheDirectoryAndTheAccountsGroups(t *testing.T) {
	s, _ := withFactors(t, storetest.SQLite(t))
	s.person("ada", func(a *protocol.Account) { a.Groups = []protocol.Group{{ID: "g", Name: "Finance"}} })
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.PutGroups(ctx, s.env, s.dir, []protocol.Group{{ID: "g", Name: "Finance"}})
	})
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		m, groups, err := directory.Rules(ctx, tx, s.env, s.dir, "ada")
		if len(m.Default) != 3 || len(groups) != 1 || groups[0].ID != "g" {
			t.Errorf("%+v %+v", m, groups)
		}
		if m, groups, err := directory.Rules(ctx, tx, s.env, s.dir, "nobody"); len(m.Default) != 3 || len(groups) != 0 || err != nil {
			t.Errorf("of nobody: %+v %+v %v", m, groups, err)
		}
		return err
	})
}
