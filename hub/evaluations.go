package hub

import (
	"context"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/protocol"
)

// evaluated lets evaluations ask agents that say that they evaluate. Others of the same
// directory would refuse.
type evaluated struct {
	store   *store.Store
	tunnels *tunnel.Tunnels
}

// Evaluate implements evaluation.Agents.
func (e evaluated) Evaluate(ctx context.Context, env, directory string, q protocol.EvaluateRequest) (out protocol.Evaluations, err error) {
	agents, err := store.Get(ctx, e.store, func(tx *store.Tx) ([]store.Agent, error) { return tx.Agents(ctx, env, directory) })
	if err != nil {
		return out, err
	}
	err = protocol.Err(protocol.CodeUnavailable, "no agent of the directory is connected")
	off := true
	for _, a := range agents {
		if a.State != protocol.AgentActive || !a.Evaluation {
			continue
		}
		off = false
		err = e.tunnels.Call(ctx, tunnel.To{Env: env, Directory: directory, Agent: a.ID}, protocol.MethodEvaluate, protocol.PrioritySync, q, &out)
		if protocol.CodeOf(err) != protocol.CodeUnavailable {
			return out, err
		}
	}
	if off {
		err = protocol.Err(protocol.CodePermissionDenied, "no agent of the directory evaluates")
	}
	return out, err
}

// ownAddresses reports whether addresses that a person added count for an action.
func (h *Hub) ownAddresses(ctx context.Context, tx *store.Tx, a store.Account, action protocol.Action) (mails, phones bool, err error) {
	m, p, err := h.factors.Addresses(ctx, tx, a.Env, a.Directory, a.ImmutableID, nil, action)
	return len(m.To) > 0, len(p.To) > 0, err
}
