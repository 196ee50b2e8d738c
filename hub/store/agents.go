package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/protocol"
)

// An Agent is a process in the customer's network that serves one directory.
type Agent struct {
	ID, Env, Directory string
	Name               string // host name, for people
	NoiseKey           []byte // X25519, public
	SignKey            []byte // Ed25519, public
	State              string // protocol.AgentActive …
	Version            string
	GuardHash          string
	Evaluation         bool // its own file lets it change nothing
	Enrolled           time.Time
	Seen               time.Time
	Kept               string    // while two live processes use its key: the instance that is given calls
	ConflictSince      time.Time // zero: there is none
}

const agentColumns = "id, env, directory, name, noise_key, sign_key, state, version, guard_hash, enrolled_at, seen_at, kept_instance, conflict_at, evaluation"

func scanAgent(scan Scan) (a Agent, err error) {
	var noise, sign string
	var enrolled, seen, conflict, evaluation int64
	if err = scan(&a.ID, &a.Env, &a.Directory, &a.Name, &noise, &sign, &a.State, &a.Version, &a.GuardHash, &enrolled, &seen, &a.Kept, &conflict, &evaluation); err != nil {
		return a, err
	}
	a.Evaluation = evaluation != 0
	a.Enrolled, a.Seen, a.ConflictSince = Time(enrolled), Time(seen), Time(conflict)
	var errNoise, errSign error
	a.NoiseKey, errNoise = ParseBase64(noise)
	a.SignKey, errSign = ParseBase64(sign)
	return a, errors.Join(errNoise, errSign)
}

// Agent returns one agent of an environment.
func (tx *Tx) Agent(ctx context.Context, env, id string) (Agent, error) {
	return One(ctx, tx, scanAgent, "SELECT "+agentColumns+" FROM agents WHERE env = $1 AND id = $2", env, id)
}

// AgentByKey finds the agent that shows a Noise key in its handshake.
func (tx *Tx) AgentByKey(ctx context.Context, noiseKey []byte) (Agent, error) {
	return One(ctx, tx, scanAgent, "SELECT "+agentColumns+" FROM agents WHERE noise_key = $1", Base64(noiseKey))
}

// Agents returns the agents of a directory, oldest first, revoked ones included.
func (tx *Tx) Agents(ctx context.Context, env, directory string) ([]Agent, error) {
	return All(ctx, tx, scanAgent, "SELECT "+agentColumns+" FROM agents WHERE env = $1 AND directory = $2 ORDER BY enrolled_at, id", env, directory)
}

// ErrRevoked is given for a change of an agent that was revoked, which is final.
var ErrRevoked = errors.New("store: the agent was revoked; enrol it again")

// SetAgentState changes the state of an agent from one of those given. Another state is
// ErrConflict; nothing leads out of revoked.
func (tx *Tx) SetAgentState(ctx context.Context, env, id, state string, from ...string) error {
	a, err := tx.Agent(ctx, env, id)
	switch {
	case err != nil:
		return err
	case a.State == protocol.AgentRevoked:
		return ErrRevoked
	case !slices.Contains(from, a.State):
		return ErrConflict
	}
	return tx.Swap(ctx, "UPDATE agents SET state = $3 WHERE env = $1 AND id = $2 AND state = $4", env, id, state, a.State)
}

// AgentSeen records what an agent said of itself when it connected.
func (tx *Tx) AgentSeen(ctx context.Context, env, id, name, version, guardHash string, evaluation bool) error {
	return tx.Must(ctx, "UPDATE agents SET seen_at = $3, name = $4, version = $5, guard_hash = $6, evaluation = $7 WHERE env = $1 AND id = $2",
		env, id, Millis(tx.Now()), name, version, guardHash, Flag(evaluation))
}
