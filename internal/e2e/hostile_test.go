package e2e

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog/auditlogtest"
	"github.com/postern-id/postern/protocol/seal"
)

// A hostileHub speaks the agents' protocol and asks what it likes.
type hostileHub struct {
	t      *testing.T
	keys   protocol.Keys
	log    *auditlogtest.Log // a hub that has the key of its log can put anything into it, and cannot leave out
	server *httptest.Server
	links  chan *protocol.Link

	instead atomic.Pointer[http.HandlerFunc] // answers in its place, once set
}

// socket is a websocket as protocol.Wire.
type socket struct{ *websocket.Conn }

func (s socket) ReadMessage() ([]byte, error) {
	_, b, err := s.Conn.ReadMessage()
	return b, err
}

func (s socket) WriteMessage(b []byte) error { return s.Conn.WriteMessage(websocket.BinaryMessage, b) }

func (s socket) Close(code int, reason string) error {
	_ = s.Conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
	return s.Conn.Close()
}

// deaf serves nothing that an agent asks.
type deaf struct{}

func (deaf) ServeCall(context.Context, protocol.Method, []byte) (any, error) {
	return nil, errors.New("no")
}
func (deaf) ServeEvent(string, []byte) {}

// hostileName is the hub's name in the agents' tickets.
const hostileName = "hub.example"

func startHostileHub(t *testing.T) *hostileHub {
	t.Helper()
	keys, err := protocol.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	h := &hostileHub{t: t, keys: keys, log: auditlogtest.New(hostileName), links: make(chan *protocol.Link, 8)}
	h.server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(func() {
		h.server.CloseClientConnections()
		h.server.Close()
	})
	return h
}

func (h *hostileHub) serve(w http.ResponseWriter, r *http.Request) {
	if other := h.instead.Load(); other != nil {
		(*other)(w, r)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	enrols := false
	admit := func(_ context.Context, _ []byte, hello protocol.Hello) (protocol.Welcome, error) {
		enrols = hello.Ticket != ""
		if len(hello.Nodes) > 0 {
			return protocol.Welcome{}, &protocol.CloseError{Code: protocol.CloseReplaced}
		}
		return protocol.Welcome{Agent: "agent-1", Directory: "directory-1", Node: "n", Nodes: 1, State: protocol.AgentActive, Time: time.Now()}, nil
	}
	link, _, err := protocol.Accept(r.Context(), socket{ws}, h.keys, hostileName, admit, deaf{})
	if err != nil {
		return
	}
	if !enrols {
		h.links <- link
	}
	_ = link.Run(context.Background())
}

// agent runs an agent process that this hub has enrolled, and returns its tunnel.
func (h *hostileHub) agent(conf agentConfig) (*agent, *protocol.Link) {
	h.t.Helper()
	a := &agent{t: h.t, dir: testenv.Dir(h.t)}
	a.write(conf)
	a.enrol(protocol.Ticket{Hub: h.server.URL, HubName: hostileName, HubKey: h.keys.Public, LogKey: h.log.Fingerprint(), Directory: "directory-1", Secret: "s",
		Expires: time.Now().Add(time.Hour)}.Encode().Reveal())
	a.start()
	return a, h.next()
}

func (h *hostileHub) next() *protocol.Link {
	h.t.Helper()
	select {
	case l := <-h.links:
		return l
	case <-time.After(within):
		h.t.Fatal("the agent does not come")
		return nil
	}
}

// perform asks for an operation with the proof that the log has it, and proves anew while
// the agent has seen more of the log.
func (h *hostileHub) perform(l *protocol.Link, q protocol.PerformRequest) (out protocol.Outcome, err error) {
	entry := h.log.Request("agent-1", q.Members.Directory, q.Members.Operation, q.Context.String())
	from := int64(0)
	for {
		if q.Log, err = h.log.Prove(h.t.Context(), entry, from); err != nil {
			h.t.Error(err)
			return out, err
		}
		err = l.Call(h.t.Context(), protocol.MethodPerform, protocol.PriorityRecovery, q, &out)
		var refused *protocol.Error
		if !errors.As(err, &refused) || refused.Code != protocol.CodeLogBehind {
			return out, err
		}
		from = refused.LogSize
	}
}

// begin begins a reset of somebody and returns its frame.
func (h *hostileHub) begin(l *protocol.Link, dn string) protocol.PerformRequest {
	h.t.Helper()
	q := protocol.BeginRequest{Recovery: make([]byte, protocol.RandomPart), Account: testenv.SlapdID(dn), Operation: "get_temporary_password", Origin: "recover.example.com"}
	_, _ = rand.Read(q.Recovery)
	var b protocol.Begun
	if err := l.Call(h.t.Context(), protocol.MethodBegin, protocol.PriorityRecovery, q, &b); err != nil || b.Finding != nil {
		h.t.Fatalf("begin: %v, finding %v", err, b.Finding)
	}
	m := protocol.Members{Recovery: protocol.RecoveryID(q.Recovery, b.Recovery), Directory: "directory-1", Account: b.Account,
		Operation: q.Operation, Recipient: recipient(h.t), NotAfter: b.NotAfter}
	return protocol.PerformRequest{ID: "first", TTL: 60, Sent: time.Now().Unix(), Members: m, Context: m.Context()}
}

func recipient(t *testing.T) []byte {
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

func TestP13_T14_AHostileHubReplaysAndWritesNothingMore(t *testing.T) {
	o, h := openOffice(t), startHostileHub(t)
	a, l := h.agent(o.agent())
	_, stranger := h.agent(o.agent()) // a second agent of the same directory
	who, untouched := o.colleague(0), o.colleague(1)
	q := h.begin(l, who.dn)
	first, err := h.perform(l, q)
	if err != nil || first.State != protocol.Done {
		t.Fatalf("perform: %v %+v", err, first)
	}
	pending := h.begin(l, untouched.dn) // begun, and never performed at its own agent
	var fresh atomic.Int64
	var calls sync.WaitGroup
	slots := make(chan struct{}, 50)
	replay := func(l *protocol.Link, q protocol.PerformRequest) {
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			out, err := h.perform(l, q)
			if err == nil && !out.Replayed && out.State == protocol.Done {
				fresh.Add(1)
			}
		})
	}
	for i := range 100 { // a thousand in package agent; here each asks a real server
		again := q
		switch i % 5 {
		case 1: // the same context under a new operation id
			again.ID, again.Sent = fmt.Sprint("again-", i), time.Now().Unix()
		case 2: // another key for the secret, so another context of the same recovery
			again.ID, again.Members.Recipient = fmt.Sprint("key-", i), recipient(t)
			again.Context = again.Members.Context()
		case 3: // at an agent that did not begin it
			replay(stranger, again)
			again = pending
			replay(stranger, again)
			continue
		case 4: // longer than it lives
			again.ID, again.Members.NotAfter = fmt.Sprint("late-", i), again.Members.NotAfter+int64(i)
			again.Context = again.Members.Context()
		}
		replay(l, again)
	}
	calls.Wait()
	a.kill() // and the journal knows it after a crash
	a.start()
	l = h.next()
	for i := range 20 {
		again := q
		again.ID, again.Sent = fmt.Sprint("restarted-", i), time.Now().Unix()
		replay(l, again)
	}
	calls.Wait()
	if n := fresh.Load(); n > 0 {
		t.Errorf("%d replays were carried out", n)
	}
	if n := o.changes(who); n != 1 {
		t.Errorf("%d modifies in the directory's own log, want 1", n)
	}
	o.unchanged(untouched)
}
