package agent

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
	"github.com/postern-id/postern/protocol/auditlog/auditlogtest"
	"github.com/postern-id/postern/protocol/seal"
)

// rulesOfTests refuse the accounts firstProtected to lastProtected of the company.
var rulesOfTests = guard.Rules{
	BaseDNs: []string{"ou=people,dc=corp,dc=example"}, RefusedGroups: []string{"Backup Operators"}, SensitiveGroups: []string{"finance"},
	PerAccountPerHour: 1000, PerHour: 100_000, PerDay: 100_000,
}

// clock is the agent's clock, which tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// rig is a service with its hub's side.
type rig struct {
	*service
	company *company
	clock   *clock
	state   string
	cfg     Config
	browser *ecdh.PrivateKey // of the employee
}

func newIdentity(t testing.TB, state string) *Identity {
	t.Helper()
	k, err := makeKeys(state)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{Agent: "agent-1", Directory: "directory-1", Hub: "https://hub.example", HubName: "hub.example", LogKey: hubLog.Fingerprint(), keys: k}
}

// hubLog is the audit log of the hub of these tests.
var hubLog = auditlogtest.New("hub.example")

// logged returns a request with the proof that the hub's audit log has it, for an agent
// that has seen from entries.
func logged(q protocol.PerformRequest, id *Identity, from int64) protocol.PerformRequest {
	entry := hubLog.Request(id.Agent, id.Directory, q.Members.Operation, q.Context.String())
	var err error
	if q.Log, err = hubLog.Prove(context.Background(), entry, from); err != nil {
		panic(err) // it was just put in
	}
	return q
}

func newRig(t testing.TB, rules guard.Rules) *rig {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{company: newCompany(t), clock: &clock{}, state: t.TempDir(), cfg: Config{Guard: rules}, browser: key}
	r.start(t)
	t.Cleanup(func() { r.halt(t) })
	return r
}

func (r *rig) start(t testing.TB) {
	t.Helper()
	id := newIdentity(t, r.state)
	s, err := newService(t.Context(), r.cfg, id, r.state, r.company, slog.New(slog.NewTextHandler(t.Output(), nil)), r.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	r.service = s
}

func (r *rig) halt(t testing.TB) {
	t.Helper()
	if err := r.service.close(); err != nil {
		t.Error(err)
	}
}

func (r *rig) restart(t *testing.T) {
	t.Helper()
	r.halt(t)
	r.start(t)
}

// ask is what a hub does: one call, one answer.
func ask[A any](t *testing.T, s *service, m protocol.Method, q any) (A, error) {
	t.Helper()
	return askWith[A](t.Context(), s, m, q)
}

func askWith[A any](ctx context.Context, s *service, m protocol.Method, q any) (A, error) {
	var a A
	p, operation := any(q).(protocol.PerformRequest)
	if operation && p.Log.Checkpoint == "" {
		return askLogged[A](ctx, s, p)
	}
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	v, err := s.serve(ctx, m, body, "node-1")
	if err != nil {
		return a, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(text, &a)
}

// askLogged asks as a hub does: the request is in its log, and it proves anew while the
// agent has seen more.
func askLogged[A any](ctx context.Context, s *service, q protocol.PerformRequest) (a A, err error) {
	for {
		a, err = askWith[A](ctx, s, protocol.MethodPerform, logged(q, s.id, s.witness.Last()))
		if protocol.CodeOf(err) != protocol.CodeLogBehind {
			return a, err
		}
	}
}

// sizeOf is what an agent has seen that was shown a proof.
func sizeOf(t *testing.T, p auditlog.Proof) int64 {
	t.Helper()
	c, err := auditlog.OpenCheckpoint(p.Checkpoint, p.Public, hubLog.Origin)
	if err != nil {
		t.Fatal(err)
	}
	return c.Size
}

const reset = "get_temporary_password?must_change=true,unlock"

func (r *rig) beginOn(t *testing.T, account, operation string) (protocol.BeginRequest, protocol.Begun) {
	t.Helper()
	q := protocol.BeginRequest{Recovery: make([]byte, protocol.RandomPart), Account: account, Operation: operation, Origin: "recover.example.com"}
	_, _ = rand.Read(q.Recovery)
	b, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, q)
	if err != nil {
		t.Fatal(err)
	}
	return q, b
}

// request is the operation frame for what was begun.
func (r *rig) request(q protocol.BeginRequest, b protocol.Begun) protocol.PerformRequest {
	recipient, err := seal.Encode(r.browser.PublicKey())
	if err != nil {
		panic(err)
	}
	m := protocol.Members{
		Recovery: protocol.RecoveryID(q.Recovery, b.Recovery), Directory: "directory-1", Account: b.Account,
		Operation: q.Operation, Recipient: recipient, NotAfter: b.NotAfter,
	}
	return protocol.PerformRequest{
		ID: rand.Text(), TTL: 60, Sent: r.clock.now().Unix(), Members: m, Context: m.Context(),
		Evidence: []protocol.Evidence{{Type: "mail_code", Raw: []byte("raw evidence 12345678")}},
	}
}

func (r *rig) performed(t *testing.T, q protocol.PerformRequest) protocol.Outcome {
	t.Helper()
	out, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, q)
	if err != nil {
		t.Fatal(err)
	}
	if !out.Verify(r.id.keys.signPublic()) {
		t.Error("the outcome's signature is wrong")
	}
	if out.Context != q.Context {
		t.Error("the outcome is of another context")
	}
	return out
}

func (r *rig) opened(t *testing.T, out protocol.Outcome) string {
	t.Helper()
	secret, err := seal.Open(r.browser, out.Context, out.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

func wantCode(t *testing.T, err error, want protocol.Code) {
	t.Helper()
	if protocol.CodeOf(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestEmployeeGetsATemporaryPasswordExactlyOnce(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	if b.Finding != nil || b.Agent != "agent-1" || b.Account != accountID(1) {
		t.Fatalf("begun = %+v", b)
	}
	if left := time.Until(time.Unix(b.NotAfter, 0)); left > shortRecovery || left < shortRecovery-2*time.Second {
		t.Errorf("not_after in %v", left)
	}
	frame := r.request(q, b)
	out := r.performed(t, frame)
	if out.State != protocol.Done || !out.MustChange || out.Replayed {
		t.Fatalf("outcome = %+v", out)
	}
	p := r.company.person(t, accountID(1))
	if r.opened(t, out) != p.Password || p.Locked || !p.MustChange || p.Writes != 1 {
		t.Errorf("account = %+v", p)
	}
	again := r.performed(t, frame)
	if !again.Replayed || again.State != protocol.Done || r.opened(t, again) != p.Password || r.company.writes(t) != 1 {
		t.Errorf("again = %+v, %d writes", again, r.company.writes(t))
	}
}

func TestP13_AThousandReplaysWriteNothing(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	frame := r.request(q, b)
	first := r.performed(t, frame)
	second := newRig(t, rulesOfTests) // another agent of the same directory
	second.company = r.company
	second.service.dir = r.company
	for i := range 1000 {
		if i%2 == 1 {
			frame.ID = rand.Text() // the same context under a new operation id
		}
		if i == 500 {
			r.restart(t)
		}
		if i >= 800 { // under another recipient, which makes another context
			key, err := ecdh.P256().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			frame.Members.Recipient, err = seal.Encode(key.PublicKey())
			if err != nil {
				t.Fatal(err)
			}
			frame.Context = frame.Members.Context()
			_, err = ask[protocol.Outcome](t, r.service, protocol.MethodPerform, frame)
			wantCode(t, err, protocol.CodeNotBegun)
			continue
		}
		if out := r.performed(t, frame); !out.Replayed || string(out.Sealed) != string(first.Sealed) {
			t.Fatalf("replay %d: %+v", i, out)
		}
		_, err := ask[protocol.Outcome](t, second.service, protocol.MethodPerform, frame)
		wantCode(t, err, protocol.CodeNotBegun)
	}
	if n := r.company.writes(t); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

func TestP07_ManyParallelPressesMakeOneChange(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	frame := r.request(q, b)
	outs := make(chan protocol.Outcome)
	const presses = 200
	for i := range presses {
		go func() {
			f := frame
			if i%3 == 0 {
				f.ID = rand.Text()
			}
			out, err := askWith[protocol.Outcome](context.Background(), r.service, protocol.MethodPerform, f)
			if err != nil {
				t.Error(err)
			}
			outs <- out
		}()
	}
	fresh := 0
	for range presses {
		if out := <-outs; !out.Replayed {
			fresh++
		}
	}
	if fresh != 1 || r.company.writes(t) != 1 {
		t.Errorf("%d were carried out, %d writes", fresh, r.company.writes(t))
	}
}

func TestT22_ChangedMembersAreRefusedAndChangeNothing(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	_, other := r.beginOn(t, accountID(2), reset)
	for name, c := range map[string]struct {
		change func(*protocol.PerformRequest)
		want   protocol.Code
	}{
		"account":   {func(f *protocol.PerformRequest) { f.Members.Account = other.Account }, protocol.CodeBadRequest},
		"directory": {func(f *protocol.PerformRequest) { f.Members.Directory = "directory-2" }, protocol.CodeBadRequest},
		"operation": {func(f *protocol.PerformRequest) { f.Members.Operation = "unlock" }, protocol.CodeBadRequest},
		"longer":    {func(f *protocol.PerformRequest) { f.Members.NotAfter += 60 }, protocol.CodeBadRequest},
		"recovery": {func(f *protocol.PerformRequest) {
			f.Members.Recovery = protocol.RecoveryID(q.Recovery, make([]byte, 16))
		}, protocol.CodeNotBegun},
		"no recipient":        {func(f *protocol.PerformRequest) { f.Members.Recipient = nil }, protocol.CodeBadRequest},
		"another suite":       {func(f *protocol.PerformRequest) { f.Members.Recipient[1] = 0x20 }, protocol.CodeBadRequest},
		"recipient too long":  {func(f *protocol.PerformRequest) { f.Members.Recipient = append(f.Members.Recipient, 0) }, protocol.CodeBadRequest},
		"ttl":                 {func(f *protocol.PerformRequest) { f.TTL = 61 }, protocol.CodeBadRequest},
		"no ttl":              {func(f *protocol.PerformRequest) { f.TTL = 0 }, protocol.CodeBadRequest},
		"no id":               {func(f *protocol.PerformRequest) { f.ID = "" }, protocol.CodeBadRequest},
		"much evidence":       {func(f *protocol.PerformRequest) { f.Evidence = make([]protocol.Evidence, 33) }, protocol.CodeBadRequest},
		"from the future":     {func(f *protocol.PerformRequest) { f.Sent += 90 }, protocol.CodeExpired},
		"from the past":       {func(f *protocol.PerformRequest) { f.Sent -= 125 }, protocol.CodeExpired},
		"short and too old":   {func(f *protocol.PerformRequest) { f.Sent -= 75; f.TTL = 10 }, protocol.CodeExpired},
		"context of somebody": {func(f *protocol.PerformRequest) { f.Context[0] ^= 1 }, protocol.CodeBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			f := r.request(q, b)
			right := f.Context
			c.change(&f)
			if f.Context == right {
				f.Context = f.Members.Context() // a hub would hash what it asks
			}
			_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
			wantCode(t, err, c.want)
		})
	}
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestP28_ClockSkewOfAMinuteIsTolerated(t *testing.T) {
	for _, skew := range []int64{-59, 59} {
		r := newRig(t, rulesOfTests)
		q, b := r.beginOn(t, accountID(1), reset)
		f := r.request(q, b)
		f.Sent += skew
		if out := r.performed(t, f); out.State != protocol.Done {
			t.Errorf("skew %d s: %+v", skew, out)
		}
	}
}

func TestT06_OnlyWhatWasBegunHereAndInTimeIsPerformed(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	r.clock.forward(shortRecovery + time.Second)
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, r.request(q, b))
	wantCode(t, err, protocol.CodeExpired)
	q.Long = true
	long, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, q)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.forward(longRecovery - time.Minute)
	if out := r.performed(t, r.request(q, long)); out.State != protocol.Done {
		t.Errorf("within a day: %+v", out)
	}
	q, b = r.beginOn(t, accountID(2), reset)
	if _, err := ask[protocol.Empty](t, r.service, protocol.MethodDrop, protocol.RecoveryRef{Recovery: protocol.RecoveryID(q.Recovery, b.Recovery)}); err != nil {
		t.Fatal(err)
	}
	_, err = ask[protocol.Outcome](t, r.service, protocol.MethodPerform, r.request(q, b))
	wantCode(t, err, protocol.CodeNotBegun)
	if n := r.company.writes(t); n != 1 {
		t.Errorf("%d writes", n)
	}
}

func TestT27_RepeatAfterFifteenMinutesHasNoSecret(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	f := r.request(q, b)
	r.performed(t, f)
	r.clock.forward(15*time.Minute + time.Second)
	f.Sent = r.clock.now().Unix()
	if out := r.performed(t, f); out.State != protocol.Done || out.Sealed != nil || !out.Replayed {
		t.Errorf("outcome = %+v", out)
	}
	if err := r.journal.Sweep(); err != nil {
		t.Fatal(err)
	}
}

func TestOutcomeIsAnsweredFromTheJournal(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	f := r.request(q, b)
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: f.Context})
	wantCode(t, err, protocol.CodeNotBegun)
	first := r.performed(t, f)
	out, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: f.Context})
	if err != nil || out.State != protocol.Done || !out.Replayed || string(out.Sealed) != string(first.Sealed) || !out.Verify(r.id.keys.signPublic()) {
		t.Errorf("outcome = %+v, %v", out, err)
	}
	if n := r.company.writes(t); n != 1 {
		t.Errorf("%d writes", n)
	}
}

func rowOf(t *testing.T, r *rig, c protocol.Context) journal.Row {
	t.Helper()
	row, found := r.journal.Row(c)
	if !found {
		t.Fatal("the journal has no row")
	}
	return row
}

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
