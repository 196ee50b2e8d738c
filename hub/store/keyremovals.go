package store

import (
	"context"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A KeyRemoval is a passkey that one agent must forget and was not told of yet.
type KeyRemoval struct {
	Env, ID          string
	Directory, Agent string
	Account          string // canonical immutable id
	Hash             []byte // of the credential
	Tries            int
	next             int64
}

// RemoveKeyAtAgents queues the removal of a passkey at every agent of a directory that
// was not revoked: each has a keyring of its own. The caller's transaction makes it
// durable; an agent that is away is told when it is back.
func (tx *Tx) RemoveKeyAtAgents(ctx context.Context, env, directory, account string, hash []byte) error {
	agents, err := tx.Agents(ctx, env, directory)
	if err != nil {
		return err
	}
	now := Millis(tx.Now())
	for _, a := range agents {
		if a.State == protocol.AgentRevoked {
			continue
		}
		_, err := tx.Exec(ctx, `INSERT INTO key_removals (env, id, directory, agent, account, hash, next_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`,
			env, NewID(), directory, a.ID, account, Base64(hash), now)
		if err != nil {
			return err
		}
	}
	return nil
}

// ClaimKeyRemovals takes at most n removals that are due. Each is due again after the
// time that again says for its tries, unless KeyRemoved ends it.
func (tx *Tx) ClaimKeyRemovals(ctx context.Context, n int, again func(tries int) time.Duration) ([]KeyRemoval, error) {
	due, err := All(ctx, tx, scanKeyRemoval, `SELECT env, id, directory, agent, account, hash, tries, next_at FROM key_removals
		WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2`, Millis(tx.Now()), n)
	if err != nil {
		return nil, err
	}
	for _, k := range due {
		err := tx.Swap(ctx, `UPDATE key_removals SET tries = tries + 1, next_at = $4 WHERE env = $1 AND id = $2 AND next_at = $3`,
			k.Env, k.ID, k.next, Millis(tx.Now().Add(again(k.Tries))))
		if err != nil {
			return nil, err
		}
	}
	return due, nil
}

func scanKeyRemoval(scan Scan) (k KeyRemoval, err error) {
	var hash string
	var tries int64
	if err = scan(&k.Env, &k.ID, &k.Directory, &k.Agent, &k.Account, &hash, &tries, &k.next); err != nil {
		return k, err
	}
	k.Tries = int(tries)
	k.Hash, err = ParseBase64(hash)
	return k, err
}

// KeyRemoved ends a removal: the agent does not have the key any more.
func (tx *Tx) KeyRemoved(ctx context.Context, env, id string) error {
	return tx.Must(ctx, `DELETE FROM key_removals WHERE env = $1 AND id = $2`, env, id)
}

// KeyRemovals lists the removals of a directory that an agent was not told of yet.
func (tx *Tx) KeyRemovals(ctx context.Context, env, directory string) ([]KeyRemoval, error) {
	return All(ctx, tx, scanKeyRemoval, `SELECT env, id, directory, agent, account, hash, tries, next_at FROM key_removals
		WHERE env = $1 AND directory = $2 ORDER BY created_at, id LIMIT $3`, env, directory, maxFactors)
}

// purgeKeyRemovals deletes those of agents that are never given a call again.
func (tx *Tx) purgeKeyRemovals(ctx context.Context) error {
	_, err := tx.Exec(ctx, `DELETE FROM key_removals WHERE agent IN (SELECT id FROM agents WHERE state = $1)`, protocol.AgentRevoked)
	return err
}
