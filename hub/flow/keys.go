package flow

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Rhythm of telling agents that a passkey was removed. An agent may be away for weeks,
// and one of an older version learns of it after its upgrade: it is never given up.
const (
	keysEvery   = 10 // looks of the dispatcher
	keysAtOnce  = 50
	keysFirst   = time.Minute // longer than one question takes, so that no two nodes ask at once
	keysLongest = time.Hour
)

// removeKeys tells agents which passkeys to forget (T3).
func (r *Recoveries) removeKeys(ctx context.Context) {
	due, err := store.Change(ctx, r.Store, func(tx *store.Tx) ([]store.KeyRemoval, error) {
		return tx.ClaimKeyRemovals(ctx, keysAtOnce, func(tries int) time.Duration { return min(keysFirst<<min(tries, 10), keysLongest) })
	})
	if err != nil { // lost to another node, or the store is away
		return
	}
	for _, k := range due {
		if ctx.Err() != nil {
			return
		}
		r.removeKey(ctx, k)
	}
}

// removeKey tells one agent. An agent that never had the key says so, and that is enough.
func (r *Recoveries) removeKey(ctx context.Context, k store.KeyRemoval) {
	to := To{Env: k.Env, Directory: k.Directory, Agent: k.Agent}
	err := r.askAgent(ctx, to, protocol.MethodRemoveKey, protocol.RemoveKeyRequest{Account: k.Account, Hash: k.Hash}, &protocol.RemovedKey{})
	if err == nil {
		err = r.Store.Tx(ctx, func(tx *store.Tx) error { return tx.KeyRemoved(ctx, k.Env, k.ID) })
	}
	if err != nil && ctx.Err() == nil {
		r.Log.InfoContext(ctx, "an agent was not told yet that a passkey was removed", "agent", k.Agent, "tries", k.Tries+1, "error", err)
	}
}

// keyUnwanted queues that the agents forget a key whose owner removed it while it was
// being enrolled there.
func keyUnwanted(ctx context.Context, tx *store.Tx, rec *store.Recovery, key string) error {
	hash, err := hex.DecodeString(key)
	if err != nil {
		return err
	}
	return tx.RemoveKeyAtAgents(ctx, rec.Env, rec.Directory, rec.Account, hash)
}
