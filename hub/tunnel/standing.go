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

// standingLife bounds a read that dispatches wait for: a store that needs longer is away.
const standingLife = 5 * time.Second

// skewTolerated is how far an agent's clock may be off before people are told (P28).
// Nothing is refused for it here: deadlines are relative.
const skewTolerated = 60 * time.Second

// unsettled is how long rivals are looked for after something happened that may have
// hidden them: the coordinator or a node was away, and each node comes back and makes
// its connections known in its own time.
const unsettled = 5 * sweepEvery

// sweeps re-reads the standing of all agents until ctx ends.
func (t *Tunnels) sweeps(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	nodes := len(t.mesh.Nodes())
	var until time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-t.recheck:
			until = t.now().Add(unsettled)
		}
		late := t.sweep(ctx)
		n := len(t.mesh.Nodes())
		if n != nodes {
			t.announce(n)
		}
		if late || n != nodes {
			until = t.now().Add(unsettled)
		}
		nodes = n
		if t.now().Before(until) {
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
// the store is away everything stays as it is, since every dispatch asks again. It
// reports whether connections were made known that were admitted while the coordinator
// was away.
func (t *Tunnels) sweep(ctx context.Context) (late bool) {
	all := t.roster.all()
	if len(all) == 0 {
		return false
	}
	read, cancel := context.WithTimeout(ctx, sweepEvery)
	defer cancel()
	states, err := store.Get(read, t.store, func(tx *store.Tx) (map[string]store.Standing, error) { return tx.AgentStates(read) })
	if err != nil {
		t.log.Warn("agents' standing cannot be read", "error", err)
		return false
	}
	away := false // the coordinator: asked once, not once for each connection
	for _, c := range all {
		switch {
		case c.attached() == nil: // its admission reads the same rows
		case c.legacy():
			t.sweepLegacy(ctx, c)
		case t.obey(c, states[c.Agent]) && !away && c.claimed.Load() == 0 && c.state != protocol.AgentQuarantined:
			away = !t.claimLate(ctx, c)
			late = late || !away
		}
	}
	return late
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

// claimLate makes a connection known that was admitted while the coordinator was away.
func (t *Tunnels) claimLate(ctx context.Context, c *conn) bool {
	ctx, cancel := context.WithTimeout(ctx, unclaimLife)
	defer cancel()
	_, ok := t.claim(ctx, c)
	return ok
}

// recheckRivals looks for processes that could not be seen when a connection with the
// same key was admitted.
func (t *Tunnels) recheckRivals(ctx context.Context) {
	for _, c := range t.roster.all() {
		if c.legacy() || c.attached() == nil || c.state == protocol.AgentQuarantined {
			continue
		}
		if err := t.recheckRival(ctx, c); err != nil {
			t.log.Debug("rivals cannot be looked for", "error", err)
			return
		}
	}
}

// recheckRival quarantines a connection if an older process with its key lives on
// another node.
func (t *Tunnels) recheckRival(ctx context.Context, c *conn) error {
	first, err := t.rivalElsewhere(ctx, c)
	if err != nil || first == "" {
		return err
	}
	if _, err := t.conflict(ctx, c, first); err != nil {
		return err
	}
	c.close(protocol.CloseComeBack, "your state has changed") // it learns that it is quarantined
	return nil
}

// standing re-reads an agent's standing for those calls that wait to be dispatched, after
// they came and before they leave, and ends the connection if it is no longer to be given
// anything. A store in which nothing was written since is not asked again.
func (t *Tunnels) standing(ctx context.Context, c *conn) error {
	mark, marked := t.store.Mark()
	if last := c.stands.Load(); marked && last != nil && *last == mark {
		return nil
	}
	if err := t.readStanding(ctx, c); err != nil {
		return err
	}
	if marked {
		c.stands.Store(&mark)
	}
	return nil
}

// readStanding asks the store for an agent's standing, and obeys.
func (t *Tunnels) readStanding(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithTimeout(ctx, standingLife)
	defer cancel()
	s, err := store.Look(ctx, t.store, func(tx *store.Tx) (store.Standing, error) { return tx.AgentStanding(ctx, c.Env, c.Agent) })
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
