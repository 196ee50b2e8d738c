package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// Numbers of the outbox. Retries are those of the public documents.
const (
	retries     = 5 // after the first try
	retryAfter  = 30 * time.Second
	tryTimeout  = 15 * time.Second // one delivery, answer included
	claimFor    = 60 * time.Second // longer than a try; a dead node's deliveries wait as long
	atOnce      = 8                // deliveries under way on this node
	lookEvery   = 2 * time.Second  // what other nodes queued, and retries that are due
	keepFor     = 7 * 24 * time.Hour
	sweepEvery  = time.Hour
	finishWrite = 5 * time.Second // to record a try whose answer came while the hub stops
)

// Run delivers what is queued until ctx ends. Every node runs it; a delivery is tried by
// one of them at a time. While the store is away nothing is lost.
func (h *Hooks) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var away bool
	var swept time.Time
	for {
		err := h.deliverDue(ctx)
		if err == nil && time.Since(swept) > sweepEvery {
			swept = time.Now()
			err = h.store.Tx(ctx, func(tx *store.Tx) error { return tx.PurgeDeliveries(ctx, h.now().Add(-keepFor)) })
		}
		if (err != nil) != away && ctx.Err() == nil {
			away = err != nil
			h.log.WarnContext(ctx, "webhook outbox", "reachable", !away, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-h.wake:
		}
	}
}

// deliverDue tries everything that is due, at most atOnce at a time.
func (h *Hooks) deliverDue(ctx context.Context) error {
	for {
		due, err := store.Change(ctx, h.store, func(tx *store.Tx) ([]store.Delivery, error) {
			return tx.ClaimDeliveries(ctx, atOnce, h.now().Add(claimFor))
		})
		if errors.Is(err, store.ErrConflict) {
			return nil // another node is at it; look again later
		}
		if err != nil || len(due) == 0 {
			return err
		}
		var wg sync.WaitGroup
		for _, d := range due {
			wg.Go(func() { h.try(ctx, d) })
		}
		wg.Wait()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// try makes one try of a claimed delivery and records what it came to.
func (h *Hooks) try(ctx context.Context, d store.Delivery) {
	w, err := store.Get(ctx, h.store, func(tx *store.Tx) (store.Webhook, error) { return tx.Webhook(ctx, d.Env, d.Webhook) })
	if err != nil {
		return // removed meanwhile, or the store is away: the claim lapses
	}
	a := store.Attempt{Start: h.now().UTC()}
	a.Status, err = h.post(ctx, w, d)
	a.End = h.now().UTC()
	if err != nil {
		a.Error = err.Error()
	}
	if ctx.Err() != nil && err != nil {
		return // the hub stops: another node, or this one later, tries again
	}
	next := h.next(d, a, w.Enabled)
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWrite)
	defer cancel()
	err = h.store.Tx(write, func(tx *store.Tx) error { return tx.FinishTry(write, d, a, next) })
	h.log.DebugContext(ctx, "webhook tried", "env", d.Env, "webhook", d.Webhook, "delivery", d.ID, "status", a.Status, "err", err)
}

func (h *Hooks) post(ctx context.Context, w store.Webhook, d store.Delivery) (status int, err error) {
	if !w.Enabled {
		return 0, errors.New("the webhook was switched off")
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	secret, err := h.store.WebhookSecret(ctx, w.Env)
	if err != nil {
		return 0, err
	}
	a, err := h.sender.send(ctx, post{w.URL, w.Authorization, d.ID, secret, []byte(d.Body)}, h.now())
	if err == nil && a.status >= 300 {
		err = fmt.Errorf("status %d", a.status)
	}
	return a.status, err
}

// next is when to try again, zero if the delivery succeeded or was tried enough.
func (h *Hooks) next(d store.Delivery, a store.Attempt, enabled bool) time.Time {
	if a.Error == "" || d.Tries >= retries || !enabled {
		return time.Time{}
	}
	return h.now().Add(retryAfter)
}
