package store

import (
	"context"
	"encoding/binary"
	"log/slog"
	"sync"
	"time"
)

// Sizes of the journal, in pages.
const (
	copyFrom   = 8000 // it is copied into the database from here on: a page that many transactions change is copied once
	copyLittle = 256  // so few are copied under the turn, which takes about as long as a commit
	copyRounds = 3    // beside the writer, who goes on meanwhile: each leaves less than the one before
)

// copyPause is between two copies where the journal cannot begin anew, because somebody reads from it.
const copyPause = 100 * time.Millisecond

// A copying keeps the journal short. SQLite would do that in the midst of a commit, and
// everybody would wait for the disk as long as it takes to write 32 MB.
type copying struct {
	full chan struct{} // holds a token while the journal is to be copied
	turn sync.Mutex    // one copy at a time, as SQLite wants it
}

func newCopying() copying { return copying{full: make(chan struct{}, 1)} }

// journalPages is where a mark has the number of pages in the journal (mxFrame).
const journalPages = 16

// pages returns how many there are in the journal; 0 where that is not known.
func (x *index) pages() uint32 {
	m, ok := x.mark()
	if !ok {
		return 0
	}
	return m.pages()
}

func (m Mark) pages() uint32 { return binary.NativeEndian.Uint32(m.header[journalPages:]) }

// watchIndex is called after each commit, under the turn. Where another process has committed
// anything since the transaction began, nobody knows whether what is there is of this one.
func (d *sqliteDB) watchIndex() {
	m, ok := d.index.mark()
	if ok {
		n, err := integers(context.Background(), d.writer.txn(), "PRAGMA data_version")
		ok = err == nil && n[0] == d.others
	}
	if !ok {
		d.ours.Store(nil)
		return
	}
	d.ours.Store(&m)
	if m.pages() < copyFrom {
		return
	}
	select {
	case d.copying.full <- struct{}{}:
	default: // it was said already
	}
}

// copies copies the journal whenever it is long, until ctx ends.
func (d *sqliteDB) copies(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case <-d.copying.full:
		case <-ctx.Done():
			return
		}
		if err := d.copyJournal(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "the database's journal was not copied; tried again", "error", err)
		}
		_ = wait(ctx, copyPause)
	}
}

// copyJournal copies most of the journal beside the writer, and the rest under the turn: the
// next transaction begins it anew, if nobody reads from it.
func (d *sqliteDB) copyJournal(ctx context.Context) error {
	left := int64(copyFrom)
	for n := 0; n < copyRounds && left > copyLittle; n++ {
		var err error
		if left, err = d.copyBeside(ctx); err != nil {
			return err
		}
	}
	select {
	case <-d.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { d.turn <- struct{}{} }()
	d.finish(d.commit())
	return d.copyRest(ctx)
}

// copyBeside copies what is in the journal when it begins. It returns how many pages there
// are that are not copied.
func (d *sqliteDB) copyBeside(ctx context.Context) (left int64, err error) {
	c, err := d.readers.take(ctx)
	if err != nil {
		return 0, err
	}
	defer d.readers.give(c)
	d.copying.turn.Lock()
	defer d.copying.turn.Unlock()
	copied, err := checkpoint(ctx, c.txn(), "PASSIVE")
	return int64(d.index.pages()) - copied.done, err
}

// copyRest is called under the turn.
func (d *sqliteDB) copyRest(ctx context.Context) error {
	d.copying.turn.Lock()
	defer d.copying.turn.Unlock()
	_, err := checkpoint(ctx, d.writer.txn(), "PASSIVE")
	return err
}

// A copied is what a checkpoint says of itself.
type copied struct{ busy, pages, done int64 }

func checkpoint(ctx context.Context, q querier, how string) (c copied, err error) {
	rows, err := q.query(ctx, "PRAGMA wal_checkpoint("+how+")")
	if err != nil {
		return c, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := rows.Scan(&c.busy, &c.pages, &c.done); err != nil {
			return c, err
		}
	}
	return c, rows.Err()
}
