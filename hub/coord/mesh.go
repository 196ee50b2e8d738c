package coord

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a node's part in the mesh.
const (
	// openCalls bounds the calls that this node serves for others at once. Each waits
	// for an agent most of its time.
	openCalls = 4096
	// callMost bounds a call that came without a deadline, or with a longer one.
	callMost = 5 * time.Minute
	// partialBytes bounds the unfinished bodies of one peer.
	partialBytes = 2 * maxBody
	// peerMemory is how long a silent peer's count is remembered. A batch is refused
	// by its time alone after twice clockSkew.
	peerMemory = 3 * time.Minute
)

// ErrNoAnswer is returned by Call when the request was sent and no answer came: the
// other node may have served it.
var ErrNoAnswer = errors.New("coord: no answer from the other node")

// A Handler serves calls of one name from other nodes. It owns body. What it returns
// is sent back as it is; ctx ends with the caller's deadline or interest.
type Handler func(ctx context.Context, from string, body []byte) []byte

// A Mesh lets the nodes of one installation find and call each other over a Coord that
// none of them trusts: every batch is sealed under a key derived from the master key
// for this sender and this receiver, carries its time, and is opened once.
type Mesh struct {
	coord    Coord
	master   []byte
	self     nodeID
	id       string // self as text
	name     string
	log      *slog.Logger
	now      func() time.Time
	restored func()
	handlers map[string]Handler
	values   cipher.AEAD // seals presence and claims
	started  time.Time

	refused atomic.Int64
	sent    atomic.Uint64   // count of the last batch to anybody
	ctx     context.Context // of Run, for what other nodes ask: their calls arrive without one
	slots   chan struct{}   // one for each call served
	work    sync.WaitGroup  // calls served and batches sent
	nudge   chan struct{}   // buffered: look at the nodes again

	mu      sync.Mutex
	serving bool // Run runs
	peers   map[nodeID]*peer
	calls   map[uint64]*call // ours, that wait for an answer
	lastID  uint64
	nodes   map[string]Node
	nodesAt time.Time // of the last successful look
	claims  map[claimKey]heldClaim
}

// A MeshConfig is what a Mesh is made of.
type MeshConfig struct {
	Coord     Coord
	MasterKey []byte // 32 bytes, the same on every node
	Name      string // host name, for people
	Log       *slog.Logger
}

// NewMesh makes a node with a random id, unique to this process. Handle the names it
// serves, then Run it.
func NewMesh(cfg MeshConfig) (*Mesh, error) {
	if len(cfg.MasterKey) != 32 {
		return nil, fmt.Errorf("coord: master key of %d bytes, want 32", len(cfg.MasterKey))
	}
	values, err := derive(cfg.MasterKey, "values")
	if err != nil {
		return nil, err
	}
	m := &Mesh{
		coord: cfg.Coord, master: cfg.MasterKey, name: cfg.Name, log: cfg.Log, now: time.Now,
		values: values, started: time.Now(),
		handlers: map[string]Handler{}, slots: make(chan struct{}, openCalls), nudge: make(chan struct{}, 1),
		peers: map[nodeID]*peer{}, calls: map[uint64]*call{}, nodes: map[string]Node{}, claims: map[claimKey]heldClaim{},
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	_, _ = rand.Read(m.self[:]) // never fails
	m.id = m.self.String()
	return m, nil
}

// ID is this node's id.
func (m *Mesh) ID() string { return m.id }

// Handle serves calls of a name. It must not be called after Run.
func (m *Mesh) Handle(name string, h Handler) {
	if name == "" || len(name) > maxName {
		panic("coord: call name of " + fmt.Sprint(len(name)) + " bytes")
	}
	m.handlers[name] = h
}

// OnRestored has f called after the coordinator lost its memory and all claims of this
// node were written again. It must not be called after Run.
func (m *Mesh) OnRestored(f func()) { m.restored = f }

// Refused counts batches that were thrown away: forged, replayed, meant for another
// node or out of time.
func (m *Mesh) Refused() int64 { return m.refused.Load() }

// Run makes the node known, serves calls and keeps its claims until ctx ends. It
// returns after all that it started has ended.
func (m *Mesh) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer m.work.Wait()
	defer cancel()
	m.ctx = ctx
	m.mu.Lock()
	m.serving = true
	m.mu.Unlock()
	defer m.stopServing()
	defer m.coord.Subscribe(ctx, inboxOf(m.self), m.receive)()
	defer m.coord.Subscribe(ctx, nodesChannel, func([]byte) { m.look() })()
	m.beats(ctx)
	return nil
}

func (m *Mesh) stopServing() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serving = false
	for id, c := range m.calls {
		delete(m.calls, id)
		c.end(nil, ErrNoAnswer)
	}
}

func inboxOf(n nodeID) string { return "node:" + n.String() }

// A peer is another node, or this one: what was sent to it and what came from it.
type peer struct {
	id   nodeID
	out  cipher.AEAD
	in   cipher.AEAD
	used time.Time // last batch in either direction; guarded by Mesh.mu

	mu      sync.Mutex    // guards the rest of the sending side
	waiting []byte        // frames
	ids     []queued      // calls with a request in waiting
	sending bool          // a goroutine sends what waits
	room    chan struct{} // closed when what waits was taken
	before  uint64        // count of the last batch

	inMu    sync.Mutex // guards the receiving side
	got     uint64     // count of the last batch opened
	parts   map[part]*[]byte
	partial int // bytes in parts
	running map[uint64]context.CancelFunc
}

// queued is a call whose request ends at an offset of what waits.
type queued struct {
	number uint64
	end    int
}

// part names an unfinished body.
type part struct {
	kind frameKind
	call uint64
}

// peerOf returns the peer of an id, making it if need be.
func (m *Mesh) peerOf(id nodeID) (*peer, error) {
	m.mu.Lock()
	p := m.peers[id]
	m.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := m.newPeer(id)
	if err != nil {
		return nil, err
	}
	return m.keepPeer(p), nil
}

// keepPeer remembers a peer, or returns the one that is remembered already.
func (m *Mesh) keepPeer(p *peer) *peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.peers[p.id]; known != nil {
		p = known
	} else {
		m.peers[p.id] = p
	}
	p.used = m.now()
	return p
}

func (m *Mesh) newPeer(id nodeID) (*peer, error) {
	out, err := pairKey(m.master, m.self, id)
	if err != nil {
		return nil, err
	}
	in, err := pairKey(m.master, id, m.self)
	if err != nil {
		return nil, err
	}
	return &peer{id: id, out: out, in: in, used: m.now(), room: make(chan struct{}), parts: map[part]*[]byte{}, running: map[uint64]context.CancelFunc{}}, nil
}

// forgetPeers drops peers that are gone and were silent for so long that their batches
// are refused by time.
func (m *Mesh) forgetPeers() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.peers {
		if _, live := m.nodes[id.String()]; !live && m.now().Sub(p.used) > peerMemory {
			delete(m.peers, id)
		}
	}
}
