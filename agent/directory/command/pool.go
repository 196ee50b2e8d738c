package command

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Times between two starts of a worker that does not stay.
const (
	firstPause = time.Second
	lastPause  = time.Minute
	stays      = time.Minute // a worker that lived as long is no failing one
)

// A slot is the place of one process. Who holds its turn may use it.
type slot struct {
	p        *process
	failures int       // in a row
	until    time.Time // no start before
	last     error     // why the last one failed
}

// A pool has slots for lists and for everything else, so that a long list does not keep
// people waiting. With a single worker both are the same slot.
type pool struct {
	lists, calls chan *slot
	closed       chan struct{}

	mu      sync.Mutex
	over    bool
	workers map[*process]struct{} // all that live
}

func newPool(workers int) *pool {
	l := &pool{calls: make(chan *slot, workers), closed: make(chan struct{}), workers: map[*process]struct{}{}}
	l.lists = l.calls
	if workers > 1 {
		l.lists = make(chan *slot, 1)
		l.lists <- &slot{}
		workers--
	}
	for range workers {
		l.calls <- &slot{}
	}
	return l
}

// take waits for a slot's turn. give must be called after.
func (l *pool) take(ctx context.Context, from chan *slot) (*slot, error) {
	select {
	case <-l.closed:
		return nil, protocol.Err(protocol.CodeUnavailable, errClosed.Error())
	default:
	}
	select {
	case s := <-from:
		return s, nil
	case <-l.closed:
		return nil, protocol.Err(protocol.CodeUnavailable, errClosed.Error())
	case <-ctx.Done():
		return nil, protocol.Err(protocol.CodeUnavailable, "no worker was free in time")
	}
}

// running returns the slot's process, and starts one if there is none. Errors say that
// nothing was asked of a worker.
func (d *Directory) running(ctx context.Context, s *slot) (*process, error) {
	if s.p != nil && s.p.ended() == nil {
		return s.p, nil
	}
	if s.p != nil {
		s.failed(d, s.p.ended(), time.Since(s.p.born))
		s.p = nil
	}
	if time.Now().Before(s.until) {
		return nil, unavailable(s.last)
	}
	p, err := d.start(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.failed(d, err, 0)
		}
		return nil, unavailable(err)
	}
	s.p = p
	return p, nil
}

// failed notes an end: the next start waits longer each time, by chance more or less, so
// that several workers do not start as one.
func (s *slot) failed(d *Directory, why error, lived time.Duration) {
	d.cfg.Log.Warn("worker ended", "error", scrub(why.Error(), maxMessage), "lived_seconds", int(lived.Seconds()))
	if s.last = why; lived >= stays || errors.Is(why, context.Canceled) {
		s.failures = 0
	}
	if s.failures++; s.failures == 1 && lived > 0 {
		return // it worked: the next one may start at once
	}
	pause := min(firstPause<<min(s.failures, 10)/2, lastPause)
	s.until = time.Now().Add(pause/2 + rand.N(pause))
}

// start starts a worker and asks who it serves. It must be the directory that the first
// one served.
func (d *Directory) start(ctx context.Context) (*process, error) {
	if err := d.cfg.trusted(); err != nil {
		return nil, err
	}
	p, err := d.pool.spawn(d.cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout.Duration)
	defer cancel()
	if err = p.configure(ctx); err == nil {
		err = d.same(p.about)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// unavailable is an error of something that was never asked.
func unavailable(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e
	}
	return protocol.Err(protocol.CodeUnavailable, err.Error())
}

// with gives use a running worker for as long as it returns.
func (d *Directory) with(ctx context.Context, from chan *slot, use func(*process) error) error {
	s, err := d.pool.take(ctx, from)
	if err != nil {
		return err
	}
	defer func() { from <- s }()
	p, err := d.running(ctx, s)
	if err != nil {
		return err
	}
	return use(p)
}

// spawn starts a worker, unless the pool is closed.
func (l *pool) spawn(cfg Config) (*process, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil, protocol.Err(protocol.CodeUnavailable, errClosed.Error())
	}
	p, err := spawn(cfg)
	if err != nil {
		return nil, protocol.Err(protocol.CodeConfiguration, "the worker cannot be started: "+err.Error())
	}
	l.workers[p] = struct{}{}
	go func() {
		<-p.exited
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.workers, p)
	}()
	return p, nil
}

// close ends every worker, all at once, and returns when they are gone.
func (l *pool) close() {
	l.mu.Lock()
	if !l.over {
		l.over = true
		close(l.closed)
	}
	var all sync.WaitGroup
	for p := range l.workers {
		all.Go(p.stop)
	}
	l.mu.Unlock()
	all.Wait()
}
