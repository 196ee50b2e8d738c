package terminal

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
)

// Pattern is where terminals fetch their keys, as http.ServeMux writes it.
const Pattern = "GET /api/cli/login/{key}"

// Numbers of waiting. A command line that asks six times within 25 seconds and then gives
// up waits some two minutes when each answer is held back.
const (
	holdFor   = 20 * time.Second
	lookEvery = time.Second
	maxHeld   = 256 // answers that this node holds back at once; more are told at once to ask again
	atOnce    = 20  // questions of one address
	refill    = time.Second
)

// ServeHTTP answers a terminal: 204 while nobody has approved it, 200 with the sealed API
// key, and 400 or more if it should stop.
func (t *Terminals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	key := r.PathValue("key")
	if !Valid(key) {
		http.Error(w, "this is not the key of a terminal", http.StatusBadRequest)
		return
	}
	ok, err := t.cfg.Buckets.Take(r.Context(), "terminal:"+policy.Client(r.RemoteAddr), atOnce, refill)
	if err != nil || !ok {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	sealed, err := t.wait(r.Context(), key)
	switch {
	case r.Context().Err() != nil:
	case errors.Is(err, store.ErrNotFound):
		w.WriteHeader(http.StatusNoContent)
	case err != nil:
		t.cfg.Log.WarnContext(r.Context(), "a terminal cannot be answered", "err", err)
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(sealed) // whoever went away asks again
	}
}

// wait looks for what was sealed to a key, and holds the answer back for a while if there
// is nothing yet.
func (t *Terminals) wait(ctx context.Context, key string) ([]byte, error) {
	sealed, err := t.look(ctx, key)
	if !errors.Is(err, store.ErrNotFound) {
		return sealed, err
	}
	select {
	case t.held <- struct{}{}:
		defer func() { <-t.held }()
	default:
		return nil, err
	}
	tick, over := time.NewTicker(lookEvery), time.NewTimer(t.hold)
	defer tick.Stop()
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-over.C: // not a deadline of ctx: a look that it ended would be an error
			return nil, store.ErrNotFound
		case <-tick.C:
		}
		if sealed, err := t.look(ctx, key); !errors.Is(err, store.ErrNotFound) {
			return sealed, err
		}
	}
}

func (t *Terminals) look(ctx context.Context, key string) ([]byte, error) {
	kept, err := store.Get(ctx, t.cfg.Store, func(tx *store.Tx) (store.Terminal, error) { return tx.Terminal(ctx, key) })
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(kept.Sealed)
}
