package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of what waits to be written.
const (
	writeBehind = 250 * time.Millisecond // how long a state waits, up to twice as long where the log is to write it: of most sign-ins without a pause only the last one is written
	writeAgain  = time.Second            // pause where the disk took nothing
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
	again  bool    // it was written since it was put there: whatever waits of it now is new
	gone   bool    // it has no row any more, and can have none: only its events are left

	generation int64 // of the redo file, when something final came of it that waits; 0: nothing did
	doubted    bool  // what it belongs to may be gone since: only its row can tell

	open []drafted // what the open transaction of the writer has made of its row, in that order
	held int       // how many of them are steps of a transaction: until that ends, nobody else moves it on
}

// A drafted is a row as the open transaction has it.
type drafted struct {
	version int64
	events  int // so many of the exchange's are written
}

// waits reports whether something is to be written.
func (k *kept) waits() bool { return k.Version != k.stored && !k.gone || len(k.events) > 0 }

// row is how the writer sees its row.
func (k *kept) row() drafted {
	if n := len(k.open); n > 0 {
		return k.open[n-1]
	}
	return drafted{version: k.stored}
}

// behind reports whether the writer does not have all of it yet.
func (k *kept) behind() bool {
	r := k.row()
	return k.held == 0 && (k.Version != r.version && !k.gone || len(k.events) > r.events)
}

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
	if k := q.all[id]; k != nil && k.held == 0 {
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
// whether it did: not where the exchange has another version or is unknown, a transaction
// is just at it, or too many wait.
func (q *exchangeQueue) put(m move, events [][]any, holds func() bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.move(m, events, holds) != nil
}

// putFinal is put for what will stand in a redo file, at the earliest of a generation. It
// returns that record, and of what; nil where only the row of the exchange can say whether
// that is still so, and nothing is done.
func (q *exchangeQueue) putFinal(m move, events [][]any, holds func() bool, generation int64) (r redoRecord, k *kept) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k = q.all[m.next.ID]
	if k == nil || k.doubted || q.move(m, events, holds) == nil {
		return r, nil
	}
	if k.generation == 0 {
		k.generation = generation
	}
	return redoRecord{k.stored, *m.next, k.events}, k
}

// move is called with the lock, and returns the exchange that it moved on.
func (q *exchangeQueue) move(m move, events [][]any, holds func() bool) *kept {
	k := q.all[m.next.ID]
	if m.from == 0 && k == nil {
		k = &kept{}
	}
	if len(q.queue) >= maxWaiting {
		q.prune()
	}
	if k == nil || k.held > 0 || k.Version != m.from || len(q.queue) >= maxWaiting || !holds() {
		return nil
	}
	k.OIDCExchange, k.events = *m.next, append(k.events, events...)
	if !k.queued {
		q.queue, k.queued, k.again = append(q.queue, k), true, false
	}
	q.remember(k)
	q.ring()
	return k
}

// ring has the writer come.
func (q *exchangeQueue) ring() {
	select {
	case q.bell <- struct{}{}:
	default: // it was rung already
	}
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
		if !k.waits() && len(k.open) == 0 {
			delete(q.all, id)
		}
	}
}

// forget lets go of what is known of rows, and trusts nothing that waits.
func (q *exchangeQueue) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forgetWritten()
	for _, k := range q.all {
		k.doubted = true
	}
}

// anyBehind reports whether the writer does not have all yet.
func (q *exchangeQueue) anyBehind() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.queue, (*kept).behind)
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

// A written is what the open transaction of the writer made of an exchange.
type written struct {
	k      *kept
	from   int64 // version of the row before it
	next   OIDCExchange
	events [][]any // that go with it
	own    bool    // a step of the transaction itself: nobody else knows of it before it is committed
	gone   bool    // there was no such row any more, or nothing that it could belong to
}

// draft notes, with the lock, that the open transaction makes next of an exchange, and writes
// all events that there are.
func (k *kept) draft(next OIDCExchange, own bool) written {
	was := k.row()
	k.open = append(k.open, drafted{next.Version, len(k.events)})
	if own {
		k.held++
	}
	return written{k: k, from: was.version, next: next, events: k.events[was.events:], own: own, gone: k.gone}
}

// take gives the writer at most n that wait as they are now, the oldest first. They may go on
// while it writes them.
func (q *exchangeQueue) take(n int) (list []written) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prune()
	for _, k := range q.queue {
		if k.behind() && len(list) < n {
			list = append(list, k.draft(k.OIDCExchange, false))
		}
	}
	return list
}

// takeOne gives the writer what waits of one exchange, if it is not behind already.
func (q *exchangeQueue) takeOne(k *kept) (list []written) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k.behind() {
		list = append(list, k.draft(k.OIDCExchange, false))
	}
	return list
}

// isGone reports whether an exchange could not be written, whether it is remembered or not.
func (q *exchangeQueue) isGone(k *kept) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return k.gone
}

// prune takes what was written out of the queue, and puts what went on meanwhile behind what
// waits for longer.
func (q *exchangeQueue) prune() {
	var again []*kept
	q.queue = slices.DeleteFunc(q.queue, func(k *kept) bool {
		k.queued = k.waits()
		if k.queued && k.again {
			k.again, again = false, append(again, k)
			return true
		}
		return !k.queued
	})
	q.queue = append(q.queue, again...)
}

// hold gives the writer one exchange for a step of its transaction, with what waits of it. ok
// is false where that is of another version than from; of what does not wait the row says so.
func (q *exchangeQueue) hold(from int64, next OIDCExchange) (w written, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := q.all[next.ID]
	if k == nil {
		k = &kept{stored: from}
		k.Version = from
	}
	if k.behind() {
		return k.draft(next, true), k.Version == from
	}
	w = k.draft(next, true)
	w.from = from
	return w, true
}

// passed returns the generation of redo files up to which all stands in the database, once the
// open transaction is committed and durable; one is written to now.
func (q *exchangeQueue) passed(now int64) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range q.queue {
		if k.generation != 0 && (len(k.open) == 0 || k.behind()) {
			now = min(now, k.generation)
		}
	}
	return now - 1
}

// committed takes over what was written.
func (q *exchangeQueue) committed(all []written) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range all {
		w.k.isWritten(w)
		if w.k.gone {
			delete(q.all, w.k.ID)
		} else {
			q.remember(w.k)
		}
	}
}

// isWritten is called with the lock, for each of what the transaction made of it, in that order.
func (k *kept) isWritten(w written) {
	if w.own {
		k.OIDCExchange = w.next
	}
	if n := len(k.open); n > 0 {
		r := k.open[n-1]
		k.stored, k.events, k.open, k.held = r.version, k.events[r.events:], nil, 0
	}
	k.gone, k.again, k.doubted = k.gone || w.gone, true, false
	if !k.waits() {
		k.events, k.generation = nil, 0
	}
}

// back is called instead where it was taken back: what waited waits still.
func (q *exchangeQueue) back(all []written) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range slices.Backward(all) {
		w.k.open = w.k.open[:len(w.k.open)-1]
		if w.own {
			w.k.held--
		}
	}
}

// lose forgets what waits, and returns of how many exchanges: they are unknown from here on.
// Of which something final came, it stays.
func (q *exchangeQueue) lose() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range q.queue {
		if k.waits() && len(k.open) == 0 && k.generation == 0 {
			n++
			delete(q.all, k.ID)
			k.stored, k.events = k.Version, nil
		}
	}
	q.prune()
	return n
}
