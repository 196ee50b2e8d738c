package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/protocol"
)

// An Enrolment is what came of Enroll.
type Enrolment struct {
	Agent       string // id that the hub gave
	Directory   string
	Hub         string
	Fingerprint string // for people to compare
	State       string // protocol.AgentActive, or AgentPending until somebody compared
}

// Enroll makes the agent's keys in the state folder and redeems a ticket, once. The
// hub is authenticated by the key in the ticket. It fails when the state folder is
// enrolled already.
func Enroll(ctx context.Context, cfg Config, version string, ticket protocol.Ticket, log *slog.Logger) (Enrolment, error) {
	if time.Now().After(ticket.Expires) {
		return Enrolment{}, errors.New("the ticket is too old (tickets work for an hour at most); ask the hub for a new one")
	}
	if err := emptyState(cfg.StateDir); err != nil {
		return Enrolment{}, err
	}
	k, err := makeKeys(cfg.StateDir)
	if err != nil {
		return Enrolment{}, err
	}
	id := &Identity{
		Directory: ticket.Directory, Hub: ticket.Hub, HubName: ticket.HubName,
		HubKey: ticket.HubKey, LogKey: ticket.LogKey, Enrolled: time.Now().UTC(), keys: k,
	}
	welcome, err := redeem(ctx, cfg, version, ticket, id)
	if err != nil {
		return Enrolment{}, err
	}
	id.Agent = welcome.Agent
	if err := id.save(cfg.StateDir); err != nil {
		return Enrolment{}, fmt.Errorf("the ticket is used and the identity cannot be written: %w; ask the hub for a new ticket", err)
	}
	log.Info("agent enrolled", "agent", id.Agent, "directory", id.Directory, "hub", id.Hub, "state", welcome.State)
	return Enrolment{id.Agent, id.Directory, id.Hub, id.Fingerprint(), welcome.State}, nil
}

// emptyState makes the folder, and refuses one that has an identity.
func emptyState(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, identityFile)
	switch _, err := os.Stat(path); {
	case err == nil:
		return fmt.Errorf("already enrolled: %s exists; to enrol anew, move the whole state folder aside", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// redeem shows the ticket to the hub inside the tunnel.
func redeem(ctx context.Context, cfg Config, version string, ticket protocol.Ticket, id *Identity) (protocol.Welcome, error) {
	g, err := guard.New(cfg.Guard, nil, time.Now)
	if err != nil {
		return protocol.Welcome{}, err
	}
	d, err := newDialer(id.Hub, cfg.Hub)
	if err != nil {
		return protocol.Welcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialLife)
	defer cancel()
	w, _, err := d.open(ctx, nil)
	if err != nil {
		return protocol.Welcome{}, err
	}
	hello := helloOf(cfg, version, rulesHash(g.Hash(), cfg.Evidence), time.Now())
	hello.Ticket, hello.SignKey = ticket.Secret, id.keys.signPublic()
	link, welcome, err := protocol.Dial(ctx, w, id.keys.noise, id.HubKey, id.HubName, hello, refusing{})
	if refused := (*protocol.Error)(nil); errors.As(err, &refused) {
		return protocol.Welcome{}, fmt.Errorf("the hub refuses: %s", refused.Message)
	}
	if err != nil {
		return protocol.Welcome{}, err
	}
	link.Close(protocol.CloseNormal, "enrolled")
	if welcome.Agent == "" || welcome.Directory != ticket.Directory {
		return protocol.Welcome{}, errors.New("the hub enrolled the agent for another directory than the ticket names")
	}
	return welcome, nil
}

// refusing serves a link that only says hello.
type refusing struct{}

// ServeCall implements protocol.Handler.
func (refusing) ServeCall(context.Context, protocol.Method, []byte) (any, error) {
	return nil, protocol.Err(protocol.CodeUnavailable, "the agent is not running yet")
}

// ServeEvent implements protocol.Handler.
func (refusing) ServeEvent(string, []byte) {}
