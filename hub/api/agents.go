package api

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// agentOut is an agent of a directory.
type agentOut struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	State       string     `json:"state"`
	Version     string     `json:"version,omitempty"`
	Fingerprint string     `json:"fingerprint"` // what people compare
	GuardHash   string     `json:"guard_hash,omitempty"`
	EnrolledAt  time.Time  `json:"enrolled_at"`
	SeenAt      *time.Time `json:"seen_at,omitempty"`
	Nodes       []string   `json:"nodes"` // that hold a tunnel of it now
}

func listAgents(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.Agents(ctx, c.env.ID, c.directory.ID)
	out := []agentOut{}
	for _, a := range all {
		out = append(out, agentOut{
			ID: a.ID, Name: a.Name, State: a.State, Version: a.Version, GuardHash: a.GuardHash,
			Fingerprint: protocol.Fingerprint(a.NoiseKey, a.SignKey), EnrolledAt: a.Enrolled, SeenAt: at(a.Seen),
		})
	}
	return out, err
}

// connectedAgents adds where the agents are connected. While the coordinator is away
// nobody knows, and the rest of the answer still holds.
func connectedAgents(ctx context.Context, c *call, reply any) (any, error) {
	out := reply.([]agentOut)
	for i := range out {
		nodes, err := c.api.Tunnels.Connected(ctx, c.env.ID, c.directory.ID, out[i].ID)
		if err != nil {
			c.api.Log.Warn("presence of an agent unknown", "agent", out[i].ID, "error", err)
		}
		out[i].Nodes = append([]string{}, nodes...)
	}
	return map[string]any{"agents": out}, nil
}

// createTicketRequest asks for a ticket.
type createTicketRequest struct {
	TTL policy.Duration `json:"ttl,omitempty"` // absent: the longest, an hour
}

// createTicketResponse holds the ticket, which is shown this once.
type createTicketResponse struct {
	Ticket    string    `json:"ticket"`
	ExpiresAt time.Time `json:"expires_at"`
}

// redacted implements redactor.
func (r createTicketResponse) redacted() any {
	r.Ticket = redactedSecret
	return r
}

// createTicket makes a ticket with which one agent enrols, once (T19).
func createTicket(ctx context.Context, c *call, tx *store.Tx, req *createTicketRequest) (any, error) {
	life := time.Duration(req.TTL)
	if life == 0 {
		life = store.MaxTicketLife
	}
	if life < time.Second || life > store.MaxTicketLife {
		return nil, bad(fmt.Sprintf("ttl: want 1s to %s", store.MaxTicketLife))
	}
	secret := store.NewToken()
	row, err := tx.CreateTicket(ctx, c.env.ID, c.directory.ID, store.HashToken(secret), life)
	if err != nil {
		return nil, err
	}
	t := c.api.Ticket
	t.Directory, t.Secret, t.Expires = c.directory.ID, secret, row.Expires
	return createTicketResponse{t.Encode().Reveal(), row.Expires}, nil
}

// confirmAgent lets a further agent of a directory work, once its fingerprint has been
// compared.
func confirmAgent(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return nil, tx.SetAgentState(ctx, c.env.ID, c.agent.ID, protocol.AgentActive, protocol.AgentPending)
}

// releaseAgent lets an agent work again whose key two processes had used.
func releaseAgent(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"directory": c.directory.ID, "agent": c.agent.ID, "released": true}
	return nil, tx.SetAgentState(ctx, c.env.ID, c.agent.ID, protocol.AgentActive, protocol.AgentQuarantined)
}

// revokeAgent ends an agent for good. Its tunnels end within seconds.
func revokeAgent(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return nil, tx.SetAgentState(ctx, c.env.ID, c.agent.ID, protocol.AgentRevoked,
		protocol.AgentActive, protocol.AgentPending, protocol.AgentQuarantined)
}
