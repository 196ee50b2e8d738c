package flow_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// password is what the directory of these tests gives to everybody.
const password = "canary-password-4711"

// testAgent is an agent in this process: it has the real journal and a real signing
// key, answers as the agent does, and writes down every modify of its directory. The
// real agent on real directories is driven by the end-to-end tests.
type testAgent struct {
	id, directory string
	key           ed25519.PrivateKey
	journal       *journal.Journal
	now           func() time.Time

	mu        sync.Mutex
	contacts  map[string]protocol.Contacts
	photos    map[string][]byte
	findings  map[string]*protocol.Error
	calls     []protocol.Method
	evidence  []protocol.Evidence // of the last operation
	modified  []string            // accounts, in order
	asked     []protocol.PerformRequest
	outcome   protocol.State  // of the next modifies; "" done
	code      string          // of agent_code
	away      bool            // no tunnel
	terms     *protocol.Terms // what it asks for
	holdFor   time.Duration   // how long it holds an operation
	heldUntil time.Time
	loseReply bool            // the tunnel breaks after the modify
	unsigned  bool            // somebody else answers
	legacy    bool            // it speaks the public protocol, which signs nothing
	lost      protocol.Method // the tunnel breaks at it
	removed   []protocol.RemoveKeyRequest
	begun     func(*protocol.Begun)
	hold      chan struct{} // calls wait for it
	waits     func()        // is told of a call that waits for it
	old       bool          // it does not know Request of a question
	givenUp   []string      // requests
}

func newAgent(t *testing.T, now func() time.Time) *testAgent {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return &testAgent{key: key, journal: j, now: now, contacts: map[string]protocol.Contacts{}, findings: map[string]*protocol.Error{}}
}

func (a *testAgent) set(f func(a *testAgent)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

func (a *testAgent) count(m protocol.Method) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.calls {
		if c == m {
			n++
		}
	}
	return n
}

func (a *testAgent) changes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.modified)
}

// bundle returns the evidence of the last operation.
func (a *testAgent) bundle() []protocol.Evidence {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.evidence)
}

// enter is what every call does first.
func (a *testAgent) enter(ctx context.Context, m protocol.Method) error {
	a.mu.Lock()
	a.calls = append(a.calls, m)
	away, hold, waits, lost := a.away, a.hold, a.waits, a.lost == m
	a.mu.Unlock()
	if lost {
		return protocol.Err(protocol.CodeInternal, "the tunnel broke")
	}
	if away {
		return protocol.Err(protocol.CodeUnavailable, "no tunnel")
	}
	if hold != nil {
		if waits != nil {
			waits()
		}
		select {
		case <-hold:
		case <-ctx.Done():
			return protocol.Err(protocol.CodeInternal, "the tunnel broke")
		}
	}
	return nil
}

// call answers as the agent does.
func (a *testAgent) call(ctx context.Context, m protocol.Method, req, resp any) error {
	if err := a.enter(ctx, m); err != nil {
		return err
	}
	switch q := req.(type) {
	case protocol.BeginRequest:
		return a.begin(q, resp.(*protocol.Begun))
	case protocol.RecoveryRef:
		if m == protocol.MethodDrop {
			return asError(a.journal.Drop(q.Recovery))
		}
		r, err := a.journal.Recovery(q.Recovery)
		if m == protocol.MethodPhoto {
			a.mu.Lock()
			defer a.mu.Unlock()
			resp.(*protocol.Photo).Image = a.photos[r.Account]
			return asError(err)
		}
		*resp.(*protocol.Contacts) = a.contacts[r.Account]
		return asError(err)
	case protocol.SendCodeRequest:
		a.set(func(a *testAgent) { a.code = "24682468" })
		resp.(*protocol.SentCode).Masked = []string{"a•••@agent.example"}
		return nil
	case protocol.CheckCodeRequest:
		a.mu.Lock()
		defer a.mu.Unlock()
		resp.(*protocol.CheckedCode).OK = q.Code == a.code
		return nil
	case protocol.RemoveKeyRequest:
		a.set(func(a *testAgent) { a.removed = append(a.removed, q) })
		resp.(*protocol.RemovedKey).Removed = true
		return nil
	case protocol.OutcomeRequest:
		row, found := a.journal.Row(q.Context)
		if !found || row.Settlement == nil {
			return a.giveUp(q)
		}
		*resp.(*protocol.Outcome) = a.answer(row)
		return nil
	}
	return protocol.Err(protocol.CodeUnsupported, "method")
}

// giveUp answers for a request that did not come.
func (a *testAgent) giveUp(q protocol.OutcomeRequest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.old || q.Request == "" {
		return protocol.Err(protocol.CodeNotBegun, "no such context")
	}
	a.givenUp = append(a.givenUp, q.Request)
	return protocol.Err(protocol.CodeGivenUp, "no such request")
}

func asError(err error) error {
	if err == nil {
		return nil
	}
	return protocol.Err(protocol.CodeNotBegun, err.Error())
}

func (a *testAgent) begin(q protocol.BeginRequest, b *protocol.Begun) error {
	own := make([]byte, protocol.RandomPart)
	_, _ = rand.Read(own)
	*b = protocol.Begun{Agent: a.id, Recovery: own, Account: q.Account, NotAfter: a.now().Add(15 * time.Minute).Unix()}
	if q.Long {
		b.NotAfter = a.now().Add(24 * time.Hour).Unix()
	}
	a.mu.Lock()
	b.Finding, b.Terms = a.findings[q.Account], a.terms
	if a.begun != nil {
		a.begun(b)
	}
	a.mu.Unlock()
	return asError(a.journal.Begin(journal.Recovery{ID: protocol.RecoveryID(q.Recovery, own), Account: q.Account, Operation: q.Operation,
		NotAfter: b.NotAfter, Begun: a.now().Unix()}))
}

// perform does what the agent does: recompute the context from its own journal, execute
// at most once, sign.
func (a *testAgent) perform(ctx context.Context, _ string, q protocol.PerformRequest) (out protocol.Outcome, err error) {
	if err := a.enter(ctx, protocol.MethodPerform); err != nil {
		return out, err
	}
	a.set(func(a *testAgent) {
		a.asked = append(a.asked, q)
		if slices.Contains(a.givenUp, q.ID) {
			err = protocol.Err(protocol.CodeUnavailable, "given up")
		}
	})
	if err != nil {
		return out, err
	}
	a.set(func(a *testAgent) { a.evidence = q.Evidence })
	r, err := a.journal.Recovery(q.Members.Recovery)
	if err != nil {
		return out, asError(err)
	}
	own := protocol.Members{Recovery: r.ID, Directory: a.directory, Account: r.Account, Operation: r.Operation, Recipient: q.Members.Recipient, NotAfter: r.NotAfter}
	if own.Context() != q.Context || q.TTL < 1 || q.TTL > 60 {
		return out, protocol.Err(protocol.CodeBadRequest, "the context is not that of what was begun")
	}
	if out, held := a.held(q.Context); held {
		return out, nil
	}
	x := journal.Execution{Context: q.Context, Recovery: r.ID, Request: q.ID, Stamp: "1"}
	if len(q.Members.Recipient) > 0 {
		if x.Sealed, err = seal.Seal(q.Members.Recipient, q.Context, protocol.NewSecret(password)); err != nil {
			return out, protocol.Err(protocol.CodeBadRequest, err.Error())
		}
	}
	if err := a.journal.Execute(x); errors.Is(err, journal.ErrExecuted) {
		row, _ := a.journal.Row(q.Context)
		return a.answer(row), nil
	} else if err != nil {
		return out, asError(err)
	}
	a.mu.Lock()
	end := journal.Settlement{Context: q.Context, State: protocol.Done, MustChange: true}
	if a.outcome != "" {
		end = journal.Settlement{Context: q.Context, State: a.outcome, Error: protocol.Err(protocol.CodeUnavailable, "as the test asks")}
	}
	if end.State == protocol.Done || end.State == protocol.Unknown {
		a.modified = append(a.modified, r.Account)
	}
	lose := a.loseReply
	a.mu.Unlock()
	if err := a.journal.Settle(end); err != nil {
		return out, asError(err)
	}
	if lose {
		return out, protocol.Err(protocol.CodeInternal, "the tunnel broke")
	}
	row, _ := a.journal.Row(q.Context)
	return a.answer(row), nil
}

// held is the answer while the agent's own delay runs.
func (a *testAgent) held(c protocol.Context) (protocol.Outcome, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holdFor == 0 {
		return protocol.Outcome{}, false
	}
	if a.heldUntil.IsZero() {
		a.heldUntil = a.now().Add(a.holdFor)
	}
	out := protocol.Outcome{Context: c, State: protocol.Accepted, Until: a.heldUntil.Unix()}
	out.Sign(a.key)
	return out, a.now().Before(a.heldUntil)
}

func (a *testAgent) answer(row journal.Row) protocol.Outcome {
	out := protocol.Outcome{Context: row.Execution.Context, State: row.Settlement.State, Error: row.Settlement.Error, MustChange: row.Settlement.MustChange}
	if out.State == protocol.Done {
		out.Sealed = row.Execution.Sealed
	}
	out.Sign(a.key)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.legacy {
		out.Signature, out.Unsealed = nil, true
	}
	if a.unsigned {
		_, other, _ := ed25519.GenerateKey(rand.Reader)
		out.Sign(other)
	}
	return out
}

// tunnels reaches the agents of one node, as hub/tunnel does.
type tunnels struct {
	agents []*testAgent
	node   *operation.Operations // whose Execute is called
}

func (n *tunnels) find(to operation.To) *testAgent {
	for _, a := range n.agents {
		if a.directory == to.Directory && (to.Agent == "" || to.Agent == a.id) {
			return a
		}
	}
	return nil
}

func (n *tunnels) Call(ctx context.Context, to operation.To, m protocol.Method, _ protocol.Priority, req, resp any) error {
	if a := n.find(to); a != nil {
		return a.call(ctx, m, req, resp)
	}
	return protocol.Err(protocol.CodeUnavailable, "no such agent")
}

func (n *tunnels) Execute(ctx context.Context, to operation.To, recovery string) error {
	a := n.find(to)
	if a == nil {
		return protocol.Err(protocol.CodeUnavailable, "no such agent")
	}
	a.mu.Lock()
	away := a.away
	a.mu.Unlock()
	if away {
		return protocol.Err(protocol.CodeUnavailable, "no tunnel")
	}
	return n.node.Execute(ctx, to, recovery, a.perform)
}

func (n *tunnels) Reachable(_ context.Context, _, directory string) bool {
	a := n.find(operation.To{Directory: directory})
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.away
}

// randomID is the id of a recovery that nobody began.
func randomID() string {
	b := make([]byte, protocol.RandomPart)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
