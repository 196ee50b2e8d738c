package flow_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

func TestAnEmployeeGetsATemporaryPasswordExactlyOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.start(" Ada@Example.COM ")
		v := b.view()
		if v.Step != flow.StepChoose || len(v.Directories) != 1 || len(v.Actions) != 3 || v.Proven || v.Account != "" {
			t.Fatalf("first page %+v", v)
		}
		b.choose(protocol.ActionPassword)
		code := b.code()
		if v = b.view(); v.Step != flow.StepProve || v.Proven || v.Masked != "" || v.Code.TriesLeft != 5 || v.Code.SendsLeft != 2 {
			t.Fatalf("code page %+v", v)
		}
		if err := b.submit("00000000"); !errors.Is(err, recovery.ErrWrongCode) {
			t.Fatalf("wrong code: %v", err)
		}
		if err := b.submit(code); err != nil {
			t.Fatalf("right code: %v", err)
		}
		if v = b.view(); v.Step != flow.StepReady || !v.Proven || v.Account != "Name of ada" || v.Masked != "a•••@private.example" || !v.Secret {
			t.Fatalf("button %+v", v)
		}
		if err := b.Perform(t.Context(), s.env, b.id, b.session, nil); !errors.Is(err, recovery.ErrRecipient) {
			t.Fatalf("without a key: %v", err)
		}
		if err := b.press(); err != nil {
			t.Fatalf("press: %v", err)
		}
		v = b.view()
		if v.Step != flow.StepDone || !v.MustChange {
			t.Fatalf("result %+v", v)
		}
		secret, err := seal.Open(b.key, v.Context, v.Sealed)
		if err != nil || secret.Reveal() != password {
			t.Fatalf("secret %v", err)
		}
		if err := b.press(); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("second press: %v", err)
		}
		if again := b.view(); string(again.Sealed) != string(v.Sealed) {
			t.Error("a reload does not give the same result to the session that asked")
		}
		if got := s.agent.changes(); len(got) != 1 || got[0] != "ada" {
			t.Errorf("changes %v", got)
		}
		if err := b.Acknowledge(t.Context(), s.env, b.id, b.session); err != nil {
			t.Fatal(err)
		}
		if v = b.view(); v.Step != flow.StepEnded || v.Ended != recovery.EndAcknowledged || v.Sealed != nil || v.Account != "" {
			t.Errorf("after it %+v", v)
		}
		for kind, n := range map[audit.Kind]int{audit.RecoveryStarted: 1, audit.RecoveryBegun: 1, audit.RecoveryCodeSent: 1, audit.RecoveryCodeWrong: 1,
			audit.RecoveryVerified: 1, audit.OperationRequested: 1, audit.OperationFinished: 1, audit.RecoveryNotified: 1} {
			if got := len(b.events()[kind]); got != n {
				t.Errorf("%d events %s, want %d", got, kind, n)
			}
		}
	})
}

func TestUnlockNeedsNoKeyAndBindsNone(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionUnlock)
		if v := b.view(); v.Secret {
			t.Error("unlock has a secret")
		}
		if err := b.press(); err != nil { // the browser sends a key all the same
			t.Fatal(err)
		}
		rec := b.row()
		if rec.State != "done" || len(rec.Recipient) != 0 || rec.Tasks != "unlock" {
			t.Errorf("state %s, recipient of %d bytes, tasks %s", rec.State, len(rec.Recipient), rec.Tasks)
		}
	})
}

func TestAnotherSessionOrEnvironmentSeesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionUnlock)
		ctx := t.Context()
		for name, c := range map[string]struct{ env, id, session string }{
			"other session":     {s.env, b.id, s.start("ada@example.com").session},
			"no session":        {s.env, b.id, ""},
			"other environment": {s.dir, b.id, b.session},
			"other id":          {s.env, randomID(), b.session},
			"malformed id":      {s.env, "a'\x00", b.session},
		} {
			_, err := s.View(ctx, c.env, c.id, c.session)
			for what, err := range map[string]error{
				"view": err, "choose": s.Choose(ctx, c.env, c.id, c.session, "", "unlock"), "code": s.Answer(ctx, c.env, c.id, c.session, "1"),
				"method": s.ChooseMethod(ctx, c.env, c.id, c.session, "mail_code", b.recipient),
				"resend": s.Resend(ctx, c.env, c.id, c.session), "perform": s.Perform(ctx, c.env, c.id, c.session, b.recipient),
				"acknowledge": s.Acknowledge(ctx, c.env, c.id, c.session), "cancel": s.Cancel(ctx, c.env, c.id, c.session),
			} {
				if !errors.Is(err, recovery.ErrNotFound) {
					t.Errorf("%s, %s: %v", name, what, err)
				}
			}
		}
		if len(s.agent.changes()) > 0 {
			t.Error("somebody else changed the account")
		}
	})
}

func TestCancelTellsTheAgentAndForgets(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionUnlock)
		if err := b.Cancel(t.Context(), s.env, b.id, b.session); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepEnded || v.Ended != recovery.EndCancelled {
			t.Errorf("view %+v", v)
		}
		s.wait("the agent is told", func() bool { return s.agent.count(protocol.MethodDrop) == 1 })
		if err := b.press(); !errors.Is(err, recovery.ErrStep) {
			t.Errorf("press: %v", err)
		}
		if rec := b.row(); rec.Private != nil {
			t.Error("the address is kept")
		}
	})
}

// A mail may be read before the mail server has said that it took it.
func TestACodeCountsFromTheMomentItCanBeRead(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		hold := make(chan struct{})
		s.mail.hold = hold
		release := sync.OnceFunc(func() { close(hold) })
		t.Cleanup(release)
		b := s.start("ada@example.com")
		b.choose(protocol.ActionPassword)
		s.wait("a mail", func() bool { return s.mail.count() == 1 })
		if err := b.submit(s.mail.last(t)); err != nil {
			t.Fatalf("right code: %v", err)
		}
		if v := b.view(); v.Step != flow.StepReady || v.Masked != "a•••@private.example" {
			t.Errorf("button %+v", v)
		}
		release()
		s.wait("the code in the audit log", func() bool { return len(b.events()[audit.RecoveryCodeSent]) == 1 })
		if v := b.view(); v.Step != flow.StepReady {
			t.Errorf("afterwards %+v", v)
		}
	})
}

// A lost cancel is sent again until the agent hears it, by whatever node is there.
func TestT23_AnAgentThatWasAwayIsToldOfTheEndLater(t *testing.T) {
	eachStore(t, func(t *testing.T, s *stack) {
		s.person("ada")
		b := s.ready("ada@example.com", protocol.ActionUnlock)
		s.agent.set(func(a *testAgent) { a.away = true })
		if err := b.Cancel(t.Context(), s.env, b.id, b.session); err != nil {
			t.Fatal(err)
		}
		s.wait("the agent was called twice", func() bool {
			s.clock.advance(10 * time.Second)
			return s.agent.count(protocol.MethodDrop) >= 2
		})
		s.kill()
		s.agent.set(func(a *testAgent) { a.away = false })
		tried := s.agent.count(protocol.MethodDrop)
		s.run(s.config.open().Recoveries) // another node
		s.wait("the agent hears of it", func() bool {
			s.clock.advance(10 * time.Second)
			return s.agent.count(protocol.MethodDrop) > tried
		})
		s.wait("then nobody tries again", func() bool { return b.row().DueAt.IsZero() })
	})
}
