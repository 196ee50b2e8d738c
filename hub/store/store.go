// Package store is the truth: one concrete Store on SQLite (one node) or PostgreSQL
// (several), with one text of SQL for both. It seals secrets under the master key. It
// knows what rows mean to one another, but takes no decision that policy or flow take.
//
// # Writing a query
//
// A resource has a file named for it with methods on [Tx]; every query takes the
// environment first, except those that find it (by the hash of a key, by a domain).
// SQL uses $1, $2 … and only TEXT and BIGINT: times are epoch milliseconds ([Millis],
// [Time]), booleans are 0 or 1 ([Flag]), structures are JSON text. A step of a state
// machine is one [Tx.Swap]: UPDATE … WHERE … AND version = $n. A sealed column stands
// in the table of sealed.go. Schemas are goose migrations in migrations/, one number
// range per owner.
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Config says which database to open.
type Config struct {
	URL       string       // postgres://…; empty: SQLite in Dir
	Dir       string       // data folder: SQLite file and the disk copy of certificates
	MasterKey []byte       // 32 bytes, see LoadMasterKey
	Log       *slog.Logger // nil: slog.Default()

	// Serves says that people sign in by this process: of those on one folder it is the only
	// one, Open waits until the last one has ended, and fails where that goes on. A tool that
	// runs beside it does not serve.
	Serves bool

	Now func() time.Time // nil: time.Now; rows bear its times

	keyRefresh time.Duration // 0: the constant
}

// A Store is safe for use by many goroutines. While the database is away its methods
// fail with errors that wrap ErrUnavailable; it needs no restart when it is back.
type Store struct {
	db   database
	dir  string
	log  *slog.Logger
	keys keyring
	now  func() time.Time

	certs *Certificates

	keyRefresh time.Duration // see the constant

	stop context.CancelFunc // ends what wg counts
	wg   sync.WaitGroup

	unscrubbed atomic.Bool  // a destroyed key may still be in the files
	ordered    atomic.Int64 // the last number that Tx.order gave

	audited chan struct{} // holds a token after an audit row was written
}

// database is what SQLite and PostgreSQL do differently.
type database interface {
	write(ctx context.Context, fn func(querier) error) error
	step(ctx context.Context, fn func(querier) error) error   // see Store.Step
	record(ctx context.Context, fn func(querier) error) error // see Store.Record
	early(ctx context.Context, fn func(querier) error) error  // see Store.Early
	draft(ctx context.Context, fn func(querier) error) error  // see Store.Draft
	read(ctx context.Context, fn func(querier) error) error
	glance(ctx context.Context, fn func(querier) error) error // see Glance; fn may run several times
	look(ctx context.Context, fn func(querier) error) error   // read for a single query; fn may run several times
	migrate(ctx context.Context, log *slog.Logger) error
	mark() (m Mark, ok bool) // see Store.Mark
	ping(ctx context.Context) error
	rests(ctx context.Context)       // gives memory back that is not used, until ctx ends
	scrub(ctx context.Context) error // takes what was deleted out of files that nothing reads any more
	close() error
	insertInto() string                                             // how a bulk statement begins that inserts rows which are not there
	source(rows [][]any) (source string, args []any)                // of the rows of a bulk statement
	numbers(ctx context.Context, q querier, n int) ([]int64, error) // for new rows of accounts, growing
	guess(ctx context.Context, q querier) (int64, error)            // the first that numbers would give now; 0: unknown
}

// Open opens the database, brings its schema up to date and checks the master key. The
// caller calls Close.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("store: open: %w", mapError(err))
	}
	s := &Store{db: db, dir: c.Dir, log: c.Log, now: c.Now, keyRefresh: cmp.Or(c.keyRefresh, keyRefresh), audited: make(chan struct{}, 1)}
	behind, _ := db.(*sqliteDB)
	if behind != nil {
		behind.seal = s.sealExchange
	}
	if err := s.prepare(ctx, c.MasterKey); err != nil {
		_ = db.close()
		return nil, err
	}
	if behind != nil && c.Serves {
		if err := behind.opensRedo(ctx, c.Log); err != nil {
			_ = db.close()
			return nil, fmt.Errorf("store: open: %w", err)
		}
	}
	s.certs = &Certificates{s: s, copies: openCopies(c.Dir, c.Log), locks: leases{held: map[string]*lease{}}}
	s.certs.sealAnew()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	active := s.activeKey().id
	s.wg.Go(func() { s.watchKeys(run, active) })
	s.wg.Go(func() { db.rests(run) })
	if behind != nil {
		s.wg.Go(func() { behind.writesBehind(run, s.log) })
		s.wg.Go(func() { behind.copies(run, s.log) })
	}
	return s, nil
}

func openDatabase(ctx context.Context, c Config) (database, error) {
	switch {
	case c.URL == "":
		return openSQLite(c.Dir)
	case strings.HasPrefix(c.URL, "postgres://"), strings.HasPrefix(c.URL, "postgresql://"):
		return openPostgres(ctx, c.URL)
	}
	return nil, fmt.Errorf("the address of the store must begin with postgres://")
}

func (s *Store) prepare(ctx context.Context, master []byte) error {
	if err := s.db.migrate(ctx, s.log); err != nil {
		return fmt.Errorf("store: bring the schema up to date: %w", mapError(err))
	}
	return s.openKeys(ctx, master)
}

// Close ends the store's goroutines and gives back its connections.
func (s *Store) Close() error {
	s.stop()
	s.certs.locks.stop()
	s.wg.Wait()
	return s.db.close()
}

// Now is the time that rows bear.
func (s *Store) Now() time.Time { return s.now() }

// Ping returns nil if the database answers.
func (s *Store) Ping(ctx context.Context) error { return mapError(s.db.ping(ctx)) }

// Tx runs fn in one transaction that either happens as a whole or not at all, as if
// all transactions ran one after another. fn may run several times (PostgreSQL
// reports collisions), so it must not do anything but use tx; it must not wait for
// the network, because on SQLite everybody waits for it. An error of fn undoes it and
// is returned. After an error that wraps ErrUnavailable the change may still have
// happened: read again before doing it twice.
func (s *Store) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	return s.transact(ctx, s.db.write, fn)
}

// Draft is Tx for work that is done anew if a Tx after it never comes, as the pages of a
// pass over accounts: when the machine loses its power, the last drafts may be lost, and
// none before them is. Any Tx makes all drafts before it durable.
func (s *Store) Draft(ctx context.Context, fn func(tx *Tx) error) error {
	return s.transact(ctx, s.db.draft, fn)
}

func (s *Store) transact(ctx context.Context, run func(context.Context, func(querier) error) error, fn func(tx *Tx) error) error {
	erased, audited := false, false
	err := run(ctx, func(q querier) error {
		tx := &Tx{s: s, q: q}
		err := fn(tx)
		erased, audited = tx.erased, tx.audited
		return err
	})
	if err == nil && audited {
		select {
		case s.audited <- struct{}{}:
		default: // it was said already
		}
	}
	if err == nil && erased {
		s.scrub(context.WithoutCancel(ctx))
	}
	return err
}

// scrub takes destroyed keys out of the files, too. Where somebody reads meanwhile it is
// done later, by Run.
func (s *Store) scrub(ctx context.Context) {
	err := s.db.scrub(ctx)
	s.unscrubbed.Store(err != nil)
	if err != nil {
		s.log.WarnContext(ctx, "a destroyed key may still be in the journal of the database; tried again within the hour", "error", err)
	}
}

// Read runs fn on one unchanging view of the store. It waits for a writer only where what
// fn first looks at is the log or exchanges of which steps of Early wait: so it must not be
// called in a transaction. fn must not begin another one: there are only a few readers, and
// each may need one more.
func (s *Store) Read(ctx context.Context, fn func(tx *Tx) error) error {
	return s.db.read(ctx, func(q querier) error { return fn(&Tx{s: s, q: q}) })
}

// Get is Read for a function with a result.
func Get[T any](ctx context.Context, s *Store, fn func(tx *Tx) (T, error)) (T, error) {
	var v T
	err := s.Read(ctx, func(tx *Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v, err
}

// Look is Get for a function of a single query, which needs no transaction around it:
// that would take longer than a look-up does. What was committed before Look began is
// seen. A second query of fn fails; fn may run several times.
func Look[T any](ctx context.Context, s *Store, fn func(tx *Tx) (T, error)) (T, error) {
	var v T
	err := s.db.look(ctx, func(q querier) (err error) {
		v, err = fn(&Tx{s: s, q: &single{q: q}})
		return err
	})
	return v, err
}

// Change is Tx for a function with a result. The result counts only if the error is nil.
func Change[T any](ctx context.Context, s *Store, fn func(tx *Tx) (T, error)) (T, error) {
	var v T
	err := s.Tx(ctx, func(tx *Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v, err
}

// NewID returns a random UUID (version 4, RFC 9562), 122 random bits that are never
// used again.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return uuid(b, 4)
}

// newOrderedID returns a UUID that begins with the time (version 7), 74 random bits
// behind it. Rows that are written together then stand together in the index: with
// random ids a first synchronisation writes the whole index again for every few hundred
// accounts.
func newOrderedID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails
	return uuid(b, 7)
}

// sorted writes ids whose order is that of their bytes.
var sorted = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewSortedID returns 26 characters that begin with the time and have 80 random bits behind
// it, for rows of which many are written at a time and each is looked up by this alone.
func NewSortedID(now time.Time) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return sortedID(now, b)
}

// sortedID is NewSortedID with the bits that follow the time.
func sortedID(now time.Time, rest [10]byte) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(now.UnixMilli(), 0))<<16)
	copy(b[6:], rest[:])
	return sorted.EncodeToString(b[:])
}

// uuid writes 16 bytes with a version and the variant of RFC 9562.
func uuid(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	at := 0
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			text[at] = '-'
			at++
		}
		at += hex.Encode(text[at:], part)
	}
	return string(text[:])
}

// Millis is how a time is stored; the zero time is 0.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time reads what Millis wrote, in UTC.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Flag is how a boolean is stored.
func Flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
