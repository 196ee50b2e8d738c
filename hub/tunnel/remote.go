package tunnel

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Names of the calls between nodes.
const (
	callName    = "tunnel.call"
	executeName = "tunnel.execute"
	aliveName   = "tunnel.alive"
	dropName    = "tunnel.drop"
	statusName  = "tunnel.status"
)

// A remoteCall is a call for an agent of another node; the request follows it.
type remoteCall struct {
	To       To                `json:"to"`
	Method   protocol.Method   `json:"method"`
	Priority protocol.Priority `json:"priority"`
}

// packCall puts the length of the call before it and the request behind it, so that a
// large request is not encoded twice.
func packCall(c remoteCall, body []byte) ([]byte, error) {
	head, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(head)+len(body)), uint16(len(head)))
	return append(append(out, head...), body...), nil
}

func unpackCall(b []byte) (c remoteCall, body json.RawMessage, ok bool) {
	if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
		return c, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return c, b[n:], json.Unmarshal(b[2:n], &c) == nil
}

// serveCall asks an agent of this node for another node.
func (t *Tunnels) serveCall(ctx context.Context, _ string, b []byte) []byte {
	c, body, ok := unpackCall(b)
	if !ok || c.Method == protocol.MethodPerform {
		return encodeAnswer(nil, protocol.Err(protocol.CodeBadRequest, "the call cannot be read"))
	}
	var answer json.RawMessage
	err := t.callHere(ctx, c.To, c.Method, c.Priority, body, &answer)
	return encodeAnswer(answer, asProtocol(err))
}

// A remoteExecute asks the node that holds an agent to carry out a recovery.
type remoteExecute struct {
	To       To     `json:"to"`
	Recovery string `json:"recovery"`
}

// serveExecute runs this node's executor for another node.
func (t *Tunnels) serveExecute(ctx context.Context, from string, b []byte) []byte {
	var x remoteExecute
	if json.Unmarshal(b, &x) != nil || x.To.Agent == "" {
		return encodeAnswer(nil, protocol.Err(protocol.CodeBadRequest, "the request cannot be read"))
	}
	err := t.executeHere(ctx, x.To, x.Recovery)
	if err != nil {
		t.log.Info("execution for another node failed", "node", from, "recovery", x.Recovery, "error", err)
	}
	return encodeAnswer(nil, err)
}

// agentDirectory finds where an agent belongs.
func (t *Tunnels) agentDirectory(ctx context.Context, env, agent string) (To, error) {
	if directory, legacy := protocol.LegacyDirectory(agent); legacy {
		return To{env, directory, agent}, nil
	}
	a, err := store.Get(ctx, t.store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(ctx, env, agent) })
	switch {
	case isNotFound(err):
		return To{}, errNoAgent
	case err != nil:
		return To{}, protocol.Err(protocol.CodeUnavailable, "the store does not answer")
	}
	return To{env, a.Directory, agent}, nil
}

// remoteAlive asks whether a process of an agent is connected.
type remoteAlive struct {
	Directory string `json:"directory"`
	claim
}

var yes, no = []byte{1}, []byte{0}

// livesAt asks another node whether it holds a live connection of a process.
func (t *Tunnels) livesAt(ctx context.Context, node, directory string, c claim) bool {
	request, err := json.Marshal(remoteAlive{directory, c})
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerLife)
	defer cancel()
	answer, err := t.mesh.Call(ctx, node, aliveName, request)
	return err == nil && bytes.Equal(answer, yes)
}

// serveAlive pings the connections of a process, and closes those that do not answer.
func (t *Tunnels) serveAlive(ctx context.Context, _ string, b []byte) []byte {
	var r remoteAlive
	if json.Unmarshal(b, &r) != nil {
		return no
	}
	for _, c := range t.roster.of(r.Directory, func(c *conn) bool { return c.Agent == r.Agent && c.Instance == r.Instance }) {
		if t.lives(ctx, c) {
			return yes
		}
		c.close(protocol.CloseComeBack, "silent")
	}
	return no
}
