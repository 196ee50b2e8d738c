package api

import (
	"context"
	"net/http"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// An Examiner asks agents how they are.
type Examiner interface {
	// Examine returns words of a closed list. Errors are *protocol.Error.
	Examine(ctx context.Context, env, directory, agent string) (protocol.Examination, error)
}

// examinationOut is what an agent says of itself.
type examinationOut struct {
	Directory protocol.ExaminedDirectory `json:"directory"` // serves, away, untrusted (its certificate), refuses (the agent's account), broken
	Bases     protocol.ExaminedBases     `json:"bases"`     // found, missing, unknown
	Disk      protocol.ExaminedDisk      `json:"disk"`      // enough, low, full, unknown
	// Findings are what is wrong, the worst first. The agent's own machine says more:
	// postern-agent doctor.
	Findings []protocol.ExaminedFinding `json:"findings"`
}

// afterwards is for rows whose record has what only an agent can say: it is written when
// the agent has answered.
func afterwards(_ context.Context, c *call, _ *store.Tx) (any, error) {
	c.recorded = true
	return nil, nil
}

// examineAgent asks an agent to look at its directory, base DNs and disk. It changes
// nothing; an agent answers six times an hour.
func examineAgent(ctx context.Context, c *call, _ any) (any, error) {
	e, err := c.api.Examiner.Examine(ctx, c.env.ID, c.directory.ID, c.agent.ID)
	if err != nil {
		return nil, notExamined(err)
	}
	c.detail = map[string]any{"directory": c.directory.ID, "agent": c.agent.ID, "says": e}
	if err := c.api.Store.Tx(ctx, func(tx *store.Tx) error { return c.append(ctx, tx, nil) }); err != nil {
		return nil, err
	}
	return examinationOut{e.Directory, e.Bases, e.Disk, append([]protocol.ExaminedFinding{}, e.Findings()...)}, nil
}

// notExamined says why an agent gave no answer.
func notExamined(err error) error {
	switch protocol.CodeOf(err) {
	case protocol.CodeRateLimited:
		return refusal{http.StatusTooManyRequests, "the agent was examined often enough within this hour"}
	case protocol.CodeUnsupported:
		return refusal{http.StatusConflict, "this agent cannot be examined from here: it is of an older version, or speaks the public protocol"}
	case protocol.CodeUnavailable:
		return refusal{http.StatusServiceUnavailable, "the agent is not connected; on its own machine, postern-agent doctor says why"}
	}
	return err
}
