package flow_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// signed is a method of these tests: whoever has the person's key signs the context.
type signed struct {
	method policy.Method
	key    ed25519.PrivateKey
	people []string         // who has the key
	claims *evidence.Claims // what the proof says of its holder
	unread string           // why nobody knows whether it was revoked
}

func newSigned(t *testing.T, m policy.Method, people ...string) *signed {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signed{method: m, key: key, people: people}
}

func (v *signed) Method() policy.Method { return v.method }

func (v *signed) Usable(_ context.Context, s verify.Subject) bool {
	return slices.Contains(v.people, s.Account)
}

func (v *signed) Open(_ context.Context, s verify.Subject) (verify.Challenge, error) {
	ask, err := json.Marshal(map[string]string{"challenge": s.Context.String()})
	return verify.Challenge{Text: s.Context.String(), Ask: ask}, err
}

func (v *signed) Check(_ context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	raw, err := base64.RawURLEncoding.DecodeString(answer)
	if err != nil || challenge != s.Context.String() || !ed25519.Verify(v.key.Public().(ed25519.PublicKey), []byte(challenge), raw) {
		return verify.Verdict{Reason: "not signed"}, nil
	}
	row, _ := policy.MethodByName(v.method)
	return verify.Verdict{Right: true, Evidence: []protocol.Evidence{{Type: row.Evidence[0], Raw: raw}}, Claims: v.claims, Unread: v.unread}, nil
}

// sign answers the open request as the person's device does.
func (v *signed) sign(b *browser) string {
	b.t.Helper()
	return base64.RawURLEncoding.EncodeToString(ed25519.Sign(v.key, []byte(b.request()["challenge"])))
}

// asks is a method of these tests about which other people decide.
type asks struct{ people []string }

func (asks) Method() policy.Method { return policy.Approval }

func (a asks) Usable(_ context.Context, s verify.Subject) bool {
	return slices.Contains(a.people, s.Account)
}

func (asks) Open(_ context.Context, s verify.Subject) (verify.Challenge, error) {
	return verify.Challenge{Case: "case of " + s.Account, Ask: json.RawMessage(`{"number":"42"}`)}, nil
}

func (asks) Check(context.Context, verify.Subject, string, string) (verify.Verdict, error) {
	return verify.Verdict{}, errors.New("nobody answers this on a page")
}

var vouched = verify.Verdict{Right: true, Evidence: []protocol.Evidence{{Type: evidence.TypeApproval, Raw: []byte("signed by two")}}}

func (b *browser) turn(m policy.Method) {
	b.t.Helper()
	if err := b.ChooseMethod(b.t.Context(), b.env, b.id, b.session, string(m), b.recipient); err != nil {
		b.t.Fatalf("choose %s: %v", m, err)
	}
	b.settled("proving")
	b.clock.advance(2 * time.Second)
}

// request is what the page's script is given.
func (b *browser) request() map[string]string {
	b.t.Helper()
	v, all := b.view(), map[string]string{}
	if err := json.Unmarshal(v.Ask.Request, &all); err != nil {
		b.t.Fatalf("%v: %+v", err, v)
	}
	return all
}

func (b *browser) verification() store.Verification {
	b.t.Helper()
	v, err := store.Get(b.t.Context(), b.store, func(tx *store.Tx) (store.Verification, error) { return tx.VerificationOf(b.t.Context(), b.env, b.id) })
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *browser) proofs() []store.Evidence {
	b.t.Helper()
	all, err := store.Get(b.t.Context(), b.store, func(tx *store.Tx) ([]store.Evidence, error) {
		return tx.Evidence(b.t.Context(), b.env, b.verification().ID)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// withWays is a stack with more methods.
func withWays(t *testing.T, c store.Config, accept string, more ...verify.Verifier) *stack {
	t.Helper()
	s := newStack(t, c, func(f *config) { f.Verifiers = append(f.Verifiers, more...) })
	s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(accept) })
	return s
}

func methodsOf(v flow.View) (list []policy.Method) {
	for _, m := range v.Methods {
		list = append(list, m.Method)
	}
	return list
}

// Until the first proof everybody is offered the same, and whoever cannot use a method
// gets a request that looks like any other.
func TestT30_RequestsOfScriptsTellNobodyApart(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		keys := newSigned(t, policy.Passkey, "known")
		s := withWays(t, c, `{"default":[["passkey"],["mail_code"]],"rules":[{"group":{"directory_immutable_identifier":"g-da"},"accept":[["agent_code"]]}]}`, keys)
		people := s.crowd()
		trace := func(address string) (all []string) {
			b := s.start(address)
			b.choose(protocol.ActionPassword)
			look := func(err error) {
				v := b.view()
				if len(v.Ask.Request) > 0 {
					if got := b.request()["challenge"]; len(got) != 43 {
						t.Errorf("challenge %q", got)
					}
					v.Ask.Request = nil
				}
				all = append(all, s.seen(v, err))
			}
			b.settled("proving")
			look(nil)
			look(b.ChooseMethod(t.Context(), s.env, b.id, b.session, "passkey", nil))
			look(b.ChooseMethod(t.Context(), s.env, b.id, b.session, "totp", b.recipient))
			b.turn(policy.Passkey)
			first := b.request()["challenge"]
			for range 2 {
				look(b.submit("not signed"))
			}
			b.turn(policy.Passkey)
			if again := b.request()["challenge"]; again != first {
				t.Errorf("%s: a request changed within one recovery", address)
			}
			look(b.submit(base64.RawURLEncoding.EncodeToString([]byte("nothing"))))
			b.turn(policy.MailCode)
			look(b.submit("11111111"))
			return all
		}
		want := trace(people["unknown"])
		for who, address := range people {
			if who == "unknown" { // has had its code by now
				continue
			}
			for i, got := range trace(address) {
				if got != want[i] {
					t.Errorf("%s, step %d:\n%s\nunknown:\n%s", who, i, got, want[i])
				}
			}
		}
		b := s.start(people["known"])
		b.choose(protocol.ActionPassword)
		b.settled("proving")
		if v := b.view(); v.Step != flow.StepMethod || !slices.Equal(methodsOf(v), []policy.Method{policy.Passkey, policy.MailCode, policy.AgentCode}) {
			t.Errorf("offered %v", methodsOf(v))
		}
		b.turn(policy.Passkey)
		if err := b.submit(keys.sign(b)); err != nil {
			t.Errorf("the test compares nothing: %v", err)
		}
	})
}

// A key that signs a decoy's request proves nothing, whoever has it.
func TestT30_ADecoyIsNeverRight(t *testing.T) {
	keys := newSigned(t, policy.Passkey, "somebody", "")
	s := withWays(t, storetest.SQLite(t), `{"default":[["passkey"]]}`, keys)
	s.person("ada")
	for _, address := range []string{"ada@example.com", "nobody@example.com"} {
		b := s.start(address)
		b.choose(protocol.ActionPassword)
		b.turn(policy.Passkey)
		if err := b.submit(keys.sign(b)); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("%s: %v", address, err)
		}
		if len(b.proofs()) > 0 || b.view().Proven {
			t.Errorf("%s is proven", address)
		}
	}
}

func TestTheSetOfWhatIsProvenDecides(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		keys := newSigned(t, policy.Passkey, "ada")
		s := withWays(t, c, `{"default":[["mail_code","passkey"],["passkey","agent_code"]]}`, keys)
		s.person("ada")
		for _, order := range [][]policy.Method{{policy.MailCode, policy.Passkey}, {policy.Passkey, policy.MailCode}, {policy.Passkey, policy.AgentCode}} {
			b := s.start("ada@example.com")
			b.choose(protocol.ActionPassword)
			for i, m := range order {
				if v := b.view(); v.Step != flow.StepProve || v.Ask.Method != m {
					b.turn(m)
				}
				answer := map[policy.Method]func() string{policy.MailCode: b.code, policy.AgentCode: func() string { return "24682468" }, policy.Passkey: func() string { return keys.sign(b) }}[m]()
				if err := b.submit(answer); err != nil {
					t.Fatalf("%v, %s: %v", order, m, err)
				}
				if v := b.view(); i == 0 && (v.Step == flow.StepReady || !v.Proven) {
					t.Fatalf("%v: after one of two: %s", order, v.Step)
				}
			}
			if v := b.view(); v.Step != flow.StepReady {
				t.Fatalf("%v: step %s, problem %q", order, v.Step, v.Problem)
			}
			want := b.proofs()
			if err := b.press(); err != nil || b.view().Step != flow.StepDone {
				t.Fatalf("%v: press: %v", order, err)
			}
			got := s.agent.bundle()
			if len(got) != 2 || len(want) != 2 || got[0].Type != want[0].Type || got[1].Type != want[1].Type {
				t.Errorf("%v: the agent got %+v, kept were %+v", order, got, want)
			}
			i := slices.Index(order, policy.Passkey)
			if signature := got[i].Raw; !ed25519.Verify(keys.key.Public().(ed25519.PublicKey), []byte(b.row().Context), signature) {
				t.Errorf("%v: what was signed is not the context of what was done", order)
			}
			if left := b.proofs(); len(left) > 0 {
				t.Errorf("%v: evidence is kept after the end: %+v", order, left)
			}
		}
	})
}

// Evidence is bound to the browser's key, so the key never changes after it.
func TestTheRecipientIsFixedBeforeTheFirstBoundProof(t *testing.T) {
	keys := newSigned(t, policy.Passkey, "ada")
	s := withWays(t, storetest.SQLite(t), `{"default":[["passkey"],["mail_code"]]}`, keys)
	s.person("ada")
	b, other := s.start("ada@example.com"), s.start("nobody@example.com")
	b.choose(protocol.ActionPassword)
	b.settled("proving")
	if err := b.ChooseMethod(t.Context(), s.env, b.id, b.session, "passkey", []byte("no key")); !errors.Is(err, recovery.ErrRecipient) {
		t.Errorf("a malformed key: %v", err)
	}
	b.turn(policy.Passkey)
	if err := b.ChooseMethod(t.Context(), s.env, b.id, b.session, "passkey", other.recipient); !errors.Is(err, recovery.ErrRecipient) {
		t.Errorf("another key: %v", err)
	}
	if err := b.submit(keys.sign(b)); err != nil {
		t.Fatal(err)
	}
	if err := b.Perform(t.Context(), s.env, b.id, b.session, other.recipient); !errors.Is(err, recovery.ErrRecipient) {
		t.Errorf("pressed with another key: %v", err)
	}
	if err := b.press(); err != nil || b.view().Step != flow.StepDone {
		t.Errorf("pressed with the key: %v", err)
	}
}

func TestAProofThatBearsANameCountsOnlyWhenItMatches(t *testing.T) {
	document := newSigned(t, policy.DigitalCredential, "ada")
	document.claims = &evidence.Claims{Family: "Lovelace"}
	var asked []flow.MatchRequest
	for _, c := range []struct {
		name    string
		matcher flow.Matcher
		claims  *evidence.Claims
		want    error
	}{
		{"nobody compares", nil, document.claims, recovery.ErrWrongCode},
		{"another person", matches(func(q flow.MatchRequest) bool { asked = append(asked, q); return false }), document.claims, recovery.ErrWrongCode},
		{"no name", matches(func(flow.MatchRequest) bool { return true }), nil, recovery.ErrWrongCode},
		{"the person", matches(func(q flow.MatchRequest) bool { return q.Claims.Family == "Lovelace" && q.Account.ImmutableID == "ada" }), document.claims, nil},
	} {
		document.claims = c.claims
		s := newStack(t, storetest.SQLite(t), func(f *config) { f.Verifiers, f.Matcher = append(f.Verifiers, document), c.matcher })
		s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(`{"default":[["digital_credential"]]}`) })
		s.person("ada")
		b := s.start("ada@example.com")
		b.choose(protocol.ActionPassword)
		b.turn(policy.DigitalCredential)
		if err := b.submit(document.sign(b)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if len(asked) != 1 || asked[0].Strength != policy.NameMatch {
		t.Errorf("asked %+v", asked)
	}
}

func TestADocumentWhoseStatusNobodyKnowsIsRecorded(t *testing.T) {
	document := newSigned(t, policy.DigitalCredential, "ada")
	document.claims, document.unread = &evidence.Claims{Family: "Lovelace"}, "its list cannot be read"
	s := newStack(t, storetest.SQLite(t), func(f *config) {
		f.Verifiers, f.Matcher = append(f.Verifiers, document), matches(func(flow.MatchRequest) bool { return true })
	})
	s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(`{"default":[["digital_credential"]]}`) })
	s.person("ada")
	b := s.start("ada@example.com")
	b.choose(protocol.ActionPassword)
	b.turn(policy.DigitalCredential)
	if err := b.submit(document.sign(b)); err != nil {
		t.Fatal(err)
	}
	rows := b.events()[audit.DocumentUnread]
	if len(rows) != 1 || len(b.events()[audit.RecoveryVerified]) != 1 {
		t.Fatalf("%v", b.events())
	}
	if d := detail(t, rows[0]); d["method"] != "digital_credential" || d["reason"] != document.unread {
		t.Errorf("%v", d)
	}
}

type matches func(flow.MatchRequest) bool

func (m matches) Match(_ context.Context, q flow.MatchRequest) (bool, string, error) {
	return m(q), "name_differs", nil
}

// waits goes to where people decide.
func (s *stack) waits() *browser {
	s.t.Helper()
	b, code := s.asked("ada@example.com", protocol.ActionPassword)
	if err := b.submit(code); err != nil {
		s.t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepMethod || !slices.Equal(methodsOf(v), []policy.Method{policy.Approval}) {
		s.t.Fatalf("after the code: %+v", v)
	}
	b.turn(policy.Approval)
	return b
}

func TestPeopleDecideOnceAndMayTakeADay(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := withWays(t, c, `{"default":[["mail_code","approval"]]}`, asks{people: []string{"ada"}})
		s.person("ada")
		b := s.waits()
		v := b.view()
		if !v.Ask.Waiting || v.Ask.Case != "case of ada" || b.request()["number"] != "42" || v.ExpiresAt.Sub(s.clock.now()) < 23*time.Hour {
			t.Fatalf("while people decide: %+v", v)
		}
		if err := b.submit("yes"); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("an answer on the page: %v", err)
		}
		ver := b.verification().ID
		if err := s.Settle(t.Context(), s.env, ver, "manual", vouched); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("a method that nobody asked for: %v", err)
		}
		if err := s.Settle(t.Context(), s.dir, ver, "approval", vouched); !errors.Is(err, recovery.ErrNotFound) {
			t.Errorf("another environment: %v", err)
		}
		s.clock.advance(20 * time.Hour)
		if won := s.race(func() error { return s.Settle(t.Context(), s.env, ver, "approval", vouched) }, recovery.ErrStep); won != 1 {
			t.Errorf("%d of 200 decisions counted", won)
		}
		if v := b.view(); v.Step != flow.StepReady {
			t.Fatalf("after it: %s %q", v.Step, v.Problem)
		}
		if err := b.press(); err != nil || b.view().Step != flow.StepDone {
			t.Errorf("press: %v", err)
		}
	})
}

func TestPeopleWhoSayNoEndThatWay(t *testing.T) {
	for _, c := range []struct {
		accept string
		step   flow.Step
		why    recovery.Problem
	}{
		{`{"default":[["mail_code","approval"]]}`, flow.StepRefused, recovery.ProblemDeclined},
		{`{"default":[["mail_code","approval"],["mail_code","passkey"]]}`, flow.StepProve, ""}, // the key is here, so the other way is asked for at once
	} {
		s := withWays(t, storetest.SQLite(t), c.accept, asks{people: []string{"ada"}}, newSigned(t, policy.Passkey, "ada"))
		s.person("ada")
		b, code := s.asked("ada@example.com", protocol.ActionPassword)
		if err := b.submit(code); err != nil {
			t.Fatal(err)
		}
		b.turn(policy.Approval)
		if err := s.Settle(t.Context(), s.env, b.verification().ID, "approval", verify.Verdict{Reason: "did not know them"}); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != c.step || v.Problem != c.why || slices.Contains(methodsOf(v), policy.Approval) {
			t.Errorf("%s: %s %q %v", c.accept, v.Step, v.Problem, methodsOf(v))
		}
	}
}

// Somebody without the way that their own rule asks for is told so, never asked for less.
func TestT34_NobodyIsAskedForLess(t *testing.T) {
	s := withWays(t, storetest.SQLite(t), `{"default":[["mail_code","passkey"]]}`, newSigned(t, policy.Passkey, "somebody else"))
	s.person("ada")
	b, code := s.asked("ada@example.com", protocol.ActionPassword)
	if err := b.submit(code); err != nil {
		t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepRefused || v.Problem != recovery.ProblemNoMethod {
		t.Errorf("%s %q", v.Step, v.Problem)
	}
}

// Turning to and fro sends no more than asking again does.
func TestT31_TurningToAndFroSendsNoMore(t *testing.T) {
	s := withWays(t, storetest.SQLite(t), `{"default":[["mail_code"],["agent_code"]]}`)
	s.person("ada")
	b := s.start("ada@example.com")
	b.choose(protocol.ActionPassword)
	for i := range 12 {
		if err := b.ChooseMethod(t.Context(), s.env, b.id, b.session, []string{"mail_code", "agent_code"}[i%2], nil); err != nil {
			t.Fatal(err)
		}
		b.settled("proving")
	}
	if n := s.mail.count() + s.agent.count(protocol.MethodSendCode); n != 3 {
		t.Errorf("%d codes were sent", n)
	}
	if v := b.view(); v.Code.SendsLeft != 0 {
		t.Errorf("%+v", v.Code)
	}
	// A method pressed twice sends once.
	other := s.start("ada@example.com", func(q *flow.Start) { q.Client.Address = "198.51.100.9" })
	other.choose(protocol.ActionPassword)
	sent := s.mail.count()
	for range 3 {
		other.turn(policy.MailCode)
	}
	if n := s.mail.count() - sent; n != 1 {
		t.Errorf("%d codes for one choice", n)
	}
}

// A policy that changes after the proof is applied to what was proven.
func TestT22_WhatWasProvenIsHeldAgainstThePolicyOfNow(t *testing.T) {
	s := newStackSQLite(t)
	s.person("ada")
	b := s.ready("ada@example.com", protocol.ActionPassword)
	s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(`{"default":[["mail_code","agent_code"]]}`) })
	if err := b.press(); err != nil {
		t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepRefused || v.Problem != recovery.ProblemNotAllowed || len(s.agent.changes()) > 0 {
		t.Errorf("%s %q, changed %v", v.Step, v.Problem, s.agent.changes())
	}
}

// What the agent of a directory asks for is asked for besides the hub's own policy, after
// the first proof.
func TestTheAgentsOwnTermsAreAskedForToo(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		keys := newSigned(t, policy.Passkey, "ada")
		s := withWays(t, c, `{"default":[["mail_code"]]}`, keys)
		s.agent.set(func(a *testAgent) {
			a.terms = &protocol.Terms{Methods: [][]string{{"passkey", "agent_code"}, {"approval"}}}
		})
		s.person("ada")
		b, code := s.asked("ada@example.com", protocol.ActionPassword)
		if err := b.submit(code); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepMethod || !slices.Equal(methodsOf(v), []policy.Method{policy.Passkey}) {
			t.Fatalf("after the code: %s %q %v", v.Step, v.Problem, methodsOf(v))
		}
		b.turn(policy.Passkey)
		if err := b.submit(keys.sign(b)); err != nil {
			t.Fatal(err)
		}
		b.settled("proving")
		if v := b.view(); v.Ask.Method != policy.AgentCode {
			t.Fatalf("after the passkey: %+v", v)
		}
		if err := b.submit("24682468"); err != nil || b.view().Step != flow.StepReady {
			t.Errorf("after all: %v %s", err, b.view().Step)
		}
	})
}

func TestT23_WhatTheAgentHoldsIsPressedOnceMoreAfterIt(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c, nil)
		s.agent.set(func(a *testAgent) {
			a.holdFor, a.begun = time.Hour, func(b *protocol.Begun) { b.NotAfter = s.clock.now().Add(24 * time.Hour).Unix() }
		})
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionPassword)
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		v := b.view()
		if v.Step != flow.StepReady || v.Problem != recovery.ProblemHeld || v.RetryAt.Sub(s.clock.now()) < 50*time.Minute || v.ExpiresAt.Before(v.RetryAt) {
			t.Fatalf("held: %+v", v)
		}
		if err := b.press(); !errors.Is(err, recovery.ErrTooSoon) {
			t.Errorf("pressed while it is held: %v", err)
		}
		s.clock.advance(61 * time.Minute)
		if err := b.press(); err != nil || b.view().Step != flow.StepDone || len(s.agent.changes()) != 1 {
			t.Errorf("pressed after it: %v, %s, changed %v", err, b.view().Step, s.agent.changes())
		}
	})
}
