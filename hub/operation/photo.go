package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// lentFor is how long a photo stays that a directory lent: no recovery that needs it is
// open longer.
const lentFor = longestLife + time.Hour

// borrowPhoto asks the agent that began for the picture in its directory, where the policy
// compares photos and no operator gave one, and applies the policy once more. It is kept
// sealed until no recovery can need it any more; a directory without one has none here
// either. A directory that lends none is no reason to fail: the policy refuses then.
func (o *Operations) borrowPhoto(ctx context.Context, rec *store.Recovery, c *recovery.Case, hubPart []byte, b protocol.Begun) error {
	if o.Picture == nil || c.Decision.Strength != policy.Photo || c.Account.Photo.Given() || recovery.Legacy(c.Directory) {
		return nil
	}
	var photo protocol.Photo
	ref := protocol.RecoveryRef{Recovery: protocol.RecoveryID(hubPart, b.Recovery)}
	err := o.Ask(ctx, To{Env: rec.Env, Directory: rec.Directory, Agent: b.Agent}, protocol.MethodPhoto, ref, &photo)
	if err != nil && MayPass(err) {
		return err
	}
	var clean []byte
	if err == nil && len(photo.Image) > 0 && len(photo.Image) <= protocol.MaxPhoto {
		clean, err = o.Picture(photo.Image)
	}
	if err != nil {
		o.Log.WarnContext(ctx, "the directory lends no photo", "recovery", rec.ID, "directory", rec.Directory, "agent", b.Agent, "error", err)
		clean = nil
	}
	return o.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := lend(ctx, tx, c.Account, photo.Image, clean, o.Now().Add(lentFor)); err != nil {
			return err
		}
		var err error
		if c.Account, err = tx.Account(ctx, rec.Env, c.Account.ID); err != nil {
			return err
		}
		c.Decision, c.Groups, err = recovery.Decide(ctx, tx, rec, c.Directory, c.Account)
		return err
	})
}

// lend keeps a picture that was written anew, or what there is of an earlier one ends.
func lend(ctx context.Context, tx *store.Tx, a store.Account, sent, clean []byte, until time.Time) error {
	if clean == nil {
		return tx.ReturnAccountPhoto(ctx, a.Env, a.ID)
	}
	sum := sha256.Sum256(sent)
	return tx.LendAccountPhoto(ctx, a.Env, a.ID, hex.EncodeToString(sum[:]), clean, until)
}
