package hub

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/site"
	"github.com/postern-id/postern/hub/store"
)

// bundleEvery is how often environments are looked for that were made since, and a
// record that failed is tried again.
const bundleEvery = time.Minute

// recordBundles writes into the log of every environment that its pages are other ones
// than before this hub was started (T4). Afterwards it looks at new environments only: a
// node of another version, started later, has recorded its own.
func (h *Hub) recordBundles(ctx context.Context) error {
	hash, started := site.Bundle().Hash(), false
	tick := time.NewTicker(bundleEvery)
	defer tick.Stop()
	for {
		err := recordBundle(ctx, h.store, hash, started)
		started = started || err == nil
		if err != nil && ctx.Err() == nil {
			h.log.WarnContext(ctx, "page bundle not recorded", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// recordBundle records hash for every environment, or, with onlyNew, for those that have
// none.
func recordBundle(ctx context.Context, s *store.Store, hash string, onlyNew bool) error {
	var stale []string
	err := s.Read(ctx, func(tx *store.Tx) (err error) {
		stale, err = withoutBundle(ctx, tx, hash, onlyNew)
		return err
	})
	for _, env := range stale {
		err = errors.Join(err, s.Tx(ctx, func(tx *store.Tx) error { return changeBundle(ctx, tx, env, hash) }))
	}
	return err
}

// withoutBundle returns the environments for which hash is to be recorded.
func withoutBundle(ctx context.Context, tx *store.Tx, hash string, onlyNew bool) (stale []string, err error) {
	orgs, err := tx.Organisations(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range orgs {
		envs, err := tx.Environments(ctx, o.ID)
		if err != nil {
			return nil, err
		}
		for _, e := range envs {
			last, err := tx.Bundle(ctx, e.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			if last.Hash == "" || last.Hash != hash && !onlyNew {
				stale = append(stale, e.ID)
			}
		}
	}
	return stale, nil
}

// changeBundle records hash and says so in the log, unless another node has just done it.
func changeBundle(ctx context.Context, tx *store.Tx, env, hash string) error {
	if _, err := tx.Environment(ctx, env); errors.Is(err, store.ErrNotFound) {
		return nil // removed meanwhile
	}
	last, err := tx.Bundle(ctx, env)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	changed, err := tx.RecordBundle(ctx, env, hash)
	if err != nil || !changed {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{
		Env: env, Kind: audit.BundleChanged, Actor: audit.Principal{System: "start"},
		Detail: map[string]string{"bundle": hash, "former": last.Hash},
	})
}
