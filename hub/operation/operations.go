package operation

import (
	"context"
	"log/slog"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// To names whom a call is for: any active agent of the directory, or only the one named.
type To struct{ Env, Directory, Agent string }

// Agents reaches agents, on whatever node they are connected. Errors are
// *protocol.Error; no agent is CodeUnavailable.
type Agents interface {
	// Call asks an agent and reads its answer.
	Call(ctx context.Context, to To, m protocol.Method, p protocol.Priority, req, resp any) error
	// Execute has the node that holds the agent's tunnel call Operations.Execute. nil
	// says that it did; what came of it stands in the store. CodeUnavailable says that
	// nobody did.
	Execute(ctx context.Context, to To, id string) error
	// Reachable reports whether a directory has an agent that is given calls.
	Reachable(ctx context.Context, env, directory string) bool
}

// Factors are what people added for themselves.
type Factors interface {
	// Disown removes what somebody else enrolled for the owner: in the owner's recovery,
	// with what that led to, and all that waits.
	Disown(ctx context.Context, tx *store.Tx, o factor.Owner) error
	// TakeBack removes what the owner's recovery enrolled by a method, with what that led to.
	TakeBack(ctx context.Context, tx *store.Tx, o factor.Owner, method string) error
}

// A Config is what Operations are made of.
type Config struct {
	Store    *store.Store
	Agents   Agents
	Veto     Veto     // nil: nobody is asked
	Notifier Notifier // nil: no notices are sent
	Alarms   Alarms   // nil: failures are only logged
	Factors  Factors  // nil: people have nothing of their own to recover with
	// Picture writes a picture anew, without what else stood in its file; an error: it is
	// none. nil: directories lend no photos.
	Picture func(raw []byte) ([]byte, error)
	// Requested is told that the audit log has an operation's entry, which the agent wants
	// proven soon; nil: nobody is.
	Requested func()
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// Operations carries out what recoveries proved. Its methods may be called from many
// goroutines and on many nodes at once. Errors are those of package recovery.
type Operations struct {
	Config
	rows recovery.Rows
}

// New makes Operations.
func New(c Config) *Operations {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Operations{Config: c, rows: recovery.Rows{Store: c.Store, Now: c.Now}}
}

// Reachable reports whether a directory has an agent that is given calls.
func (o *Operations) Reachable(ctx context.Context, env, directory string) bool {
	return o.Agents.Reachable(ctx, env, directory)
}

// Ask asks an agent one question, for as long as a person waits for it.
func (o *Operations) Ask(ctx context.Context, to To, m protocol.Method, req, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, askLife)
	defer cancel()
	return o.Agents.Call(ctx, to, m, protocol.PriorityRecovery, req, resp)
}

// ToAgent names the agent that began a recovery.
func ToAgent(rec *store.Recovery) To {
	return To{Env: rec.Env, Directory: rec.Directory, Agent: rec.Agent}
}

// A Caller gives the method agent_code the agents that it asks.
type Caller struct{ Agents Agents }

// CallAgent asks one agent.
func (c Caller) CallAgent(ctx context.Context, env, directory, agent string, m protocol.Method, req, resp any) error {
	return c.Agents.Call(ctx, To{Env: env, Directory: directory, Agent: agent}, m, protocol.PriorityRecovery, req, resp)
}
