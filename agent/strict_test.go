package agent

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
	"github.com/postern-id/postern/protocol/seal"
)

const recoverySite = "https://recover.example.com"

// kim is a strict account: in Finance, with name and birth date.
var kim = accountID(15)

// strictRig is a rig whose file has a rule for Finance, with a mail server of its own.
func strictRig(t *testing.T, rule proof.Rule) (*rig, *mailbox.Server) {
	t.Helper()
	r, srv := newMailRig(t)
	rule.Group = "Finance"
	r.cfg.Evidence = proof.Settings{Origins: []string{recoverySite}, Groups: []proof.Rule{rule}}
	r.cfg.Guard.SensitiveGroups = nil
	if err := r.cfg.Evidence.Check(true); err != nil {
		t.Fatal(err)
	}
	r.restart(t)
	return r, srv
}

func required(methods ...[]string) proof.Rule {
	return proof.Rule{RequireAgentVerifiable: true, Methods: methods}
}

// frameFor begins a recovery of Kim.
func (r *rig) frameFor(t *testing.T, operation string) (protocol.PerformRequest, protocol.Begun) {
	t.Helper()
	q, b := r.beginOn(t, kim, operation)
	if b.Finding != nil {
		t.Fatalf("finding: %v", b.Finding)
	}
	return r.request(q, b), b
}

// proveCode sends the agent's code and types it.
func (r *rig) proveCode(t *testing.T, srv *mailbox.Server, mail int, recovery string) mailbox.Message {
	t.Helper()
	if _, err := r.send(t, recovery); err != nil {
		t.Fatal(err)
	}
	code, m := codeIn(t, srv, mail)
	if c, err := r.typed(t, recovery, code); err != nil || !c.OK {
		t.Fatalf("code: %+v %v", c, err)
	}
	return m
}

// enrolled lets a passkey in, as if it had been 72 hours ago, when the agent had looked at
// its accounts for the first time.
func (r *rig) enrolled(t *testing.T, account string) *evidencetest.Authenticator {
	t.Helper()
	if _, err := r.watchOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := evidencetest.NewAuthenticator(recoverySite)
	c := a.Credential()
	hash := c.Hash()
	if err := r.known.Enrol(known.Key{Account: account, Credential: c.ID, PublicKey: c.PublicKey, RPID: c.RPID, Hash: hash[:], Strength: []string{"approval"}, Approvals: 1}); err != nil {
		t.Fatal(err)
	}
	r.clock.forward(known.Wait)
	return a
}

func (r *rig) approver(t *testing.T, id, person, mail string) *evidencetest.Authenticator {
	t.Helper()
	a := evidencetest.NewAuthenticator(recoverySite)
	c := a.Credential()
	if err := known.AddApprover(r.state, known.Approver{ID: id, Person: person, Mail: mail, Credential: c.ID, PublicKey: c.PublicKey, RPID: c.RPID}); err != nil {
		t.Fatal(err)
	}
	return a
}

func wantRefused(t *testing.T, r *rig, out protocol.Outcome, why string) {
	t.Helper()
	if out.State == protocol.Done || out.State == protocol.Accepted || out.Error == nil || !strings.Contains(out.Error.Message, why) {
		t.Errorf("got %+v (%v), want a refusal: %s", out.State, out.Error, why)
	}
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func wantMail(t *testing.T, srv *mailbox.Server, what string, is func(mailbox.Message) bool) mailbox.Message {
	t.Helper()
	var found mailbox.Message
	testenv.Eventually(t, what, func() bool {
		for _, m := range srv.Messages() {
			if is(m) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

func TestT05_AStrictAccountNeedsEvidenceThatTheAgentChecked(t *testing.T) {
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	key := r.enrolled(t, kim)
	f, b := r.frameFor(t, reset)
	if b.Terms == nil || len(b.Terms.Methods) != 1 || b.Terms.Methods[0][0] != "passkey" {
		t.Errorf("terms = %+v", b.Terms)
	}
	f.Evidence = []protocol.Evidence{{Type: "mail_code"}, {Type: "totp"}, {Type: "review"}, {Type: "manual"}, {Type: "agent_code", Raw: []byte("says the hub")}, {Type: "passkey"}}
	wantRefused(t, r, r.performed(t, f), "evidence that the agent checks itself")
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	out := r.performed(t, f)
	if out.State != protocol.Done || r.opened(t, out) != r.company.person(t, kim).Password {
		t.Fatalf("with a passkey: %+v %v", out, out.Error)
	}
	free, b2 := r.beginOn(t, accountID(1), reset) // an account that is in no strict group
	if b2.Terms != nil {
		t.Errorf("terms of an account that is not strict: %+v", b2.Terms)
	}
	if out := r.performed(t, r.request(free, b2)); out.State != protocol.Done {
		t.Errorf("an account that is not strict: %+v", out)
	}
}

// Everything that a hub can change about evidence that is good: none of it is carried out.
func TestT14_T22_GoodEvidenceOpensNothingElse(t *testing.T) {
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	key, others := r.enrolled(t, kim), r.enrolled(t, accountID(1))
	f, _ := r.frameFor(t, reset)
	good := []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	with := func(f protocol.PerformRequest, e []protocol.Evidence) protocol.PerformRequest {
		f.ID, f.Evidence = f.ID+"x", e
		return f
	}
	swapped := f
	swapped.Members.Recipient = recipientOfSomebody(t)
	swapped.Context = swapped.Members.Context()
	later, _ := r.frameFor(t, reset)     // another recovery of the same account
	unlock, _ := r.frameFor(t, "unlock") // another operation
	unlock.Members.Recipient = f.Members.Recipient
	unlock.Context = unlock.Members.Context()
	for name, q := range map[string]protocol.PerformRequest{
		"another recipient": with(swapped, good), "another recovery": with(later, good), "another operation": with(unlock, good),
		"another's passkey": with(f, []protocol.Evidence{{Type: evidence.TypePasskey, Raw: others.Assert(f.Context)}}),
		"as an approval":    with(f, []protocol.Evidence{{Type: evidence.TypeApproval, Raw: key.Approve(f.Context, "x")}}),
		"none":              with(f, nil),
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, r, r.performed(t, q), "evidence that the agent checks itself") })
	}
	for _, change := range []func(*protocol.PerformRequest){
		func(q *protocol.PerformRequest) { q.Members.Account = accountID(1) },
		func(q *protocol.PerformRequest) { q.Members.Operation = "get_temporary_password" },
		func(q *protocol.PerformRequest) {
			q.Members.Operation = "get_temporary_password?must_change=false,unlock"
		},
		func(q *protocol.PerformRequest) { q.Members.NotAfter += 3600 },
		func(q *protocol.PerformRequest) { q.Members.Directory = "directory-2" },
	} {
		q := with(f, good)
		change(&q)
		q.Context = q.Members.Context()
		_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, q)
		wantCode(t, err, protocol.CodeBadRequest)
	}
	second, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"})) // another agent with the same keyring
	second.company, second.service.dir, second.service.known = r.company, r.company, r.known
	elsewhere := with(f, good)
	elsewhere.Sent = second.clock.now().Unix()
	_, err := ask[protocol.Outcome](t, second.service, protocol.MethodPerform, elsewhere)
	wantCode(t, err, protocol.CodeNotBegun)
	raw := good[0].Raw
	for i := range raw { // one bit at every byte
		b := slices.Clone(raw)
		b[i] ^= 1 << (i % 7)
		if out := r.performed(t, with(f, []protocol.Evidence{{Type: evidence.TypePasskey, Raw: b}})); out.State == protocol.Done && !equalAssertion(raw, b) {
			t.Fatalf("carried out with a flipped bit at byte %d", i)
		}
		if r.company.writes(t) > 0 {
			break // it meant the same, in another case of a member's name
		}
	}
}

// equalAssertion reports whether two texts hold the same assertion: JSON has several
// ways to write one.
func equalAssertion(a, b []byte) bool {
	x, err1 := evidence.ParseAssertion(a)
	y, err2 := evidence.ParseAssertion(b)
	return err1 == nil && err2 == nil && bytes.Equal(x.Signature, y.Signature) && bytes.Equal(x.ClientData, y.ClientData) &&
		bytes.Equal(x.AuthenticatorData, y.AuthenticatorData) && bytes.Equal(x.Credential, y.Credential)
}

// Evidence that was stockpiled before a restart, or is shown after its time (T6).
func TestT06_StockpiledEvidenceEndsWithTheRecovery(t *testing.T) {
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	key := r.enrolled(t, kim)
	f, _ := r.frameFor(t, reset)
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	r.clock.forward(shortRecovery + time.Minute)
	r.restart(t)
	f.Sent = r.clock.now().Unix()
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
	wantCode(t, err, protocol.CodeExpired)
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestT23_TheAgentHoldsTheOperationAndACancelIsFinal(t *testing.T) {
	rule := required([]string{"passkey"}, []string{"approval"})
	rule.Delay = settings.Duration{Duration: time.Hour}
	r, srv := strictRig(t, rule)
	key := r.enrolled(t, kim)
	f, b := r.frameFor(t, reset)
	if b.Terms.Delay != 3600 || time.Unix(b.NotAfter, 0).Sub(r.clock.now()) < longRecovery-time.Minute {
		t.Errorf("terms %+v, not after %v", b.Terms, time.Unix(b.NotAfter, 0))
	}
	bare := f
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	ask1 := func(q protocol.PerformRequest) protocol.Outcome {
		q.ID, q.Sent = q.ID+"x", r.clock.now().Unix()
		return r.performed(t, q)
	}
	out := ask1(f)
	if out.State != protocol.Accepted || out.Until != r.clock.now().Add(time.Hour).Unix() && out.Until < r.clock.now().Add(59*time.Minute).Unix() || out.Sealed != nil {
		t.Fatalf("first: %+v %v", out, out.Error)
	}
	held := wantMail(t, srv, "the owner is told", func(m mailbox.Message) bool { return strings.Contains(m.Subject, "accepted") })
	if !slices.Contains(held.To, "user15@home.example") || !strings.Contains(held.Text, "user15@corp.example") {
		t.Errorf("mail = %+v", held)
	}
	r.clock.forward(59 * time.Minute)
	r.restart(t) // it is in the journal
	if out := ask1(bare); out.State != protocol.Accepted {
		t.Errorf("a minute early: %+v %v", out, out.Error)
	}
	other := bare
	other.Members.Recipient = recipientOfSomebody(t)
	other.Context = other.Members.Context()
	wantRefused(t, r, ask1(other), "another recipient")
	said, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: f.Context})
	if err != nil || said.State != protocol.Accepted || !said.Verify(r.id.keys.signPublic()) {
		t.Errorf("outcome meanwhile: %+v, %v", said, err)
	}
	r.clock.forward(2 * time.Minute)
	if out := ask1(bare); out.State != protocol.Done || r.opened(t, out) != r.company.person(t, kim).Password {
		t.Errorf("after the delay: %+v %v", out, out.Error)
	}
	// And one that is cancelled while it is held.
	f, _ = r.frameFor(t, reset)
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	if out := ask1(f); out.State != protocol.Accepted {
		t.Fatalf("second: %+v %v", out, out.Error)
	}
	if _, err := ask[protocol.Empty](t, r.service, protocol.MethodDrop, protocol.RecoveryRef{Recovery: f.Members.Recovery}); err != nil {
		t.Fatal(err)
	}
	r.clock.forward(2 * time.Hour)
	r.restart(t)
	f.Sent = r.clock.now().Unix()
	_, err = ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
	wantCode(t, err, protocol.CodeNotBegun)
	if n := r.company.writes(t); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

func TestT23_TheSecurityVetoIsAskedRightBeforeAndNoAnswerIsNo(t *testing.T) {
	var answer atomic.Value
	var asked []vetoQuestion
	veto := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var v vetoQuestion
		if json.NewDecoder(q.Body).Decode(&v) != nil || q.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		asked = append(asked, v)
		_, _ = w.Write([]byte(answer.Load().(string)))
	}))
	defer veto.Close()
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	key := r.enrolled(t, kim)
	dir := t.TempDir()
	r.cfg.Evidence.VetoURL, r.cfg.Evidence.VetoCAFile, r.cfg.Evidence.VetoTokenFile = veto.URL, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	err := errors.Join(os.WriteFile(r.cfg.Evidence.VetoCAFile, pemOf(veto.Certificate()), 0o600), os.WriteFile(r.cfg.Evidence.VetoTokenFile, []byte("s3cret\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	r.restart(t)
	f, _ := r.frameFor(t, reset)
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	for _, text := range []string{`{"allow":false}`, `{}`, `yes`, ``} {
		answer.Store(text)
		f.ID += "x"
		wantRefused(t, r, r.performed(t, f), "security veto")
	}
	answer.Store(`{"allow":true}`)
	f.ID += "x"
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Fatalf("allowed: %+v %v", out, out.Error)
	}
	if last := asked[len(asked)-1]; last.Context != f.Context || last.Account != kim || last.Operation != reset || last.Origin != "recover.example.com" {
		t.Errorf("asked %+v", last)
	}
}

func TestT01_ConfirmNamesAccountAndOperationAndTellsApprovers(t *testing.T) {
	r, srv := strictRig(t, proof.Rule{Confirm: proof.ConfirmAgent})
	r.approver(t, "boss", accountID(2), "boss@home.example")
	f, b := r.frameFor(t, reset)
	if b.Terms == nil || !b.Terms.Confirm || len(b.Terms.Methods) != 1 || b.Terms.Methods[0][0] != "agent_code" {
		t.Errorf("terms = %+v", b.Terms)
	}
	wantRefused(t, r, r.performed(t, f), "evidence that the agent checks itself")
	m := r.proveCode(t, srv, 1, f.Members.Recovery)
	if !strings.Contains(m.Text, "user15@corp.example") || !strings.Contains(m.Text, "ein neues vorläufiges Passwort setzen, entsperren") {
		t.Errorf("the code's mail: %s", m.Text)
	}
	told := wantMail(t, srv, "the approver is told", func(m mailbox.Message) bool { return slices.Contains(m.To, "boss@home.example") })
	if !strings.Contains(told.Text, "user15@corp.example") || eightDigits.MatchString(told.Text) {
		t.Errorf("the approver's mail: %s", told.Text)
	}
	f.ID += "x"
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Errorf("confirmed: %+v %v", out, out.Error)
	}
}

func TestT16_AChangedAddressGetsNoCodeAndTheOldOneHearsOfIt(t *testing.T) {
	r, srv := strictRig(t, required([]string{"agent_code"}))
	if n, err := r.watchOnce(t.Context()); err != nil || n != 1 {
		t.Fatalf("watched %d, %v", n, err)
	}
	r.company.edit(t, kim, func(p *person) { p.Mail = []string{"thief@evil.example"} })
	_, b := r.beginOn(t, kim, reset)
	if b.Finding == nil || b.Finding.Code != protocol.CodePermissionDenied {
		t.Errorf("finding = %v", b.Finding)
	}
	r.company.edit(t, kim, func(p *person) { p.Mail = []string{"thief@evil.example", "user15@home.example"} })
	r.clock.forward(known.Wait - 2*time.Hour) // the old one came back: both are new
	q, b := r.beginOn(t, kim, reset)
	if b.Finding == nil {
		t.Error("new addresses count before their time")
	}
	if _, err := r.send(t, r.request(q, b).Members.Recovery); protocol.CodeOf(err) != protocol.CodeUnsupportedAccountState {
		t.Errorf("a code was sent to a new address: %v", err)
	}
	r.clock.forward(3 * time.Hour)
	r.company.edit(t, kim, func(p *person) { p.Mail = []string{"user15@home.example", "thief@evil.example"} })
	f, _ := r.frameFor(t, reset)
	r.company.edit(t, kim, func(p *person) { p.Mail = []string{"thief@evil.example"} }) // the owner's is gone again
	r.proveCode(t, srv, 1, f.Members.Recovery)
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Fatalf("%+v %v", out, out.Error)
	}
	done := wantMail(t, srv, "notice", func(m mailbox.Message) bool { return strings.Contains(m.Subject, "recovered") })
	for _, want := range []string{"thief@evil.example", "user15@home.example", "user15@corp.example"} {
		if !slices.Contains(done.To, want) {
			t.Errorf("%s is not told: %v", want, done.To)
		}
	}
}

func TestT16_ANewNameOrBirthDateCountsAsAbsent(t *testing.T) {
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	if _, err := r.watchOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.company.edit(t, kim, func(p *person) { p.Who.BirthDate = "1990-01-01" })
	facts, err := r.dir.Facts(t.Context(), kim)
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.claimant(t.Context(), facts, nil)
	if err != nil || k.person.BirthDate != "" || k.person.Family != "Hatano" {
		t.Errorf("person = %+v, %v", k.person, err)
	}
}

func TestT34_WithoutAnAddressTheManagerIsToldWhereTheFileSaysSo(t *testing.T) {
	for mode, want := range map[string]bool{"refuse": false, "": false, "manager": true, "allow": true} {
		rule := required([]string{"passkey"}, []string{"approval"})
		rule.NoNotice = mode
		r, srv := strictRig(t, rule)
		r.company.edit(t, kim, func(p *person) { p.Mail, p.Manager = nil, "manager@corp.example" })
		key := r.enrolled(t, kim)
		q, b := r.beginOn(t, kim, reset)
		if (b.Finding == nil) != want {
			t.Errorf("no_notice %q: finding %v", mode, b.Finding)
		}
		f := r.request(q, b)
		f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
		if out := r.performed(t, f); (out.State == protocol.Done) != want {
			t.Errorf("no_notice %q: %+v %v", mode, out.State, out.Error)
		}
		if mode == "manager" {
			wantMail(t, srv, "the manager is told", func(m mailbox.Message) bool { return slices.Contains(m.To, "manager@corp.example") })
		}
	}
}

func TestT07_T17_ApproversWhoWereRecoveredDoNotCount(t *testing.T) {
	rule := required([]string{"approval"})
	rule.Approvals = 2
	r, _ := strictRig(t, rule)
	a, b := r.approver(t, "a", accountID(2), ""), r.approver(t, "b", accountID(3), "")
	own := r.approver(t, "kim", strings.ToUpper(kim), "")
	f, begun := r.frameFor(t, reset)
	if begun.Terms.Approvals != 2 {
		t.Errorf("terms = %+v", begun.Terms)
	}
	approvals := func(f protocol.PerformRequest, by map[string]*evidencetest.Authenticator) protocol.PerformRequest {
		f.ID, f.Evidence = f.ID+"x", nil
		for id, key := range by {
			f.Evidence = append(f.Evidence, protocol.Evidence{Type: evidence.TypeApproval, Raw: key.Approve(f.Context, id)})
		}
		return f
	}
	wantRefused(t, r, r.performed(t, approvals(f, map[string]*evidencetest.Authenticator{"a": a, "kim": own})), "evidence that the agent checks itself")
	if out := r.performed(t, approvals(f, map[string]*evidencetest.Authenticator{"a": a, "b": b})); out.State != protocol.Done {
		t.Fatalf("two persons: %+v %v", out, out.Error)
	}
	// b falls under the strictest rule himself, though he is in no group (T17).
	_, of := r.beginOn(t, accountID(3), reset)
	if of.Terms == nil && of.Finding == nil {
		t.Error("an approver is asked for nothing")
	}
	if err := known.RemoveApprover(r.state, "b"); err != nil {
		t.Fatal(err)
	}
	q, begun2 := r.beginOn(t, accountID(3), reset) // now anybody, and recovered
	if out := r.performed(t, r.request(q, begun2)); out.State != protocol.Done {
		t.Fatalf("%+v %v", out, out.Error)
	}
	b = r.approver(t, "b", accountID(3), "")
	r.clock.forward(known.Wait - time.Hour)
	if _, begun := r.beginOn(t, kim, reset); begun.Finding == nil {
		t.Error("an approver who was recovered counts")
	}
	r.clock.forward(2 * time.Hour)
	f, _ = r.frameFor(t, reset)
	if out := r.performed(t, approvals(f, map[string]*evidencetest.Authenticator{"a": a, "b": b})); out.State != protocol.Done {
		t.Errorf("72 hours later: %+v %v", out, out.Error)
	}
}

func TestT03_APasskeyComesInByStrictEvidenceAloneAndCountsAfter72Hours(t *testing.T) {
	r, srv := strictRig(t, required([]string{"passkey"}, []string{"agent_code"}))
	key := evidencetest.NewAuthenticator(recoverySite)
	cred := key.Credential()
	hash := cred.Hash()
	text, err := json.Marshal(cred)
	if err != nil {
		t.Fatal(err)
	}
	operation := "enroll_key?key=" + hex.EncodeToString(hash[:])
	enrol := func(change func(*protocol.PerformRequest)) protocol.Outcome {
		q, b := r.beginOn(t, kim, operation)
		f := r.request(q, b)
		f.Members.Recipient, f.Credential = nil, text
		f.Context = f.Members.Context()
		change(&f)
		return r.performed(t, f)
	}
	byCode := 0
	proven := func(f *protocol.PerformRequest) { byCode++; r.proveCode(t, srv, byCode, f.Members.Recovery) }
	thiefs := evidencetest.NewAuthenticator(recoverySite).Credential()
	other, err := json.Marshal(thiefs)
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, r, enrol(func(f *protocol.PerformRequest) {}), "evidence that the agent checks itself")
	wantRefused(t, r, enrol(func(f *protocol.PerformRequest) {
		f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}} // by itself
	}), "evidence that the agent checks itself")
	wantRefused(t, r, enrol(func(f *protocol.PerformRequest) { proven(f); f.Credential = other }), "not the one")
	if r.known.HasKey(kim, hash[:]) {
		t.Fatal("it came in")
	}
	if out := enrol(proven); out.State != protocol.Done || !out.Verify(r.id.keys.signPublic()) {
		t.Fatalf("with the agent's code: %+v %v", out, out.Error)
	}
	wantMail(t, srv, "the owner is told", func(m mailbox.Message) bool { return strings.Contains(m.Subject, "passkey") })
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes to the directory", n)
	}
	if k := r.known.Keys(kim); len(k) != 1 || !slices.Equal(k[0].Strength, []string{"agent_code"}) {
		t.Errorf("keys = %+v", k)
	}
	use := func() protocol.Outcome {
		f, _ := r.frameFor(t, reset)
		f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
		return r.performed(t, f)
	}
	wantRefused(t, r, use(), "evidence that the agent checks itself")
	r.clock.forward(known.Wait)
	if out := use(); out.State != protocol.Done {
		t.Errorf("after 72 hours: %+v %v", out, out.Error)
	}
}

// A passkey that came in by the agent's code alone does not stand for more once the rule
// asks for more.
func TestT17_APasskeyOpensWhatProvedItInAndNoMore(t *testing.T) {
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"agent_code"}))
	key := evidencetest.NewAuthenticator(recoverySite)
	c := key.Credential()
	hash := c.Hash()
	if err := r.known.Enrol(known.Key{Account: kim, Credential: c.ID, PublicKey: c.PublicKey, RPID: c.RPID, Hash: hash[:], Strength: []string{"agent_code"}}); err != nil {
		t.Fatal(err)
	}
	r.approver(t, "boss", accountID(2), "")
	if _, err := r.watchOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.clock.forward(known.Wait)
	tries := func(want protocol.State) {
		t.Helper()
		f, _ := r.frameFor(t, reset)
		f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
		if out := r.performed(t, f); out.State != want {
			t.Errorf("%+v %v, want %s", out.State, out.Error, want)
		}
	}
	tries(protocol.Done)
	r.cfg.Evidence.Groups[0].Methods = [][]string{{"passkey"}, {"approval"}}
	r.restart(t)
	tries(protocol.Failed)
}

func TestT35_TheJournalKeepsKindIssuerAndHashOfEvidence(t *testing.T) {
	r, _ := strictRig(t, required([]string{"approval"}))
	boss := r.approver(t, "boss-phone", accountID(2), "")
	f, _ := r.frameFor(t, reset)
	raw := boss.Approve(f.Context, "boss-phone")
	f.Evidence = []protocol.Evidence{{Type: evidence.TypeApproval, Raw: raw}}
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Fatalf("%+v %v", out, out.Error)
	}
	text, err := os.ReadFile(filepath.Join(r.state, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	var s evidence.Assertion
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	signature, err := json.Marshal(s.Signature)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"issuer":"boss-phone"`)) || bytes.Contains(text, signature) {
		t.Error("the journal holds no kind and issuer, or the evidence itself")
	}
}

func TestT05_HelloSaysPerGroupWhetherAHubCanReset(t *testing.T) {
	cfg := Config{}
	cfg.Guard.SensitiveGroups = []string{"Executives"}
	cfg.Evidence.Groups = []proof.Rule{{Group: "Finance", RequireAgentVerifiable: true, Delay: settings.Duration{Duration: time.Hour}}, {Group: "HR", Confirm: "agent"}, {Group: "Sales", NoNotice: "allow"}}
	want := []protocol.GroupTrust{{Group: "Finance", Delay: 3600}, {Group: "HR", Confirm: true}, {Group: "Sales", HubCanReset: true}, {Group: "Executives"}, {Group: "*", HubCanReset: true}}
	if got := helloOf(cfg, "v", "", time.Now()).Groups; !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	a, b := rulesHash("g", proof.Settings{}), rulesHash("g", cfg.Evidence)
	if a != "g" || b == a {
		t.Error("the rules for evidence are not in the hash that agents are compared by (T20)")
	}
}

func TestWhatOpensTheRecoveryOptionsIsNeverPerformed(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), "recovery_options")
	f := r.request(q, b)
	if out := r.performed(t, f); out.State != protocol.Failed || out.Error.Code != protocol.CodeUnsupported {
		t.Errorf("%+v %v", out, out.Error)
	}
}

// A code that is lost between enrolling and its outcome is settled by the keyring.
func TestT14_ACrashAfterAPasskeyCameInIsSettled(t *testing.T) {
	r, srv := strictRig(t, required([]string{"agent_code"}))
	cred := evidencetest.NewAuthenticator(recoverySite).Credential()
	hash := cred.Hash()
	f, _ := r.frameFor(t, "enroll_key?key="+hex.EncodeToString(hash[:]))
	f.Members.Recipient = nil
	f.Context = f.Members.Context()
	f.Credential, _ = json.Marshal(cred)
	r.proveCode(t, srv, 1, f.Members.Recovery)
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Fatalf("%+v %v", out, out.Error)
	}
	tasks, err := parseTasks(f.Members.Operation)
	if err != nil {
		t.Fatal(err)
	}
	for account, want := range map[string]protocol.State{kim: protocol.Done, accountID(1): protocol.Unchanged} {
		if got, err := r.became(t.Context(), journal.Recovery{}, directory.Change{ID: account, Tasks: tasks}); err != nil || got != want {
			t.Errorf("%s: %s, %v", account, got, err)
		}
	}
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func recipientOfSomebody(t *testing.T) []byte {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := seal.Encode(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
