package site

import (
	"context"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/approval"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// letters keeps what people who vouch are sent, the newest last.
type letters []approval.Message

func (l *letters) QueueApproval(_ context.Context, _ *store.Tx, m approval.Message) error {
	*l = append(*l, m)
	return nil
}

func (*letters) Wake() {}

// Settle implements verify.Settler: no recovery runs here.
func (*letters) Settle(context.Context, string, string, string, verify.Verdict) error {
	return verify.ErrNobody
}

// vouched has one person vouch in the environment of a rig.
func vouched(t *testing.T, g *rig) (*approval.Approvals, *letters) {
	t.Helper()
	mails := &letters{}
	a := &approval.Approvals{Store: g.store, Mail: mails, Log: slog.New(slog.DiscardHandler), Rules: func(context.Context, *store.Tx, string, string) (policy.Methods, error) {
		return policy.Methods{Approvals: &policy.People{Staff: []string{"vicar@acme.example"}, Count: 1}}, nil
	}}
	a.Flow, g.site.cfg.Vouchers = mails, a
	who := store.Staff{Org: g.env.Org, ID: store.NewID(), Name: "Vicar", Mail: "vicar@acme.example"}
	err := g.store.Tx(t.Context(), func(tx *store.Tx) error {
		if err := tx.AddStaff(t.Context(), &who); err != nil {
			return err
		}
		return tx.AddStaffKey(t.Context(), &store.StaffKey{Org: who.Org, ID: store.NewID(), Staff: who.ID, RP: "localhost", Credential: store.NewID(),
			Secret: []byte(store.JSON(evidencetest.NewAuthenticator(g.url).Credential()))})
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, mails
}

// Whoever follows the first of two mails reads that a newer one has come, wherever they
// are when it does, and agrees to nothing. Their no is heard.
func TestTheFirstOfTwoMailsLeadsToTheSecond(t *testing.T) {
	g := newRig(t)
	a, mails := vouched(t, g)
	s := verify.Subject{Env: g.env.ID, Directory: "d", Verification: store.NewID(), Account: "7", Name: "Ada", Action: protocol.ActionPassword,
		Context: protocol.Context{1}, Origin: g.url, RPID: "localhost", Until: time.Now().Add(time.Hour),
		AskedAt: time.Now(), Address: "192.0.2.7", Device: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36"}
	ask := func() string {
		t.Helper()
		if _, err := a.Open(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return (*mails)[len(*mails)-1].Token.Reveal()
	}
	follow := func(p *person, token string) *person {
		t.Helper()
		return p.get("/approve").send("/approve", url.Values{"token": {token}})
	}
	first := ask()
	early := follow(g.person(), first).sees(200, "Is it Ada who asks?")
	denies := follow(g.person(), first)
	s.Context[0]++
	second := ask()
	for _, p := range []*person{
		early.send("/approve/request", url.Values{"spoken": {"yes"}, "number": {"42"}, "answer": {"{}"}}),
		follow(g.person(), first),
	} {
		p.sees(410, "This request was replaced by a newer one", "open the link in that one")
	}
	late := follow(g.person(), first).sees(410, "wants a new password for that account", `action="/approve/deny"`, "counts for the newer request as well")
	b := testenv.Chromium(t)
	b.Open(g.url + "/approve?lang=en#" + first)
	b.Click("[data-fragment] button")
	b.WaitText("If you are still needed")
	g.looked(b, "replaced-en")
	b.Click(".langs [hreflang=de]")
	b.WaitText("gilt auch für die neuere Anfrage")
	g.looked(b, "replaced-de")
	follow(early, second).sees(200, "Is it Ada who asks?")
	follow(g.person(), second).sees(200, "Is it Ada who asks?")
	denies.send("/approve/deny", nil).sees(200, "The request was stopped", "the administrators were told")
	late.send("/approve/deny", nil).sees(404, "There is nothing to decide here")
	follow(g.person(), second).sees(200, "The request was stopped")
	follow(g.person(), first).sees(200, "The request was stopped")
}
