package directory

import (
	"context"
	"slices"
	"sync"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A batch is what differs on some pages.
type batch struct {
	changed []store.AccountWrite
	groups  []protocol.Group
	ready   []*store.AccountBatch // changed, in the form in which it is written
}

// pages reads, compares and writes at once: while a page is written, those after it are
// compared and asked for. It returns after all three have ended, with what the first of
// them says that has a reason of its own; pages that were compared are written.
func (p *pass) pages(ctx context.Context) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	pages, batches := make(chan protocol.ListPage, 1), make(chan batch, queued)
	var wg sync.WaitGroup
	var errRead, errWrite error
	wg.Go(func() {
		defer close(pages)
		errRead = p.read(reading, pages)
	})
	wg.Go(func() {
		if errWrite = p.write(ctx, batches); errWrite != nil {
			cancel()
			for range batches { // whoever compares does not wait for this
			}
		}
	})
	errCompare := p.takeAll(ctx, pages, batches)
	close(batches)
	cancel()
	wg.Wait()
	switch {
	case errWrite != nil:
		return errWrite
	case errCompare != nil:
		return errCompare
	}
	return errRead
}

// read asks for one page after another until the last.
func (p *pass) read(ctx context.Context, pages chan<- protocol.ListPage) error {
	q := protocol.ListRequest{Since: p.since, Page: pageSize, Packed: true}
	for {
		var page protocol.ListPage
		if err := p.r.d.call(ctx, p.to, protocol.MethodList, q, &page); err != nil {
			return err
		}
		p.begun = true
		select {
		case pages <- page:
		case <-ctx.Done():
			return ctx.Err()
		}
		if page.Done {
			return nil
		}
		q = protocol.ListRequest{Pass: page.Pass, Page: pageSize, Packed: true}
	}
}

// takeAll loads what the store has while the agent looks for its first page, and
// compares all pages with it.
func (p *pass) takeAll(ctx context.Context, pages <-chan protocol.ListPage, batches chan<- batch) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	for page := range pages {
		if err := p.meet(ctx, page); err != nil {
			return err
		}
		b, err := p.take(page)
		if err != nil {
			return err
		}
		if len(b.changed) > 0 || len(b.groups) > 0 {
			for some := range slices.Chunk(b.changed, store.MaxPrepared) {
				var ready *store.AccountBatch
				ready, p.next = p.r.d.store.PrepareAccounts(p.to.Env, p.to.Directory, p.dir.Sync.Generation+1, p.next, some)
				b.ready = append(b.ready, ready)
			}
			batches <- b
		}
	}
	return nil
}

// take returns what differs on a page.
func (p *pass) take(page protocol.ListPage) (batch, error) {
	if page.Fingerprint != p.dir.Sync.Fingerprint {
		if err := p.sameDirectory(page.Fingerprint); err != nil {
			return batch{}, err
		}
	}
	p.full = p.full || page.Full
	if err := p.bounded(page); err != nil {
		return batch{}, err
	}
	b := p.compare(page.Accounts)
	for _, id := range page.Deleted {
		p.deleted[keyOf(id)] = id
	}
	p.r.progress(len(page.Accounts), page.Total)
	if page.Done {
		p.state = page.State
	}
	return b, nil
}

// write writes batches until there are no more: what waits, up to a bound, together.
func (p *pass) write(ctx context.Context, batches <-chan batch) error {
	for b := range batches {
		for more := true; more && len(b.changed) < batchSize; {
			select {
			case next, ok := <-batches:
				b.changed, b.groups = append(b.changed, next.changed...), append(b.groups, next.groups...)
				b.ready = append(b.ready, next.ready...)
				more = ok
			default:
				more = false
			}
		}
		if err := p.writeBatch(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// writeBatch writes in transactions that are short, each of them only while no other
// run has taken over.
func (p *pass) writeBatch(ctx context.Context, b batch) error {
	for len(b.ready) > 0 || len(b.groups) > 0 {
		now, groups := b.ready[:min(batchSize/store.MaxPrepared, len(b.ready))], latest(b.groups[:min(batchSize, len(b.groups))])
		err := p.fenced(ctx, func(tx *store.Tx) error {
			if err := tx.PutGroups(ctx, p.to.Env, p.to.Directory, groups); err != nil {
				return err
			}
			for _, some := range now {
				if err := tx.PutPrepared(ctx, some); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		b.ready, b.groups = b.ready[len(now):], b.groups[min(batchSize, len(b.groups)):]
	}
	return nil
}
