package store

import (
	"context"
	"database/sql"
)

// maxStatements bounds the statements that a connection keeps prepared. Queries are
// constants of the program, a few hundred of them.
const maxStatements = 1000

// sqliteConn is one connection with its prepared statements. SQLite would otherwise
// parse a text each time, which costs more than a lookup.
type sqliteConn struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	watch func(query string) // is told of each statement that may write; nil: nobody is

	used bool // since the last rest; guarded by the pool, or by the writer's turn
	warm bool // its page cache holds something; likewise
}

func newSQLiteConn(c *sql.Conn) *sqliteConn {
	return &sqliteConn{conn: c, stmts: map[string]*sql.Stmt{}}
}

func (c *sqliteConn) close() {
	for _, s := range c.stmts {
		_ = s.Close()
	}
	_ = c.conn.Close()
}

// snapshot runs fn in a transaction that only reads.
func (c *sqliteConn) snapshot(ctx context.Context, fn func(querier) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.run("BEGIN DEFERRED"); err != nil {
		return mapError(err)
	}
	defer func() { _ = c.run("COMMIT") }()
	return fn(c.txn())
}

func (c *sqliteConn) txn() querier { return sqliteTxn{c} }

// run runs a statement of the transaction's own frame.
func (c *sqliteConn) run(text string) error {
	s, err := c.prepared(text)
	if err == nil {
		_, err = s.ExecContext(context.Background())
	}
	return err
}

func (c *sqliteConn) prepared(text string) (*sql.Stmt, error) {
	if s := c.stmts[text]; s != nil {
		return s, nil
	}
	s, err := c.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	if len(c.stmts) == maxStatements {
		for k, old := range c.stmts {
			_ = old.Close()
			delete(c.stmts, k)
			break
		}
	}
	c.stmts[text] = s
	return s, nil
}

// sqliteTxn looks at the caller's context before each statement but never interrupts
// one: an interrupted statement would roll back the work of the others in the group.
// Every statement is short.
type sqliteTxn struct{ c *sqliteConn }

func (t sqliteTxn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := t.ready(ctx, query)
	if err != nil {
		return nil, err
	}
	if t.c.watch != nil {
		t.c.watch(query)
	}
	return s.ExecContext(context.WithoutCancel(ctx), args...)
}

func (t sqliteTxn) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := t.ready(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(context.WithoutCancel(ctx), args...)
}

func (t sqliteTxn) ready(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return t.c.prepared(query)
}
