package tunnel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
	"github.com/postern-id/postern/protocol/carrier"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// within is how long a test waits for something that should happen at once.
const within = 15 * time.Second

const hubName, hubVersion = "id.example.com", "1.2.3"

// An installation is a store and a coordinator, and the nodes that share them.
type installation struct {
	storetest.Fixture
	store *store.Store
	keys  protocol.Keys
	audit *audit.Log
	coord func() coord.Coord // what a further node uses
}

// A node is one hub process of a test.
type node struct {
	*installation
	*Tunnels
	mesh   *coord.Mesh
	server *httptest.Server
	stop   func()
	log    *testenv.Buffer
}

func install(t *testing.T) *installation {
	t.Helper()
	shared := coord.NewLocal()
	t.Cleanup(func() { _ = shared.Close() })
	return installOn(t, storetest.Open(t, storetest.SQLite(t)), func() coord.Coord { return shared })
}

func installOn(t *testing.T, s *store.Store, c func() coord.Coord) *installation {
	t.Helper()
	keys, err := protocol.GenerateKeys()
	must(t, err)
	log := audit.NewLog(audit.LogConfig{Store: s, Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32)), Origin: auditlog.Origin(hubName)})
	return &installation{Fixture: storetest.Seed(t, s), store: s, keys: keys, audit: log, coord: c}
}

// requested writes the row of the audit log of an operation, and returns its id.
func (in *installation) requested(t *testing.T, detail any) string {
	t.Helper()
	id, err := store.Change(t.Context(), in.store, func(tx *store.Tx) (string, error) {
		return audit.AppendRow(t.Context(), tx, audit.Event{Env: in.Env.ID, Kind: audit.OperationRequested, Detail: detail})
	})
	must(t, err)
	return id
}

// start adds a node to the installation.
func (in *installation) start(t *testing.T, change ...func(*Config)) *node {
	t.Helper()
	n := &node{installation: in, log: &testenv.Buffer{}}
	log := slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), n.log), &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := in.coord()
	var err error
	n.mesh, err = coord.NewMesh(coord.MeshConfig{Coord: c, MasterKey: storetest.MasterKey, Name: "test", Log: log})
	must(t, err)
	cfg := Config{Store: in.store, Coord: c, Mesh: n.mesh, Keys: in.keys, HubName: hubName, Version: hubVersion, Log: log, Audit: in.audit}
	for _, f := range change {
		f(&cfg)
	}
	n.Tunnels = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	meshCtx, stopMesh := context.WithCancel(context.Background())
	wg.Go(func() { _ = n.mesh.Run(meshCtx) })
	wg.Go(func() {
		_ = n.Tunnels.Run(ctx)
		stopMesh()
	})
	n.serve()
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			wg.Wait()
			n.server.CloseClientConnections()
			n.server.Close()
		})
	}
	t.Cleanup(n.stop)
	testenv.Eventually(t, "the node runs", func() bool { return n.Ready() == nil })
	return n
}

// serve puts an HTTP server in front of the node.
func (n *node) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc(protocol.Path, n.ServeAgent)
	mux.HandleFunc(LegacyPath, n.ServeLegacy)
	n.server = httptest.NewServer(mux)
}

// meet waits until the nodes know each other.
func meet(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		testenv.Eventually(t, "the nodes know each other", func() bool { return len(n.mesh.Nodes()) == len(nodes) })
	}
}

func (in *installation) to() To { return To{Env: in.Env.ID, Directory: in.Directory.ID} }

// A process is one running copy of an agent: its keys, and an instance of its own.
type process struct {
	probe    bool // it only looks
	t        *testing.T
	keys     protocol.Keys
	sign     ed25519.PublicKey
	agent    string
	ticket   string
	instance string
	serve    func(ctx context.Context, m protocol.Method, body []byte) (any, error)
	witness  func(body []byte) (any, error) // nil: it knows no audit log
	ahead    time.Duration                  // its clock
	nodes    []string                       // it says that it has tunnels to
	guard    string                         // hash of its rules
	header   http.Header
}

var instances atomic.Int64

func newProcess(t *testing.T) *process {
	t.Helper()
	keys, err := protocol.GenerateKeys()
	must(t, err)
	sign, _, err := ed25519.GenerateKey(nil)
	must(t, err)
	return &process{t: t, keys: keys, sign: sign, instance: fmt.Sprint("instance-", instances.Add(1)),
		serve: func(_ context.Context, m protocol.Method, body []byte) (any, error) {
			return json.RawMessage(body), nil
		}}
}

// again is another process with the same key: a restart, or a clone.
func (p *process) again() *process {
	q := *p
	q.instance, q.ticket = fmt.Sprint("instance-", instances.Add(1)), ""
	return &q
}

// newTicket makes a ticket of the fixture's directory.
func (in *installation) newTicket(t *testing.T) string {
	t.Helper()
	secret := store.NewToken()
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.CreateTicket(t.Context(), in.Env.ID, in.Directory.ID, store.HashToken(secret), time.Hour)
		return err
	}))
	return secret
}

// enrolled is a process that has enrolled and left again.
func (in *installation) enrolled(t *testing.T, n *node) *process {
	t.Helper()
	p := newProcess(t)
	p.ticket = in.newTicket(t)
	l := p.dial(n)
	p.agent, p.ticket = l.welcome.Agent, ""
	l.leave()
	testenv.Eventually(t, "the hub noticed", func() bool { return len(n.roster.all()) == 0 })
	return p
}

// A link is a tunnel of a process.
type link struct {
	*protocol.Link
	welcome protocol.Welcome
	ended   chan struct{}
	err     error // after ended
	events  chan string
}

// ServeCall implements protocol.Handler.
func (p *process) ServeCall(ctx context.Context, m protocol.Method, body []byte) (any, error) {
	if m == protocol.MethodWitness && p.witness == nil {
		return nil, protocol.Err(protocol.CodeUnsupported, "an agent of an older version")
	}
	if m == protocol.MethodWitness {
		return p.witness(body)
	}
	return p.serve(ctx, m, body)
}

type linkHandler struct {
	*process
	events chan string
}

// ServeEvent implements protocol.Handler.
func (h linkHandler) ServeEvent(name string, body []byte) {
	select {
	case h.events <- name + " " + string(body):
	default:
	}
}

// dial opens a tunnel, which must be admitted.
func (p *process) dial(n *node) *link {
	p.t.Helper()
	l, err := p.tryDial(n)
	if err != nil {
		p.t.Fatal(err)
	}
	testenv.Eventually(p.t, "the hub is ready for the tunnel", func() bool { // the welcome may arrive a moment before
		return !slices.ContainsFunc(n.roster.all(), func(c *conn) bool { return c.attached() == nil })
	})
	return l
}

func (p *process) tryDial(n *node) (*link, error) {
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(n.server.URL, "http")+protocol.Path, p.header)
	if err != nil {
		return nil, err
	}
	l := &link{ended: make(chan struct{}), events: make(chan string, 8)}
	hello := protocol.Hello{Agent: p.agent, Ticket: p.ticket, Instance: p.instance, Version: "test", Name: "host", Nodes: p.nodes, GuardHash: p.guard, Time: time.Now().Add(p.ahead), Probe: p.probe}
	if p.ticket != "" {
		hello.SignKey = p.sign
	}
	l.Link, l.welcome, err = protocol.Dial(context.Background(), carrier.New(ws), p.keys, n.keys.Public, hubName, hello, linkHandler{p, l.events})
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(l.ended)
		l.err = l.Run(context.Background())
	}()
	p.t.Cleanup(func() { l.leave() })
	return l, nil
}

// leave ends the tunnel from the agent's side.
func (l *link) leave() {
	l.Close(protocol.CloseNormal, "")
	<-l.ended
}

// closeCode waits until the hub has closed the tunnel.
func (l *link) closeCode(t *testing.T) int {
	t.Helper()
	select {
	case <-l.ended:
	case <-time.After(within):
		t.Fatal("the hub did not close the tunnel")
	}
	var ended *protocol.CloseError
	if !errors.As(l.err, &ended) {
		t.Fatalf("ended with %v", l.err)
	}
	return ended.Code
}

func (n *node) echo(t *testing.T, to To) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var got protocol.Ref
	err := n.Call(ctx, to, protocol.MethodGet, protocol.PriorityLookup, protocol.Ref{ID: "x"}, &got)
	if err == nil && got.ID != "x" {
		t.Errorf("echo gave %+v", got)
	}
	return err
}

func (in *installation) audited(t *testing.T, kind audit.Kind) int {
	t.Helper()
	rows, err := store.Get(t.Context(), in.store, func(tx *store.Tx) ([]store.AuditRow, error) {
		return tx.AuditRows(t.Context(), in.Org.ID, store.AuditFilter{Envs: []string{in.Env.ID}, Kinds: []string{string(kind)}, Count: 100})
	})
	must(t, err)
	return len(rows)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, what string, err error, want protocol.Code) {
	t.Helper()
	if got := protocol.CodeOf(err); got != want {
		t.Errorf("%s: %v, want code %s", what, err, want)
	}
}
