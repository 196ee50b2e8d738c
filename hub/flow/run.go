package flow

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
)

// Times and sizes of the dispatcher.
const (
	lookAtOnce   = 100              // rows of one look
	workers      = 32               // recoveries that one node works on at once; each waits for an agent or a mail server
	leaseLife    = 60 * time.Second // of the node that works on a row; longer than all that it waits for
	giveBackLife = 2 * time.Second
	workLife     = 45 * time.Second // so that a commit still falls into the lease
	keysEvery    = 10               // looks, between two of those at passkeys that agents forget, and at rows that wait for too long
	longestStep  = 2 * time.Minute  // nothing that waits for no person waits longer; see leaseLife
	purgeEvery   = 10 * time.Minute
	purgeAtOnce  = 500
	keepEnded    = 30 * 24 * time.Hour // rows of accounts, for administrators; they hold no address
	keepDecoys   = 24 * time.Hour
)

// Run does what happens behind the answers until ctx ends: codes, lost answers,
// notices, expiry, upkeep. Every node runs it. It returns after its goroutines ended.
func (r *Recoveries) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, workers)
	look, purge, keys := time.NewTicker(r.LookEvery), time.NewTicker(purgeEvery), time.NewTicker(keysEvery*r.LookEvery)
	defer look.Stop()
	defer keys.Stop()
	defer purge.Stop()
	for {
		var due []store.RecoveryRef
		select {
		case <-ctx.Done():
			return nil
		case ref := <-r.wake:
			due = append(due, ref)
		case <-look.C:
			due = r.due(ctx)
		case <-keys.C:
			wg.Go(func() { r.Operations.RemoveKeys(ctx) })
			wg.Go(func() { r.Operations.ResolveActs(ctx) })
			wg.Go(func() { r.hasten(ctx) })
		case <-purge.C:
			wg.Go(func() { r.purge(ctx) })
		}
		for _, ref := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			wg.Go(func() {
				defer func() { <-slots }()
				r.advance(ctx, ref)
			})
		}
	}
}

// poke tells this node that a row is due. Any node finds it anyway.
func (r *Recoveries) poke(rec *store.Recovery) {
	if rec.DueAt.After(r.Now()) {
		return
	}
	select {
	case r.wake <- store.RecoveryRef{Env: rec.Env, ID: rec.ID}:
	default:
	}
}

func (r *Recoveries) due(ctx context.Context) []store.RecoveryRef {
	refs, err := store.Get(ctx, r.Store, func(tx *store.Tx) ([]store.RecoveryRef, error) {
		return tx.DueRecoveries(ctx, r.Now(), lookAtOnce)
	})
	if err != nil && ctx.Err() == nil {
		r.Log.WarnContext(ctx, "recoveries that are due cannot be read", "error", err)
	}
	return refs
}

// hasten looks now at what was to be looked at soon by a clock that was ahead and has been
// set right: nobody waits for that hour to come again.
func (r *Recoveries) hasten(ctx context.Context) {
	now := r.Now()
	latest := now.Add(longestStep)
	late, err := store.Get(ctx, r.Store, func(tx *store.Tx) (bool, error) { return tx.DueTooLate(ctx, latest) })
	if err != nil || !late { // the store is away: again at the next look
		return
	}
	n, err := store.Change(ctx, r.Store, func(tx *store.Tx) (int64, error) { return tx.HastenDue(ctx, now, latest) })
	if ctx.Err() == nil {
		r.Log.WarnContext(ctx, "a clock was ahead and was set back; what waited for a later time is done now", "rows", n, "error", err)
	}
}

// advance is the dispatcher: it takes the lease of a row that is due and does what its
// state asks for. Losing a race, or the lease, is no error: somebody else does it.
func (r *Recoveries) advance(ctx context.Context, ref store.RecoveryRef) {
	rec, err := r.lease(ctx, ref)
	if err == nil {
		err = r.work(ctx, &rec)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		r.Log.WarnContext(ctx, "recovery is tried again later", "recovery", ref.ID, "error", err)
	}
}

// work does one step within the lease. A node that stops, or that was overtaken by the
// person, gives the row back, so that nobody waits for the lease to end.
func (r *Recoveries) work(ctx context.Context, rec *store.Recovery) error {
	work, cancel := context.WithTimeout(ctx, workLife)
	defer cancel()
	until := rec.DueAt
	err := r.step(work, rec)
	if err == nil || ctx.Err() == nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return errors.Join(err, r.giveBack(context.WithoutCancel(ctx), store.RecoveryRef{Env: rec.Env, ID: rec.ID}, until))
}

// giveBack makes a row due whose lease is still the one until then.
func (r *Recoveries) giveBack(ctx context.Context, ref store.RecoveryRef, until time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, giveBackLife)
	defer cancel()
	rec, err := store.Change(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) {
		rec, err := tx.Recovery(ctx, ref.Env, ref.ID)
		if err != nil || store.Millis(rec.DueAt) != store.Millis(until) {
			return rec, err
		}
		rec.DueAt = r.Now()
		return rec, tx.SaveRecovery(ctx, &rec)
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// lease returns the row with a due time in the future, so that no other node takes it.
func (r *Recoveries) lease(ctx context.Context, ref store.RecoveryRef) (store.Recovery, error) {
	return store.Change(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) {
		rec, err := tx.Recovery(ctx, ref.Env, ref.ID)
		if err != nil {
			return rec, err
		}
		if rec.DueAt.IsZero() || rec.DueAt.After(r.Now()) {
			return rec, store.ErrConflict
		}
		rec.DueAt = r.Now().Add(leaseLife)
		return rec, tx.SaveRecovery(ctx, &rec)
	})
}

func (r *Recoveries) step(ctx context.Context, rec *store.Recovery) error {
	expired := !rec.ExpiresAt.After(r.Now())
	switch rec.State {
	case recovery.Choosing, recovery.Proving, recovery.Ready, recovery.Refused:
		if expired {
			return r.expire(ctx, rec)
		}
		return r.rows.Postpone(ctx, rec, rec.ExpiresAt)
	case recovery.Preparing:
		if expired {
			return r.expire(ctx, rec)
		}
		return r.prepare(ctx, rec)
	case recovery.Asking, recovery.Cleared: // whoever pressed is gone, and nothing was sent
		return r.Operations.Release(ctx, rec)
	case recovery.Sent:
		return r.Operations.Resolve(ctx, rec)
	case recovery.Ended:
		return r.Operations.Drop(ctx, rec)
	}
	return r.Operations.ForgetResult(ctx, rec)
}

// purge deletes what nobody needs any more.
func (r *Recoveries) purge(ctx context.Context) {
	now := r.Now()
	for n := purgeAtOnce; n == purgeAtOnce; {
		err := r.Store.Tx(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.PurgeRecoveries(ctx, now.Add(-keepEnded), now.Add(-keepDecoys), purgeAtOnce)
			return err
		})
		if err != nil {
			r.Log.WarnContext(ctx, "old recoveries cannot be deleted", "error", err)
			return
		}
	}
	err := r.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.PurgeLentPhotos(ctx), tx.PurgeCodeSends(ctx, now.Add(-keepSends)), tx.PurgeOperationUses(ctx, now.Add(-keepUses)),
			tx.PurgeLinks(ctx, now), tx.PurgeObjections(ctx, now), tx.PurgeProofCounters(ctx, now.Add(-keepCounters), now))
	})
	if err != nil {
		r.Log.WarnContext(ctx, "old counters cannot be deleted", "error", err)
	}
}

// keepSends is as long as the longest window in which codes are counted.
const keepSends = 24 * time.Hour

// keepCounters is how long an address's failures are remembered: the hard stop is for
// months of guessing, and holds until somebody ends it.
const keepCounters = 365 * 24 * time.Hour

// keepUses is longer than the longest window of an operation limit.
const keepUses = 32 * 24 * time.Hour
