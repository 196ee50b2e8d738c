package flow_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// inFinance makes ada a member of the group, as the store or only her agent knows.
func (s *stack) inFinance(where string) {
	if where == "agent" {
		s.agent.set(func(x *testAgent) { x.begun = func(b *protocol.Begun) { b.Groups = []string{"Finance"} } })
		return
	}
	g := []protocol.Group{{ID: "g", Name: "Finance"}}
	s.tx(func(ctx context.Context, tx *store.Tx) error { return tx.PutGroups(ctx, s.env, s.dir, g) })
	s.person("ada", func(a *protocol.Account) { a.Groups = g })
}

// T17: a passkey that mail alone enrolled opens no account of a group that needs more,
// whoever knows of the group.
func TestT17_AFactorIsMeasuredByTheGroupsThatOnlyTheAgentKnows(t *testing.T) {
	for _, where := range []string{"nobody", "store", "agent"} {
		t.Run(where, func(t *testing.T) {
			s, factors := withFactors(t, storetest.SQLite(t))
			s.person("ada")
			a := enrolPasskey(t, factors, s.options("ada@example.com").owner()) // by mail_code, as the default allows
			s.clock.advance(factor.Wait)
			s.settings(func(d *store.DirectorySettings) {
				d.Methods = json.RawMessage(`{"rules":[{"group":{"name":"Finance"},"accept":[["passkey"],["digital_credential"]]}],"default":[["mail_code"],["passkey"],["saved_code"]]}`)
			})
			if where != "nobody" {
				s.inFinance(where)
			}
			b := s.start("ada@example.com")
			b.choose(protocol.ActionPassword)
			if err := b.ChooseMethod(t.Context(), b.env, b.id, b.session, "passkey", b.recipient); err != nil {
				t.Fatal(err)
			}
			b.settled("proving")
			s.clock.advance(2 * time.Second) // a page waits for everybody alike
			b.wait("ask", func() bool { return b.view().Ask.Open })
			err := b.submit(string(a.Assert(challengeIn(t, b.view().Ask.Request))))
			if where == "nobody" {
				if err != nil || b.view().Step != flow.StepReady {
					t.Errorf("outside of the group: %v, %s", err, b.view().Step)
				}
			} else if err == nil || b.view().Step == flow.StepReady {
				t.Errorf("opened an account of the group: %v, %s", err, b.view().Step)
			}
		})
	}
}

// T17: no code goes to an address that is not worth as much as the group needs.
func TestT17_AnAddressOfOnesOwnIsMeasuredByTheGroupsThatOnlyTheAgentKnows(t *testing.T) {
	for _, where := range []string{"nobody", "store", "agent"} {
		t.Run(where, func(t *testing.T) {
			s, _ := withFactors(t, storetest.SQLite(t))
			s.person("ada")
			s.tx(func(ctx context.Context, tx *store.Tx) error {
				f := &store.Factor{Env: s.env, ID: "own", Directory: s.dir, Account: "ada", Kind: factor.Mail, Secret: []byte("ada@own.example"),
					EnrolledBy: []string{"sms_code"}, Roots: [][]string{{"sms_code"}}}
				if err := tx.AddFactor(ctx, f); err != nil {
					return err
				}
				f.ActiveAt = tx.Now()
				return tx.ConfirmFactor(ctx, *f)
			})
			s.clock.advance(time.Hour)
			s.settings(func(d *store.DirectorySettings) {
				d.Methods = json.RawMessage(`{"rules":[{"group":{"name":"Finance"},"accept":[["mail_code"]]}],"default":[["mail_code"],["sms_code"]]}`)
			})
			if where != "nobody" {
				s.inFinance(where)
			}
			b, _ := s.asked("ada@example.com", "password")
			var p struct {
				Contacts protocol.Contacts `json:"contacts"`
			}
			s.tx(func(ctx context.Context, tx *store.Tx) error {
				rec, err := tx.Recovery(ctx, b.env, b.id)
				return errors.Join(err, json.Unmarshal(rec.Private, &p))
			})
			if got := slices.Contains(p.Contacts.Mail, "ada@own.example"); got != (where == "nobody") {
				t.Errorf("codes go to %v", p.Contacts.Mail)
			}
		})
	}
}
