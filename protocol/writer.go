package protocol

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// maxWaiting bounds the bytes that wait in one writer; who adds more waits.
const maxWaiting = 4 << 20

// keepSpare is the largest buffer that an idle writer keeps: none, so that idle
// tunnels cost nothing.
const keepSpare = 0

// buffers are shared by all links, since only a few write at any moment.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// A writer gathers frames of many goroutines and sends them in few messages, without
// a goroutine of its own: whoever finds nobody writing becomes the writer and sends
// what the others have added meanwhile. Urgent frames overtake bulk ones.
type writer struct {
	flush func([]byte) error // sends one message of at most MaxMessage bytes; the slice is the writer's again when it returns

	mu     sync.Mutex
	room   sync.Cond // signals that less waits, or that err is set
	urgent []byte    // whole frames
	bulk   []byte
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
	for len(w.urgent)+len(w.bulk) > maxWaiting && w.err == nil {
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
	all = sent{len(w.urgent), len(w.bulk)} // nothing else waited
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
		*q = appendFrame(*q, part)
		f.body = f.body[maxChunk:]
	}
	*q = appendFrame(*q, f)
}

// maxRounds is how many messages one caller sends for others after its own has left.
const maxRounds = 16

// drainLocked sends until nothing waits, or has another goroutine do so, and takes what
// has left off own. The caller is the active writer and holds mu, which is free while a
// message is sent.
func (w *writer) drainLocked(own *sent) error {
	bp := buffers.Get().(*[]byte)
	defer buffers.Put(bp)
	for round := 0; len(w.urgent)+len(w.bulk) > 0 && w.err == nil; round++ {
		if round >= maxRounds && own.urgent <= 0 && own.bulk <= 0 {
			w.successors.Go(w.goOn)
			return nil
		}
		if w.calls.Load() > 1 && len(w.urgent)+len(w.bulk) < 8192 {
			w.yieldLocked()
		}
		urgent, bulk := len(w.urgent), len(w.bulk)
		*bp = w.takeLocked((*bp)[:0])
		urgent, bulk = urgent-len(w.urgent), bulk-len(w.bulk)
		w.mu.Unlock()
		err := w.flush(*bp)
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
		w.urgent, w.bulk = nil, nil
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

// takeLocked moves whole frames into out, urgent ones first, at most one message.
func (w *writer) takeLocked(out []byte) []byte {
	out, w.urgent = takeFrames(out, w.urgent)
	out, w.bulk = takeFrames(out, w.bulk)
	return out
}

func takeFrames(out, queue []byte) (taken, rest []byte) {
	n := 0
	for n < len(queue) && len(out)+n+frameSize(queue[n:]) <= MaxMessage {
		n += frameSize(queue[n:])
	}
	out = append(out, queue[:n]...)
	if n == len(queue) {
		if cap(queue) > keepSpare {
			return out, nil
		}
		return out, queue[:0]
	}
	return out, queue[n:]
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
