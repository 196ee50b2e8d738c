package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Limits of the use of PostgreSQL.
const (
	postgresConns   = 24               // per node: three nodes fit the server's default of 100
	postgresIdle    = 12               // kept open between bursts
	postgresConnect = 5 * time.Second  // a server that takes longer is away
	postgresTx      = 30 * time.Second // a transaction without an answer for so long has lost its server
	collisions      = 60               // tries of one transaction; with 24 connections one in 24 succeeds each time
	collisionWait   = 40 * time.Millisecond
	brokenConns     = 3 // stale connections met one after another before the server counts as away
)

type postgres struct{ db *sql.DB }

func openPostgres(ctx context.Context, url string) (database, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the address of the store is not one that PostgreSQL's clients understand") // err may hold the password
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = postgresConnect
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresIdle)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return &postgres{db}, nil
}

func (p *postgres) mark() (Mark, bool)             { return Mark{}, false }
func (p *postgres) ping(ctx context.Context) error { return p.db.PingContext(ctx) }
func (p *postgres) close() error                   { return p.db.Close() }
func (p *postgres) rests(context.Context)          {} // the server has the caches

func (p *postgres) source(rows [][]any) (string, []any) { return arrays(rows) }
func (p *postgres) insertInto() string                  { return "INSERT INTO " }

// guess knows nothing: what a sequence gives next is known when it has given it.
func (p *postgres) guess(context.Context, querier) (int64, error) { return 0, nil }

func (p *postgres) numbers(ctx context.Context, q querier, n int) ([]int64, error) {
	return integers(ctx, q, "SELECT nextval(pg_get_serial_sequence('accounts', 'num')) FROM generate_series(1, $1::bigint)", n)
}

func (p *postgres) migrate(ctx context.Context, log *slog.Logger) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120)) // ask each second: another node may be at it
	if err != nil {
		return err
	}
	return migrateDatabase(ctx, goose.DialectPostgres, p.db, log, goose.WithSessionLocker(locker), goose.WithGoMigrations(accountKeysMigration(arrays)))
}

func (p *postgres) read(ctx context.Context, fn func(querier) error) error {
	return p.run(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, fn)
}

// glance asks without a transaction around it, which would take longer than the queries.
func (p *postgres) glance(ctx context.Context, fn func(querier) error) error { return p.look(ctx, fn) }

// look passes over pooled connections that a restart of the server has broken, as begin
// does.
func (p *postgres) look(ctx context.Context, fn func(querier) error) (err error) {
	for range brokenConns {
		t := &postgresTxn{tx: p.db, deadline: time.Now().Add(postgresTx)}
		err = fn(t)
		t.end()
		var dial *pgconn.ConnectError
		if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil || errors.As(err, &dial) {
			break
		}
	}
	return err
}

// draft does not wait until the commit is on the server's disk.
func (p *postgres) draft(ctx context.Context, fn func(querier) error) error {
	return p.write(ctx, func(q querier) error {
		if _, err := q.exec(ctx, "SET LOCAL synchronous_commit TO OFF"); err != nil {
			return err
		}
		return fn(q)
	})
}

// step is write: transactions do not wait for one another here.
func (p *postgres) step(ctx context.Context, fn func(querier) error) error { return p.write(ctx, fn) }

// early is write, too: other nodes go on from what it writes.
func (p *postgres) early(ctx context.Context, fn func(querier) error) error { return p.write(ctx, fn) }

// record is write, too.
func (p *postgres) record(ctx context.Context, fn func(querier) error) error { return p.write(ctx, fn) }

// write repeats a transaction that collided with another one.
func (p *postgres) write(ctx context.Context, fn func(querier) error) error {
	for try := 1; ; try++ {
		err := p.run(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}, fn)
		if !collided(err) {
			return err
		}
		if try == collisions {
			return fmt.Errorf("%w: %d collisions in a row: %w", ErrUnavailable, try, err)
		}
		if err := wait(ctx, rand.N(collisionWait)); err != nil {
			return err
		}
	}
}

func (p *postgres) run(ctx context.Context, opts *sql.TxOptions, fn func(querier) error) error {
	deadline := time.Now().Add(postgresTx)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	tx, err := p.begin(ctx, opts)
	if err != nil {
		return mapError(err)
	}
	defer func() { _ = tx.Rollback() }() // harmless after a commit
	t := &postgresTxn{tx: tx, deadline: deadline}
	defer t.end()
	if err := fn(t); err != nil {
		return err
	}
	return mapError(tx.Commit())
}

// begin passes over pooled connections that a restart of the server has broken.
func (p *postgres) begin(ctx context.Context, opts *sql.TxOptions) (tx *sql.Tx, err error) {
	for range brokenConns {
		tx, err = p.db.BeginTx(ctx, opts)
		var dial *pgconn.ConnectError
		if err == nil || ctx.Err() != nil || errors.As(err, &dial) {
			break
		}
	}
	return tx, err
}

// wait returns after d, or earlier with ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// statements are what a transaction and the whole pool have in common.
type statements interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// postgresTxn bounds every statement by the transaction's deadline too.
type postgresTxn struct {
	tx       statements
	deadline time.Time
	ends     []context.CancelFunc // of the statements whose rows may still be read
}

func (t *postgresTxn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, cancel := context.WithDeadline(ctx, t.deadline)
	defer cancel()
	return t.tx.ExecContext(ctx, query, args...)
}

func (t *postgresTxn) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, cancel := context.WithDeadline(ctx, t.deadline)
	t.ends = append(t.ends, cancel)
	return t.tx.QueryContext(ctx, query, args...)
}

func (t *postgresTxn) end() {
	for _, cancel := range t.ends {
		cancel()
	}
}

// scrub does nothing: the server removes old rows itself, by its vacuum, and its journal
// by its own rules.
func (p *postgres) scrub(context.Context) error { return nil }
