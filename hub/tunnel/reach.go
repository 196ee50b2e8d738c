package tunnel

import (
	"context"
	"encoding/json"
	"slices"
)

// Reachable reports whether an active agent is connected to any node, as far as this
// node can tell now.
func (t *Tunnels) Reachable(ctx context.Context, to To) bool {
	if len(t.candidates(to)) > 0 {
		return true
	}
	nodes, err := t.holders(ctx, to)
	return err == nil && len(nodes) > 0
}

// Connected returns the names of the nodes that hold a connection of an agent.
func (t *Tunnels) Connected(ctx context.Context, env, directory, agent string) ([]string, error) {
	claims, err := t.mesh.Claims(ctx, claimSet(directory))
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, held := range claims {
		var c claim
		if json.Unmarshal(held.Detail, &c) == nil && c.Env == env && c.Agent == agent && !slices.Contains(nodes, held.Node) {
			nodes = append(nodes, held.Node)
		}
	}
	return nodes, nil
}
