package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// begins reports whether a recovery of Kim can begin, or what stands in the way.
func (r *rig) begins(t *testing.T) *protocol.Error {
	t.Helper()
	_, b := r.beginOn(t, kim, reset)
	return b.Finding
}

func TestT34_T16_AnAddressOfAMinuteAgoIsNobodyWhoIsTold(t *testing.T) {
	rule := required([]string{"passkey"}, []string{"approval"})
	rule.NoNotice = proof.NoticeRefuse
	r, _ := strictRig(t, rule)
	r.company.edit(t, kim, func(p *person) { p.Mail = nil })
	r.enrolled(t, kim)
	noNotice := func(e *protocol.Error) bool { return e != nil && strings.Contains(e.Message, "no_notice") }
	if e := r.begins(t); !noNotice(e) {
		t.Fatalf("without an address: %v", e)
	}
	r.company.edit(t, kim, func(p *person) { p.Mail = []string{"thief@evil.example"} })
	if e := r.begins(t); !noNotice(e) {
		t.Errorf("with an address of a minute ago: %v", e)
	}
	r.company.edit(t, kim, func(p *person) { p.Mail = nil }) // taken away again: it was nobody's
	if e := r.begins(t); !noNotice(e) {
		t.Errorf("with an address that was there for a minute: %v", e)
	}
	r.company.edit(t, kim, func(p *person) { p.Mail = []string{"kim@home.example"} })
	if e := r.begins(t); !noNotice(e) {
		t.Errorf("with another: %v", e)
	}
	r.clock.forward(known.Wait)
	if e := r.begins(t); e != nil {
		t.Errorf("72 hours later: %v", e)
	}
	r.company.edit(t, kim, func(p *person) { p.Mail = []string{"thief@evil.example"} })
	if e := r.begins(t); e != nil {
		t.Errorf("the owner's address of yesterday is told: %v", e)
	}
}

func TestT34_T16_AManagerOfAMinuteAgoIsNobodyWhoIsTold(t *testing.T) {
	rule := required([]string{"passkey"}, []string{"approval"})
	rule.NoNotice = proof.NoticeManager
	r, _ := strictRig(t, rule)
	r.company.edit(t, kim, func(p *person) { p.Mail = nil })
	r.enrolled(t, kim)
	r.company.edit(t, kim, func(p *person) { p.Manager = "thief@evil.example" })
	if e := r.begins(t); e == nil {
		t.Error("the thief is told")
	}
	r.clock.forward(known.Wait)
	if e := r.begins(t); e != nil {
		t.Errorf("72 hours later: %v", e)
	}
}

func TestT01_TheCodeOfEveryStrictAccountNamesAccountAndOperation(t *testing.T) {
	r, srv := strictRig(t, required([]string{"agent_code"}))
	f, _ := r.frameFor(t, reset)
	m := r.proveCode(t, srv, 1, f.Members.Recovery)
	if !strings.Contains(m.Text, "user15@corp.example") || !strings.Contains(m.Text, "ein neues vorläufiges Passwort setzen, entsperren") {
		t.Errorf("the code's mail: %s", m.Text)
	}
}

func TestT16_SomebodyWhoBeginsTodayIsServedWhereTheFileSaysSoAlone(t *testing.T) {
	for setting, counts := range map[string]bool{"": false, proof.NewAccountsWait: false, proof.NewAccountsCount: true} {
		r, srv := strictRig(t, required([]string{"agent_code"}))
		r.cfg.Evidence.NewAccounts = setting
		r.restart(t)
		if _, err := r.watchOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.company.edit(t, kim, func(p *person) { p.NeverSignedIn, p.Mail = true, []string{"new@home.example"} })
		if e := r.begins(t); (e == nil) != counts {
			t.Errorf("%q: %v", setting, e)
		}
		if counts {
			f, _ := r.frameFor(t, reset)
			r.proveCode(t, srv, 1, f.Members.Recovery)
			if out := r.performed(t, f); out.State != protocol.Done {
				t.Errorf("%q: %+v %v", setting, out, out.Error)
			}
		}
		r.company.edit(t, kim, func(p *person) { p.NeverSignedIn, p.Mail = false, []string{"another@home.example"} })
		if e := r.begins(t); e == nil {
			t.Errorf("%q: after the first sign-in a new address counts", setting)
		}
		r.clock.forward(known.Wait + time.Minute)
		if e := r.begins(t); e != nil {
			t.Errorf("%q: 72 hours later: %v", setting, e)
		}
	}
	if err := (proof.Settings{NewAccounts: "soon"}).Check(true); err == nil {
		t.Error("any word will do")
	}
}
