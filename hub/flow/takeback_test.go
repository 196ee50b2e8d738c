package flow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/passkey"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// byHandOptions is a stack whose people enrol, after a code and the word of staff.
func byHandOptions(t *testing.T, c store.Config) (*stack, *factor.Factors) {
	t.Helper()
	var factors *factor.Factors
	s := newStack(t, c, func(cfg *config) {
		factors = factor.New(factor.Config{Store: cfg.Store, Mail: nothing{}, Notices: nothing{}, Rules: directory.Rules})
		cfg.Factors, cfg.does.Factors = factors, factors
		cfg.Verifiers = append(cfg.Verifiers, byHand{asks{people: []string{"ada"}}}, passkey.New(factors))
	})
	s.accept(`["mail_code"]`)
	s.person("ada")
	return s, factors
}

func (s *stack) accept(combinations string) {
	s.settings(func(d *store.DirectorySettings) { d.Methods = json.RawMessage(`{"default":[` + combinations + `]}`) })
}

// vouched waits until staff are asked, and has them say yes.
func (b *browser) vouched() *browser {
	b.t.Helper()
	b.wait("staff are asked", func() bool { return slices.Contains(b.verification().Waiting, "manual") })
	if err := b.Settle(b.t.Context(), b.env, b.verification().ID, "manual", sure); err != nil {
		b.t.Fatal(err)
	}
	return b
}

// enrolled lists the recoveries that enrolled what ada has.
func (s *stack) enrolled() (in []string) {
	s.tx(func(ctx context.Context, tx *store.Tx) error {
		in = nil
		all, err := tx.Factors(ctx, s.env, s.dir, "ada")
		for _, f := range all {
			in = append(in, f.Recovery)
		}
		return err
	})
	return in
}

func TestT07_T17_WhatAVerificationByHandEnrolledIsTakenBackWithIt(t *testing.T) {
	for name, before := range map[string]func(b *browser) error{
		"while it is open": func(*browser) error { return nil },
		"after it ended":   func(b *browser) error { return b.Cancel(b.t.Context(), b.env, b.id, b.session) },
		"when it counts": func(b *browser) error {
			err := b.Cancel(b.t.Context(), b.env, b.id, b.session)
			b.clock.advance(factor.Wait)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, factors := byHandOptions(t, storetest.SQLite(t))
			own := s.options("ada@example.com")
			enrolPasskey(t, factors, own.owner())
			s.accept(`["mail_code","manual"]`)
			b := s.options("ada@example.com").vouched()
			o := b.owner()
			enrolPasskey(t, factors, o)
			s.tx(func(ctx context.Context, tx *store.Tx) error { // enrolled later, with what was enrolled
				all, err := tx.Factors(ctx, s.env, s.dir, "ada")
				if err != nil {
					return err
				}
				parent := all[slices.IndexFunc(all, func(f store.Factor) bool { return f.Recovery == b.id })]
				return tx.AddFactor(ctx, &store.Factor{Env: s.env, ID: "later", Directory: s.dir, Account: "ada", Kind: factor.TOTP,
					Secret: []byte("seed"), EnrolledBy: []string{"passkey"}, Recovery: "later", Parents: []string{parent.ID}})
			})
			if err := before(b); err != nil {
				t.Fatal(err)
			}
			if got := s.enrolled(); len(got) != 3 {
				t.Fatalf("enrolled in %v", got)
			}
			performed, written, err := b.withdraw()
			if err != nil || performed || !written {
				t.Fatalf("%v %v %v", performed, written, err)
			}
			if got := s.enrolled(); !slices.Equal(got, []string{own.id}) {
				t.Errorf("left is what was enrolled in %v, not what %s did", got, own.id)
			}
		})
	}
}

// T17: what is enrolled after a proof was taken back rests on the others alone.
func TestT17_WhatIsTakenBackIsNoLongerRestedOn(t *testing.T) {
	s, factors := byHandOptions(t, storetest.SQLite(t))
	enrolPasskey(t, factors, s.options("ada@example.com").owner())
	s.clock.advance(factor.Wait)
	s.accept(`["mail_code","manual"]`)
	b := s.options("ada@example.com").vouched()
	if got := b.verification().Roots; !reflect.DeepEqual(got, [][]string{{"mail_code", "manual"}}) {
		t.Fatalf("rests on %v", got)
	}
	if _, _, err := b.withdraw(); err != nil {
		t.Fatal(err)
	}
	if v := b.verification(); !reflect.DeepEqual(v.Roots, [][]string{{"mail_code"}}) || !slices.Equal(v.Proven, []string{"mail_code"}) {
		t.Errorf("%v rests on %v", v.Proven, v.Roots)
	}
	b.vouched()
	if o := b.owner(); !reflect.DeepEqual(o.Roots, [][]string{{"mail_code", "manual"}}) {
		t.Errorf("verified anew, it rests on %v", o.Roots)
	}
}

// T17: what another browser is asked for once more is no longer rested on until it answers.
func TestT17_WhatIsAskedOnceMoreIsNotRestedOn(t *testing.T) {
	s := withWays(t, storetest.SQLite(t), `{"default":[["mail_code","manual"]]}`, byHand{asks{people: []string{"ada"}}})
	s.person("ada")
	desk := s.counted()
	desk.settled("ready")
	b, err := desk.reads(desk.handOver(), phone)
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.confirm(b.shownCode()); err != nil {
		t.Fatal(err)
	}
	if v := b.verification(); !slices.Equal(v.Proven, []string{"manual"}) || !reflect.DeepEqual(v.Roots, [][]string{{"manual"}}) {
		t.Errorf("%v rests on %v", v.Proven, v.Roots)
	}
}

// T03, T07: a key that an agent took on the word of staff leaves it with that word.
func TestT03_T07_AKeyLeavesTheAgentWithTheProofThatLetItIn(t *testing.T) {
	for name, before := range map[string]func(e *browser) error{
		"done":         func(*browser) error { return nil },
		"acknowledged": func(e *browser) error { return e.Acknowledge(e.t.Context(), e.env, e.id, e.session) },
	} {
		t.Run(name, func(t *testing.T) {
			s, factors := byHandOptions(t, storetest.SQLite(t))
			s.traits(protocol.Traits{CanGetTemporaryPassword: true, CanEnrollKey: true})
			e, hash := s.keyByHand(factors)
			if err := e.Perform(t.Context(), e.env, e.id, e.session, nil); err != nil || e.view().Step != flow.StepDone {
				t.Fatalf("%v, step %s", err, e.view().Step)
			}
			if err := before(e); err != nil {
				t.Fatal(err)
			}
			performed, _, err := e.withdraw()
			if err != nil || !performed {
				t.Fatalf("%v %v", performed, err)
			}
			s.wait("the agent is told", func() bool { return len(s.agent.removals()) == 1 })
			if got := s.agent.removals()[0]; !bytes.Equal(got.Hash, hash[:]) {
				t.Errorf("told %+v", got)
			}
			s.tx(func(ctx context.Context, tx *store.Tx) error {
				all, err := tx.Factors(ctx, s.env, s.dir, "ada")
				if len(all) != 1 || !all[0].AgentAt.IsZero() {
					t.Errorf("here it stays, and is no longer at the agent: %+v", all)
				}
				return err
			})
		})
	}
}

// keyByHand enrols a passkey with a code, and asks with a code and the word of staff to
// enrol it at the agent: one press is left.
func (s *stack) keyByHand(factors *factor.Factors) (e *browser, hash [32]byte) {
	s.t.Helper()
	ctx := s.t.Context()
	b := s.options("ada@example.com")
	hash = enrolPasskey(s.t, factors, b.owner()).Credential().Hash()
	rows, err := factors.List(ctx, b.owner())
	if err != nil {
		s.t.Fatal(err)
	}
	var cred evidence.Credential
	if cred, err = factors.Credential(ctx, b.owner(), rows[0].ID); err != nil {
		s.t.Fatal(err)
	}
	id, session, err := b.EnrollKey(ctx, b.env, b.id, b.session, rows[0].ID, cred)
	if err != nil {
		s.t.Fatal(err)
	}
	s.accept(`["mail_code","manual"]`)
	e = &browser{s, id, session, b.key, b.recipient}
	e.choose(protocol.ActionEnrollKey)
	e.byMail()
	return e.vouched(), hash
}
