package flow_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

var phone = recovery.Client{Address: "192.0.2.20", UserAgent: "Phone/1", Origin: "https://recover.example.com"}

func (b *browser) handOver() string {
	b.t.Helper()
	h, err := b.HandOver(b.t.Context(), b.env, b.id, b.session)
	if err != nil {
		b.t.Fatalf("hand over: %v", err)
	}
	return h.Ticket.Reveal()
}

// reads claims a ticket and returns the phone's browser, which waits for its code.
func (b *browser) reads(ticket string, c recovery.Client) (*browser, error) {
	id, session, err := b.Claim(b.t.Context(), b.env, ticket, c)
	other := b.start("somebody@example.com") // for a key of its own
	return &browser{b.stack, id, session, other.key, other.recipient}, err
}

// onPhone claims a ticket and types the phone's code, and returns the phone's browser.
func (b *browser) onPhone(ticket string) (*browser, error) {
	p, err := b.reads(ticket, phone)
	if err == nil {
		err = b.confirm(p.shownCode())
	}
	return p, err
}

func (b *browser) confirm(code string) error {
	return b.Confirm(b.t.Context(), b.env, b.id, b.session, code)
}

// code is what the page of the phone shows.
func (b *browser) shownCode() string {
	b.t.Helper()
	by, err := b.BegunBy(b.t.Context(), b.env, b.id, b.session)
	if err != nil || len(by.Code) != 6 {
		b.t.Fatalf("the phone shows %q: %v", by.Code, err)
	}
	return by.Code
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
	if _, err := s.HandOver(t.Context(), s.env, b.id, b.session); !errors.Is(err, recovery.ErrStep) {
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
			if !errors.Is(err, recovery.ErrNotFound) {
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
		var turn atomic.Int32
		won := s.race(func() error {
			_, _, err := s.Claim(t.Context(), s.env, tickets[turn.Add(1)%2], phone)
			return err
		}, recovery.ErrNotFound)
		if won != 1 {
			t.Errorf("%d of 200 claims took it over", won)
		}
	})
}

func TestATicketEndsAndIsBoundToItsEnvironmentAndItsMoment(t *testing.T) {
	s, desk, keys := relayed(t, storetest.SQLite(t))
	ticket := desk.handOver()
	for what, c := range map[string][2]string{"another environment": {s.dir, ticket}, "malformed": {s.env, "x"}, "none": {s.env, ""}, "unknown": {s.env, randomID()}} {
		if _, _, err := s.Claim(t.Context(), c[0], c[1], phone); !errors.Is(err, recovery.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.clock.advance(2*time.Minute + time.Second)
	if _, _, err := s.Claim(t.Context(), s.env, ticket, phone); !errors.Is(err, recovery.ErrNotFound) {
		t.Errorf("after two minutes: %v", err)
	}
	late := desk.handOver()
	desk.turn(policy.Passkey)
	if err := desk.submit(keys.sign(desk)); err != nil || desk.view().Step != flow.StepReady {
		t.Errorf("the desk goes on: %v", err)
	}
	if _, _, err := s.Claim(t.Context(), s.env, late, phone); !errors.Is(err, recovery.ErrNotFound) {
		t.Errorf("after a proof that is bound to the browser's key: %v", err)
	}
}

// Somebody who was made to read a picture from a stranger's screen ends it, before or
// after its code was typed there; owner, organisation and log hear of it.
func TestT13_WhoeverDidNotStartItEndsItAndRaisesTheAlarm(t *testing.T) {
	for name, take := range map[string]func(b *browser, ticket string) (*browser, error){
		"before the code": func(b *browser, ticket string) (*browser, error) { return b.reads(ticket, phone) },
		"after it":        (*browser).onPhone,
	} {
		t.Run(name, func(t *testing.T) { disowned(t, take) })
	}
}

func disowned(t *testing.T, take func(b *browser, ticket string) (*browser, error)) {
	s, desk, _ := relayed(t, storetest.SQLite(t))
	b, err := take(desk, desk.handOver())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Disown(t.Context(), s.env, b.id, b.session); err != nil {
		t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepEnded || v.Ended != recovery.EndDisowned {
		t.Errorf("the phone: %+v", v)
	}
	if v := desk.view(); v.Elsewhere != flow.StepEnded && v.Step != flow.StepEnded {
		t.Errorf("the desk: %+v", v)
	}
	if e := b.events(); len(e[audit.RecoveryHandedOver]) == 0 || len(e[audit.RecoveryDisowned]) != 1 {
		t.Errorf("logged %v", e)
	}
	if told := s.notices.all(); len(told) != 1 || !told[0].Disowned || told[0].Client.UserAgent != "Browser/1" || len(told[0].Contacts.Mail) == 0 {
		t.Errorf("the owner hears %+v", told)
	}
	s.wait("the agent is told", func() bool { return s.agent.count(protocol.MethodDrop) == 1 })
}

// The code of the phone is typed where the picture was shown: a picture that was relayed
// to somebody elsewhere gives nothing, and guessing it ends the claim.
func TestT13_APictureCountsOnceThePhonesCodeWasTyped(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, desk, _ := relayed(t, c)
		b, err := desk.reads(desk.handOver(), phone)
		if err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepReading || v.Proven || v.Account != "" || v.Masked != "" || len(v.Methods) > 0 {
			t.Errorf("the phone sees %+v", v)
		}
		by, err := s.BegunBy(t.Context(), s.env, b.id, b.session)
		if err != nil || by.UserAgent != "Browser/1" || by.Directory == "" || by.At.IsZero() || by.Address != "a•••@example.com" {
			t.Errorf("the phone is told %+v %v", by, err)
		}
		for what, err := range map[string]error{
			"choose": s.ChooseMethod(t.Context(), s.env, b.id, b.session, "passkey", b.recipient),
			"answer": b.submit("x"), "perform": b.press(), "cancel": s.Cancel(t.Context(), s.env, b.id, b.session),
			"confirm": b.confirm(b.shownCode()), "hand over": second(s.HandOver(t.Context(), s.env, b.id, b.session)),
		} {
			if !errors.Is(err, recovery.ErrNotFound) {
				t.Errorf("before the code: %s: %v", what, err)
			}
		}
		if v := desk.view(); !v.Claimed || v.Step == flow.StepElsewhere {
			t.Errorf("the desk: %+v", v)
		}
		for try := range 5 {
			want := recovery.ErrWrongCode
			if try == 4 {
				want = recovery.ErrTooMany
			}
			if err := desk.confirm("12"); !errors.Is(err, want) {
				t.Errorf("guess %d: %v", try, err)
			}
		}
		if v := b.view(); v.Ended != recovery.EndRefused {
			t.Errorf("the phone, refused: %+v", v)
		}
		if v := desk.view(); v.Claimed || !v.HandOver {
			t.Errorf("the desk, after it: %+v", v)
		}
		if b, err = desk.reads(desk.handOver(), phone); err != nil {
			t.Fatal(err)
		}
		if err := s.RefuseClaim(t.Context(), s.env, desk.id, desk.session); err != nil || b.view().Ended != recovery.EndRefused {
			t.Errorf("not my phone: %v", err)
		}
		if b, err = desk.onPhone(desk.handOver()); err != nil || b.view().Step != flow.StepMethod {
			t.Errorf("at last: %v", err)
		}
	})
}

func TestP07_OneOfTwoHundredCodesGivesItAway(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, desk, _ := relayed(t, c)
		b, err := desk.reads(desk.handOver(), phone)
		if err != nil {
			t.Fatal(err)
		}
		code := b.shownCode()
		won := s.race(func() error { return desk.confirm(code) }, recovery.ErrStep, recovery.ErrNotFound)
		if won != 1 {
			t.Errorf("%d of 200 were right", won)
		}
	})
}

func TestP10_AThousandGuessesOfThePhonesCodeAreFive(t *testing.T) {
	s, desk, _ := relayed(t, storetest.SQLite(t))
	b, err := desk.reads(desk.handOver(), phone)
	if err != nil {
		t.Fatal(err)
	}
	wrong := "000000"
	if b.shownCode() == wrong {
		wrong = "000001"
	}
	var judged atomic.Int32
	s.race(func() error {
		err := desk.confirm(wrong)
		if errors.Is(err, recovery.ErrWrongCode) || errors.Is(err, recovery.ErrTooMany) {
			judged.Add(1)
		}
		return err
	}, recovery.ErrWrongCode, recovery.ErrTooMany, recovery.ErrStep)
	if judged.Load() > 5 {
		t.Errorf("%d guesses were judged", judged.Load())
	}
}

// race calls fn 200 times at once and returns how many succeeded; every other must end
// in one of the errors.
func (s *stack) race(fn func() error, others ...error) int {
	s.t.Helper()
	var won atomic.Int32
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 200 {
		wg.Go(func() {
			<-start
			err := fn()
			if err == nil {
				won.Add(1)
			} else if !slices.ContainsFunc(others, func(o error) bool { return errors.Is(err, o) }) {
				s.t.Errorf("one of 200: %v", err)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(won.Load())
}

// A phone in another network, or one that has nothing left to prove, proves once more
// what the other browser proved by a code.
func TestT13_AnotherNetworkStepsUp(t *testing.T) {
	far := recovery.Client{Address: "198.51.100.20", UserAgent: "Phone/1"}
	for _, c := range []struct {
		name    string
		methods string
		client  recovery.Client
		again   bool
	}{
		{"the same network", `{"default":[["mail_code","passkey"]]}`, phone, false},
		{"another network", `{"default":[["mail_code","passkey"]]}`, far, true},
		{"nothing left to prove", `{"default":[["mail_code"]]}`, phone, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := newSigned(t, policy.Passkey, "ada")
			s := withWays(t, storetest.SQLite(t), c.methods, keys)
			s.person("ada")
			desk, code := s.asked("ada@example.com", protocol.ActionPassword)
			if err := desk.submit(code); err != nil {
				t.Fatal(err)
			}
			if desk.view().Step == flow.StepReady {
				desk.settled("ready")
			} else {
				desk.settled("proving")
			}
			b, err := desk.reads(desk.handOver(), c.client)
			if err != nil {
				t.Fatal(err)
			}
			sent := s.mail.count()
			if err := desk.confirm(b.shownCode()); err != nil {
				t.Fatal(err)
			}
			if v := b.view(); v.Proven == c.again || c.again && (v.Account != "" || v.Ask.Method != policy.MailCode) {
				t.Fatalf("on the phone: %+v", v)
			}
			if err := b.press(); !errors.Is(err, recovery.ErrStep) {
				t.Errorf("pressed without a proof: %v", err)
			}
			if c.again {
				s.wait("another code", func() bool { return s.mail.count() == sent+1 })
				if err := b.submit(s.mail.last(t)); err != nil {
					t.Fatal(err)
				}
			}
			if b.view().Step != flow.StepReady {
				b.settled("proving")
				b.turn(policy.Passkey)
				if err := b.submit(keys.sign(b)); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.press(); err != nil || b.view().Step != flow.StepDone {
				t.Errorf("at the end: %v, %s", err, b.view().Step)
			}
			kinds := map[string]bool{}
			for _, e := range s.agent.bundle() {
				if kinds[e.Type] {
					t.Errorf("the agent gets %s twice", e.Type)
				}
				kinds[e.Type] = true
			}
		})
	}
}

// A passkey that is on the phone: the page that asks for it offers the phone, and what
// the phone proves is bound to the phone's key.
func TestT13_AKeyThatProvedNothingIsLeftBehind(t *testing.T) {
	s, desk, keys := relayed(t, storetest.SQLite(t))
	desk.turn(policy.Passkey) // this browser's key is the recipient now, and has none
	if v := desk.view(); !v.HandOver {
		t.Fatalf("not offered: %+v", v)
	}
	old := keys.sign(desk)
	b, err := desk.onPhone(desk.handOver())
	if err != nil {
		t.Fatal(err)
	}
	b.settled("proving")
	if err := b.submit(old); err == nil {
		t.Error("a proof for the other browser's key was taken")
	}
	b.turn(policy.Passkey)
	if err := b.submit(keys.sign(b)); err != nil {
		t.Fatal(err)
	}
	if err := b.press(); err != nil {
		t.Fatal(err)
	}
	v := b.view()
	if secret, err := seal.Open(b.key, v.Context, v.Sealed); err != nil || secret.Reveal() != password {
		t.Errorf("on the phone: %s %v", v.Step, err)
	}
	if _, err := s.HandOver(t.Context(), s.env, b.id, b.session); !errors.Is(err, recovery.ErrStep) {
		t.Errorf("given away once more after a bound proof: %v", err)
	}
}

// Nobody is flooded with warnings about what strangers begin.
func TestT31_TheOwnerIsWarnedOnceAnHour(t *testing.T) {
	s, desk, _ := relayed(t, storetest.SQLite(t))
	for i := range 3 {
		if i > 0 {
			var code string
			desk, code = s.asked("ada@example.com", protocol.ActionPassword)
			if err := desk.submit(code); err != nil {
				t.Fatal(err)
			}
			desk.settled("proving")
		}
		b, err := desk.reads(desk.handOver(), phone)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Disown(t.Context(), s.env, b.id, b.session); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.notices.all()); n != 1 {
		t.Errorf("%d mails of three", n)
	}
}
