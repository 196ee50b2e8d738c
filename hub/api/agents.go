package api

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// agentList is the agents of a directory.
type agentList struct {
	Agents []agentOut `json:"agents"`
}

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
	Conflict    *time.Time `json:"conflict_since,omitempty"` // two live processes use its key; release decides
	Nodes       []string   `json:"nodes"`                    // that hold a tunnel of it now
	// LogSize is how much of the audit log it signed last, LogSeenAt when. LogStopped is the
	// hash of the head by which it stopped; it does nothing until its administrator accepts
	// it. LogFailing are its sinks that take no checkpoints.
	LogSize    int64      `json:"log_size,omitempty"`
	LogSeenAt  *time.Time `json:"log_seen_at,omitempty"`
	LogStopped string     `json:"log_stopped,omitempty"`
	LogFailing string     `json:"log_failing,omitempty"`
}

// listAgents answers with the agents of a directory, and the nodes that hold a tunnel of each.
func listAgents(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.Agents(ctx, c.env.ID, c.directory.ID)
	out := []agentOut{}
	for _, a := range all {
		out = append(out, agentOut{
			ID: a.ID, Name: a.Name, State: a.State, Version: a.Version, GuardHash: a.GuardHash,
			Fingerprint: protocol.Fingerprint(a.NoiseKey, a.SignKey), EnrolledAt: a.Enrolled, SeenAt: at(a.Seen), Conflict: at(a.ConflictSince),
			LogSize: a.Witness.Size, LogSeenAt: at(a.Witness.Seen), LogStopped: a.Witness.Stopped, LogFailing: a.Witness.Failing,
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
	return agentList{out}, nil
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

// confirmAgentRequest carries the fingerprint that was compared with the one that the
// agent's machine shows.
type confirmAgentRequest struct {
	Fingerprint string `json:"fingerprint"`
}

// confirmAgent lets a further agent of a directory work, once its fingerprint has been
// compared (T19).
func confirmAgent(ctx context.Context, c *call, tx *store.Tx, req *confirmAgentRequest) (any, error) {
	if req.Fingerprint != protocol.Fingerprint(c.agent.NoiseKey, c.agent.SignKey) {
		return nil, bad("fingerprint: not that of this agent; compare it with what postern-agent shows on its machine")
	}
	return nil, tx.SetAgentState(ctx, c.env.ID, c.agent.ID, protocol.AgentActive, protocol.AgentPending)
}

// releaseAgent ends the conflict of an agent whose key two processes used: one of them
// has been stopped.
func releaseAgent(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return nil, tx.CloseConflict(ctx, c.env.ID, c.agent.ID)
}

// revokeAgent ends an agent for good. Its tunnels end within seconds.
func revokeAgent(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return nil, tx.SetAgentState(ctx, c.env.ID, c.agent.ID, protocol.AgentRevoked,
		protocol.AgentActive, protocol.AgentPending, protocol.AgentQuarantined)
}
