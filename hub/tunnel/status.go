package tunnel

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// An AgentStatus is what administrators see of an agent.
type AgentStatus struct {
	ID, Directory, Name string
	State               string // protocol.AgentActive …; of its row
	Legacy              bool   // not enrolled: it speaks the public agent protocol
	Fingerprint         string
	Version, GuardHash  string
	Enrolled, Seen      time.Time
	ConflictSince       time.Time     // two live processes use its key: somebody must decide
	Witness             store.Witness // what it saw of the audit log
	Tunnels             []TunnelStatus
}

// A TunnelStatus is one connection of an agent.
type TunnelStatus struct {
	Node      string        `json:"node"`
	NodeName  string        `json:"node_name"`
	Agent     string        `json:"agent"`
	Directory string        `json:"directory"`
	Instance  string        `json:"instance"`
	State     string        `json:"state"` // AgentQuarantined for the process that is given nothing
	Name      string        `json:"name"`
	Version   string        `json:"version"`
	Address   string        `json:"address"`
	Since     time.Time     `json:"since"`
	LastHeard time.Time     `json:"last_heard"`
	Skew      time.Duration `json:"skew"` // the agent's clock minus the hub's
	SkewWarn  bool          `json:"skew_warn"`
	Calls     int           `json:"calls"`
	// Groups says whether this hub alone can reset the members of each, as the agent's
	// own file has it; nil: everybody (T5).
	Groups []protocol.GroupTrust `json:"groups,omitempty"`
	// Evaluation says that the agent's own file lets it change nothing (T33).
	Evaluation bool `json:"evaluation,omitempty"`
}

// statusLife bounds the wait for other nodes: a page shows what came in time.
const statusLife = time.Second

// Status returns the agents of an environment with their connections to all nodes that
// answer, oldest first, those of legacy directories last.
func (t *Tunnels) Status(ctx context.Context, env string) ([]AgentStatus, error) {
	var agents []AgentStatus
	err := t.store.Read(ctx, func(tx *store.Tx) error {
		agents = nil
		directories, err := tx.Directories(ctx, env)
		if err != nil {
			return err
		}
		for _, d := range directories {
			rows, err := tx.Agents(ctx, env, d.ID)
			if err != nil {
				return err
			}
			for _, a := range rows {
				agents = append(agents, statusOf(a))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return join(agents, t.connections(ctx, env)), nil
}

func statusOf(a store.Agent) AgentStatus {
	return AgentStatus{
		ID: a.ID, Directory: a.Directory, Name: a.Name, State: a.State, Fingerprint: protocol.Fingerprint(a.NoiseKey, a.SignKey),
		Version: a.Version, GuardHash: a.GuardHash, Enrolled: a.Enrolled, Seen: a.Seen, ConflictSince: a.ConflictSince, Witness: a.Witness,
	}
}

// join gives connections to their agents; those of nobody are legacy.
func join(agents []AgentStatus, tunnels []TunnelStatus) []AgentStatus {
	for _, c := range tunnels {
		i := slices.IndexFunc(agents, func(a AgentStatus) bool { return a.ID == c.Agent })
		if i < 0 {
			agents = append(agents, AgentStatus{ID: c.Agent, Directory: c.Directory, State: c.State, Legacy: true, Seen: c.Since})
			i = len(agents) - 1
		}
		agents[i].Tunnels = append(agents[i].Tunnels, c)
	}
	return agents
}

// connections asks all nodes at once.
func (t *Tunnels) connections(ctx context.Context, env string) []TunnelStatus {
	ctx, cancel := context.WithTimeout(ctx, statusLife)
	defer cancel()
	var mu sync.Mutex
	var all []TunnelStatus
	var wg sync.WaitGroup
	for _, n := range t.mesh.Nodes() {
		wg.Go(func() {
			answer, err := t.mesh.Call(ctx, n.ID, statusName, []byte(env))
			var list []TunnelStatus
			if err != nil || json.Unmarshal(answer, &list) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, c := range list {
				c.Node, c.NodeName = n.ID, n.Name
				all = append(all, c)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(all, func(a, b TunnelStatus) int {
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return strings.Compare(a.Node, b.Node)
	})
	return all
}

// serveStatus lists this node's connections of an environment.
func (t *Tunnels) serveStatus(_ context.Context, _ string, env []byte) []byte {
	list := []TunnelStatus{}
	for _, c := range t.roster.all() {
		p := c.attached()
		if c.Env != string(env) || p == nil {
			continue
		}
		list = append(list, TunnelStatus{
			Agent: c.Agent, Directory: c.Directory, Instance: c.Instance, State: c.state, Name: c.Name, Version: c.Version, Address: c.address,
			Since: c.since, LastHeard: p.LastHeard(), Skew: c.skew, SkewWarn: c.skew.Abs() > skewTolerated, Calls: int(c.busy.Load()),
			Groups: c.groups, Evaluation: c.evaluation,
		})
	}
	b, _ := json.Marshal(list) // plain values always marshal
	return b
}
