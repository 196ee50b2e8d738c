package flow_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/approval"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// A parish is a stack in which one person vouches for everybody, with what it is asked.
type parish struct {
	*stack
	*approval.Approvals
	key   *evidencetest.Authenticator
	who   store.Staff
	mu    sync.Mutex
	opens int
	mails []approval.Message
	once  func() // what happens the first time that people are asked, before it is known here
}

func (p *parish) QueueApproval(_ context.Context, _ *store.Tx, m approval.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mails = append(p.mails, m)
	return nil
}

func (*parish) Wake() {}

func (p *parish) Open(ctx context.Context, s verify.Subject) (verify.Challenge, error) {
	challenge, err := p.Approvals.Open(ctx, s)
	p.mu.Lock()
	once := p.once
	p.opens, p.once = p.opens+1, nil
	p.mu.Unlock()
	if once != nil {
		once()
	}
	return challenge, err
}

// sent returns how often people were to be asked, and what they were sent.
func (p *parish) sent() (opens int, mails []approval.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opens, append(mails, p.mails...)
}

func newParish(t *testing.T, c store.Config, accept string) *parish {
	t.Helper()
	p := &parish{key: evidencetest.NewAuthenticator("https://recover.example.com")}
	p.stack = newStack(t, c, func(f *config) {
		p.Approvals = &approval.Approvals{Store: f.Store, Mail: p, Log: f.Log, Rules: func(context.Context, *store.Tx, string, string) (policy.Methods, error) {
			return policy.Methods{Approvals: &policy.People{Staff: []string{"vicar@example.com"}, Count: 1}}, nil
		}}
		f.Verifiers = append(f.Verifiers, p, newSigned(t, policy.Passkey, "ada"))
	})
	p.Flow = p.Recoveries
	p.settings(func(d *store.DirectorySettings) { d.Methods = []byte(accept) })
	p.who = store.Staff{Org: p.fixture.Org.ID, ID: store.NewID(), Name: "Vicar", Mail: "vicar@example.com"}
	p.tx(func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.AddStaff(ctx, &p.who), tx.AddStaffKey(ctx, &store.StaffKey{Org: p.who.Org, ID: store.NewID(), Staff: p.who.ID, RP: "recover.example.com",
			Credential: store.NewID(), Secret: []byte(store.JSON(p.key.Credential()))}))
	})
	p.person("ada")
	return p
}

// known comes to the choice of a second way, of which one asks people.
func (p *parish) known() *browser {
	p.t.Helper()
	b, code := p.asked("ada@example.com", protocol.ActionPassword)
	if err := b.submit(code); err != nil {
		p.t.Fatal(err)
	}
	b.settled("proving")
	if v := b.view(); v.Step != flow.StepMethod || len(v.Methods) != 2 {
		p.t.Fatalf("after the code: %+v", v)
	}
	return b
}

// vouches follows a mail, and approves with the number of the page.
func (p *parish) vouches(b *browser, m approval.Message) error {
	p.t.Helper()
	r, err := p.Approvals.Request(p.t.Context(), p.env, m.Token.Reveal())
	if err != nil {
		p.t.Fatal(err)
	}
	members, err := recovery.Members(new(b.row()))
	if err != nil {
		p.t.Fatal(err)
	}
	raw := p.key.Assert(evidence.ApprovalChallenge(members.Context(), p.who.ID))
	return p.Approve(p.t.Context(), p.env, m.Token.Reveal(), r.ID, b.request()["number"], true, raw, approval.Client{})
}

const vouchOrKey = `{"default":[["mail_code","approval"],["mail_code","passkey"]]}`

// A node that still works behind an earlier choice asks nobody when the person has chosen
// people: it would ask them without the browser's key, and their mail would bear another
// number than the page.
func TestWorkBehindAnEarlierChoiceAsksNobody(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		p := newParish(t, c, vouchOrKey)
		b := p.known()
		earlier := b.row()
		earlier.State = recovery.Preparing
		b.turn(policy.Approval)
		if err := p.Prepare(t.Context(), &earlier); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the earlier work: %v", err)
		}
		opens, mails := p.sent()
		if opens != 1 || len(mails) != 1 {
			t.Fatalf("people were to be asked %d times, and had %d mails", opens, len(mails))
		}
		if err := p.vouches(b, mails[0]); err != nil || b.view().Step != flow.StepReady {
			t.Errorf("vouched: %v, %s", err, b.view().Step)
		}
	})
}

const vouchOrCode = `{"default":[["mail_code","approval"],["mail_code","agent_code"]]}`

// Work behind a choice is done for the method that is chosen, whichever of two it was
// before: the other one is not asked for once more.
func TestWorkBehindTheOtherOfTwoChoicesDoesNothing(t *testing.T) {
	for _, chosen := range [][2]policy.Method{{policy.AgentCode, policy.Approval}, {policy.Approval, policy.AgentCode}} {
		t.Run(string(chosen[1]), func(t *testing.T) {
			storetest.EachConfig(t, func(t *testing.T, c store.Config) {
				p := newParish(t, c, vouchOrCode)
				b := p.known()
				b.turn(chosen[0])
				earlier := b.row()
				earlier.State = recovery.Preparing
				b.turn(chosen[1])
				if err := p.Prepare(t.Context(), &earlier); !errors.Is(err, store.ErrConflict) {
					t.Errorf("the earlier work: %v", err)
				}
				p.askedOnce()
				p.proves(b, chosen[1])
			})
		})
	}
}

// Who turns to another method while the first one is still being opened is at that one:
// what was opened too late takes no place. It stands for who turns back.
func TestAMethodThatIsOpenedTooLateTakesNoPlace(t *testing.T) {
	for _, last := range []policy.Method{policy.AgentCode, policy.Approval} {
		t.Run(string(last), func(t *testing.T) {
			storetest.EachConfig(t, func(t *testing.T, c store.Config) {
				p := newParish(t, c, vouchOrCode)
				b := p.known()
				p.once = func() {
					if err := b.ChooseMethod(t.Context(), b.env, b.id, b.session, "agent_code", b.recipient); err != nil {
						t.Error(err)
					}
				}
				if err := b.ChooseMethod(t.Context(), b.env, b.id, b.session, "approval", b.recipient); err != nil {
					t.Fatal(err)
				}
				p.wait("the code is sent", func() bool { return p.agent.count(protocol.MethodSendCode) == 1 })
				b.settled("proving")
				if v := b.view(); v.Ask.Waiting || v.Ask.Case != "" {
					t.Errorf("the page of the code: %+v", v.Ask)
				}
				p.clock.advance(2 * time.Second)
				if last == policy.Approval {
					b.turn(last)
				}
				p.askedOnce()
				p.proves(b, last)
			})
		})
	}
}

// askedOnce fails the test unless one code was sent by the agent, and one mail to people.
func (p *parish) askedOnce() {
	p.t.Helper()
	if _, mails := p.sent(); len(mails) != 1 || p.agent.count(protocol.MethodSendCode) != 1 {
		p.t.Fatalf("%d mails to people, %d codes of the agent", len(mails), p.agent.count(protocol.MethodSendCode))
	}
}

// proves answers by one of the two methods, with which the person is through.
func (p *parish) proves(b *browser, m policy.Method) {
	p.t.Helper()
	answer := func() error { return b.submit("24682468") }
	if m == policy.Approval {
		_, mails := p.sent()
		answer = func() error { return p.vouches(b, mails[0]) }
	}
	if err := answer(); err != nil || b.view().Step != flow.StepReady {
		p.t.Errorf("%s: %v, %s", m, err, b.view().Step)
	}
}

// T22: what people agreed to for another context does not count, whenever it comes.
func TestT22_AnAgreementToAnotherContextDoesNotCount(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		p := newParish(t, c, vouchOrKey)
		b := p.known()
		b.turn(policy.Approval)
		other := vouched
		other.Context = &protocol.Context{1}
		if err := p.Settle(t.Context(), p.env, b.verification().ID, "approval", other); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("another context: %v", err)
		}
		if len(b.proofs()) != 1 || b.view().Step != flow.StepProve {
			t.Errorf("%d proofs, %s", len(b.proofs()), b.view().Step)
		}
		_, mails := p.sent()
		if err := p.vouches(b, mails[0]); err != nil || b.view().Step != flow.StepReady {
			t.Errorf("its own: %v, %s", err, b.view().Step)
		}
	})
}

// Whoever is known and chooses people when nobody is left to ask is told so; they wait for
// nobody with a number that nobody has.
func TestWhoCannotBeVouchedForAnyMoreIsTold(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		p := newParish(t, c, vouchOrKey)
		b := p.known()
		p.tx(func(ctx context.Context, tx *store.Tx) error { return tx.RemoveStaff(ctx, p.who.Org, p.who.ID) })
		b.turn(policy.Approval)
		if v := b.view(); !v.Ask.Failed || v.Ask.Waiting || json.Valid(v.Ask.Request) {
			t.Errorf("the page is given %+v", v.Ask)
		}
		b.turn(policy.Passkey)
		if v := b.view(); !v.Ask.Open || v.Ask.Failed {
			t.Errorf("another way: %+v", v.Ask)
		}
	})
}
