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
	Witness            Witness
}

// A Witness is what an agent has seen of the audit log.
type Witness struct {
	Size       int64
	Checkpoint string // the newest that it signed, as a note with both signatures
	Seen       time.Time
	Stopped    string // hash of the head by which it stopped; "" while it acts (T9)
	Failing    string // its sinks that fail, with a space between
}

const agentColumns = "id, env, directory, name, noise_key, sign_key, state, version, guard_hash, enrolled_at, seen_at, kept_instance, conflict_at, evaluation, log_size, log_checkpoint, log_seen_at, log_stopped, log_failing"

func scanAgent(scan Scan) (a Agent, err error) {
	var noise, sign string
	var enrolled, seen, conflict, evaluation, witnessed int64
	w := &a.Witness
	if err = scan(&a.ID, &a.Env, &a.Directory, &a.Name, &noise, &sign, &a.State, &a.Version, &a.GuardHash, &enrolled, &seen, &a.Kept, &conflict, &evaluation,
		&w.Size, &w.Checkpoint, &witnessed, &w.Stopped, &w.Failing); err != nil {
		return a, err
	}
	a.Evaluation, w.Seen = evaluation != 0, Time(witnessed)
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

// AgentWitnessed records that an agent signed a checkpoint, unless it signed a later one
// while it did not stop.
func (tx *Tx) AgentWitnessed(ctx context.Context, env, id string, w Witness) error {
	_, err := tx.Exec(ctx, `UPDATE agents SET log_size = $3, log_checkpoint = $4, log_seen_at = $5, log_stopped = '', log_failing = $6
		WHERE env = $1 AND id = $2 AND (log_size <= $3 OR log_stopped <> '')`, env, id, w.Size, w.Checkpoint, Millis(tx.Now()), w.Failing)
	return err
}

// AgentStopped records that an agent was shown two histories of the audit log, and the
// hash of the head that is not a continuation of what it saw. It reports whether that is
// news.
func (tx *Tx) AgentStopped(ctx context.Context, env, id, hash string) (bool, error) {
	err := tx.Swap(ctx, "UPDATE agents SET log_stopped = $3 WHERE env = $1 AND id = $2 AND log_stopped <> $3", env, id, hash)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// WitnessedAgents returns the agents of an organisation that signed a checkpoint of the
// audit log, or stopped because of it, those with the newest first.
func (tx *Tx) WitnessedAgents(ctx context.Context, org string) ([]Agent, error) {
	return All(ctx, tx, scanAgent, "SELECT "+agentColumns+` FROM agents WHERE (log_size > 0 OR log_stopped <> '') AND env IN (SELECT id FROM environments WHERE org = $1)
		ORDER BY log_size DESC, id`, org)
}
