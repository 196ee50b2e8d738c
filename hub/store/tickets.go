package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A Ticket lets one agent enrol for a directory.
type Ticket struct {
	Hash           string // HashToken of its secret
	Env, Directory string
	Created        time.Time
	Expires        time.Time
	Used           time.Time
	Agent          string // who used it
}

// MaxTicketLife is the longest life of a ticket (T19).
const MaxTicketLife = time.Hour

// CreateTicket writes a ticket for a directory of the environment that expires after
// life, at most MaxTicketLife.
func (tx *Tx) CreateTicket(ctx context.Context, env, directory, hash string, life time.Duration) (Ticket, error) {
	if life <= 0 || life > MaxTicketLife {
		return Ticket{}, fmt.Errorf("store: a ticket lives at most %s, not %s", MaxTicketLife, life)
	}
	if _, err := tx.Directory(ctx, env, directory); err != nil {
		return Ticket{}, err
	}
	t := Ticket{Hash: hash, Env: env, Directory: directory, Created: tx.Now(), Expires: tx.Now().Add(life)}
	_, err := tx.Exec(ctx, "INSERT INTO tickets (hash, env, directory, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
		t.Hash, t.Env, t.Directory, Millis(t.Created), Millis(t.Expires))
	return t, err
}

func scanTicket(scan Scan) (t Ticket, err error) {
	var created, expires, used int64
	err = scan(&t.Hash, &t.Env, &t.Directory, &created, &expires, &used, &t.Agent)
	t.Created, t.Expires, t.Used = Time(created), Time(expires), Time(used)
	return t, err
}

// RedeemTicket uses a ticket up for an agent. A ticket is used once: by the first of
// all callers. One that is unknown or has expired is ErrNotFound, a used one ErrConflict.
func (tx *Tx) RedeemTicket(ctx context.Context, hash, agent string) (Ticket, error) {
	now := Millis(tx.Now())
	t, err := One(ctx, tx, scanTicket, `SELECT hash, env, directory, created_at, expires_at, used_at, agent
		FROM tickets WHERE hash = $1 AND expires_at > $2`, hash, now)
	if err != nil {
		return Ticket{}, err
	}
	err = tx.Swap(ctx, "UPDATE tickets SET used_at = $2, agent = $3 WHERE hash = $1 AND used_at = 0", hash, now, agent)
	if err != nil {
		return Ticket{}, err
	}
	t.Used, t.Agent = Time(now), agent
	return t, nil
}

// EnrolAgent redeems a ticket and writes the agent that showed it: ID, Env, Directory,
// State and Enrolled of a are filled in. The first agent of a directory is active and
// makes the directory native: its legacy token ends. A further one is pending until an
// administrator has compared its fingerprint. A key that is enrolled already is
// ErrConflict.
func (tx *Tx) EnrolAgent(ctx context.Context, ticketHash string, a Agent) (Agent, error) {
	if len(a.NoiseKey) == 0 || len(a.SignKey) == 0 {
		return Agent{}, errors.New("store: an agent has two keys")
	}
	a.ID, a.Enrolled = NewID(), tx.Now()
	t, err := tx.RedeemTicket(ctx, ticketHash, a.ID)
	if err != nil {
		return Agent{}, err
	}
	a.Env, a.Directory = t.Env, t.Directory
	if a.State, err = tx.firstState(ctx, a); err != nil {
		return Agent{}, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO agents (id, env, directory, name, noise_key, sign_key, state, version, guard_hash, enrolled_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		a.ID, a.Env, a.Directory, a.Name, Base64(a.NoiseKey), Base64(a.SignKey), a.State, a.Version, a.GuardHash, Millis(a.Enrolled))
	if err != nil {
		return Agent{}, err
	}
	return a, tx.Must(ctx, `UPDATE directories SET legacy_token_hash = '', native_since = CASE native_since WHEN 0 THEN $3 ELSE native_since END
		WHERE env = $1 AND id = $2`, a.Env, a.Directory, Millis(a.Enrolled))
}

// firstState: only a directory that never had an agent trusts one unseen.
func (tx *Tx) firstState(ctx context.Context, a Agent) (string, error) {
	others, err := tx.Agents(ctx, a.Env, a.Directory)
	if len(others) == 0 {
		return protocol.AgentActive, err
	}
	return protocol.AgentPending, err
}

// PurgeTickets removes tickets that nobody can use any more. Used ones stay for a day,
// so that a second use is told apart from a wrong ticket.
func (tx *Tx) PurgeTickets(ctx context.Context) (int64, error) {
	return tx.Exec(ctx, "DELETE FROM tickets WHERE expires_at < $1", Millis(tx.Now().Add(-24*time.Hour)))
}
