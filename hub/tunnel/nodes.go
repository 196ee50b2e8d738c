package tunnel

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// maxNodes bounds the nodes that an agent says it has tunnels to: it wants two.
const maxNodes = 16

// crowded refuses a second tunnel to this node of a process that says it has one, if
// that one lives. So an agent that looks for a node of its own disturbs nothing.
func (a *admission) crowded(ctx context.Context, agent store.Agent, hello protocol.Hello) error {
	if hello.Ticket != "" || !slices.Contains(hello.Nodes, a.t.mesh.ID()) {
		return nil
	}
	mine := a.t.roster.of(agent.Directory, func(o *conn) bool {
		return o.Agent == agent.ID && o.Instance == hello.Instance && o.attached() != nil
	})
	for _, o := range mine {
		if a.t.lives(ctx, o) {
			return refusal(protocol.CodeUnavailable, "this process has a tunnel to this node", protocol.CloseReplaced)
		}
	}
	return nil
}

// refusedAsCrowded recognises the refusal of crowded, which is nobody's failure.
func refusedAsCrowded(err error) bool {
	var ended *protocol.CloseError
	return errors.As(err, &ended) && ended.Code == protocol.CloseReplaced
}

// announce tells the agents of this node how many nodes live, so that they look for a
// second one at once.
func (t *Tunnels) announce(nodes int) {
	for _, c := range t.roster.all() {
		if l, ok := c.attached().(*protocol.Link); ok {
			t.spawn(func() { _ = l.Event(protocol.EventNodes, protocol.NodesEvent{Nodes: nodes}) }) // a broken link is met by its reader
		}
	}
}
