package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// restEvery is how long a connection does nothing before it gives back what its page
// cache holds: a storm of agents or a first synchronisation fills them all, up to
// writerCache, and nothing that follows needs it.
const restEvery = 10 * time.Second

// A sqlitePool lends connections. Who needs one gets the last that was given back, so
// that a store with little to do uses few, whose caches are warm.
type sqlitePool struct {
	tokens chan struct{} // one for each idle connection

	mu   sync.Mutex
	idle []*sqliteConn
}

func newSQLitePool(n int) *sqlitePool { return &sqlitePool{tokens: make(chan struct{}, n)} }

// take waits for a connection, to be given back.
func (p *sqlitePool) take(ctx context.Context) (*sqliteConn, error) {
	select {
	case <-p.tokens:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	c.used = true
	return c, nil
}

func (p *sqlitePool) give(c *sqliteConn) {
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	p.tokens <- struct{}{}
}

// takeTired takes an idle connection that was used, but not since the last rest.
func (p *sqlitePool) takeTired() *sqliteConn {
	select {
	case <-p.tokens:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.idle, func(c *sqliteConn) bool { return c.warm && !c.used })
	if i < 0 {
		p.tokens <- struct{}{}
		return nil
	}
	c := p.idle[i]
	p.idle = slices.Delete(p.idle, i, i+1)
	return c
}

// rest lets connections rest that were idle since the last call, and notes which were not.
func (p *sqlitePool) rest() {
	for c := p.takeTired(); c != nil; c = p.takeTired() {
		c.shrink()
		p.give(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.tire()
	}
}

// tire notes the use since the last call.
func (c *sqliteConn) tire() { c.warm, c.used = c.warm || c.used, false }

// shrink empties the page cache.
func (c *sqliteConn) shrink() {
	c.warm = false
	_ = c.run("PRAGMA shrink_memory") // it goes on with more memory otherwise
}

// rests lets connections rest until ctx ends.
func (d *sqliteDB) rests(ctx context.Context) {
	for wait(ctx, restEvery) == nil {
		d.readers.rest()
		d.restWriter()
	}
}

// restWriter is rest for the writer, unless somebody writes.
func (d *sqliteDB) restWriter() {
	select {
	case <-d.turn:
	default:
		return
	}
	defer func() { d.turn <- struct{}{} }()
	switch c := d.writer; {
	case d.group != nil:
	case c.used || !c.warm:
		c.tire()
	default:
		c.shrink()
	}
}
