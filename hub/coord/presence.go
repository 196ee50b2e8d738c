package coord

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// How nodes know of each other.
const (
	beatEvery = 2 * time.Second // a node says that it lives, and looks who else does
	nodeLife  = 8 * time.Second // a node that said nothing for so long is gone
	// lookAtMost is the least time between two looks that others asked for: anybody
	// with access to the coordinator can ask.
	lookAtMost = 50 * time.Millisecond
)

// nodesSet holds the nodes; nodesChannel wakes them when one comes or goes.
const (
	nodesSet     = "nodes"
	nodesChannel = "nodes"
)

// A Node is a living process of this installation.
type Node struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	Seen    time.Time `json:"seen"` // by its own clock
}

// Nodes returns the living nodes, this one first, the others by id. While the
// coordinator is away, others count as gone after a node's life.
func (m *Mesh) Nodes() []Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []Node{{ID: m.ID(), Name: m.name, Started: m.started, Seen: m.now()}}
	if m.now().Sub(m.nodesAt) > nodeLife {
		return all
	}
	for _, id := range slices.Sorted(maps.Keys(m.nodes)) {
		if id != m.ID() {
			all = append(all, m.nodes[id])
		}
	}
	return all
}

// look asks beats for an early look at the nodes.
func (m *Mesh) look() {
	select {
	case m.nudge <- struct{}{}:
	default:
	}
}

// beats keeps this node known and knows the others, until ctx ends.
func (m *Mesh) beats(ctx context.Context) {
	defer m.leave(context.WithoutCancel(ctx))
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for first := true; ctx.Err() == nil; first = false {
		if err := m.beat(ctx, first); err != nil {
			m.log.Debug("coordinator away", "error", err)
		}
		m.renewClaims(ctx)
		m.forgetPeers()
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-m.nudge:
			select { // gather what else asks
			case <-ctx.Done():
			case <-time.After(lookAtMost):
			}
		}
	}
}

// beat writes this node's presence and reads the others'. That the coordinator does
// not know this node any more means that it lost its memory, and the claims with it.
func (m *Mesh) beat(ctx context.Context, first bool) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	sealed, err := m.coord.List(ctx, nodesSet)
	if err != nil {
		return err
	}
	if _, known := sealed[m.ID()]; !known {
		m.forgetWritten()
	}
	text, err := json.Marshal(Node{ID: m.ID(), Name: m.name, Started: m.started, Seen: m.now()})
	if err != nil {
		return err
	}
	if err := m.coord.Set(ctx, nodesSet, m.ID(), m.sealValue(nodesSet, m.ID(), text), nodeLife); err != nil {
		return err
	}
	m.setNodes(sealed)
	if first {
		_, err = m.coord.Publish(ctx, nodesChannel, nil)
	}
	return err
}

// setNodes takes over what was read. Calls to nodes that have gone end.
func (m *Mesh) setNodes(sealed map[string][]byte) {
	nodes := map[string]Node{}
	for id, s := range sealed {
		var n Node
		text, err := m.openValue(nodesSet, id, s)
		if err != nil || json.Unmarshal(text, &n) != nil || n.ID != id {
			continue // not written by a node of ours
		}
		if d := m.now().Sub(n.Seen); d < nodeLife+clockSkew && d > -clockSkew {
			nodes[id] = n
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.nodes
	m.nodes, m.nodesAt = nodes, m.now()
	for number, c := range m.calls {
		_, lived := before[c.peer.String()]
		if _, lives := nodes[c.peer.String()]; lived && !lives {
			delete(m.calls, number)
			c.end(nil, ErrNoAnswer)
		}
	}
}

// leave takes this node off the list, so that nobody calls it any more.
func (m *Mesh) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := m.coord.Delete(ctx, nodesSet, m.ID()); err == nil {
		_, _ = m.coord.Publish(ctx, nodesChannel, nil) // otherwise they notice within a node's life
	}
}

// sealValue seals a value of a set for its place there.
func (m *Mesh) sealValue(set, key string, plain []byte) []byte {
	nonce := make([]byte, 12, 12+len(plain)+16)
	_, _ = rand.Read(nonce) // never fails
	return m.values.Seal(nonce, nonce, plain, []byte(set+"\x00"+key))
}

func (m *Mesh) openValue(set, key string, sealed []byte) ([]byte, error) {
	if len(sealed) < 12 || strings.ContainsRune(set, 0) {
		return nil, fmt.Errorf("coord: value of %d bytes", len(sealed))
	}
	return m.values.Open(nil, sealed[:12], sealed[12:], []byte(set+"\x00"+key))
}
