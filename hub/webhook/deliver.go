package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// Numbers of the outbox. Retries are those of the public documents.
const (
	retries     = 5 // after the first try
	retryAfter  = 30 * time.Second
	tryTimeout  = 15 * time.Second // one delivery, answer included
	claimFor    = 30 * time.Second // longer than a try and its record; a dead node's deliveries wait as long
	atOnce      = 4                // deliveries under way on this node to one receiver
	atOnceIll   = 1                // to one whose last try failed, so that the dead cost little
	atOnceAll   = 256              // to all receivers, for the sake of memory and sockets
	lookEvery   = 2 * time.Second  // what other nodes queued, and retries that are due
	keepFor     = 7 * 24 * time.Hour
	sweepEvery  = time.Hour
	finishWrite = 5 * time.Second // to record a try whose answer came while the hub stops
)

// receivers counts what is under way, so that a slow receiver takes no other's place.
type receivers struct {
	mu    sync.Mutex
	busy  map[string]int // by webhook
	ill   map[string]bool
	total int
	wg    sync.WaitGroup
}

func newReceivers() *receivers {
	return &receivers{busy: map[string]int{}, ill: map[string]bool{}}
}

// room returns how many deliveries a webhook may have beside those under way.
func (r *receivers) room(webhook string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := atOnce
	if r.ill[webhook] {
		most = atOnceIll
	}
	return max(0, min(most-r.busy[webhook], atOnceAll-r.total))
}

// start runs one delivery, which reports whether the receiver took it.
func (r *receivers) start(webhook string, deliver func() (taken bool)) {
	r.mu.Lock()
	r.busy[webhook]++
	r.total++
	r.mu.Unlock()
	r.wg.Go(func() {
		taken := deliver()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.total--
		if r.busy[webhook]--; r.busy[webhook] == 0 {
			delete(r.busy, webhook)
		}
		if delete(r.ill, webhook); !taken {
			r.ill[webhook] = true
		}
	})
}

// Run delivers what is queued until ctx ends. Every node runs it; a delivery is tried by
// one of them at a time. While the store is away nothing is lost.
func (h *Hooks) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	r := newReceivers()
	defer r.wg.Wait()
	var away bool
	var swept time.Time
	for {
		err := errors.Join(h.followLog(ctx), h.deliverDue(ctx, r))
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

// deliverDue starts what is due and has room.
func (h *Hooks) deliverDue(ctx context.Context, r *receivers) error {
	hooks, err := store.Get(ctx, h.store, func(tx *store.Tx) ([]string, error) { return tx.DueWebhooks(ctx) })
	if err != nil {
		return err
	}
	// Those with most room come first: what is left over is taken by the idle.
	slices.SortStableFunc(hooks, func(a, b string) int { return r.room(b) - r.room(a) })
	for _, id := range hooks {
		if n := r.room(id); n > 0 {
			if err := h.deliverTo(ctx, r, id, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliverTo starts at most n deliveries to one webhook.
func (h *Hooks) deliverTo(ctx context.Context, r *receivers, webhook string, n int) error {
	due, err := store.Get(ctx, h.store, func(tx *store.Tx) ([]store.Delivery, error) { return tx.DueDeliveries(ctx, webhook, n) })
	if err != nil || len(due) == 0 {
		return err
	}
	got, err := store.Change(ctx, h.store, func(tx *store.Tx) ([]store.Delivery, error) {
		return tx.ClaimDeliveries(ctx, due, h.now().Add(claimFor))
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // another node is at it; look again later
	}
	for _, d := range got {
		if d.Err != nil {
			h.unread(ctx, d)
			continue
		}
		r.start(webhook, func() bool {
			defer h.Wake() // there is room again, and the next one of the same person may go
			return h.try(ctx, d)
		})
	}
	return err
}

// unread sets a delivery aside that does not open: its history says why. One whose key may
// come, as during a rotation, is tried again as if it had not been taken.
func (h *Hooks) unread(ctx context.Context, d store.Delivery) {
	defer h.Wake() // what waited for it may go
	now := h.now().UTC()
	t := store.Try{Header: d.Header, Attempt: store.Attempt{Start: now, End: now, Error: "it does not open: " + d.Err.Error()}}
	t.Next = h.next(d, t.Attempt, errors.Is(d.Err, store.ErrMasterKey))
	err := h.store.Tx(ctx, func(tx *store.Tx) error { return tx.FinishTry(ctx, d, t) })
	h.log.ErrorContext(ctx, "queued delivery does not open", "env", d.Env, "webhook", d.Webhook, "delivery", d.ID, "given_up", t.Next.IsZero(), "reason", d.Err, "err", err)
}

// try makes one try of a claimed delivery and records what it came to.
func (h *Hooks) try(ctx context.Context, d store.Delivery) (taken bool) {
	said := d
	w, err := store.Get(ctx, h.store, func(tx *store.Tx) (w store.Webhook, err error) {
		if said, err = addressed(ctx, tx, d); err != nil {
			return w, err
		}
		return tx.Webhook(ctx, d.Env, d.Webhook)
	})
	if err != nil {
		return false // removed meanwhile, or the store is away: the claim lapses
	}
	t := h.post(ctx, w, said)
	if ctx.Err() != nil && t.Attempt.Error != "" {
		return false // the hub stops: another node, or this one later, tries again
	}
	t.Next = h.next(d, t.Attempt, whyNot(w, d) == "")
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWrite)
	defer cancel()
	err = h.store.Tx(write, func(tx *store.Tx) error { return tx.FinishTry(write, d, t) })
	h.log.DebugContext(ctx, "webhook tried", "env", d.Env, "webhook", d.Webhook, "delivery", d.ID, "status", t.Attempt.Status, "err", err)
	return t.Attempt.Error == ""
}

// whyNot says why a delivery is not sent any more, "" if it is. What the audit log says goes
// only to webhooks that follow it now: of others whoever may not read it decides where they
// are (T18).
func whyNot(w store.Webhook, d store.Delivery) string {
	switch {
	case !w.Enabled:
		return "the webhook was switched off"
	case d.Event == string(Audit) && !tellsTheLog(w):
		return "the webhook does not follow the audit log any more"
	}
	return ""
}

func (h *Hooks) post(ctx context.Context, w store.Webhook, d store.Delivery) store.Try {
	now := h.now().UTC()
	failed := store.Try{Attempt: store.Attempt{Start: now, End: now}}
	if failed.Attempt.Error = whyNot(w, d); failed.Attempt.Error != "" {
		return failed
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	secrets, err := h.store.WebhookSecrets(ctx, w.Env)
	if err != nil {
		failed.Attempt.Error = err.Error()
		return failed
	}
	a, t, _ := h.exchange(ctx, postOf(w, d, secrets))
	switch {
	case a.status >= 300:
		t.Attempt.Error = fmt.Sprintf("status %d", a.status)
	case a.status >= 200: // taken, whatever became of the rest of the answer
		t.Attempt.Error = ""
	}
	return t
}

// next is when to try again, zero if the delivery succeeded or was tried enough.
func (h *Hooks) next(d store.Delivery, a store.Attempt, wanted bool) time.Time {
	if a.Error == "" || d.Tries >= retries || !wanted {
		return time.Time{}
	}
	return h.now().Add(retryAfter)
}
