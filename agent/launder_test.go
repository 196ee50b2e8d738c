package agent

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// enrolBy lets a new passkey of Kim in through enroll_key, as a hub asks for it, and waits
// until it counts. prove adds the evidence. A delay of the file is waited for.
func (r *rig) enrolBy(t *testing.T, prove func(*protocol.PerformRequest)) *evidencetest.Authenticator {
	t.Helper()
	key := evidencetest.NewAuthenticator(recoverySite)
	cred := key.Credential()
	hash := cred.Hash()
	f, _ := r.frameFor(t, "enroll_key?key="+hex.EncodeToString(hash[:]))
	f.Members.Recipient = nil
	f.Context = f.Members.Context()
	var err error
	if f.Credential, err = json.Marshal(cred); err != nil {
		t.Fatal(err)
	}
	prove(&f)
	out := r.performed(t, f)
	if out.State == protocol.Accepted {
		r.clock.forward(time.Hour)
		f.ID, f.Sent, f.Evidence = f.ID+"x", r.clock.now().Unix(), nil
		out = r.performed(t, f)
	}
	if out.State != protocol.Done {
		t.Fatalf("enrolling: %+v %v", out, out.Error)
	}
	r.clock.forward(known.Wait)
	return key
}

// byKey proves with a passkey.
func byKey(key *evidencetest.Authenticator) func(*protocol.PerformRequest) {
	return func(f *protocol.PerformRequest) {
		f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	}
}

// A key that weak evidence let in lets in a second one, and that one a third: none of them
// is worth more than the first, directly or after a delay.
func TestT17_StrengthIsNotLaunderedThroughASecondPasskey(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "held": time.Hour} {
		t.Run(name, func(t *testing.T) {
			rule := required([]string{"passkey"}, []string{"agent_code"})
			rule.Delay = settings.Duration{Duration: delay}
			r, srv := strictRig(t, rule)
			first := r.enrolBy(t, func(f *protocol.PerformRequest) { r.proveCode(t, srv, 1, f.Members.Recovery) })
			third := r.enrolBy(t, byKey(r.enrolBy(t, byKey(first))))
			for _, k := range r.known.Keys(kim) {
				if !slices.Equal(k.Strength, []string{"agent_code"}) {
					t.Errorf("a key is worth %v", k.Strength)
				}
			}
			r.approver(t, "boss", accountID(2), "")
			r.cfg.Evidence.Groups[0].Methods, r.cfg.Evidence.Groups[0].Delay.Duration = [][]string{{"passkey"}, {"approval"}}, 0
			r.restart(t)
			for _, key := range []*evidencetest.Authenticator{first, third} {
				f, _ := r.frameFor(t, reset)
				byKey(key)(&f)
				wantRefused(t, r, r.performed(t, f), "evidence that the agent checks itself")
			}
		})
	}
}

// A key that one person's approval let in does not stand for two persons.
func TestT17_AKeyIsWorthNoMorePersonsThanApprovedIt(t *testing.T) {
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	boss := r.approver(t, "boss", accountID(2), "")
	r.approver(t, "hr", accountID(3), "")
	second := r.enrolBy(t, byKey(r.enrolBy(t, func(f *protocol.PerformRequest) {
		f.Evidence = []protocol.Evidence{{Type: evidence.TypeApproval, Raw: boss.Approve(f.Context, "boss")}}
	})))
	f, _ := r.frameFor(t, reset)
	byKey(second)(&f)
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Fatalf("%+v %v", out, out.Error)
	}
	r.cfg.Evidence.Groups[0].Approvals = 2
	r.restart(t)
	f, _ = r.frameFor(t, reset)
	byKey(second)(&f)
	if out := r.performed(t, f); out.State != protocol.Failed {
		t.Errorf("one approval is worth two: %+v", out)
	}
}

func TestT17_ARuleThatLetsNoFirstPasskeyInIsRefused(t *testing.T) {
	s := proof.Settings{Origins: []string{recoverySite}, Groups: []proof.Rule{required([]string{"passkey"}, []string{"passkey", "agent_code"})}}
	s.Groups[0].Group = "Finance"
	if err := s.Check(true); err == nil {
		t.Error("nobody could ever enrol")
	}
}

// What a passkey proved and the agent holds ends with the passkey.
func TestT23_WhatIsHeldEndsWithThePasskeyThatProvedIt(t *testing.T) {
	rule := required([]string{"passkey"}, []string{"approval"})
	rule.Delay = settings.Duration{Duration: time.Hour}
	r, _ := strictRig(t, rule)
	key := r.enrolled(t, kim)
	f, _ := r.frameFor(t, reset)
	byKey(key)(&f)
	if out := r.performed(t, f); out.State != protocol.Accepted {
		t.Fatalf("%+v %v", out, out.Error)
	}
	if _, err := ask[protocol.RemovedKey](t, r.service, protocol.MethodRemoveKey, protocol.RemoveKeyRequest{Account: kim, Hash: r.hashOfKey(t, kim)}); err != nil {
		t.Fatal(err)
	}
	r.clock.forward(2 * time.Hour)
	f.Sent = r.clock.now().Unix()
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
	wantCode(t, err, protocol.CodeNotBegun)
}
