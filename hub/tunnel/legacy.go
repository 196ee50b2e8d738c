package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/carrier"
)

// LegacyPath is where agents of the public agent protocol connect. They know no other.
const LegacyPath = "/api/diragent"

// maxToken bounds the token in the address.
const maxToken = 512

// errToken is what a refused token is told and logged as. It holds nothing of it.
var errToken = errors.New("tunnel: the token is unknown, or its directory has an enrolled agent")

// ServeLegacy serves LegacyPath for directories without an enrolled agent (T24). The
// token in the query is checked before the upgrade, and neither it nor the address of
// the request goes into a log or an answer.
func (t *Tunnels) ServeLegacy(w http.ResponseWriter, r *http.Request) {
	address, done := t.knock(w, r)
	if done == nil {
		return
	}
	defer done()
	hash, directory, err := t.legacyDirectory(r)
	switch {
	case errors.Is(err, errToken):
		t.gate.failed(r.Context(), policy.Client(address))
		t.log.Info("legacy agent refused", "address", address, "error", err)
		http.Error(w, "the token is not valid", http.StatusUnauthorized)
		return
	case err != nil:
		unavailable(w)
		return
	}
	ctx, ok := t.begin()
	if !ok {
		unavailable(w)
		return
	}
	up := websocket.Upgrader{
		ReadBufferSize: readBuffer, WriteBufferSize: carrier.WriteBuffer, WriteBufferPool: &carrier.WriteBuffers,
		CheckOrigin: func(*http.Request) bool { return true }, // knock refused every Origin
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil { // it has answered
		t.work.Done()
		return
	}
	go func() {
		defer t.work.Done()
		t.serveLegacy(ctx, ws, directory, hash, address)
	}()
}

// legacyDirectory finds the directory of a request's token.
func (t *Tunnels) legacyDirectory(r *http.Request) (hash string, d store.Directory, err error) {
	tokens := r.URL.Query()["auth"]
	if len(tokens) != 1 || tokens[0] == "" || len(tokens[0]) > maxToken {
		return "", d, errToken
	}
	hash = store.HashToken(tokens[0])
	d, err = t.directoryOf(r.Context(), hash)
	return hash, d, err
}

func (t *Tunnels) directoryOf(ctx context.Context, hash string) (store.Directory, error) {
	d, err := store.Get(ctx, t.store, func(tx *store.Tx) (store.Directory, error) { return tx.LegacyDirectory(ctx, hash) })
	if isNotFound(err) {
		err = errToken
	}
	return d, err
}

// serveLegacy is the one goroutine of a legacy socket. The newest connection of a token
// wins, on all nodes: the shipped agent leaks sockets when it reconnects.
func (t *Tunnels) serveLegacy(ctx context.Context, ws *websocket.Conn, d store.Directory, hash, address string) {
	s := newSocket(ws, t.spawn)
	c := &conn{
		identity: identity{Env: d.Env, Directory: d.ID, Agent: protocol.LegacyAgent(d.ID), Instance: hash, Name: "legacy agent"},
		state:    protocol.AgentActive, key: hash, address: address, since: t.now(), ready: make(chan struct{}),
	}
	t.roster.add(c)
	t.attach(ctx, c, &legacyAgent{t: t, socket: s, env: d.Env, directory: d.ID})
	t.tellConnected(c)
	if _, ok := t.claim(ctx, c); ok {
		t.dropElsewhere(ctx, c)
	}
	t.tellConnected(c)
	t.log.Warn("legacy agent connected: its secrets cannot be sealed; enrol a native agent", "directory", d.ID)
	err := s.read(ctx)
	t.detach(ctx, c)
	t.log.Info("legacy agent disconnected", "directory", d.ID, "error", err)
}

// legacyStanding re-reads whether a legacy connection may be given calls.
func (t *Tunnels) legacyStanding(ctx context.Context, c *conn) error {
	d, err := t.directoryOf(ctx, c.key)
	switch {
	case err == nil && d.ID == c.Directory:
		return nil
	case err == nil, errors.Is(err, errToken):
		c.close(websocket.ClosePolicyViolation, "the token has ended")
		return protocol.Err(protocol.CodeUnavailable, "the directory's token has ended")
	}
	return protocol.Err(protocol.CodeUnavailable, "the store does not answer, so nothing is given to an agent")
}

// sweepLegacy ends a legacy connection whose token has ended, and makes known one that
// came while the coordinator was away.
func (t *Tunnels) sweepLegacy(ctx context.Context, c *conn) {
	if t.legacyStanding(ctx, c) != nil || c.claimed.Load() != 0 {
		return
	}
	if _, ok := t.claim(ctx, c); ok {
		t.dropElsewhere(ctx, c)
	}
}

// remoteDrop asks a node to end a directory's legacy connections, claimed before Fence
// unless that is 0.
type remoteDrop struct {
	Directory string `json:"directory"`
	Fence     int64  `json:"fence"`
}

// dropLegacy ends all legacy connections of a directory that has become native. Nodes
// that cannot be asked now find out with their next sweep.
func (t *Tunnels) dropLegacy(ctx context.Context, directory string) {
	t.drop(remoteDrop{Directory: directory})
	t.askDrop(ctx, remoteDrop{Directory: directory})
}

// dropElsewhere ends older connections of the same token on other nodes.
func (t *Tunnels) dropElsewhere(ctx context.Context, c *conn) {
	if fence := c.claimed.Load(); fence != 0 {
		t.askDrop(ctx, remoteDrop{c.Directory, fence})
	}
}

func (t *Tunnels) askDrop(ctx context.Context, d remoteDrop) {
	ctx, cancel := context.WithTimeout(ctx, answerLife)
	defer cancel()
	claims, err := t.mesh.Claims(ctx, claimSet(d.Directory))
	if err != nil {
		return
	}
	request, _ := json.Marshal(d) // plain values always marshal
	for _, held := range claims {
		if held.Node != t.mesh.ID() && (d.Fence == 0 || held.Fence < d.Fence) {
			_, _ = t.mesh.Call(ctx, held.Node, dropName, request) // else its sweep or its deadlines end it
		}
	}
}

// serveDrop ends legacy connections for another node.
func (t *Tunnels) serveDrop(_ context.Context, _ string, b []byte) []byte {
	var d remoteDrop
	if json.Unmarshal(b, &d) != nil {
		return no
	}
	t.drop(d)
	return yes
}

func (t *Tunnels) drop(d remoteDrop) {
	older := t.roster.of(d.Directory, func(c *conn) bool {
		return c.legacy() && (d.Fence == 0 || c.claimed.Load() < d.Fence)
	})
	for _, c := range older {
		c.close(websocket.ClosePolicyViolation, "replaced")
	}
}

// legacyNotAfter is how long a recovery of a legacy directory may take; its agent sets
// no limit of its own.
const legacyNotAfter = 15 * time.Minute
