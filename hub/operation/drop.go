package operation

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// How long an agent that is away is not asked to forget a recovery.
const (
	dropAfter = 3 * time.Second // times the number of attempts
	dropMax   = time.Minute
)

// Drop tells the agent that a recovery it began has ended, until it hears it or forgets
// the recovery anyway: the row stays due, so any node goes on after a restart.
func (o *Operations) Drop(ctx context.Context, rec *store.Recovery) error {
	id, err := recovery.FullID(rec)
	if err != nil {
		return err
	}
	err = o.Ask(ctx, ToAgent(rec), protocol.MethodDrop, protocol.RecoveryRef{Recovery: id}, &protocol.Empty{})
	if err == nil {
		return o.rows.Postpone(ctx, rec, time.Time{})
	}
	again := time.Time{}
	if MayPass(err) && time.Unix(rec.NotAfter, 0).After(o.Now()) {
		rec.Attempts++
		again = o.Now().Add(min(time.Duration(rec.Attempts)*dropAfter, dropMax))
	}
	o.Log.InfoContext(ctx, "agent was not told that a recovery ended", "recovery", rec.ID, "again", !again.IsZero(), "error", err)
	return o.rows.Postpone(ctx, rec, again)
}

// MayPass reports whether what stands in the way may go away within minutes.
func MayPass(err error) bool {
	switch protocol.CodeOf(err) {
	case protocol.CodeUnavailable, protocol.CodeInternal, protocol.CodeRateLimited, protocol.CodeQuarantined:
		return true
	}
	return false
}
