package tunnel

import (
	"context"
	"runtime"
	"sync"

	"github.com/postern-id/postern/hub/store"
)

// A reread lets those who want an agent's standing at the same moment share one read of
// it. A read serves callers that were there before it began and nobody else, so that
// whoever calls after a revocation was committed learns of it (T29).
type reread struct {
	turn chan struct{} // holds a token while somebody reads

	mu   sync.Mutex
	next *standingRead // that whoever waits waits for
}

// A standingRead serves all who wait for it.
type standingRead struct {
	done     chan struct{} // closed when what follows is set
	standing store.Standing
	err      error
	gone     bool // its reader's caller went away: that says nothing to others
}

// reread returns the connection's, which is made with its first call: most connections
// are idle.
func (c *conn) reread() *reread {
	if r := c.reads.Load(); r != nil {
		return r
	}
	c.reads.CompareAndSwap(nil, &reread{turn: make(chan struct{}, 1)})
	return c.reads.Load()
}

// get returns what a read finds that begins after the call. read is the caller's own,
// and ends with ctx; another caller's may be used instead. A caller that is alone with
// its agent does not look out for others.
func (r *reread) get(ctx context.Context, alone bool, read func() (store.Standing, error)) (store.Standing, error) {
	if alone {
		return read()
	}
	for {
		s := r.join()
		select {
		case <-s.done:
		case r.turn <- struct{}{}:
			r.lead(ctx, s, read)
		case <-ctx.Done():
			return store.Standing{}, ctx.Err()
		}
		if !s.gone {
			return s.standing, s.err
		}
		if ctx.Err() != nil {
			return store.Standing{}, ctx.Err()
		}
	}
}

func (r *reread) give() { <-r.turn }

// join returns the read that has not begun yet.
func (r *reread) join() *standingRead {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &standingRead{done: make(chan struct{})}
	}
	return r.next
}

// lead reads for everybody who waits for s, unless another has just done so. The caller
// has the turn.
func (r *reread) lead(ctx context.Context, s *standingRead, read func() (store.Standing, error)) {
	defer r.give()
	runtime.Gosched() // a read is short: others come to share it only if they are let
	r.mu.Lock()
	mine := r.next == s
	if mine {
		r.next = nil // who comes now came too late for it
	}
	r.mu.Unlock()
	if !mine {
		<-s.done
		return
	}
	defer close(s.done)
	s.gone = true // should read panic
	s.standing, s.err = read()
	s.gone = s.err != nil && ctx.Err() != nil
}
