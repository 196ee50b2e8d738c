package flow

import (
	"context"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
)

// Cancel ends a recovery that was not sent to the agent.
func (r *Recoveries) Cancel(ctx context.Context, env, id, session string) error {
	rec, err := r.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		if !recovery.IsOpen(rec.State) {
			return recovery.ErrStep
		}
		return r.rows.Stop(ctx, tx, rec, recovery.EndCancelled, audit.RecoveryCanceled, "by the session")
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

func (r *Recoveries) expire(ctx context.Context, rec *store.Recovery) error {
	row := *rec
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		try := row
		if err := r.rows.Stop(ctx, tx, &try, recovery.EndExpired, audit.RecoveryExpired, "time"); err != nil {
			return err
		}
		return tx.SaveRecovery(ctx, &try)
	})
}
