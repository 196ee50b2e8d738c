package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// querier is a transaction of either database.
type querier interface {
	exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// single is a querier for one query.
type single struct {
	q    querier
	used bool
}

var errSingle = errors.New("store: this needs a transaction")

func (s *single) exec(context.Context, string, ...any) (sql.Result, error) { return nil, errSingle }

func (s *single) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s.used {
		return nil, errSingle
	}
	s.used = true
	return s.q.query(ctx, query, args...)
}

// A Tx is a transaction. It is valid only within the function that was given it, and
// for one goroutine.
type Tx struct {
	s      *Store
	q      querier
	erased bool // a key was destroyed, and must be gone from the files too

	audited bool // an audit row was written, and wants its index
}

// Now is the time that rows written in this transaction bear.
func (tx *Tx) Now() time.Time { return tx.s.now() }

// Seal is Store.Seal.
func (tx *Tx) Seal(c Cell, plain []byte) (string, error) { return tx.s.Seal(c, plain) }

// Unseal is Store.Unseal.
func (tx *Tx) Unseal(c Cell, sealed string) ([]byte, error) { return tx.s.Unseal(c, sealed) }

// Exec runs a statement and returns how many rows it changed. A row that exists
// already is ErrConflict; a parent row that does not exist is ErrNotFound.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := tx.q.exec(ctx, query, clean(args)...)
	if err != nil {
		return 0, mapError(err)
	}
	n, err := res.RowsAffected()
	return n, mapError(err)
}

// clean replaces what PostgreSQL's TEXT cannot hold, zero bytes and broken UTF-8, by
// U+FFFD, so that no input from outside can make a statement fail.
func clean(args []any) []any {
	for i, v := range args {
		switch v := v.(type) {
		case string:
			if unstorable(v) {
				args[i] = storable(v)
			}
		case []string:
			for j, text := range v {
				if unstorable(text) {
					v[j] = storable(text)
				}
			}
		}
	}
	return args
}

func unstorable(s string) bool { return strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) }

func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Swap runs a compare-and-set: a statement that changes one row, or none when the row
// is not as its WHERE expects, which is ErrConflict.
func (tx *Tx) Swap(ctx context.Context, query string, args ...any) error {
	return tx.one(ctx, ErrConflict, query, args...)
}

// Must runs a statement that changes one row; none is ErrNotFound.
func (tx *Tx) Must(ctx context.Context, query string, args ...any) error {
	return tx.one(ctx, ErrNotFound, query, args...)
}

func (tx *Tx) one(ctx context.Context, none error, query string, args ...any) error {
	n, err := tx.Exec(ctx, query, args...)
	if err == nil && n == 0 {
		return none
	}
	return err
}

// Scan reads columns of one row, as sql.Row does.
type Scan func(dest ...any) error

// Row reads one row into dest; none is ErrNotFound.
func (tx *Tx) Row(ctx context.Context, dest []any, query string, args ...any) error {
	rows, err := tx.q.query(ctx, query, clean(args)...)
	if err != nil {
		return mapError(err)
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return mapError(err)
		}
		return ErrNotFound
	}
	if err := rows.Scan(dest...); err != nil {
		return mapError(err)
	}
	return mapError(rows.Close())
}

// One reads one row by scan; none is ErrNotFound.
func One[T any](ctx context.Context, tx *Tx, scan func(Scan) (T, error), query string, args ...any) (T, error) {
	all, err := All(ctx, tx, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// All reads every row by scan. The query bounds their number.
func All[T any](ctx context.Context, tx *Tx, scan func(Scan) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.q.query(ctx, query, clean(args)...)
	if err != nil {
		return nil, mapError(err)
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, mapError(err)
		}
		all = append(all, v)
	}
	return all, mapError(rows.Err())
}

// integers reads rows of one whole number.
func integers(ctx context.Context, q querier, query string, args ...any) (all []int64, err error) {
	rows, err := q.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

// Text scans a row of one text column, for All and One.
func Text(scan Scan) (string, error) {
	var s string
	err := scan(&s)
	return s, err
}

// JSON returns v as a JSON text, for a column. A value that cannot be encoded is a
// mistake in the program.
func JSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: %T as JSON: %v", v, err))
	}
	return string(b)
}

// ParseJSON reads a column that JSON wrote. An empty column leaves v as it is.
func ParseJSON(text string, v any) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("store: a JSON column: %w", err)
	}
	return nil
}
