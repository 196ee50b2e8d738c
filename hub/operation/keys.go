package operation

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Rhythm of telling agents that a passkey was removed. An agent may be away for weeks,
// and one of an older version learns of it after its upgrade: it is never given up.
const (
	keysAtOnce  = 50
	keysFirst   = time.Minute // longer than one question takes, so that no two nodes ask at once
	keysLongest = time.Hour
)

// RemoveKeys tells agents which passkeys to forget (T3).
func (o *Operations) RemoveKeys(ctx context.Context) {
	due, err := store.Change(ctx, o.Store, func(tx *store.Tx) ([]store.KeyRemoval, error) {
		return tx.ClaimKeyRemovals(ctx, keysAtOnce, func(tries int) time.Duration { return min(keysFirst<<min(tries, 10), keysLongest) })
	})
	if err != nil { // lost to another node, or the store is away
		return
	}
	for _, k := range due {
		if ctx.Err() != nil {
			return
		}
		o.removeKey(ctx, k)
	}
}

// removeKey tells one agent. An agent that never had the key says so, and that is enough.
func (o *Operations) removeKey(ctx context.Context, k store.KeyRemoval) {
	to := To{Env: k.Env, Directory: k.Directory, Agent: k.Agent}
	err := o.Ask(ctx, to, protocol.MethodRemoveKey, protocol.RemoveKeyRequest{Account: k.Account, Hash: k.Hash}, &protocol.RemovedKey{})
	if err == nil {
		err = o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.KeyRemoved(ctx, k.Env, k.ID) })
	}
	if err != nil && ctx.Err() == nil {
		o.Log.InfoContext(ctx, "an agent was not told yet that a passkey was removed", "agent", k.Agent, "tries", k.Tries+1, "error", err)
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

// credential returns what an agent enrols, nil for every other operation.
func credential(rec *store.Recovery) ([]byte, error) {
	if protocol.Action(rec.Action) != protocol.ActionEnrollKey {
		return nil, nil
	}
	in, err := recovery.IntentOf(rec)
	return in.Credential, err
}

// keyEnrolled writes down that the agent took a key. It counts there after a wait of the
// agent's own, which is as long as ours.
func (o *Operations) keyEnrolled(ctx context.Context, tx *store.Tx, rec *store.Recovery) error {
	if protocol.Action(rec.Action) != protocol.ActionEnrollKey {
		return nil
	}
	in, err := recovery.IntentOf(rec)
	if err != nil {
		return err
	}
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err != nil {
		return err
	}
	if v.State != store.VerificationProven { // its proof was taken back meanwhile
		return keyUnwanted(ctx, tx, rec, in.Key)
	}
	if err := tx.FactorAtAgent(ctx, rec.Env, in.Factor, o.Now().Add(factor.Wait)); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return keyUnwanted(ctx, tx, rec, in.Key) // removed meanwhile
}
