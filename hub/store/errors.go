package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What callers tell apart. Every other error is a mistake in the program or schema.
var (
	ErrUnavailable = errors.New("store: the database does not answer")
	ErrNotFound    = errors.New("store: no such row")
	ErrConflict    = errors.New("store: the row is not as expected")
)

// mapError wraps a driver's error into the one that callers tell apart.
func mapError(err error) error {
	kind := classify(err)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

func classify(err error) error {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	switch {
	case err == nil, errors.Is(err, ErrUnavailable), errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict):
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &pg):
		return classifyPostgres(pg.Code)
	case errors.As(err, &lite):
		return classifySQLite(lite.Code())
	case errors.Is(err, context.Canceled):
		return nil // the caller gave up
	case lostConnection(err):
		return ErrUnavailable
	}
	return nil
}

// classifyPostgres maps an SQLSTATE (PostgreSQL 15, appendix A).
func classifyPostgres(code string) error {
	switch {
	case code == "23505": // unique_violation
		return ErrConflict
	case code == "23503": // foreign_key_violation
		return ErrNotFound
	case code == "25006", // read_only_sql_transaction: a standby after a failover
		strings.HasPrefix(code, "08"), // connection exception
		strings.HasPrefix(code, "53"), // insufficient resources
		strings.HasPrefix(code, "57"), // operator intervention: shutdown, starting up
		strings.HasPrefix(code, "58"): // system error
		return ErrUnavailable
	}
	return nil
}

// classifySQLite maps an extended result code (sqlite.org/rescode.html).
func classifySQLite(code int) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return ErrConflict
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return ErrNotFound
	}
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
		return ErrUnavailable
	}
	return nil
}

func lostConnection(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded)
}

// collided reports whether PostgreSQL ended a transaction only because it collided
// with another one: serialization_failure or deadlock_detected.
func collided(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
