package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// errStale says that a statement of a plan did not change exactly one row.
var errStale = errors.New("store: a row is not as it was read")

// errLost is what a plan has come to until it was carried out: whoever leads a batch may
// panic over another one of it.
var errLost = fmt.Errorf("%w: whoever wrote for several did not come to this", ErrUnavailable)

// A prepared is a plan that waits for the writer.
type prepared struct {
	statements []statement
	events     [][]any     // audit rows
	catchUp    bool        // in place of them: exchanges that wait
	firm       bool        // it is durable before anybody sees it
	patient    bool        // it moves an exchange on, and lets others come along
	holds      func() bool // whether what it has gone by still holds; asked under the turn
	group      *group      // that holds its work; nil: none does
	passed     int64       // of catchUp: generations of redo files up to here are needed no more
	err        error
}

// A batch is what one caller carries out for many.
type batch struct {
	plans []*prepared
	firm  bool          // one of them is
	done  chan struct{} // closed when all of it is committed or lost

	hurries bool          // one of them is not patient
	hurry   chan struct{} // closed then
}

// A gathering is the batch that takes plans until the writer is free.
type gathering struct {
	mu     sync.Mutex
	next   *batch       // nil: nobody waits
	came   atomic.Int64 // plans of next
	expect int          // plans of the next firm batch, if everybody comes back
	pacing pacing
}

// add puts a plan into the next batch. Who finds none carries it out.
func (g *gathering) add(p *prepared) (b *batch, leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if leads = g.next == nil; leads {
		g.next = &batch{done: make(chan struct{}), hurry: make(chan struct{})}
	}
	g.next.plans = append(g.next.plans, p)
	g.next.firm = g.next.firm || p.firm
	g.came.Store(int64(len(g.next.plans)))
	g.next.joined(p)
	return g.next, leads
}

// close ends the gathering of the next batch.
func (g *gathering) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next = nil
}

// patience is how long whoever leads a firm batch waits for one more to come along: a part
// of what a call of the disk takes, which is saved where they do. maxPatience is how long
// for all of them: 16 callers need some 80 µs where one processor makes their plans.
const (
	patience    = 100 * time.Microsecond
	maxPatience = 2 * patience
)

// gather lets others run that are about to be ready: of 16 callers a fifth less is written.
// Those that were told of the last firm batch may each have another plan by now. It takes no
// lock while it waits: those who come need it.
func (g *gathering) gather() {
	runtime.Gosched()
	wanted := g.wanted()
	now := time.Now()
	for w := (waiting{begin: now, last: now}); !w.over(now, g.came.Load(), wanted); now = time.Now() {
		runtime.Gosched()
	}
}

// A waiting is for plans that may come.
type waiting struct {
	begin, last time.Time // when one came
	came        int64
}

// over reports whether it ends, when so many of those that are wanted have come until now.
func (w *waiting) over(now time.Time, came, wanted int64) bool {
	if came != w.came {
		w.came, w.last = came, now
	}
	return came >= wanted || now.Sub(w.last) >= patience || now.Sub(w.begin) >= maxPatience
}

// wanted is how many plans the next batch is worth waiting for.
func (g *gathering) wanted() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.next.firm {
		return 0
	}
	return int64(g.expect)
}

// wrote notes how many there are at once: those of a batch that is firm now, and those
// that came while it was written.
func (g *gathering) wrote(b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expect = len(b.plans)
	if g.next != nil {
		g.expect += len(g.next.plans)
	}
}

// step runs fn beside the writer, and what it has put down as the work of one caller. Callers
// whose plans are ready while somebody else writes go together: one of them does it for
// all, which saves handing the turn from one to the next.
func (d *sqliteDB) step(ctx context.Context, fn func(querier) error) error {
	return d.moves(ctx, fn, d.plan())
}

// record is step, but durable before it is seen.
func (d *sqliteDB) record(ctx context.Context, fn func(querier) error) error {
	p := d.plan()
	err := p.make(ctx, fn)
	return d.carry(ctx, p, fn, err, true)
}

// carry does what a plan of fn has come to, or says why not.
func (d *sqliteDB) carry(ctx context.Context, p *plan, fn func(querier) error, err error, firm bool) error {
	if p.unfit || err != nil && p.recalls {
		return d.write(ctx, fn)
	}
	if err != nil || !p.writes() {
		return err
	}
	w := &prepared{statements: p.statements, events: p.events, firm: firm, patient: p.movesOn(), err: errLost, holds: p.holds}
	d.await(w)
	if errors.Is(w.err, errStale) {
		return d.write(ctx, fn)
	}
	return w.err
}

// await has a plan carried out together with others, and waits even if the caller's context
// ends: it will have happened.
func (d *sqliteDB) await(w *prepared) {
	if b, leads := d.gathering.add(w); leads {
		d.lead(b)
	} else {
		<-b.done
	}
}

func (d *sqliteDB) plan() *plan { return &plan{d: d, age: d.memory.age.Load()} }

// glance is a plan that writes nothing.
func (d *sqliteDB) glance(ctx context.Context, fn func(querier) error) error {
	p := d.plan()
	err := p.make(ctx, fn)
	if p.writes() || p.unfit {
		return errUnfit
	}
	if err != nil && p.recalls {
		return d.read(ctx, fn)
	}
	return err
}

// make runs fn, and gives the connection back that it has read from.
func (p *plan) make(ctx context.Context, fn func(querier) error) error {
	defer func() {
		if p.conn != nil {
			p.d.readers.give(p.conn)
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(p)
}

// lead carries a batch out.
func (d *sqliteDB) lead(b *batch) {
	defer close(b.done)
	defer d.gathering.ended(b)
	d.gathering.rest(b)
	<-d.turn
	d.gathering.gather()
	d.gathering.close()
	d.gathering.begins(b)
	if d.carryOut(b) {
		if !b.firm {
			d.confirm(b)
		}
		return
	}
	var last *group
	for _, w := range b.plans {
		if w.group != nil && w.group != last {
			last = w.group
			d.settle(last)
		}
		if w.err == nil && w.group != nil {
			w.err = mapError(w.group.err)
		}
	}
}

// carryOut runs the plans of a batch under the turn and gives the turn back. It reports
// whether they are committed already, and need only be durable; otherwise each is in the
// group that others are in, too, or says why not.
func (d *sqliteDB) carryOut(b *batch) (together bool) {
	defer func() { d.turn <- struct{}{} }()
	if d.group == nil && d.together(b) {
		return true
	}
	if d.group != nil && d.joined(b) {
		return false
	}
	for _, w := range b.plans {
		w.group, w.err = d.enter(w.run)
	}
	return false
}

// joined runs the plans of a batch as the work of one caller in the group that is open.
func (d *sqliteDB) joined(b *batch) bool {
	g, err := d.enter(b.run)
	if g == nil || err != nil {
		return false
	}
	for _, w := range b.plans {
		w.group, w.err = g, nil
	}
	return true
}

// together runs the plans of a batch in one transaction of their own, with nothing to go
// back to between them, and commits it. Where one of them is not to happen, none has.
func (d *sqliteDB) together(b *batch) (committed bool) {
	d.writer.used = true
	if d.begin(!b.firm) != nil {
		return false
	}
	defer func() {
		if !committed {
			d.rollback()
		}
	}()
	if b.run(d.caller(true)) != nil || d.end() != nil {
		return false
	}
	d.committed()
	d.gathering.wrote(b)
	for _, w := range b.plans {
		w.err = nil
	}
	return true
}

// confirm waits until a batch that is committed is durable, while others write. It is seen
// before that, but nobody has been told; whoever goes on from what they see writes, and
// what is written later is durable only together with it. Where the disk fails, nothing is
// written any more until all there is has been copied out of the journal.
func (d *sqliteDB) confirm(b *batch) {
	err := d.solidify()
	for _, w := range b.plans {
		w.err = err
	}
}

// run does what all plans say.
func (b *batch) run(q querier) error {
	for _, w := range b.plans {
		if err := w.run(q); err != nil {
			return err
		}
	}
	return nil
}

// run does what a plan says.
func (w *prepared) run(q querier) error {
	if w.catchUp {
		c := q.(*caller)
		if err := c.save(); err != nil { // others of its batch may fail after it
			return err
		}
		var err error
		w.passed, err = c.catchUpNoting(maxBehind)
		return err
	}
	if !w.holds() {
		return errStale
	}
	for _, s := range w.statements {
		if s.move.next != nil {
			e := *s.move.next // it may run again
			if q.(exchangeKeeper).move(context.Background(), s.move.from, &e) != nil {
				return errStale
			}
			continue
		}
		res, err := q.exec(context.Background(), s.query, s.args...)
		if err != nil {
			return errStale // as a transaction it fails with what has to be said, or does not
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errStale
		}
	}
	if g, ok := q.(gatherer); ok {
		for _, row := range w.events {
			g.gather(row)
		}
	}
	return nil
}
