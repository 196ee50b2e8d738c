package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Times of a synchronisation.
const (
	leaseLife  = 30 * time.Second // of the right to synchronise; a node that dies blocks others for so long
	leaseRenew = 5 * time.Second  // also the longest age of the progress that pages show
	retryWait  = 2 * time.Second  // after an agent was lost in the middle; it redials within seconds
	rounds     = 3                // passes that are begun before the failure is recorded
	recordIn   = 10 * time.Second // to record how it ended, even if the caller has gone
)

// ErrRunning is given when the directory is being synchronised already, on any node.
var ErrRunning = errors.New("directory: a synchronisation is running")

// errLease ends a pass whose node has lost the right to synchronise.
var errLease = errors.New("directory: another node has taken the synchronisation over")

// Sync lists every account of a directory and makes the hub's equal to them. It returns
// when that is done, with ErrRunning at once if it is under way anywhere. Its progress
// and how it ended stand in store.Directory.Sync. Names are not yet to be found by what
// documents say: that is KeyNames.
func (d *Directories) Sync(ctx context.Context, env, id string) error {
	return d.sync(ctx, To{Env: env, Directory: id}, true)
}

// SyncChanges is Sync for what has changed since the last time, where the directory's
// kind can tell and that was less than a day ago; else it lists everything. The schedule
// does the same.
func (d *Directories) SyncChanges(ctx context.Context, env, id string) error {
	return d.sync(ctx, To{Env: env, Directory: id}, false)
}

// sync runs passes under the lease of the directory.
func (d *Directories) sync(ctx context.Context, to To, full bool) error {
	lease, err := d.leases.Acquire(ctx, "sync/"+to.Directory, leaseLife)
	if errors.Is(err, coord.ErrHeld) {
		return ErrRunning
	}
	if err != nil {
		return fmt.Errorf("directory: lease of %s: %w", to.Directory, err)
	}
	run := &syncRun{d: d, to: to, id: store.NewID(), full: full}
	return run.alone(ctx, lease, run.sync)
}

// A syncRun is one synchronisation: passes until one finishes.
type syncRun struct {
	d    *Directories
	to   To
	id   string // store: the run that may write
	full bool

	mu               sync.Mutex
	listed, expected int // of the pass under way
}

// alone runs fn while the lease is renewed and the progress recorded; fn's context ends
// when the lease is lost. Then the lease is given back.
func (r *syncRun) alone(ctx context.Context, lease coord.Lease, fn func(context.Context) error) error {
	inner, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.keep(inner, lease, cancel) })
	err := fn(inner)
	cancel(nil)
	wg.Wait()
	release, done := context.WithTimeout(context.WithoutCancel(ctx), recordIn)
	defer done()
	if err := r.d.leases.Release(release, lease); err != nil && !errors.Is(err, coord.ErrLost) {
		r.d.log.WarnContext(ctx, "lease of a synchronisation not given back", "directory", r.to.Directory, "error", err)
	}
	return err
}

func (r *syncRun) keep(ctx context.Context, lease coord.Lease, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	held := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := r.d.leases.Renew(ctx, lease, leaseLife); {
		case err == nil:
			held = time.Now()
		case errors.Is(err, coord.ErrLost), time.Since(held) > leaseLife-leaseRenew:
			cancel(errLease)
			return
		}
		r.mu.Lock()
		listed, expected := r.listed, r.expected
		r.mu.Unlock()
		err := r.d.store.Tx(ctx, func(tx *store.Tx) error {
			return tx.SyncProgress(ctx, r.to.Env, r.to.Directory, r.id, listed, expected)
		})
		if errors.Is(err, store.ErrConflict) {
			cancel(errLease)
			return
		}
	}
}

// sync begins passes until one finishes or fails for good, and records the end.
func (r *syncRun) sync(ctx context.Context) error {
	err := r.d.store.Tx(ctx, func(tx *store.Tx) error { return tx.StartSync(ctx, r.to.Env, r.to.Directory, r.id) })
	if err != nil {
		return fmt.Errorf("directory: start: %w", err)
	}
	if err = r.passes(ctx); err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("directory: interrupted: %w", cause) // the node stops, or another one is at it: nothing to tell
	}
	return r.fail(ctx, err)
}

// passes begins one pass after another, each with the next agent of the directory. A
// pass that lost its agent in the middle deletes nothing; a new one begins.
func (r *syncRun) passes(ctx context.Context) error {
	agents, err := r.agents(ctx)
	if err != nil {
		return err
	}
	for round := 1; ; round++ {
		begun, err := r.round(ctx, agents)
		if !begun || !lostAgent(err) || round == rounds {
			return err
		}
		r.d.log.InfoContext(ctx, "pass over accounts interrupted; a new one begins", "directory", r.to.Directory, "round", round, "error", err)
		if wait(ctx, r.d.retryWait+rand.N(r.d.retryWait)) != nil {
			return err
		}
	}
}

// round tries every agent until one does it. Of several errors it returns the first
// that says more than that nobody is there. begun: an agent gave a page.
func (r *syncRun) round(ctx context.Context, agents []string) (begun bool, first error) {
	for _, agent := range agents {
		p := newPass(r, agent)
		err := p.run(ctx)
		begun = begun || p.begun
		var e *protocol.Error
		if !errors.As(err, &e) {
			return begun, err
		}
		if first == nil || errors.Is(first, &protocol.Error{Code: protocol.CodeUnavailable}) {
			first = err
		}
	}
	return begun, first
}

// agents returns the agents that may be asked: a pass belongs to one of them. Where none
// is enrolled (agents of the public protocol) the tunnel knows whom to ask.
func (r *syncRun) agents(ctx context.Context) ([]string, error) {
	all, err := store.Get(ctx, r.d.store, func(tx *store.Tx) ([]store.Agent, error) { return tx.Agents(ctx, r.to.Env, r.to.Directory) })
	if err != nil {
		return nil, err
	}
	var ids []string
	var waits *unconfirmed
	for _, a := range all {
		switch a.State {
		case protocol.AgentActive:
			ids = append(ids, a.ID)
		case protocol.AgentPending:
			waits = &unconfirmed{r.to.Directory, a.ID}
		}
	}
	if len(all) == 0 {
		ids = []string{""}
	}
	if len(ids) == 0 && waits != nil {
		return nil, waits
	}
	if len(ids) == 0 {
		return nil, protocol.Err(protocol.CodeUnavailable, "no agent of this directory is active")
	}
	return ids, nil
}

// lostAgent reports whether the same agents may do, once they have redialled, what they
// did not do now.
func lostAgent(err error) bool {
	var e *protocol.Error
	return errors.As(err, &e) && (e.Code == protocol.CodeUnavailable || e.Code == protocol.CodeInternal || e.Code == protocol.CodeNotBegun ||
		e.Code == protocol.CodeQuarantined)
}

// fail records why the synchronisation did not finish.
func (r *syncRun) fail(ctx context.Context, err error) error {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) { // it cannot be recorded, or has no place
		return err
	}
	f, code := explain(err)
	r.d.log.WarnContext(ctx, "synchronisation failed", "directory", r.to.Directory, "code", code, "reason", f.Error)
	errRecord := r.d.store.Tx(ctx, func(tx *store.Tx) error {
		isNew, err := tx.FailSync(ctx, r.to.Env, r.to.Directory, r.id, f)
		if err != nil || !isNew {
			return err
		}
		dir, err := tx.Directory(ctx, r.to.Env, r.to.Directory)
		if err != nil {
			return err
		}
		return r.d.onError(ctx, tx, Failure{Env: r.to.Env, Directory: r.to.Directory, Kind: dir.Kind, Code: code, Message: f.Error})
	})
	return errors.Join(err, errRecord)
}

// wait returns after about d, or earlier with ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
