package coord

import (
	"context"
	"errors"
	"time"
)

// Hold runs f while it holds the lease, which it renews three times per life. It
// returns ErrHeld at once if somebody else has it. f's context ends when the lease is
// lost, or could not be renewed for a whole life; Hold then returns ErrLost.
// Otherwise it releases the lease and returns what f returned.
func Hold(ctx context.Context, leases Leases, name string, life time.Duration, f func(context.Context, Lease) error) error {
	lease, err := leases.Acquire(ctx, name, life)
	if err != nil {
		return err
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		keep(ctx, leases, lease, life, done, cancel)
	}()
	err = f(work, lease)
	close(done)
	<-renewed
	if errors.Is(context.Cause(work), ErrLost) {
		return ErrLost
	}
	release, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer stop()
	if e := leases.Release(release, lease); e != nil && err == nil && errors.Is(e, ErrLost) {
		return ErrLost
	}
	return err
}

// releaseTimeout bounds the release of a lease after its work ended: a lease that is
// not released ends by itself.
const releaseTimeout = 2 * time.Second

// keep renews until done. It cancels the work with ErrLost as soon as another may
// hold the lease.
func keep(ctx context.Context, leases Leases, l Lease, life time.Duration, done <-chan struct{}, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(life / 3)
	defer tick.Stop()
	sure := time.Now().Add(life) // until then the lease is certainly ours
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		call, stop := context.WithTimeout(ctx, life/3)
		err := leases.Renew(call, l, life)
		stop()
		switch {
		case err == nil:
			sure = asked.Add(life)
		case errors.Is(err, ErrLost), time.Now().Add(life / 3).After(sure):
			cancel(ErrLost)
			return
		}
	}
}
