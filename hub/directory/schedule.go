package directory

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
)

// Times of the schedule.
const (
	lookEvery  = 15 * time.Second // every node looks which directories are due; the lease lets one begin
	syncEvery  = time.Hour
	syncJitter = 10 * time.Minute // spreads the directories of a node over the hour
	retryAfter = 5 * time.Minute  // after a failure
	firstRetry = lookEvery        // while nothing was ever listed: somebody is setting it up and waits
	purgeEvery = time.Hour
	lookSoon   = 200 * time.Millisecond // after an agent said that something changed, however often it says so
	lookAgain  = time.Second            // when the directory was being synchronised just then
	atOnce     = 4                      // directories that a node synchronises at the same time
)

// Run synchronises every directory each hour, and those whose agent connects when there
// is something to make up for, until ctx ends. It returns after every pass has ended.
func (d *Directories) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, atOnce)
	look, purge := time.NewTicker(lookEvery), time.NewTicker(purgeEvery)
	defer look.Stop()
	defer purge.Stop()
	for {
		for _, to := range d.due(ctx) {
			select {
			case slots <- struct{}{}:
				wg.Go(func() {
					defer func() { <-slots }()
					d.refresh(ctx, to)
				})
			default:
				d.remember(to) // the next look finds it
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-purge.C:
			d.purge(ctx)
		case <-look.C:
		case <-d.wake:
		}
	}
}

// Wake says that an agent of a directory has connected: if its last synchronisation
// failed or there was none, Run begins one now.
func (d *Directories) Wake(env, id string) {
	d.remember(To{Env: env, Directory: id})
	d.look()
}

// Changed says that the agent of a directory has something new to list. Run lists the
// changes soon, if the directory was listed before and nobody has to decide anything.
func (d *Directories) Changed(env, id string) { d.change(To{Env: env, Directory: id}, lookSoon) }

func (d *Directories) change(to To, after time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed[to] = true
	if d.soon {
		return
	}
	d.soon = true
	time.AfterFunc(after, func() {
		d.mu.Lock()
		d.soon = false
		d.mu.Unlock()
		d.look()
	})
}

// takeChanged reports whether a directory's agent said that it changed.
func (d *Directories) takeChanged(to To) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := d.changed[to]
	delete(d.changed, to)
	return changed
}

// hasNews reports whether changes of a directory can be listed at once.
func (d *Directories) hasNews(to To, s store.SyncState) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed[to] && s.Error == "" && !s.Completed.IsZero() && !s.Completed.Before(s.Started) && s.Pending.Reason == ""
}

// remember keeps that a directory's agent has connected until a look takes it up.
func (d *Directories) remember(to To) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[to] = true
}

// look makes Run look now.
func (d *Directories) look() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// SyncNow asks for a full synchronisation, which Run begins, and does not wait for it.
func (d *Directories) SyncNow(_ context.Context, env, id string) error {
	d.mu.Lock()
	d.asked[To{Env: env, Directory: id}] = true
	d.mu.Unlock()
	d.look()
	return nil
}

// takeAsked reports whether somebody asked for a synchronisation of a directory.
func (d *Directories) takeAsked(to To) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked[to]
	delete(d.asked, to)
	return asked
}

// isAsked is takeAsked without taking.
func (d *Directories) isAsked(to To) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[to]
}

// due returns the directories that a synchronisation should begin for.
func (d *Directories) due(ctx context.Context) []To {
	d.mu.Lock()
	connected := d.waiting
	d.waiting = map[To]bool{}
	d.mu.Unlock()
	all, err := store.Get(ctx, d.store, func(tx *store.Tx) ([]store.Directory, error) { return tx.AllDirectories(ctx) })
	if err != nil {
		if ctx.Err() == nil {
			d.log.WarnContext(ctx, "directories cannot be read", "error", err)
		}
		return nil
	}
	var due []To
	for _, dir := range all {
		to := To{Env: dir.Env, Directory: dir.ID}
		if connected[to] && dir.Sync.Running(d.store.Now()) {
			d.remember(to) // should the pass that runs end in an error, the agent is there for another
		}
		if (d.isAsked(to) || d.hasNews(to, dir.Sync)) && !dir.Sync.Running(d.store.Now()) || isDue(dir, connected[to], d.store.Now()) {
			due = append(due, to)
		}
	}
	return due
}

// isDue decides for one directory. connected: its agent has just come.
func isDue(dir store.Directory, connected bool, now time.Time) bool {
	s := dir.Sync
	since := now.Sub(s.Started)
	interrupted := s.Started.After(s.Completed) && s.Error == "" // its node died
	switch {
	case s.Running(now):
		return false
	case s.Started.IsZero(), connected && (interrupted || s.Error != ""):
		return true
	case interrupted, s.Completed.IsZero():
		return since >= firstRetry
	case s.Error != "":
		return since >= retryAfter
	}
	return since >= syncEvery+jitter(dir.ID)
}

// jitter is the same for a directory on every node.
func jitter(id string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(h.Sum32()) % syncJitter
}

// refresh is a scheduled synchronisation: of changes alone where that is enough. After it
// there is another look, at agents that connected meanwhile.
func (d *Directories) refresh(ctx context.Context, to To) {
	defer d.look()
	changed := d.takeChanged(to)
	err := d.sync(ctx, to, d.takeAsked(to))
	if changed && errors.Is(err, ErrRunning) {
		d.change(to, lookAgain) // that pass may have begun before the change
	}
	if err == nil {
		if err := d.KeyNames(ctx, to.Env, to.Directory); err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "names could not be compared", "directory", to.Directory, "error", err) // the next pass does it
		}
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrRunning) {
		return
	}
	if errors.Is(err, coord.ErrUnavailable) || errors.Is(err, store.ErrUnavailable) {
		d.log.WarnContext(ctx, "synchronisation did not begin", "directory", to.Directory, "error", err)
	}
}

// purge removes what was swept 30 days ago, a bounded number at a time.
func (d *Directories) purge(ctx context.Context) {
	for {
		n, err := store.Change(ctx, d.store, func(tx *store.Tx) (int64, error) { return tx.PurgeAccounts(ctx) })
		if err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "swept accounts not removed", "error", err)
		}
		if err != nil || n == 0 {
			return
		}
	}
}
