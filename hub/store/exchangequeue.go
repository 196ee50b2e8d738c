package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of what waits to be written.
const (
	writeBehind = 100 * time.Millisecond // how long a state waits at most: of most sign-ins without a pause only the last one is written
	maxWaiting  = 1024                   // exchanges; beyond them a step writes its own at once, below maxRemembered
	maxBehind   = 128                    // exchanges of one transaction: others wait some 5 ms for it
)

// Early is Step for an early step of a sign-in, of which nothing comes that must not come
// again: it moves one exchange on and writes audit rows. On SQLite, which one process writes,
// that is decided at once in memory, as one compare-and-set, and written soon afterwards:
// of several steps the last state, and all of their audit rows. Whoever looks at the tables
// sees them written. When the process dies meanwhile, it is as if those steps had never been:
// their secrets are unknown, and whoever was at them begins anew. What comes of an exchange
// by Step or Tx is written together with what waits of it, so that it is never told without
// the steps before it. Where fn does more than that, or the exchange is not remembered,
// Early is Step.
func (s *Store) Early(ctx context.Context, fn func(tx *Tx) error) error {
	return s.transact(ctx, s.db.early, fn)
}

// Final says that what comes of this step is final: of Early, too, it is durable then before
// anybody is told.
func (tx *Tx) Final() {
	if p, ok := tx.q.(*plan); ok {
		p.early = false
	}
}

// An exchangeKeeper is a querier that keeps exchanges.
type exchangeKeeper interface {
	// exchange returns one as it is now, if that is known without a query.
	exchange(id string) (OIDCExchange, bool)
	// move makes next of the exchange that had a version; 0: of none. ErrConflict: it has another.
	move(ctx context.Context, from int64, next *OIDCExchange) error
	// direct is the same for queries of exchanges of which nothing waits.
	direct() querier
}

// A kept is an exchange as it is now, whether its row says so already or not.
type kept struct {
	OIDCExchange
	stored int64   // version of its row, as it is committed; 0: there is none
	events [][]any // audit rows of what the row does not say yet
	queued bool    // it stands in the queue
	writes int     // of the open transaction of the writer: until that ends, nobody else moves it on
}

// waits reports whether something is to be written.
func (k *kept) waits() bool { return k.Version != k.stored }

// An exchangeQueue holds exchanges as they are now, and those of which something waits to be
// written. What it says is so of all that this process has committed: the writer tells it of
// its writes before anybody can see them.
type exchangeQueue struct {
	mu    sync.Mutex
	all   map[string]*kept // by id
	queue []*kept          // that wait, or have waited; the oldest first
	bell  chan struct{}    // holds a token after something was put into the queue
}

func newExchangeQueue() *exchangeQueue {
	return &exchangeQueue{all: map[string]*kept{}, bell: make(chan struct{}, 1)}
}

// get returns an exchange as a plan may go on from it.
func (q *exchangeQueue) get(id string) (e OIDCExchange, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := q.all[id]
	if k != nil {
		e = k.OIDCExchange
	}
	return e, k != nil
}

// getStill is get for whoever has the turn: what the open transaction wrote itself has to be
// asked of it.
func (q *exchangeQueue) getStill(id string) (e OIDCExchange, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k := q.all[id]; k != nil && k.writes == 0 {
		return k.OIDCExchange, true
	}
	return e, false
}

// getWaiting is get for who reads rows: it counts only where there is more than the row.
func (q *exchangeQueue) getWaiting(id string) (e OIDCExchange, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k := q.all[id]; k != nil && k.waits() {
		return k.OIDCExchange, true
	}
	return e, false
}

// put makes next of the exchange that has a version, as long as something holds. It reports
// whether it did: not where the exchange has another version or is unknown, the writer is
// just at it, or too many wait.
func (q *exchangeQueue) put(m move, events [][]any, holds func() bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := q.all[m.next.ID]
	if m.from == 0 && k == nil {
		k = &kept{}
	}
	if len(q.queue) >= maxWaiting {
		q.prune()
	}
	if k == nil || k.writes > 0 || k.Version != m.from || len(q.queue) >= maxWaiting || !holds() {
		return false
	}
	k.OIDCExchange, k.events = *m.next, append(k.events, events...)
	if !k.queued {
		q.queue, k.queued = append(q.queue, k), true
	}
	q.remember(k)
	select {
	case q.bell <- struct{}{}:
	default: // it was rung already
	}
	return true
}

// remember is called with the lock. What waits is never forgotten.
func (q *exchangeQueue) remember(k *kept) {
	if len(q.all) >= maxRemembered && q.all[k.ID] == nil {
		q.forgetWritten()
	}
	q.all[k.ID] = k
}

// forgetWritten is called with the lock.
func (q *exchangeQueue) forgetWritten() {
	for id, k := range q.all {
		if !k.waits() && k.writes == 0 {
			delete(q.all, id)
		}
	}
}

// forget lets go of what is known of rows.
func (q *exchangeQueue) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forgetWritten()
}

// anyWaits reports whether the writer has something to write.
func (q *exchangeQueue) anyWaits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.queue, func(k *kept) bool { return k.waits() && k.writes == 0 })
}

// rounds says in how many transactions all is written that waits, with what the open one has
// already: the oldest go first.
func (q *exchangeQueue) rounds() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, k := range q.queue {
		if k.waits() {
			n++
		}
	}
	return (n + maxBehind - 1) / maxBehind
}

// take gives the writer at most n that wait, the oldest first.
func (q *exchangeQueue) take(n int) (list []*kept) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	for _, k := range q.queue {
		if k.writes == 0 && len(list) < n {
			k.writes++
			list = append(list, k)
		}
	}
	return list
}

// prune takes what was written out of the queue.
func (q *exchangeQueue) prune() {
	q.queue = slices.DeleteFunc(q.queue, func(k *kept) bool {
		k.queued = k.waits()
		return !k.queued
	})
}

// hold gives the writer one exchange. It reports whether something of it waits that the
// open transaction does not have yet.
func (q *exchangeQueue) hold(id string) (k *kept, waits bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k = q.all[id]; k == nil {
		k = &kept{}
	}
	waits = k.waits() && k.writes == 0
	k.writes++
	return k, waits
}

// A written is what the open transaction of the writer made of an exchange.
type written struct {
	k    *kept
	next OIDCExchange
	gone bool // there was no such row any more, or nothing that it could belong to
}

// committed takes over what was written.
func (q *exchangeQueue) committed(all []written) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range all {
		k := w.k
		k.writes--
		k.OIDCExchange, k.stored, k.events = w.next, w.next.Version, nil
		if w.gone {
			delete(q.all, k.ID)
		} else {
			q.remember(k)
		}
	}
}

// back is called instead where it was taken back: what waited waits still.
func (q *exchangeQueue) back(all []written) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range all {
		w.k.writes--
	}
}

// lose forgets what waits, and returns of how many exchanges: they are unknown from here on.
func (q *exchangeQueue) lose() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range q.queue {
		if k.waits() && k.writes == 0 {
			n++
			delete(q.all, k.ID)
			k.stored, k.events = k.Version, nil
		}
	}
	q.prune()
	return n
}
