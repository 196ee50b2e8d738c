package flow_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/protocol"
)

// confirmations are text messages that confirm people's own phones.
type confirmations struct{ *smscode.Route }

// SendCode implements factor.Sender.
func (c confirmations) SendCode(ctx context.Context, m factor.Message) error {
	return c.Send(ctx, smscode.Message{Env: m.Env, To: m.To, Account: m.Account, Client: m.Client, Confirm: true, Language: m.Language, Origin: m.Origin, Code: m.Code, Until: m.Until})
}

// An employee adds a phone of their own. After 72 hours two codes go there in one
// recovery: the first lets it begin, the second lets this one operation go ahead.
func TestT17_APhoneOfOnesOwnCountsAfterSeventyTwoHoursAndTwoCodesOpenOneReset(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		service := newPhoneService(t)
		var factors *factor.Factors
		s := newStack(t, c, func(f *config) {
			route := smscode.NewRoute(f.Store, service.Client(), f.Now)
			factors = factor.New(factor.Config{Store: f.Store, Mail: nothing{}, SMS: confirmations{route}, Notices: nothing{}, Rules: directory.Rules})
			f.Factors, f.does.Factors = factors, factors
			f.Verifiers = append(f.Verifiers, smscode.New(route), smscode.NewConfirmation(route))
		})
		s.settings(func(d *store.DirectorySettings) {
			d.Methods = []byte(`{"default":[["sms_code","sms_confirm"]],"rules":[{"action":"options","accept":[["mail_code"]]}]}`)
		})
		s.tx(func(ctx context.Context, tx *store.Tx) error {
			return tx.SetSMSSettings(ctx, s.env, []byte(store.JSON(smscode.Settings{URL: service.URL, Body: "to={to}&text={text}", Countries: []string{"DE"}})))
		})
		s.person("ada")
		b := s.options("ada@example.com")
		o := b.owner()
		id, err := factors.AddAddress(t.Context(), o, factor.Phone, "+49 170 1234567")
		if err != nil {
			t.Fatal(err)
		}
		confirmed := service.code()
		if err := factors.Confirm(t.Context(), o, id, "mine", confirmed); err != nil {
			t.Fatal(err)
		}
		early := s.start("ada@example.com")
		early.choose(protocol.ActionPassword)
		early.settled("proving")
		if got := service.code(); got != confirmed {
			t.Error("a code goes to the phone within 72 hours")
		}
		s.clock.advance(factor.Wait + time.Minute)
		b = s.start("ada@example.com")
		b.choose(protocol.ActionPassword)
		b.wait("the first code", func() bool { return service.code() != confirmed })
		first := service.code()
		b.settled("proving")
		if err := b.submit(first); err != nil {
			t.Fatal(err)
		}
		b.wait("the second code", func() bool { return service.code() != first })
		if v := b.view(); v.Step == flow.StepReady {
			t.Fatal("one code is enough")
		}
		b.settled("proving")
		if err := b.submit(first); !errors.Is(err, recovery.ErrWrongCode) {
			t.Errorf("the first code again: %v", err)
		}
		if err := b.submit(service.code()); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepReady {
			t.Fatalf("step %s, problem %s", v.Step, v.Problem)
		}
		if err := b.press(); err != nil || b.view().Step != flow.StepDone {
			t.Errorf("%v, step %s", err, b.view().Step)
		}
		last := service.code()
		again := s.start("ada@example.com")
		again.choose(protocol.ActionUnlock)
		again.wait("another code for another operation", func() bool { return again.row().State == "proving" && service.code() != last })
	})
}
