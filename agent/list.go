package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Bounds of passes over the accounts.
const (
	maxPasses   = 2                // one hub syncs at a time; another may begin before it knows that the first died
	idlePass    = 60 * time.Second // a hub that does not ask for the next page is gone
	defaultPage = 500
	maxPage     = 1000
)

// errPassOver ends the goroutine of a pass that nobody wants any more.
var errPassOver = errors.New("agent: the pass is over")

// passes are the listings that are open.
type passes struct {
	ctx    context.Context // ends all of them; set once by the owner of the service
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	open map[string]*pass
}

// A pass is one goroutine in Directory.List, one page ahead of the hub.
type pass struct {
	id          string
	fingerprint string
	cancel      context.CancelFunc
	idle        *time.Timer
	used        time.Time
	pages       chan directory.Page // closed when the listing ended
	state       string              // valid once pages is closed
	err         error               // likewise

	turn sync.Mutex // one page at a time
	full bool       // of the last page; under turn
}

func newPasses(ctx context.Context) *passes {
	ctx, cancel := context.WithCancel(ctx)
	return &passes{ctx: ctx, cancel: cancel, open: map[string]*pass{}}
}

// list opens a pass or gives its next page.
func (s *service) list(ctx context.Context, q protocol.ListRequest, e *event) (any, error) {
	page, err := s.page(ctx, q, e)
	if err == nil && q.Packed {
		return protocol.PackedPage(page), nil
	}
	return page, err
}

func (s *service) page(ctx context.Context, q protocol.ListRequest, e *event) (page protocol.ListPage, err error) {
	if q.Pass == "" {
		return s.openPass(ctx, q, e)
	}
	one := s.passes.find(q.Pass)
	if one == nil {
		return page, protocol.Err(protocol.CodeNotBegun, "the pass is not open; begin a new one")
	}
	return s.passes.next(ctx, one, e)
}

func (s *service) openPass(ctx context.Context, q protocol.ListRequest, e *event) (none protocol.ListPage, err error) {
	if len(q.Since) > maxState {
		return none, protocol.Err(protocol.CodeBadRequest, "since: too long")
	}
	d, err := s.dir.Describe(ctx)
	if err != nil {
		return none, asError(err)
	}
	page := q.Page
	if page <= 0 {
		page = defaultPage
	}
	if q.Since == "" { // most of what the program's start needed is in nobody's way but this
		s.unmap()
	}
	one := s.passes.start(s.dir, d.Fingerprint, q.Since, min(page, maxPage))
	return s.passes.next(ctx, one, e)
}

// start begins a listing. The pass that was used longest ago makes room.
func (p *passes) start(dir directory.Reader, fingerprint, since string, page int) *pass {
	ctx, cancel := context.WithCancel(p.ctx)
	one := &pass{
		id: rand.Text(), fingerprint: fingerprint, cancel: cancel, used: time.Now(),
		pages: make(chan directory.Page, 1),
	}
	one.idle = time.AfterFunc(idlePass, func() { p.end(one) })
	p.mu.Lock()
	for len(p.open) >= maxPasses {
		p.endLocked(p.oldestLocked())
	}
	p.open[one.id] = one
	p.mu.Unlock()
	p.wg.Go(func() {
		defer cancel()
		defer close(one.pages)
		one.state, one.err = dir.List(ctx, since, page, func(pg directory.Page) error {
			select {
			case one.pages <- pg:
				return nil
			case <-ctx.Done():
				return errPassOver
			}
		})
	})
	return one
}

func (p *passes) oldestLocked() *pass {
	var oldest *pass
	for _, o := range p.open {
		if oldest == nil || o.used.Before(oldest.used) {
			oldest = o
		}
	}
	return oldest
}

func (p *passes) find(id string) *pass {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.open[id]
	if one != nil {
		one.used = time.Now()
		one.idle.Reset(idlePass)
	}
	return one
}

func (p *passes) end(one *pass) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLocked(one)
}

func (p *passes) endLocked(one *pass) {
	one.idle.Stop()
	one.cancel()
	delete(p.open, one.id)
}

// next waits for the next page. A listing that failed ends its pass.
func (p *passes) next(ctx context.Context, one *pass, e *event) (none protocol.ListPage, err error) {
	one.turn.Lock()
	defer one.turn.Unlock()
	select {
	case pg, more := <-one.pages:
		if !more {
			return p.last(one)
		}
		one.full = pg.Full
		e.Count = len(pg.Accounts)
		return protocol.ListPage{
			Pass: one.id, Fingerprint: one.fingerprint, Full: pg.Full,
			Accounts: pg.Accounts, Deleted: pg.Deleted, Total: pg.Total,
		}, nil
	case <-ctx.Done():
		p.end(one) // the page may be lost on its way: the hub begins anew
		return none, protocol.Err(protocol.CodeUnavailable, "the directory did not give a page in time")
	}
}

// last is the page behind the last accounts: it says that the pass is finished.
func (p *passes) last(one *pass) (none protocol.ListPage, err error) {
	p.end(one)
	if one.err != nil {
		return none, asError(one.err)
	}
	return protocol.ListPage{Pass: one.id, Fingerprint: one.fingerprint, Full: one.full, Done: true, State: one.state}, nil
}
