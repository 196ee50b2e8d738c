package tunnel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unique"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Bounds of what an agent says of itself.
const (
	maxInstance  = 64
	maxWords     = 255 // name, version, guard hash, agent id
	maxGroupName = 512 // of a group, which may be a distinguished name
	signKeySize  = 32  // Ed25519 (RFC 8032)
)

// An admission decides about one agent, between its hello and the welcome.
type admission struct {
	t       *Tunnels
	address string
	hash    string // of the agent's rules, as its hello says
	conn    *conn  // once the agent is known
}

// abandon undoes an admission whose link did not come to be.
func (a *admission) abandon() {
	if a.conn == nil {
		return
	}
	close(a.conn.ready)
	a.t.roster.remove(a.conn)
	a.t.unclaim(context.Background(), a.conn)
}

// admit implements the callback of protocol.Accept: key is the agent's proven Noise key.
func (a *admission) admit(ctx context.Context, key []byte, hello protocol.Hello) (protocol.Welcome, error) {
	if !wellFormed(hello) {
		return protocol.Welcome{}, refusal(protocol.CodeBadRequest, "the hello is malformed", protocol.CloseComeBackHourly)
	}
	a.hash = hello.GuardHash
	agent, err := a.identify(ctx, key, hello)
	if err != nil {
		return protocol.Welcome{}, err
	}
	if err := a.crowded(ctx, agent, hello); err != nil {
		return protocol.Welcome{}, err
	}
	a.reserve(agent, hello)
	if err := a.settle(ctx, agent, hello); err != nil {
		return protocol.Welcome{}, unavailableStore(err)
	}
	w, err := a.welcome(ctx, agent)
	if hello.Probe {
		a.lookOnly(ctx)
	}
	return w, err
}

// lookOnly keeps everything from a connection that is gone in a moment: a synchronisation
// that began on it would fail with it.
func (a *admission) lookOnly(ctx context.Context) {
	a.conn.probe, a.conn.state = true, protocol.AgentPending
	a.t.unclaim(ctx, a.conn)
}

func wellFormed(h protocol.Hello) bool {
	for _, s := range append([]string{h.Name, h.Version, h.GuardHash, h.Agent, h.Ticket}, h.Nodes...) {
		if len(s) > maxWords {
			return false
		}
	}
	if len(h.Groups) > protocol.MaxGroupTrust || slices.ContainsFunc(h.Groups, func(g protocol.GroupTrust) bool { return len(g.Group) > maxGroupName }) {
		return false
	}
	return len(h.Nodes) <= maxNodes && h.Instance != "" && len(h.Instance) <= maxInstance && (h.Ticket == "" || len(h.SignKey) == signKeySize)
}

// trustOf keeps what an agent says of its groups (T5). One that asks for nothing, as
// most do, costs nothing.
func trustOf(groups []protocol.GroupTrust) []protocol.GroupTrust {
	if !slices.ContainsFunc(groups, func(g protocol.GroupTrust) bool { return !g.HubCanReset || g.Delay > 0 }) {
		return nil
	}
	return groups
}

// unavailableStore is what an agent is told while the store is away: come back.
func unavailableStore(err error) error {
	if protocolError := (*protocol.Error)(nil); errors.As(err, &protocolError) {
		return err
	}
	return errors.Join(refusal(protocol.CodeUnavailable, "the hub cannot look the agent up now", protocol.CloseComeBack), err)
}

// identify finds the agent of a key, or enrols it by its ticket.
func (a *admission) identify(ctx context.Context, key []byte, hello protocol.Hello) (store.Agent, error) {
	if hello.Ticket != "" {
		return a.enrol(ctx, key, hello)
	}
	agent, err := store.Get(ctx, a.t.store, func(tx *store.Tx) (store.Agent, error) { return tx.AgentByKey(ctx, key) })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return agent, refusal(protocol.CodePermissionDenied, "the hub does not know this agent's key: enrol it with a ticket", protocol.CloseComeBackHourly)
	case err != nil:
		return agent, unavailableStore(err)
	case agent.State == protocol.AgentRevoked:
		return agent, refusal(protocol.CodePermissionDenied, "this agent was revoked: enrol it with a ticket", protocol.CloseComeBackHourly)
	case hello.Agent != "" && hello.Agent != agent.ID:
		return agent, refusal(protocol.CodePermissionDenied, "this key belongs to another agent", protocol.CloseComeBackHourly)
	}
	return agent, nil
}

// enrol redeems the ticket in one transaction with its audit row, and ends what the
// directory had of legacy connections (T24).
func (a *admission) enrol(ctx context.Context, key []byte, hello protocol.Hello) (store.Agent, error) {
	agent, err := store.Change(ctx, a.t.store, func(tx *store.Tx) (store.Agent, error) {
		agent, err := tx.EnrolAgent(ctx, store.HashToken(hello.Ticket), store.Agent{
			Name: hello.Name, NoiseKey: key, SignKey: hello.SignKey, Version: hello.Version, GuardHash: hello.GuardHash,
		})
		if err != nil {
			return agent, err
		}
		return agent, audit.Append(ctx, tx, audit.Event{
			Env: agent.Env, Kind: audit.AgentEnrolled, Actor: audit.Principal{Agent: agent.ID}, RemoteAddr: a.address,
			Detail: map[string]any{"agent": agent.ID, "directory": agent.Directory, "name": agent.Name, "state": agent.State,
				"fingerprint": protocol.Fingerprint(agent.NoiseKey, agent.SignKey)},
		})
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		return agent, refusal(protocol.CodePermissionDenied, "the ticket is unknown, expired or used, or the key is enrolled already: ask for a new ticket", protocol.CloseComeBackHourly)
	case err != nil:
		return agent, unavailableStore(err)
	}
	a.t.dropLegacy(ctx, agent.Directory)
	return agent, nil
}

// reserve enters the connection, so that whoever else shows the same key sees it.
func (a *admission) reserve(agent store.Agent, hello protocol.Hello) {
	now := a.t.now()
	c := &conn{
		identity: identity{shared(agent.Env), agent.Directory, agent.ID, strings.Clone(hello.Instance), shared(hello.Name), shared(hello.Version)},
		state:    shared(agent.State), address: a.address, since: now, ready: make(chan struct{}), groups: trustOf(hello.Groups), evaluation: hello.Evaluation,
		signKey: agent.SignKey,
	}
	c.view.said(hello)
	if !hello.Time.IsZero() {
		c.skew = hello.Time.Sub(now)
	}
	a.t.roster.add(c)
	a.t.showSoon(c)
	a.conn = c
}

// shared returns the one copy of what many connections say.
func shared(s string) string { return unique.Make(s).Value() }

// settle finds out whether this is a second live process of one key (T29), and records
// what is known now.
func (a *admission) settle(ctx context.Context, agent store.Agent, hello protocol.Hello) error {
	c := a.conn
	switch {
	case agent.Kept != "":
		if agent.Kept != c.Instance {
			c.state = protocol.AgentQuarantined
		}
	default:
		if first := a.t.rival(ctx, c); first != "" {
			kept, err := a.t.conflict(ctx, c, first)
			if err != nil {
				return err
			}
			if kept != c.Instance {
				c.state = protocol.AgentQuarantined
			}
		}
	}
	if c.state == protocol.AgentQuarantined { // an impostor does not overwrite what the agent said of itself
		a.t.unclaim(ctx, c) // nobody looks for it
		a.t.log.Warn("agent quarantined", "agent", c.Agent, "directory", c.Directory, "address", c.address)
		return nil
	}
	return a.t.store.Tx(ctx, func(tx *store.Tx) error {
		return tx.AgentSeen(ctx, c.Env, c.Agent, c.Name, c.Version, hello.GuardHash, hello.Evaluation)
	})
}

func (a *admission) welcome(ctx context.Context, agent store.Agent) (protocol.Welcome, error) {
	c := a.conn
	w := protocol.Welcome{
		Agent: c.Agent, Directory: c.Directory, Node: a.t.mesh.ID(), Nodes: len(a.t.mesh.Nodes()), State: c.state, Time: a.t.now(), Version: cmp.Or(a.t.cfg.Version, ownVersion()),
	}
	if c.state != protocol.AgentActive {
		return w, nil
	}
	err := a.t.store.Tx(ctx, func(tx *store.Tx) (err error) {
		if w.GuardDiffers, err = guardDiffers(ctx, tx, agent, a.hash); err != nil {
			return err
		}
		if w.BirthDateKey, err = tx.BirthDateKey(ctx, agent.Env, agent.Directory); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return w, unavailableStore(err)
	}
	return w, nil
}

// rival returns the instance of another live process that shows the same key and was
// admitted before c, on this node or another; "" if there is none. c is claimed by it.
func (t *Tunnels) rival(ctx context.Context, c *conn) string {
	older := t.roster.of(c.Directory, func(o *conn) bool {
		return o.Agent == c.Agent && o.Instance != c.Instance && o.seq < c.seq
	})
	for _, o := range older {
		switch alive := t.lives(ctx, o); {
		case !alive:
			t.spawn(func() { o.close(protocol.CloseComeBack, "silent") })
		case o.state != protocol.AgentQuarantined:
			return o.Instance
		}
	}
	before, ok := t.claim(ctx, c)
	if !ok {
		return "" // the coordinator is away: the sweep looks again
	}
	return t.firstOf(ctx, c, before)
}

// firstOf returns the instance among earlier claims of other nodes that shows the same
// key and lives; "" if there is none.
func (t *Tunnels) firstOf(ctx context.Context, c *conn, before []coord.Claim) string {
	for _, held := range slices.Backward(before) { // the oldest first
		var other claim
		if held.Node == t.mesh.ID() || json.Unmarshal(held.Detail, &other) != nil {
			continue
		}
		if other.Agent == c.Agent && other.Instance != c.Instance && t.livesAt(ctx, held.Node, c.Directory, other) {
			return other.Instance
		}
	}
	return ""
}

// lives reports whether a connection of this node is in use at this moment.
func (t *Tunnels) lives(ctx context.Context, c *conn) bool {
	ctx, cancel := context.WithTimeout(ctx, answerLife)
	defer cancel()
	select {
	case <-c.ready:
		return c.peer != nil && t.answers(ctx, c.peer)
	case <-ctx.Done():
		return false
	}
}

// claim makes the connection known to other nodes, if it is not yet, and returns what
// was claimed of its directory before.
func (t *Tunnels) claim(ctx context.Context, c *conn) (before []coord.Claim, ok bool) {
	if c.claimed.Load() != 0 {
		return nil, true
	}
	held, before, err := t.mesh.Claim(ctx, claimSet(c.Directory), c.claim())
	if err != nil {
		return nil, false
	}
	if !c.claimed.CompareAndSwap(0, held.Fence) { // two found it unclaimed
		_ = t.mesh.Unclaim(ctx, held.Set, held.Fence) // else it ends with this node
	}
	return before, true
}

// rivalElsewhere asks the nodes that claimed an older connection with the same key.
func (t *Tunnels) rivalElsewhere(ctx context.Context, c *conn) (string, error) {
	own := c.claimed.Load()
	if own == 0 {
		return "", nil
	}
	claims, err := t.mesh.Claims(ctx, claimSet(c.Directory))
	if err != nil {
		return "", err
	}
	older := slices.DeleteFunc(claims, func(held coord.Claim) bool { return held.Fence >= own })
	return t.firstOf(ctx, c, older), nil
}

// conflict records that c is a second live process beside first, unless another node
// recorded a conflict at the same moment. It returns the process that is kept.
func (t *Tunnels) conflict(ctx context.Context, c *conn, first string) (kept string, err error) {
	return store.Change(ctx, t.store, func(tx *store.Tx) (string, error) {
		standing, err := tx.AgentStanding(ctx, c.Env, c.Agent)
		if err != nil || standing.Kept != "" {
			return standing.Kept, err
		}
		t.log.Warn("agent conflict: two live processes use one key", "agent", c.Agent, "directory", c.Directory, "address", c.address)
		if err := tx.OpenConflict(ctx, c.Env, c.Agent, first); err != nil {
			return "", err
		}
		return first, audit.Append(ctx, tx, audit.Event{
			Env: c.Env, Kind: audit.AgentConflict, Actor: audit.Principal{Agent: c.Agent}, RemoteAddr: c.address,
			Detail: map[string]any{"agent": c.Agent, "directory": c.Directory, "kept": first, "quarantined": c.Instance, "name": c.Name, "version": c.Version},
		})
	})
}
