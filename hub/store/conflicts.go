package store

import (
	"context"
)

// A Standing is what a node needs to know of an agent before it gives it a call.
type Standing struct {
	State string // protocol.AgentActive …
	Kept  string // while two live processes use the agent's key: the only one that is given calls; else ""
}

func scanStanding(scan Scan) (s Standing, err error) {
	err = scan(&s.State, &s.Kept)
	return s, err
}

// AgentStanding re-reads one agent's standing, for a dispatch.
func (tx *Tx) AgentStanding(ctx context.Context, env, id string) (Standing, error) {
	return One(ctx, tx, scanStanding, "SELECT state, kept_instance FROM agents WHERE env = $1 AND id = $2", env, id)
}

// AgentStates returns the standing of every agent of the installation by id, so that a
// node learns of revocations with one small query.
func (tx *Tx) AgentStates(ctx context.Context) (map[string]Standing, error) {
	type row struct {
		id string
		Standing
	}
	rows, err := All(ctx, tx, func(scan Scan) (r row, err error) {
		err = scan(&r.id, &r.State, &r.Kept)
		return r, err
	}, "SELECT id, state, kept_instance FROM agents")
	states := make(map[string]Standing, len(rows))
	for _, r := range rows {
		states[r.id] = r.Standing
	}
	return states, err
}

// OpenConflict records that two live processes use an agent's key. From then on only
// the kept one is given calls. A conflict that is open already is ErrConflict.
func (tx *Tx) OpenConflict(ctx context.Context, env, agent, kept string) error {
	return tx.Swap(ctx, "UPDATE agents SET kept_instance = $3, conflict_at = $4 WHERE env = $1 AND id = $2 AND conflict_at = 0",
		env, agent, kept, Millis(tx.Now()))
}

// CloseConflict records that an administrator has decided. Without an open conflict it
// is ErrConflict.
func (tx *Tx) CloseConflict(ctx context.Context, env, agent string) error {
	return tx.Swap(ctx, "UPDATE agents SET kept_instance = '', conflict_at = 0 WHERE env = $1 AND id = $2 AND conflict_at <> 0", env, agent)
}
