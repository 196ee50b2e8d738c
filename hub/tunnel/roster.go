package tunnel

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A peer is the other end of a connection: an agent's link, or a socket of the public
// agent protocol.
type peer interface {
	Call(ctx context.Context, m protocol.Method, p protocol.Priority, req, resp any) error
	// CallWithin is Call with a bound beside ctx.
	CallWithin(ctx context.Context, life time.Duration, m protocol.Method, p protocol.Priority, req, resp any) error
	Ping() error
	LastHeard() time.Time
	Close(code int, reason string)
}

// A conn is one connection of an agent to this node. What is set at admission stays:
// a change of the agent's state ends the connection, and the agent comes back to learn.
type conn struct {
	identity
	state      string // protocol.AgentActive, AgentPending or AgentQuarantined; others read it after ready
	key        string // legacy: hash of the token that opened it
	address    string
	since      time.Time
	skew       time.Duration         // the agent's clock minus ours
	groups     []protocol.GroupTrust // what the agent says of its groups; nil: the hub can reset everybody
	probe      bool                  // it only looks: the agent's doctor
	evaluation bool                  // the agent's own file lets it change nothing
	seq        uint64                // order of admission on this node
	signKey    []byte                // Ed25519, public; nil: legacy
	view       view                  // of the audit log

	ready chan struct{} // closed when peer is set, or the admission failed
	peer  peer          // nil if it failed; read after ready

	stands  atomic.Pointer[store.Mark] // state of the store in which it was to be given calls; nil: unknown
	busy    atomic.Int32               // calls under way
	claimed atomic.Int64               // fence of its claim; 0 while it is not known to other nodes
	slot    int                        // of the wheel
}

// identity is who is at the other end.
type identity struct {
	Env       string `json:"env"`
	Directory string `json:"directory"`
	Agent     string `json:"agent"`
	Instance  string `json:"instance"`
	Name      string `json:"name,omitempty"`
	Version   string `json:"version,omitempty"`
}

// claim is what other nodes see of a connection.
type claim struct {
	Env      string `json:"env"`
	Agent    string `json:"agent"`
	Instance string `json:"instance"`
	State    string `json:"state"`
}

func (c *conn) claim() []byte {
	b, _ := json.Marshal(claim{c.Env, c.Agent, c.Instance, c.state}) // strings always marshal
	return b
}

// claimSet names the claims of a directory's connections.
func claimSet(directory string) string { return "agents/" + directory }

// legacy reports whether the connection speaks the public agent protocol.
func (c *conn) legacy() bool {
	_, legacy := protocol.LegacyDirectory(c.Agent)
	return legacy
}

// attached returns the peer, or nil while the admission is under way or failed.
func (c *conn) attached() peer {
	select {
	case <-c.ready:
		return c.peer
	default:
		return nil
	}
}

func (c *conn) close(code int, reason string) {
	if p := c.attached(); p != nil {
		p.Close(code, reason)
	}
}

// goAway asks the agent to take a tunnel elsewhere. The public protocol has no such word.
func (c *conn) goAway(reason string) {
	if l, ok := c.attached().(*protocol.Link); ok {
		_ = l.GoAway(reason) // a broken link is met by its reader
	}
}

// A roster is the table of this node's connections.
type roster struct {
	mu          sync.Mutex
	next        uint64
	byDirectory map[string][]*conn
	count       int
}

func newRoster() roster { return roster{byDirectory: map[string][]*conn{}} }

// add enters a connection whose admission begins.
func (r *roster) add(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	c.seq = r.next
	r.byDirectory[c.Directory] = append(r.byDirectory[c.Directory], c)
	r.count++
}

func (r *roster) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count == 0
}

func (r *roster) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.byDirectory[c.Directory]
	i := slices.Index(list, c)
	if i < 0 {
		return
	}
	r.count--
	if len(list) == 1 {
		delete(r.byDirectory, c.Directory)
		return
	}
	r.byDirectory[c.Directory] = slices.Delete(slices.Clone(list), i, i+1)
}

// of returns a directory's connections that match, oldest first.
func (r *roster) of(directory string, match func(*conn) bool) (found []*conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.byDirectory[directory] {
		if match(c) {
			found = append(found, c)
		}
	}
	return found
}

// all returns every connection, oldest first.
func (r *roster) all() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*conn, 0, r.count)
	for _, list := range r.byDirectory {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b *conn) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// idlePoll is how often a draining node looks whether its calls have ended.
const idlePoll = 5 * time.Millisecond

// awaitIdle waits until no call is under way, at most for a while.
func (r *roster) awaitIdle(most time.Duration) {
	end := time.NewTimer(most)
	defer end.Stop()
	tick := time.NewTicker(idlePoll)
	defer tick.Stop()
	for r.busy() {
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

func (r *roster) busy() bool {
	return slices.ContainsFunc(r.all(), func(c *conn) bool { return c.busy.Load() > 0 })
}
