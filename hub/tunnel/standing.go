package tunnel

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// sweepEvery is how often a node re-reads what became of its agents: a revocation takes
// effect within five seconds (P11).
const sweepEvery = 4 * time.Second

// skewTolerated is how far an agent's clock may be off before people are told (P28).
// Nothing is refused for it here: deadlines are relative.
const skewTolerated = 60 * time.Second

// sweeps re-reads the standing of all agents until ctx ends.
func (t *Tunnels) sweeps(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	nodes := len(t.mesh.Nodes())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.sweep(ctx)
			if n := len(t.mesh.Nodes()); n != nodes {
				nodes = n
				t.announce(n)
			}
		case <-t.recheck:
			t.sweep(ctx)
			t.recheckRivals(ctx)
		}
	}
}

// restored is called when the coordinator lost its memory and the claims were written
// again: meanwhile a second process of one key may have been admitted elsewhere.
func (t *Tunnels) restored() {
	select {
	case t.recheck <- struct{}{}:
	default:
	}
}

// sweep ends connections whose agent changed its standing since they were admitted:
// the revoked come back hourly, the others at once, to be told their new state. While
// the store is away everything stays as it is, since every dispatch asks again.
func (t *Tunnels) sweep(ctx context.Context) {
	all := t.roster.all()
	if len(all) == 0 {
		return
	}
	read, cancel := context.WithTimeout(ctx, sweepEvery)
	defer cancel()
	states, err := store.Get(read, t.store, func(tx *store.Tx) (map[string]store.Standing, error) { return tx.AgentStates(read) })
	if err != nil {
		t.log.Warn("agents' standing cannot be read", "error", err)
		return
	}
	for _, c := range all {
		switch {
		case c.attached() == nil: // its admission reads the same rows
		case c.legacy():
			t.sweepLegacy(ctx, c)
		case t.obey(c, states[c.Agent]) && c.claimed.Load() == nil && c.state != protocol.AgentQuarantined:
			t.claimLate(ctx, c)
		}
	}
}

// obey ends the connection if the standing is not the one that it was admitted with,
// and reports whether it stays.
func (t *Tunnels) obey(c *conn, s store.Standing) bool {
	switch {
	case s.State == "" || s.State == protocol.AgentRevoked:
		t.spawn(func() { c.close(protocol.CloseComeBackHourly, "revoked") })
	case stateOf(c, s) != c.state:
		t.spawn(func() { c.close(protocol.CloseComeBack, "your state has changed") })
	default:
		return true
	}
	return false
}

// stateOf is the state of a connection under a standing.
func stateOf(c *conn, s store.Standing) string {
	if s.Kept != "" && s.Kept != c.Instance {
		return protocol.AgentQuarantined
	}
	return s.State
}

// claimLate makes a connection known that was admitted while the coordinator was away,
// and looks for rivals that could not be seen then.
func (t *Tunnels) claimLate(ctx context.Context, c *conn) {
	ctx, cancel := context.WithTimeout(ctx, unclaimLife)
	defer cancel()
	if t.claim(ctx, c) {
		t.recheckRival(ctx, c)
	}
}

func (t *Tunnels) recheckRivals(ctx context.Context) {
	for _, c := range t.roster.all() {
		if !c.legacy() && c.attached() != nil && c.state != protocol.AgentQuarantined {
			t.recheckRival(ctx, c)
		}
	}
}

// recheckRival quarantines a connection if an older process with its key lives on
// another node.
func (t *Tunnels) recheckRival(ctx context.Context, c *conn) {
	first := t.rivalElsewhere(ctx, c)
	if first == "" {
		return
	}
	if _, err := t.conflict(ctx, c, first); err != nil {
		t.log.Warn("a conflict cannot be recorded", "agent", c.Agent, "error", err)
		return
	}
	c.close(protocol.CloseComeBack, "your state has changed") // it learns that it is quarantined
}

// standing re-reads a connection's standing for a dispatch, and ends the connection if
// it is no longer to be given anything.
func (t *Tunnels) standing(ctx context.Context, c *conn) error {
	if c.legacy() {
		return t.legacyStanding(ctx, c)
	}
	s, err := store.Get(ctx, t.store, func(tx *store.Tx) (store.Standing, error) { return tx.AgentStanding(ctx, c.Env, c.Agent) })
	switch {
	case err != nil && !isNotFound(err):
		return protocol.Err(protocol.CodeUnavailable, "the store does not answer, so nothing is given to an agent")
	case !t.obey(c, s):
		return protocol.Err(protocol.CodeUnavailable, "the agent was revoked or its state changed")
	case s.State != protocol.AgentActive:
		return protocol.Err(protocol.CodeUnavailable, "the agent is "+s.State)
	}
	return nil
}

// Confirm makes a pending agent active. fingerprint is what the administrator compared
// with the one that the agent's machine shows (T19).
func (t *Tunnels) Confirm(ctx context.Context, env, agent, fingerprint string, by audit.Principal) error {
	return t.decide(ctx, env, agent, func(tx *store.Tx) error {
		a, err := tx.Agent(ctx, env, agent)
		if err != nil {
			return err
		}
		if fingerprint != protocol.Fingerprint(a.NoiseKey, a.SignKey) {
			return ErrFingerprint
		}
		if err := tx.SetAgentState(ctx, env, agent, protocol.AgentActive, protocol.AgentPending); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.AgentConfirmed, Actor: by,
			Detail: map[string]any{"agent": agent, "directory": a.Directory, "fingerprint": fingerprint}})
	})
}

// Revoke ends an agent for good: its key is worth nothing any more, on any node within
// five seconds.
func (t *Tunnels) Revoke(ctx context.Context, env, agent string, by audit.Principal) error {
	return t.decide(ctx, env, agent, func(tx *store.Tx) error {
		err := tx.SetAgentState(ctx, env, agent, protocol.AgentRevoked, protocol.AgentActive, protocol.AgentPending, protocol.AgentQuarantined)
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.AgentRevoked, Actor: by, Detail: map[string]any{"agent": agent}})
	})
}

// Resolve ends a conflict of two processes: the administrator has stopped one of them.
// Whichever is connected first afterwards is the one; if both still live, the conflict
// begins anew.
func (t *Tunnels) Resolve(ctx context.Context, env, agent string, by audit.Principal) error {
	return t.decide(ctx, env, agent, func(tx *store.Tx) error {
		if err := tx.CloseConflict(ctx, env, agent); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.AgentResolved, Actor: by, Detail: map[string]any{"agent": agent}})
	})
}

// decide writes an administrator's decision and lets this node obey at once; the others
// follow with their next sweep.
func (t *Tunnels) decide(ctx context.Context, env, agent string, write func(*store.Tx) error) error {
	if err := t.store.Tx(ctx, write); err != nil {
		return err
	}
	if _, ok := t.begin(); ok {
		defer t.work.Done()
		t.sweep(ctx)
	}
	return nil
}
