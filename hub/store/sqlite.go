package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// FileName is the SQLite file in the data folder.
const FileName = "postern.db"

// sqlitePragmas: WAL lets readers go on beside the writer; synchronous FULL makes a
// commit durable, since this file is the truth; busy_timeout covers another process,
// such as a command-line tool, that writes to the same file. wal_autocheckpoint (pages)
// is where SQLite copies the journal by itself, see copying: four times as late.
var sqlitePragmas = []string{"journal_mode(WAL)", "busy_timeout(5000)", "synchronous(FULL)", "foreign_keys(1)", "wal_autocheckpoint(32000)"}

// writerCache is the writer's page cache: indexes are written all over, and 100,000
// accounts have some 40 MB of them. Negative: in KiB. What a statement might have to undo
// stays in memory, too: it would be written to a file and read by nobody. What is deleted
// is overwritten: a destroyed key is to be gone from the file.
const writerCache = "PRAGMA cache_size(-65536); PRAGMA temp_store(MEMORY); PRAGMA secure_delete(1)"

// sqliteDB has one writer, which commits for several callers at once, and readers.
type sqliteDB struct {
	db      *sql.DB
	writer  *sqliteConn
	turn    chan struct{} // holds a token while nobody writes; waiting callers are served in order
	group   *group        // open transaction of the writer; guarded by turn
	readers *sqlitePool

	gathering gathering // of steps that wait for the writer
	memory    *memory   // of what steps read
	changed   bool      // a settled table, by the writer since its last commit; guarded by turn
	exchanges *exchangeQueue
	deleted   bool                      // an exchange, by the writer since its last commit; guarded by turn
	wrote     []written                 // by the open transaction; guarded by turn
	seal      func(*OIDCExchange) error // before it is written
	others    int64                     // counts commits of other processes, as the writer sees it; guarded by turn
	copying   copying
	journal   *journal             // that their commits are made durable in
	index     index                // of the journal, which shows whether anything was committed
	commits   atomic.Int64         // of the writer; grows before anybody is told of one
	lazily    drafts               // commits that are not durable by themselves
	ours      atomic.Pointer[Mark] // what the index said after the last one; nil: that is not known
	writes    bool                 // something was written since the last commit, or may be; guarded by turn
	dir       string
	redo      atomic.Pointer[redo] // that final steps are made durable in; nil: the database itself
	lazy      bool                 // a commit of the writer is not durable by itself; guarded by turn
	doubtful  bool                 // the disk has failed, and what is in the journal may be lost; guarded by turn

	late    [][]any // audit rows of the open transaction that are not written yet; guarded by turn
	recent  int64   // events that have no index yet; guarded by turn
	broken  error   // what others gathered is lost, and with it the group; guarded by turn
	inserts auditInsert
	placed  auditPlacing

	caught   caughtUp     // by the open transaction; guarded by turn
	catchUps atomic.Int64 // counts those that were durably committed
}

// group is one transaction of the writer that holds the work of several callers.
type group struct {
	done chan struct{} // closed when it was committed or lost
	err  error         // set before done is closed
}

func openSQLite(dir string) (database, error) {
	if dir == "" {
		return nil, errors.New("no data folder is configured")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	v := url.Values{"_pragma": sqlitePragmas, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: v.Encode()}).String())
	if err != nil {
		return nil, err
	}
	d := &sqliteDB{db: db, dir: dir, turn: make(chan struct{}, 1), journal: newJournal(path + "-wal"), index: index{path: path + indexSuffix}, memory: newMemory(), exchanges: newExchangeQueue(), copying: newCopying(),
		inserts: newAuditInsert("audit_recent ("+auditValues+")", auditColumnCount), placed: newAuditPlacing()}
	if err := d.connect(); err != nil {
		_ = d.close()
		return nil, err
	}
	d.index.open() // before another database of this process gives its handle back
	return d, nil
}

// createPrivate makes a file that is not there, which SQLite would make readable for others.
// One that is there is not touched: with any handle of it all locks go that this process has
// on it, see sharedFiles.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// connect opens the writer and as many readers as can run at once, and two more for
// those that wait for the disk.
func (d *sqliteDB) connect() error {
	ctx := context.Background()
	n := runtime.GOMAXPROCS(0) + 2
	d.readers = newSQLitePool(n)
	for range n {
		c, err := d.db.Conn(ctx)
		if err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, "PRAGMA query_only(1)"); err != nil {
			return err
		}
		d.readers.give(newSQLiteConn(c))
	}
	c, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, writerCache); err != nil {
		return err
	}
	d.writer = newSQLiteConn(c)
	d.writer.watch = d.watch
	d.turn <- struct{}{}
	return nil
}

func (d *sqliteDB) migrate(ctx context.Context, log *slog.Logger) error {
	return migrateDatabase(ctx, goose.DialectSQLite3, d.db, log, goose.WithGoMigrations(accountKeysMigration(jsonRows)))
}

func (d *sqliteDB) ping(ctx context.Context) error {
	return d.read(ctx, func(q querier) error {
		rows, err := q.query(ctx, "SELECT 1")
		if err != nil {
			return err
		}
		return rows.Close()
	})
}

func (d *sqliteDB) source(rows [][]any) (string, []any) { return jsonRows(rows) }

// insertInto saves a copy of each page that the statement changes: where one row cannot be
// inserted, the others stay until whoever asked for them undoes all of their work.
func (d *sqliteDB) insertInto() string { return "INSERT OR FAIL INTO " }

// numbers follow the last one: nobody else writes meanwhile.
func (d *sqliteDB) numbers(ctx context.Context, q querier, n int) ([]int64, error) {
	next, err := d.guess(ctx, q)
	if err != nil {
		return nil, err
	}
	all := make([]int64, n)
	for i := range all {
		all[i] = next + int64(i)
	}
	return all, nil
}

func (d *sqliteDB) guess(ctx context.Context, q querier) (int64, error) {
	last, err := integers(ctx, q, "SELECT COALESCE(MAX(num), 0) FROM accounts")
	if err != nil {
		return 0, err
	}
	return last[0] + 1, nil
}

// scrub empties the journal, which holds pages as they were before something was deleted.
// So do redo files.
func (d *sqliteDB) scrub(ctx context.Context) error {
	if err := d.emptyRedo(); err != nil {
		return err
	}
	select {
	case <-d.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { d.turn <- struct{}{} }()
	d.finish(d.commit())
	return d.empty(ctx)
}

// empty copies the journal into the database, durably, and cuts it off.
func (d *sqliteDB) empty(ctx context.Context) error {
	d.copying.turn.Lock()
	defer d.copying.turn.Unlock()
	c, err := checkpoint(ctx, d.writer.txn(), "TRUNCATE")
	if err != nil {
		return err
	}
	if c.busy != 0 {
		return fmt.Errorf("%w: the journal is being read", ErrUnavailable)
	}
	return nil
}

// close waits for the transactions that are under way.
func (d *sqliteDB) close() error {
	var unwritten error
	if d.writer != nil {
		unwritten = d.emptyRedo()
		<-d.turn
		d.finish(d.commit())
		d.writer.close()
		d.closeRedo()
	}
	for range cap(d.readers.tokens) {
		if len(d.readers.tokens) > 0 {
			c, _ := d.readers.take(context.Background())
			c.close()
		}
	}
	return errors.Join(unwritten, d.journal.close(), d.db.Close(), d.index.close())
}

// mark counts this process's own commits, too: not every file system shows who reads a file
// at once what was written to it as memory, which is how SQLite writes the index.
func (d *sqliteDB) mark() (Mark, bool) {
	own := d.commits.Load()
	m, ok := d.index.mark()
	m.own = own
	return m, ok
}

func (d *sqliteDB) read(ctx context.Context, fn func(querier) error) error {
	c, err := d.readers.take(ctx)
	if err != nil {
		return err
	}
	defer d.readers.give(c)
	return c.snapshot(ctx, func(querier) error { return fn(&reader{sqliteTxn: sqliteTxn{c}, d: d}) })
}

// look needs no frame: a statement sees one state of the database.
func (d *sqliteDB) look(ctx context.Context, fn func(querier) error) error {
	c, err := d.readers.take(ctx)
	if err != nil {
		return err
	}
	defer d.readers.give(c)
	return fn(&reader{sqliteTxn: sqliteTxn{c}, d: d})
}

// write gives fn its turn in the open group, or in a new one, and waits until the group
// is committed. Whoever has had its turn queues for another one: callers that came
// meanwhile are before it and join the group, then it commits for all of them.
func (d *sqliteDB) write(ctx context.Context, fn func(querier) error) error {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	g, err := d.join(fn)
	if g == nil {
		return err
	}
	d.settle(g)
	if g.err != nil {
		return mapError(g.err)
	}
	return err
}

// draft commits fn's work without waiting for the disk. Where others' work waits to be
// committed, it goes with that.
func (d *sqliteDB) draft(ctx context.Context, fn func(querier) error) error {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.group == nil {
		defer func() { d.turn <- struct{}{} }()
		return d.alone(fn)
	}
	g, err := d.join(fn)
	if g == nil {
		return err
	}
	d.settle(g)
	if g.err != nil {
		return mapError(g.err)
	}
	return err
}

// alone runs fn under the turn, in a transaction of its own, and commits it, not durably.
func (d *sqliteDB) alone(fn func(querier) error) error {
	d.writer.used = true
	if err := d.begin(true); err != nil {
		return mapError(err)
	}
	committed := false
	defer func() {
		if !committed {
			d.rollback()
		}
		d.committed()
	}()
	if err := fn(d.caller(true)); err != nil {
		return err
	}
	err := d.end()
	committed = err == nil
	return mapError(err)
}

// settle waits until a group is committed, and does it where nobody else has work for it.
func (d *sqliteDB) settle(g *group) {
	select {
	case <-g.done:
	case <-d.turn:
		if d.group == g {
			d.finish(d.commit())
		}
		d.turn <- struct{}{}
		<-g.done
	}
}

// join is enter for whoever has the turn, and gives the turn back.
func (d *sqliteDB) join(fn func(querier) error) (*group, error) {
	defer func() { d.turn <- struct{}{} }()
	return d.enter(fn)
}

// enter runs fn under the turn. It returns the group that now holds fn's work, or whose
// work fn has seen; nil if there is none.
func (d *sqliteDB) enter(fn func(querier) error) (*group, error) {
	d.writer.used = true
	fresh := d.group == nil
	if fresh {
		if err := d.begin(false); err != nil {
			return nil, mapError(err)
		}
		d.group = &group{done: make(chan struct{})}
	}
	g, c := d.group, d.caller(fresh)
	returned := false
	defer func() {
		if !returned { // fn panicked
			d.undo(c)
		}
	}()
	err := fn(c)
	if err == nil {
		err = c.end()
	}
	if d.broken != nil {
		err = d.broken
	}
	returned = true
	if err != nil && d.undo(c) {
		return nil, err
	}
	return g, err
}

// undo takes back the work of one caller. It reports whether the group is over.
func (d *sqliteDB) undo(c *caller) bool {
	if c.first {
		d.rollback()
		d.finish(nil)
		return true
	}
	err := d.broken
	if err == nil {
		err = c.back()
	}
	if err != nil { // SQLite itself rolled everything back: a full disk, an I/O error
		d.rollback()
		d.finish(fmt.Errorf("%w: the transaction was rolled back: %w", ErrUnavailable, err))
	}
	return false
}

// rollback takes everything back that was not committed.
func (d *sqliteDB) rollback() {
	_ = d.writer.run("ROLLBACK")
	d.exchanges.back(d.wrote)
	d.wroteNothing()
	clear(d.late)
	d.late, d.broken, d.caught = d.late[:0], nil, caughtUp{}
}

func (d *sqliteDB) commit() error {
	if d.group == nil {
		return nil
	}
	err := d.end()
	if err != nil {
		d.rollback()
	}
	d.committed()
	return err
}

// finish ends the open group and wakes those who wait for it.
func (d *sqliteDB) finish(err error) {
	if g := d.group; g != nil {
		d.group = nil
		g.err = err
		close(g.done)
	}
}
