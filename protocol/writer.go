package protocol

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// maxWaiting bounds the bytes that wait in one writer; who adds more waits.
const maxWaiting = 4 << 20

// A writer gathers frames of many goroutines and sends them in few messages, without
// a goroutine of its own: whoever finds nobody writing becomes the writer and sends
// what the others have added meanwhile. Urgent frames overtake bulk ones.
type writer struct {
	flush func([]byte) error // sends one message of at most MaxMessage bytes; the slice is the writer's again when it returns

	mu     sync.Mutex
	room   sync.Cond // signals that less waits, or that err is set
	urgent queue
	bulk   queue
	active bool
	err    error // the first failure; nothing is sent after it

	successors sync.WaitGroup // goroutines that go on with what others have added

	calls atomic.Int32 // in flight on this link, of both ends: a lone one is not made to wait
}

func newWriter(flush func([]byte) error) *writer {
	w := &writer{flush: flush}
	w.room.L = &w.mu
	return w
}

// add queues one body, cut into frames, and sends if nobody is sending. An error means
// that the body was not sent; nil promises nothing to those whom another sends for.
func (w *writer) add(f frame, bulk bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.admitLocked(); err != nil {
		return err
	}
	w.queue(f, bulk)
	_, own, err := w.sendLocked()
	if own.urgent <= 0 && own.bulk <= 0 {
		return nil // it left before others failed
	}
	return err
}

// addAll is add for several bodies at once. An error means that none of them was sent.
func (w *writer) addAll(list []gated) error {
	if len(list) == 1 {
		return w.add(list[0].frame, list[0].bulk)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.admitLocked(); err != nil {
		return err
	}
	for _, c := range list {
		w.queue(c.frame, c.bulk)
	}
	all, own, err := w.sendLocked()
	if own != all {
		return nil // the others are told by the end of the link that nobody knows
	}
	return err
}

// admitLocked waits for room.
func (w *writer) admitLocked() error {
	for w.waitingLocked() > maxWaiting && w.err == nil {
		w.room.Wait()
	}
	return w.err
}

// sendLocked sends what waits, unless somebody does so. It returns what waited, and how
// much of that has not left.
func (w *writer) sendLocked() (all, own sent, err error) {
	if w.active {
		return all, own, nil
	}
	w.active = true
	all = sent{w.urgent.len(), w.bulk.len()} // nothing else waited
	own = all
	err = w.drainLocked(&own)
	return all, own, err
}

// sent counts bytes of both queues.
type sent struct{ urgent, bulk int }

func (w *writer) queue(f frame, bulk bool) {
	q := &w.urgent
	if bulk {
		q = &w.bulk
	}
	for len(f.body) > maxChunk {
		part := f
		part.body, part.flags = f.body[:maxChunk], f.flags|flagMore
		q.add(part)
		f.body = f.body[maxChunk:]
	}
	q.add(f)
}

// waitingLocked returns how many bytes wait.
func (w *writer) waitingLocked() int { return w.urgent.len() + w.bulk.len() }

// maxRounds is how many messages one caller sends for others after its own has left.
const maxRounds = 16

// drainLocked sends until nothing waits, or has another goroutine do so, and takes what
// has left off own. The caller is the active writer and holds mu, which is free while a
// message is sent.
func (w *writer) drainLocked(own *sent) error {
	for round := 0; w.waitingLocked() > 0 && w.err == nil; round++ {
		if round >= maxRounds && own.urgent <= 0 && own.bulk <= 0 {
			w.successors.Go(w.goOn)
			return nil
		}
		if w.calls.Load() > 1 && w.waitingLocked() < 8192 {
			w.yieldLocked()
		}
		urgent, bulk := w.urgent.len(), w.bulk.len()
		p := w.takeLocked()
		urgent, bulk = urgent-w.urgent.len(), bulk-w.bulk.len()
		w.mu.Unlock()
		err := w.flush(p.frames)
		p.spend()
		w.mu.Lock()
		if err == nil {
			own.urgent, own.bulk = own.urgent-urgent, own.bulk-bulk
		} else if w.err == nil {
			w.err = err
		}
		w.room.Broadcast()
	}
	w.active = false
	if w.err != nil {
		w.urgent, w.bulk = queue{}, queue{}
	}
	return w.err
}

// hand has f go on in another goroutine. It does not once the writer has stopped: whoever
// ends the link may be waiting for the last of them already.
func (w *writer) hand(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.successors.Go(f)
	}
	return w.err == nil
}

// goOn sends for those whose writer had its turn.
func (w *writer) goOn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.drainLocked(&sent{}) // what failed is told by the end of the link
}

// yieldLocked gives other goroutines one turn to add their frames.
func (w *writer) yieldLocked() {
	w.mu.Unlock()
	runtime.Gosched()
	w.mu.Lock()
}

// takeLocked takes one message of whole frames, urgent ones first.
func (w *writer) takeLocked() parcel {
	p := w.urgent.take(MaxMessage)
	switch {
	case w.bulk.len() == 0, w.urgent.len() > 0: // or there is no room
	case p.buf == nil:
		return w.bulk.take(MaxMessage)
	default:
		more := w.bulk.take(MaxMessage - len(p.frames))
		p.add(more.frames)
		more.spend()
	}
	return p
}

// stop makes every add fail with err.
func (w *writer) stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.room.Broadcast()
}
