package tunnel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/protocol"
)

// To names whom a call is for: an agent, or any active one of a directory.
type To struct {
	Env       string `json:"env"`
	Directory string `json:"directory"`
	Agent     string `json:"agent,omitempty"` // "": any
}

// How long a call without a deadline may take.
const (
	callLife = 60 * time.Second
	listLife = 120 * time.Second // one page of a sync
)

// errNotHere says that a node holds no such agent; errNoAgent is what callers are told
// when none does.
var (
	errNotHere = errors.New("tunnel: not connected to this node")
	errNoAgent = fmt.Errorf("%w: %w", errNotHere, protocol.Err(protocol.CodeUnavailable, "no agent of the directory is connected"))
)

// Call asks an agent, wherever in the installation it is connected, and decodes its
// answer into resp. Errors are *protocol.Error: CodeUnavailable if nothing can have
// happened. Operations are not called but executed: see Execute.
func (t *Tunnels) Call(ctx context.Context, to To, m protocol.Method, p protocol.Priority, req, resp any) error {
	if m == protocol.MethodPerform {
		return protocol.Err(protocol.CodeBadRequest, "an operation is not a call")
	}
	err := t.callHere(ctx, to, m, p, req, resp)
	if protocol.CodeOf(err) != protocol.CodeUnavailable {
		return asProtocol(err)
	}
	ctx, cancel := context.WithTimeout(ctx, lifeOf(m)) // nothing has happened yet
	defer cancel()
	other := t.callElsewhere(ctx, to, m, p, req, resp)
	if errors.Is(other, errNotHere) {
		return asProtocol(err) // what was said here tells more
	}
	return asProtocol(other)
}

func lifeOf(m protocol.Method) time.Duration {
	if m == protocol.MethodList {
		return listLife
	}
	return callLife
}

// callHere asks an agent that is connected to this node, and another one as long as
// nothing can have happened. Without any it returns errNoAgent.
func (t *Tunnels) callHere(ctx context.Context, to To, m protocol.Method, p protocol.Priority, req, resp any) error {
	err := error(errNoAgent)
	for _, c := range t.candidates(to) {
		err = t.give(ctx, c, func(other peer) error { return other.CallWithin(ctx, lifeOf(m), m, p, req, resp) })
		if protocol.CodeOf(err) != protocol.CodeUnavailable {
			return err
		}
	}
	return err
}

// candidates are the connections that may serve, the least busy first, of those the
// newest.
func (t *Tunnels) candidates(to To) []*conn {
	found := t.roster.of(to.Directory, func(c *conn) bool {
		return c.Env == to.Env && (to.Agent == "" || to.Agent == c.Agent) && c.attached() != nil && c.state == protocol.AgentActive
	})
	slices.SortFunc(found, func(a, b *conn) int {
		return cmp.Or(cmp.Compare(a.busy.Load(), b.busy.Load()), cmp.Compare(b.seq, a.seq))
	})
	return found
}

// give uses an agent's connection. Its standing is re-read before anything is sent; a
// link's gate does so for all calls that come at the same moment.
func (t *Tunnels) give(ctx context.Context, c *conn, use func(peer) error) error {
	if c.legacy() {
		if err := t.legacyStanding(ctx, c); err != nil {
			return err
		}
	}
	c.busy.Add(1)
	defer c.busy.Add(-1)
	return use(c.peer)
}

// callElsewhere asks the nodes that claim such an agent, the newest claim first.
func (t *Tunnels) callElsewhere(ctx context.Context, to To, m protocol.Method, p protocol.Priority, req, resp any) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	packed, err := packCall(remoteCall{to, m, p}, body)
	if err != nil {
		return err
	}
	answer, err := t.ask(ctx, to, callName, packed)
	if err != nil || resp == nil {
		return err
	}
	if raw, ok := resp.(*json.RawMessage); ok {
		*raw = answer
		return nil
	}
	if err := protocol.ReadBody(answer, resp); err != nil {
		return protocol.Err(protocol.CodeInternal, "the agent's answer cannot be read")
	}
	return nil
}

// ask sends a request to the nodes that hold such an agent, one after another until one
// of them takes it.
func (t *Tunnels) ask(ctx context.Context, to To, name string, body []byte) ([]byte, error) {
	nodes, err := t.holders(ctx, to)
	if err != nil {
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent is not connected to this node, and other nodes cannot be asked now")
	}
	err = errNoAgent
	for _, node := range nodes {
		var answer []byte
		if answer, err = t.askNode(ctx, node, name, body); protocol.CodeOf(err) != protocol.CodeUnavailable {
			return answer, err
		}
	}
	return nil, err
}

// askNode sends a request to one node.
func (t *Tunnels) askNode(ctx context.Context, node, name string, body []byte) ([]byte, error) {
	answer, err := t.mesh.Call(ctx, node, name, body)
	switch {
	case errors.Is(err, coord.ErrUnavailable):
		return nil, protocol.Err(protocol.CodeUnavailable, "the node that holds the agent cannot be asked now")
	case errors.Is(err, coord.ErrNoAnswer):
		return nil, protocol.Err(protocol.CodeInternal, "the node that holds the agent did not answer")
	case err != nil:
		return nil, err
	}
	return decodeAnswer(answer)
}

// holders are the other nodes that claim such an agent.
func (t *Tunnels) holders(ctx context.Context, to To) (nodes []string, err error) {
	claims, err := t.mesh.Claims(ctx, claimSet(to.Directory))
	if err != nil {
		return nil, err
	}
	for _, held := range claims {
		var c claim
		if held.Node == t.mesh.ID() || json.Unmarshal(held.Detail, &c) != nil {
			continue
		}
		if c.Env == to.Env && c.State == protocol.AgentActive && (to.Agent == "" || to.Agent == c.Agent) && !slices.Contains(nodes, held.Node) {
			nodes = append(nodes, held.Node)
		}
	}
	return nodes, nil
}

// Execute has the operation of a recovery carried out on the node that holds the agent,
// by that node's Executor. Only the ids travel, so whoever can write to the coordinator
// can at most have a recovery looked at (T10). CodeUnavailable means that no node could
// be asked; after another error of the way the recovery's row says what happened. The
// caller's end does not stop what has begun.
func (t *Tunnels) Execute(ctx context.Context, agent, env, recovery string) error {
	to, err := t.agentDirectory(ctx, env, agent)
	if err != nil {
		return err
	}
	err = t.executeHere(ctx, to, recovery)
	if !errors.Is(err, errNotHere) {
		return err
	}
	request, err := json.Marshal(remoteExecute{to, recovery})
	if err != nil {
		return err
	}
	_, err = t.ask(ctx, to, executeName, request)
	return asProtocol(err)
}

// executeLife bounds an execution whose caller may be gone.
const executeLife = protocol.MaxOperationLife + 30*time.Second

// executeHere runs the executor with an agent that is connected to this node, or
// returns errNoAgent.
func (t *Tunnels) executeHere(ctx context.Context, to To, recovery string) error {
	all := t.candidates(to)
	if len(all) == 0 {
		return errNoAgent
	}
	if _, ok := t.begin(); !ok {
		return errNoAgent
	}
	defer t.work.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), executeLife)
	defer cancel()
	return t.cfg.Executor(ctx, to, recovery, func(ctx context.Context, entry string, req protocol.PerformRequest) (protocol.Outcome, error) {
		out, err := t.perform(ctx, all[0], entry, req)
		if err == nil && out.Context != req.Context {
			err = protocol.Err(protocol.CodeInternal, "the agent answered for another context")
		}
		return out, asProtocol(err)
	})
}
