package operation

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
)

// resultLife is how long a sealed result is kept for the session that asked (T27).
const resultLife = 10 * time.Minute

// Acknowledge says that the person has seen the result, which is then deleted.
func (o *Operations) Acknowledge(ctx context.Context, env, id, session string) error {
	_, err := o.rows.Change(ctx, env, id, session, func(_ *store.Tx, rec *store.Recovery) error {
		if rec.State != recovery.Done && rec.State != recovery.Evaluated {
			return recovery.ErrStep
		}
		return o.rows.Close(rec, recovery.EndAcknowledged)
	})
	return err
}

// ForgetResult deletes a result that nobody acknowledged (T27).
func (o *Operations) ForgetResult(ctx context.Context, rec *store.Recovery) error {
	rec.Result, rec.ResultUntil, rec.Private = nil, time.Time{}, nil
	return o.rows.Postpone(ctx, rec, time.Time{})
}
