package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
)

// looksAt reports whether a statement may see, or take along, what waits.
func looksAt(query string) bool {
	return strings.Contains(query, "oidc_exchanges") || strings.Contains(query, "audit_") && !strings.Contains(query, "audit_persons")
}

// early decides what a plan wants in memory where that can be, and is step otherwise.
func (d *sqliteDB) early(ctx context.Context, fn func(querier) error) error {
	p := d.plan()
	p.early = true
	err := p.make(ctx, fn)
	if err == nil && p.early && !p.unfit && len(p.statements) == 1 && p.statements[0].move.next != nil && d.exchanges.put(p.statements[0].move, p.events, p.holds) {
		return nil
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
	k, waits := c.d.exchanges.hold(next.ID)
	n, err := int64(0), error(nil)
	switch {
	case !waits:
		n, err = writeExchange(ctx, c.sqliteTxn, from, *next)
	case k.Version == from:
		n, err = writeExchange(ctx, c.sqliteTxn, k.stored, *next)
	}
	w := written{k: k, next: *next}
	if err != nil || n == 0 {
		c.d.exchanges.back([]written{w})
		return errors.Join(err, noneIs(n, ErrConflict, err))
	}
	if waits {
		c.gatherAll(k.events)
	}
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

// catchUp writes at most n exchanges that wait, and says how many it has. Where the row of one is not as it was,
// or the client is gone, that one is lost, and the audit rows stay.
func (c *caller) catchUp(n int) (int, error) {
	list := c.d.exchanges.take(n)
	for i, k := range list {
		next, gone := k.OIDCExchange, false
		err := c.d.seal(&next)
		if err == nil {
			var changed int64
			changed, err = writeExchange(context.Background(), c.sqliteTxn, k.stored, next)
			gone = errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) || err == nil && changed == 0
		}
		if err != nil && !gone {
			c.d.exchanges.back(asWritten(list[i:]))
			return i, err
		}
		c.gatherAll(k.events)
		c.d.wrote = append(c.d.wrote, written{k, next, gone})
	}
	return len(list), nil
}

// catchUpAll writes all that waits.
func (c *caller) catchUpAll() error {
	for c.d.exchanges.anyWaits() {
		if err := c.save(); err != nil {
			return err
		}
		if _, err := c.catchUp(maxBehind); err != nil {
			return err
		}
	}
	return nil
}

func asWritten(list []*kept) (all []written) {
	for _, k := range list {
		all = append(all, written{k: k})
	}
	return all
}

// flush writes what waits when it is called, durably, and not what comes meanwhile: under
// load that has no end. Where the disk does not take it, it waits still.
func (d *sqliteDB) flush() error {
	for range d.exchanges.rounds() {
		w := &prepared{catchUp: true, err: errLost}
		d.await(w)
		if w.err != nil {
			return w.err
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
	for {
		select {
		case <-d.exchanges.bell:
		case <-ctx.Done():
			return
		}
		_ = wait(ctx, writeBehind) // what waits when ctx ends is written by close
		if d.flush() == nil {
			continue
		}
		if err := d.flush(); err != nil { // the first may have gone with somebody else's
			log.ErrorContext(ctx, "sign-ins that were under way cannot be written, and have to begin anew", "sign_ins", d.exchanges.lose(), "error", err)
		}
	}
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
