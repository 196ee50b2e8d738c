package flow_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

var phone = flow.Client{Address: "198.51.100.20", UserAgent: "Phone/1", Origin: "https://recover.example.com"}

func (b *browser) handOver() string {
	b.t.Helper()
	h, err := b.HandOver(b.t.Context(), b.env, b.id, b.session)
	if err != nil {
		b.t.Fatalf("hand over: %v", err)
	}
	return h.Ticket.Reveal()
}

// onPhone claims a ticket and returns the phone's browser.
func (b *browser) onPhone(ticket string) (*browser, error) {
	id, session, err := b.Claim(b.t.Context(), b.env, ticket, phone)
	other := b.start("somebody@example.com") // for a key of its own
	return &browser{b.stack, id, session, other.key, other.recipient}, err
}

// relayed is a recovery whose first code is proven, in a directory that asks for two.
func relayed(t *testing.T, c store.Config) (s *stack, b *browser, keys *signed) {
	t.Helper()
	keys = newSigned(t, policy.Passkey, "ada")
	s = withWays(t, c, `{"default":[["mail_code","passkey"]]}`, keys)
	s.person("ada")
	b, code := s.asked("ada@example.com", protocol.ActionPassword)
	if v := b.view(); v.HandOver {
		t.Error("a ticket is offered to somebody who has proven nothing")
	}
	if _, err := s.HandOver(t.Context(), s.env, b.id, b.session); !errors.Is(err, flow.ErrStep) {
		t.Errorf("a ticket before the first code: %v", err)
	}
	if err := b.submit(code); err != nil {
		t.Fatal(err)
	}
	b.settled("proving")
	if v := b.view(); !v.HandOver {
		t.Errorf("no ticket after the first code: %+v", v)
	}
	return s, b, keys
}

func TestT13_TheBrowserThatTakesOverProvesAndGetsTheSecret(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, desk, keys := relayed(t, c)
		b, err := desk.onPhone(desk.handOver())
		if err != nil {
			t.Fatal(err)
		}
		by, err := s.BegunBy(t.Context(), s.env, b.id, b.session)
		if err != nil || by.UserAgent != "Browser/1" || by.Action != protocol.ActionPassword || by.Directory == "" || by.At.IsZero() {
			t.Errorf("begun by %+v %v", by, err)
		}
		for what, err := range map[string]error{
			"choose":   s.ChooseMethod(t.Context(), s.env, desk.id, desk.session, "passkey", desk.recipient),
			"answer":   desk.submit("x"),
			"perform":  desk.press(),
			"cancel":   s.Cancel(t.Context(), s.env, desk.id, desk.session),
			"disown":   s.Disown(t.Context(), s.env, desk.id, desk.session),
			"begun by": second(s.BegunBy(t.Context(), s.env, desk.id, desk.session)),
			"another":  second(s.HandOver(t.Context(), s.env, desk.id, desk.session)),
		} {
			if !errors.Is(err, flow.ErrNotFound) {
				t.Errorf("the browser that gave it away: %s: %v", what, err)
			}
		}
		b.turn(policy.Passkey)
		if err := b.submit(keys.sign(b)); err != nil {
			t.Fatal(err)
		}
		if v := desk.view(); v.Step != flow.StepElsewhere || v.Elsewhere != "" {
			t.Errorf("the desk, in the middle: %+v", v)
		}
		if err := b.press(); err != nil {
			t.Fatal(err)
		}
		v := b.view()
		if secret, err := seal.Open(b.key, v.Context, v.Sealed); err != nil || secret.Reveal() != password {
			t.Errorf("on the phone: %s %v", v.Step, err)
		}
		if v := desk.view(); v.Step != flow.StepElsewhere || v.Elsewhere != flow.StepDone || v.Account != "" || v.Masked != "" || len(v.Sealed) > 0 || v.Proven {
			t.Errorf("the desk, after it: %+v", v)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestP07_OneOfTwoHundredClaimsTakesARecoveryOver(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, desk, _ := relayed(t, c)
		tickets := []string{desk.handOver(), desk.handOver()} // one stands on the screen, one did before
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				switch _, _, err := s.Claim(t.Context(), s.env, tickets[i%2], phone); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, flow.ErrNotFound):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 200 claims took it over", won.Load())
		}
	})
}

func TestATicketEndsAndIsBoundToItsEnvironmentAndItsMoment(t *testing.T) {
	s, desk, keys := relayed(t, storetest.SQLite(t))
	ticket := desk.handOver()
	for what, c := range map[string][2]string{"another environment": {s.dir, ticket}, "malformed": {s.env, "x"}, "none": {s.env, ""}, "unknown": {s.env, randomID()}} {
		if _, _, err := s.Claim(t.Context(), c[0], c[1], phone); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.clock.advance(2*time.Minute + time.Second)
	if _, _, err := s.Claim(t.Context(), s.env, ticket, phone); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("after two minutes: %v", err)
	}
	late := desk.handOver()
	desk.turn(policy.Passkey) // from here on the evidence is bound to this browser's key
	if _, _, err := s.Claim(t.Context(), s.env, late, phone); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("after a key was fixed: %v", err)
	}
	if err := desk.submit(keys.sign(desk)); err != nil || desk.view().Step != flow.StepReady {
		t.Errorf("the desk goes on: %v", err)
	}
}

// Somebody who was made to read a code from a stranger's screen ends what they took over.
func TestWhoeverTookOverMayDisown(t *testing.T) {
	s, desk, _ := relayed(t, storetest.SQLite(t))
	b, err := desk.onPhone(desk.handOver())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Disown(t.Context(), s.env, b.id, b.session); err != nil {
		t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepEnded || v.Ended != flow.EndVoided {
		t.Errorf("the phone: %+v", v)
	}
	if v := desk.view(); v.Elsewhere != flow.StepEnded {
		t.Errorf("the desk: %+v", v)
	}
	if e := b.events(); len(e[audit.RecoveryHandedOver]) != 1 || len(e[audit.RecoveryDisowned]) != 1 {
		t.Errorf("logged %v", e)
	}
	s.wait("the agent is told", func() bool { return s.agent.count(protocol.MethodDrop) == 1 })
}
