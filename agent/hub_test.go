package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/carrier"
)

// testHub is the other end: real sockets and the real protocol, without a store.
type testHub struct {
	t    *testing.T
	keys protocol.Keys

	mu      sync.Mutex
	admit   func(hello protocol.Hello) error // a refusal
	state   string
	crowded bool // admits a second tunnel to one node
	count   int  // nodes that welcomes speak of; 0: as many as there are
	nodes   []*testNode
	hellos  []protocol.Hello
	ahead   time.Duration // of the hub's clock
	version string
	differs bool // the rules of the directory's agents
}

// testNode is one node of it.
type testNode struct {
	hub  *testHub
	name string
	addr string
	srv  *http.Server
	wg   sync.WaitGroup

	mu    sync.Mutex
	links []*protocol.Link
}

func newTestHub(t *testing.T, nodes int, cert *tls.Certificate) *testHub {
	t.Helper()
	k, err := protocol.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	h := &testHub{t: t, keys: k, state: protocol.AgentActive}
	for i := range nodes {
		h.nodes = append(h.nodes, h.startNode("node-"+string(rune('a'+i)), fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), cert)) // which stays its own while it rests
	}
	t.Cleanup(func() {
		for _, n := range h.nodes {
			n.stop()
		}
	})
	return h
}

func (h *testHub) startNode(name, addr string, cert *tls.Certificate) *testNode {
	h.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	n := &testNode{hub: h, name: name, addr: ln.Addr().String()}
	if cert != nil {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*cert}})
	}
	n.srv = &http.Server{Handler: http.HandlerFunc(n.serve), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	n.wg.Go(func() { _ = n.srv.Serve(ln) })
	return n
}

func (n *testNode) stop() {
	_ = n.srv.Close()
	n.mu.Lock()
	for _, l := range n.links {
		l.Close(protocol.CloseComeBack, "stopping")
	}
	n.mu.Unlock()
	n.wg.Wait()
}

func (n *testNode) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != protocol.Path || r.Header.Get("Origin") != "" {
		http.NotFound(w, r)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	n.wg.Add(1)
	defer n.wg.Done()
	link, _, err := protocol.Accept(context.Background(), carrier.New(ws), n.hub.keys, "hub.example", n.admit, refusing{})
	if err != nil {
		return
	}
	n.mu.Lock()
	n.links = append(n.links, link)
	n.mu.Unlock()
	_ = link.Run(context.Background())
	n.mu.Lock()
	for i, l := range n.links {
		if l == link {
			n.links = append(n.links[:i:i], n.links[i+1:]...)
			break
		}
	}
	n.mu.Unlock()
}

func (n *testNode) admit(_ context.Context, _ []byte, hello protocol.Hello) (protocol.Welcome, error) {
	h := n.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hellos = append(h.hellos, hello)
	if h.admit != nil {
		if err := h.admit(hello); err != nil {
			return protocol.Welcome{}, err
		}
	}
	if !h.crowded && slices.Contains(hello.Nodes, n.name) {
		return protocol.Welcome{}, &protocol.CloseError{Code: protocol.CloseReplaced, Reason: "this node has a tunnel of yours"}
	}
	count := h.count
	if count == 0 {
		count = len(h.nodes)
	}
	return protocol.Welcome{
		Agent: "agent-1", Directory: "directory-1", Node: n.name, Nodes: count, State: h.state, Time: time.Now().Add(h.ahead), Version: h.version, GuardDiffers: h.differs,
	}, nil
}

// open returns the node's tunnels.
func (n *testNode) open() []*protocol.Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*protocol.Link(nil), n.links...)
}

func (h *testHub) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *testHub) hellosSoFar() []protocol.Hello {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]protocol.Hello(nil), h.hellos...)
}

// process is a running agent.
type process struct {
	cfg     Config
	company *company
	cancel  context.CancelFunc
	done    chan error
	log     *testenv.Buffer
}

// enrolled writes what Enroll would leave.
func (h *testHub) enrolled(t *testing.T, scheme string) Config {
	t.Helper()
	state := t.TempDir()
	id := newIdentity(t, state)
	id.Hub, id.HubKey = scheme+"://"+h.nodes[0].addr, h.keys.Public
	if err := id.save(state); err != nil {
		t.Fatal(err)
	}
	cfg := Config{StateDir: state, Guard: rulesOfTests, File: settings.File{Name: "agent.toml", Text: []byte("[directory]\nkind='test'\n")}}
	for _, n := range h.nodes[1:] {
		cfg.Hub.Addresses = append(cfg.Hub.Addresses, n.addr)
	}
	return cfg
}

func startAgent(t *testing.T, cfg Config) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{cfg: cfg, company: newCompany(t), cancel: cancel, done: make(chan error, 1), log: &testenv.Buffer{}}
	open := func(_ context.Context, kind string, _ settings.File, _ *slog.Logger) (directory.Directory, error) {
		if kind != "test" {
			t.Errorf("kind = %q", kind)
		}
		return p.company, nil
	}
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() { p.done <- Run(ctx, Options{Config: cfg, Open: open, Version: "test", Log: log}) }()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop ends the agent and returns when it has ended.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			t.Errorf("the agent ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the agent does not end")
	}
}

func link(t *testing.T, n *testNode) *protocol.Link {
	t.Helper()
	testenv.Eventually(t, "a tunnel to "+n.name, func() bool { return len(n.open()) == 1 })
	return n.open()[0]
}
