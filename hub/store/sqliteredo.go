package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// Settings of the database that its redo files go by.
const (
	redoSeed   = "redo_seed"   // tells its files from those of another database
	redoPassed = "redo_passed" // what generations up to here held is in the database
)

// redoRest is how long no sign-in comes before the redo files are emptied: what they hold is in
// the database long since, where it can be deleted.
const redoRest = 2 * time.Second

// redoPatience is how long whoever is to serve waits for a process that has the files, and may
// be about to end.
const redoPatience = 20 * time.Second

// maxEmptying is how often the database is written to before both redo files were free once.
const maxEmptying = 4

// opensRedo takes the redo files of the folder, and writes to the database what a process that
// died has left there: nobody may go on from the database alone before. Where another one has
// them it waits. On systems where nobody can have them alone, final steps are written to the
// database before they are told of.
func (d *sqliteDB) opensRedo(ctx context.Context, log *slog.Logger) error {
	lock, err := d.lockRedo(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the redo files of sign-ins: %w", err)
	}
	r, left, err := d.loadRedo(ctx, lock)
	if err != nil {
		return fmt.Errorf("the redo files of sign-ins: %w", errors.Join(err, lock.Close()))
	}
	if err := d.replay(ctx, left, r.generation-1); err != nil {
		r.close()
		return fmt.Errorf("what was told of sign-ins cannot be written: %w", err)
	}
	r.free(r.generation - 1)
	if err := r.wipe(); err != nil {
		r.close()
		return fmt.Errorf("the redo files of sign-ins: %w", err)
	}
	if len(left) > 0 {
		log.InfoContext(ctx, "what the last process had told of sign-ins is in the database now", "steps", len(left))
	}
	d.redo.Store(r)
	return nil
}

// lockRedo waits until nobody else has the redo files.
func (d *sqliteDB) lockRedo(ctx context.Context) (*os.File, error) {
	ctx, end := context.WithTimeout(ctx, redoPatience)
	defer end()
	for {
		lock, err := lockFile(filepath.Join(d.dir, redoNames[0]))
		if !errors.Is(err, errLocked) {
			return lock, err
		}
		if wait(ctx, redoPatience/100) != nil {
			return nil, fmt.Errorf("%w: end it first; on SQLite one process serves", err)
		}
	}
}

func (d *sqliteDB) loadRedo(ctx context.Context, lock *os.File) (*redo, []redoRecord, error) {
	var seed uint32
	var last int64
	err := d.write(ctx, func(q querier) (err error) {
		seed, last, err = redoSettings(ctx, q)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return openRedo(d.dir, lock, seed, last)
}

// redoSettings reads what redo files go by, and makes it where there is nothing.
func redoSettings(ctx context.Context, q querier) (seed uint32, last int64, err error) {
	var texts [2]string
	for i, s := range []struct{ name, first string }{{redoSeed, strconv.FormatUint(uint64(rand.Uint32()), 10)}, {redoPassed, "0"}} {
		if _, err = q.exec(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", s.name, s.first); err != nil {
			return 0, 0, err
		}
		tx := &Tx{q: q}
		if texts[i], err = tx.Setting(ctx, s.name); err != nil {
			return 0, 0, err
		}
	}
	n, err := strconv.ParseUint(texts[0], 10, 32)
	if err == nil {
		last, err = strconv.ParseInt(texts[1], 10, 64)
	}
	return uint32(n), last, err
}

// catchUpNoting writes at most n that wait, and notes with it up to where redo files are needed
// no more.
func (c *caller) catchUpNoting(n int) (passed int64, err error) {
	r := c.d.redo.Load()
	if r == nil {
		return 0, c.catchUp(c.d.exchanges.take(n))
	}
	generation, _ := r.begins()
	if err := c.catchUp(c.d.exchanges.take(n)); err != nil {
		return 0, err
	}
	if passed = c.d.exchanges.passed(generation); r.isFree(passed) {
		return 0, nil
	}
	return passed, c.passRedo(context.Background(), passed)
}

// passRedo notes in the open transaction what generations of redo files have passed.
func (c *caller) passRedo(ctx context.Context, passed int64) error {
	_, err := c.sqliteTxn.exec(ctx, "UPDATE settings SET value = $1 WHERE name = $2", strconv.FormatInt(passed, 10), redoPassed)
	return err
}

// replay writes records to the database, and that their generations have passed.
func (d *sqliteDB) replay(ctx context.Context, left []redoRecord, passed int64) error {
	return d.write(ctx, func(q querier) error {
		c := q.(*caller)
		for _, r := range left {
			if err := c.redo(ctx, r); err != nil {
				return err
			}
		}
		if err := c.save(); err != nil {
			return err
		}
		return c.passRedo(ctx, passed)
	})
}

// redo writes what of a record is not in the database. Where the row of the exchange is gone or
// can not be so any more, its events are all.
func (c *caller) redo(ctx context.Context, r redoRecord) error {
	for _, row := range r.events {
		known, err := integers(ctx, c, "SELECT COUNT(*) FROM audit_events WHERE id = $1", row[0])
		if err != nil {
			return err
		}
		if known[0] == 0 {
			c.gather(row)
		}
	}
	versions, err := integers(ctx, c, "SELECT version FROM oidc_exchanges WHERE env = $1 AND id = $2", r.next.Env, r.next.ID)
	if err != nil {
		return err
	}
	version := int64(0)
	if len(versions) > 0 {
		version = versions[0]
	}
	if version >= r.next.Version || version == 0 && r.stored > 0 {
		return nil
	}
	if err := c.save(); err != nil {
		return err
	}
	_, err = writeExchange(ctx, c.sqliteTxn, version, r.next)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// final decides in memory what a plan wants, where that is to move one exchange on, and makes
// it durable in a redo file. done is false where it has to be written to the database before
// it is told of, which nobody has done.
func (d *sqliteDB) final(p *plan) (done bool, err error) {
	r := d.redo.Load()
	if r == nil || d.isForeign() {
		return false, nil
	}
	generation, ok := r.begins()
	m := p.statements[0].move
	if !ok || d.seal(m.next) != nil {
		return false, nil
	}
	record, k := d.exchanges.putFinal(m, p.events, p.holds, generation)
	if k == nil {
		return false, nil
	}
	if err := d.solid(); err != nil {
		return true, err
	}
	if r.add(record.append(make([]byte, 0, record.size()))) != nil {
		return true, d.writeNow(k)
	}
	return true, nil
}

// writeNow writes what waits of an exchange, durably, where no redo file takes it.
// ErrConflict: it cannot be written any more.
func (d *sqliteDB) writeNow(k *kept) error {
	err := d.write(context.Background(), func(q querier) error {
		c := q.(*caller)
		if err := c.save(); err != nil {
			return err
		}
		return c.catchUp(d.exchanges.takeOne(k))
	})
	if err == nil {
		err = d.solidify() // where somebody else has written it just now
	}
	if err == nil && d.exchanges.isGone(k) {
		err = ErrConflict
	}
	return err
}

// drafts counts commits that are not durable by themselves, and may be seen before they are.
type drafts struct {
	begun   atomic.Int64 // that anybody may see some of
	done    atomic.Int64 // that were committed or lost
	durable atomic.Int64 // so many of these are on the disk, at least
}

// solid waits until everything is durable that anybody has seen by now.
func (d *sqliteDB) solid() error {
	seen := d.lazily.begun.Load()
	if seen <= d.lazily.durable.Load() {
		return nil
	}
	if d.lazily.done.Load() < seen { // one is being committed
		<-d.turn
		d.turn <- struct{}{}
	}
	return d.solidify()
}

// solidify makes all commits durable that there are when it is called. Where the disk fails,
// nothing is written any more until all there is has been copied out of the journal.
func (d *sqliteDB) solidify() error {
	n := d.lazily.done.Load()
	if err := d.journal.durable(); err != nil {
		<-d.turn
		d.doubtful = true
		d.turn <- struct{}{}
		return fmt.Errorf("%w: the disk failed: %w", ErrUnavailable, err)
	}
	for was := d.lazily.durable.Load(); was < n && !d.lazily.durable.CompareAndSwap(was, n); was = d.lazily.durable.Load() {
	}
	return nil
}

// isForeign reports whether another process may have committed anything since this one did.
func (d *sqliteDB) isForeign() bool {
	m, ok := d.index.mark()
	ours := d.ours.Load()
	return !ok || ours == nil || *ours != m
}

// isFinal reports whether a plan moves one exchange on, and does nothing else but tell of it.
// It has asked then whether whom that is about was erased.
func (p *plan) isFinal(ctx context.Context) bool {
	if p.unfit || len(p.statements) != 1 || p.statements[0].move.next == nil || p.statements[0].move.from == 0 {
		return false
	}
	p.recalls = true // an erasure ends what is remembered
	next := p.statements[0].move.next
	if next.About == "" {
		return true
	}
	name := "not erased: " + next.Env + "/" + next.About
	if _, ok := p.recall(name); ok {
		return true
	}
	erased, err := integers(ctx, p, "SELECT COUNT(*) FROM people WHERE env = $1 AND id = $2 AND erased_at <> 0", next.Env, next.About)
	if err != nil || erased[0] != 0 {
		return false
	}
	p.keep(name, true)
	return true
}

// emptyRedo has all written that redo files hold when it is called, and takes it out of them.
func (d *sqliteDB) emptyRedo() error {
	r, last := d.redo.Load(), int64(0)
	if r != nil {
		last = r.now()
	}
	for range maxEmptying {
		if err := d.flush(); err != nil || r == nil {
			return err
		}
		if r.isFree(last) {
			return r.wipe()
		}
	}
	return fmt.Errorf("%w: the redo files are in use", ErrUnavailable)
}

// closeRedo gives the redo files back.
func (d *sqliteDB) closeRedo() {
	if r := d.redo.Swap(nil); r != nil {
		r.close()
	}
}
