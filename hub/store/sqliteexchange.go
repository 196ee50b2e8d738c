package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// looksAt reports whether a statement may see, or take along, what waits.
func looksAt(query string) bool {
	return strings.Contains(query, "oidc_exchanges") || strings.Contains(query, "audit_") && !strings.Contains(query, "audit_persons")
}

// eventless are tables of the log that hold no events.
var eventless = []string{"audit_head", "audit_tiles", "audit_persons"}

// seesEvents reports whether a statement may be about events.
func seesEvents(query string) bool {
	n := strings.Count(query, "audit_")
	for _, table := range eventless {
		if n == 0 {
			return false
		}
		n -= strings.Count(query, table)
	}
	return n > 0
}

// early decides what a plan wants in memory where that can be, and is step otherwise.
func (d *sqliteDB) early(ctx context.Context, fn func(querier) error) error {
	return d.moves(ctx, fn, &plan{d: d, age: d.memory.age.Load(), early: true})
}

// moves decides in memory what a plan wants if that is to move one exchange on, and has it
// carried out otherwise.
func (d *sqliteDB) moves(ctx context.Context, fn func(querier) error, p *plan) error {
	final := false
	err := p.make(ctx, func(q querier) error {
		err := fn(q)
		final = err == nil && !p.early && p.isFinal(ctx)
		return err
	})
	if err == nil && p.early && !p.unfit && len(p.statements) == 1 && p.statements[0].move.next != nil && d.exchanges.put(p.statements[0].move, p.events, p.holds) {
		return nil
	}
	if final {
		if done, err := d.final(p); done {
			return err
		}
	}
	return d.carry(ctx, p, fn, err, false)
}

// exchange implements exchangeKeeper: what has to be asked is whether it is still so, which
// move does.
func (p *plan) exchange(id string) (OIDCExchange, bool) {
	e, ok := p.d.exchanges.get(id)
	p.recalls = p.recalls || ok
	return e, ok
}

// move implements exchangeKeeper: what will be written is sealed beside the writer.
func (p *plan) move(_ context.Context, from int64, next *OIDCExchange) error {
	if !p.early {
		if err := p.d.seal(next); err != nil {
			return err
		}
	}
	p.touches("oidc_exchanges")
	e := *next
	if n := len(p.statements); n > 0 && p.statements[n-1].moves(e.ID, from) {
		p.statements[n-1].move.next = &e
		return nil
	}
	p.statements = append(p.statements, statement{move: move{from, &e}})
	return nil
}

// direct implements exchangeKeeper.
func (p *plan) direct() querier { return p }

// exchange implements exchangeKeeper. Nobody commits anything meanwhile.
func (c *caller) exchange(id string) (OIDCExchange, bool) { return c.d.exchanges.getStill(id) }

// direct implements exchangeKeeper.
func (c *caller) direct() querier { return c.sqliteTxn }

// move implements exchangeKeeper. What waits of the exchange goes with it.
func (c *caller) move(ctx context.Context, from int64, next *OIDCExchange) error {
	if err := errors.Join(ctx.Err(), c.d.seal(next)); err != nil {
		return err
	}
	if err := c.save(); err != nil {
		return err
	}
	w, ok := c.d.exchanges.hold(from, *next)
	n, err := int64(0), error(nil)
	if ok {
		n, err = writeExchange(ctx, c.sqliteTxn, w.from, w.next)
	}
	if err != nil || n == 0 {
		c.d.exchanges.back([]written{w})
		return errors.Join(err, noneIs(n, ErrConflict, err))
	}
	c.gatherAll(w.events)
	c.d.wrote = append(c.d.wrote, w)
	return nil
}

// noneIs is an error where nothing failed and no row was changed.
func noneIs(n int64, none, err error) error {
	if err == nil && n == 0 {
		return none
	}
	return nil
}

func (c *caller) gatherAll(rows [][]any) {
	for _, row := range rows {
		c.gather(row)
	}
}

// catchUp writes exchanges that were taken. Where the row of one is not as it was, or the
// client is gone, that one is lost, and the audit rows stay.
func (c *caller) catchUp(list []written) error {
	done := 0
	defer func() { c.d.exchanges.back(list[done:]) }()
	for ; done < len(list); done++ {
		w := &list[done]
		if err := c.catchUpOne(w); err != nil {
			return err
		}
		c.gatherAll(w.events)
		c.d.wrote = append(c.d.wrote, *w)
	}
	return nil
}

func (c *caller) catchUpOne(w *written) error {
	if w.gone || w.next.Version == w.from {
		return nil // there are only events
	}
	err := c.d.seal(&w.next)
	var changed int64
	if err == nil {
		changed, err = writeExchange(context.Background(), c.sqliteTxn, w.from, w.next)
	}
	if w.gone = errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) || err == nil && changed == 0; w.gone {
		return nil
	}
	return err
}

// A caughtUp is what a transaction about something else has written of what waited.
type caughtUp struct {
	all    bool  // of it
	passed int64 // generations of redo files up to here are needed no more when it is durable
}

func (u *caughtUp) add(more caughtUp) {
	u.all, u.passed = u.all || more.all, max(u.passed, more.passed)
}

// catchUpAll writes all that waits.
func (c *caller) catchUpAll() error {
	if !c.d.exchanges.anyBehind() {
		return nil
	}
	if err := c.save(); err != nil {
		return err
	}
	if r := c.d.redo.Load(); r != nil {
		r.change()
	}
	passed, err := c.catchUpNoting(maxWaiting)
	c.caught.add(caughtUp{true, passed})
	return err
}

// flush writes what waits when it is called, durably, and not what comes meanwhile: under
// load that has no end. Where the disk does not take it, it waits still.
func (d *sqliteDB) flush() error {
	r := d.redo.Load()
	rounds := d.exchanges.rounds()
	if r != nil && r.change() {
		rounds = max(rounds, 1)
	}
	for range rounds {
		w := &prepared{catchUp: true, err: errLost}
		d.await(w)
		if w.err != nil {
			return w.err
		}
		if r != nil {
			r.free(w.passed)
		}
	}
	return nil
}

// Settle writes what steps of Early have left: a view that begins afterwards has it, even
// where it looks at something else first. Where the disk does not take it, what is lost is
// nowhere to be seen. On PostgreSQL nothing is ever left.
func (s *Store) Settle() {
	if d, ok := s.db.(*sqliteDB); ok {
		_ = d.flush()
	}
}

// writesBehind writes what waits soon after it was put into the queue, until ctx ends.
func (d *sqliteDB) writesBehind(ctx context.Context, log *slog.Logger) {
	for said := false; d.rings(ctx, log); {
		before := d.catchUps.Load()
		_ = wait(ctx, writeBehind) // what waits when ctx ends is written by close
		if r := d.redo.Load(); r != nil && !said && r.failure() != nil {
			said = true
			log.ErrorContext(ctx, "the disk failed at a redo file: sign-ins are slower until the next start", "error", r.failure())
		}
		if d.catchUps.Load() != before {
			if d.exchanges.rounds() > 0 { // it came when somebody was at it already
				d.exchanges.ring()
			}
			continue
		}
		if d.flush() == nil {
			continue
		}
		if err := d.flush(); err != nil { // the first may have gone with somebody else's
			d.loses(ctx, log, err)
		}
	}
}

// rings waits until something is in the queue. Where nothing comes for a while, redo files
// are emptied.
func (d *sqliteDB) rings(ctx context.Context, log *slog.Logger) bool {
	rest := time.NewTicker(redoRest)
	defer rest.Stop()
	for empty := false; ; {
		select {
		case <-d.exchanges.bell:
			return true
		case <-ctx.Done():
			return false
		case <-rest.C:
		}
		if empty {
			continue
		}
		err := d.emptyRedo()
		if empty = err == nil; !empty {
			log.WarnContext(ctx, "the redo files cannot be emptied; tried again", "error", err)
		}
	}
}

// loses ends sign-ins that cannot be written. What is final of others is tried again.
func (d *sqliteDB) loses(ctx context.Context, log *slog.Logger, err error) {
	if n := d.exchanges.lose(); n > 0 {
		log.ErrorContext(ctx, "sign-ins that were under way cannot be written, and have to begin anew", "sign_ins", n, "error", err)
	}
	_ = wait(ctx, writeAgain)
	d.exchanges.ring()
}

// A reader is a querier that only reads. What waits is written before it first looks at
// what it may be in; later its view does not change any more.
type reader struct {
	sqliteTxn
	d      *sqliteDB
	looked bool
}

// query implements querier.
func (r *reader) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if !r.looked && looksAt(query) {
		_ = r.d.flush() // as Settle
	}
	r.looked = true
	return r.sqliteTxn.query(ctx, query, args...)
}

// exchange implements exchangeKeeper.
func (r *reader) exchange(id string) (OIDCExchange, bool) { return r.d.exchanges.getWaiting(id) }

// move implements exchangeKeeper: it fails as whatever is written by who only reads.
func (r *reader) move(ctx context.Context, from int64, next *OIDCExchange) error {
	_, err := writeExchange(ctx, r.sqliteTxn, from, *next)
	return err
}

// direct implements exchangeKeeper.
func (r *reader) direct() querier {
	r.looked = true
	return r.sqliteTxn
}

// forget lets go of what is remembered of settled tables, and of what may have gone with
// their rows.
func (d *sqliteDB) forget() {
	d.memory.forget()
	d.exchanges.forget()
}

// wroteNothing ends what the open transaction made of exchanges.
func (d *sqliteDB) wroteNothing() {
	clear(d.wrote)
	d.wrote = d.wrote[:0]
}
