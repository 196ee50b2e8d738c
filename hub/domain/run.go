package domain

import (
	"context"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// How often what is done.
const (
	refreshEvery = 5 * time.Second  // what other nodes changed is known here after this
	provenEvery  = 24 * time.Hour   // a proof holds for a day
	freshEvery   = 30 * time.Second // an administrator is waiting for the DNS …
	freshFor     = time.Hour        // … for that long after registering
	failedEvery  = time.Hour        // later
)

// Run keeps the memory up to date and proves domains again, until ctx ends.
func (d *Domains) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { every(ctx, d.checkDue) })
	every(ctx, d.refresh)
	return nil
}

// every calls fn each few seconds, one call after the other, until ctx ends.
func every(ctx context.Context, fn func(context.Context) error) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = fn(ctx) // said in the log where it matters; the next call is seconds away
		}
	}
}

// checkDue checks the domains whose time has come. Nodes share the work: who comes
// first writes the time of the check.
func (d *Domains) checkDue(ctx context.Context) error {
	all, err := store.Get(ctx, d.store, func(tx *store.Tx) ([]store.Domain, error) { return tx.AllDomains(ctx) })
	if err != nil {
		return err
	}
	for _, dom := range all {
		if !due(dom, d.now()) {
			continue
		}
		if err := d.check(ctx, dom); err != nil && ctx.Err() == nil {
			d.log.Warn("domain not checked", "domain", dom.Name, "error", err)
		}
	}
	return nil
}

// due reports whether a domain is to be checked again.
func due(dom store.Domain, now time.Time) bool {
	every := failedEvery
	switch {
	case !dom.Proven.IsZero() && dom.LastError == "":
		every = provenEvery
	case now.Sub(dom.Created) < freshFor:
		every = freshEvery
	}
	return now.Sub(dom.Checked) >= every
}
