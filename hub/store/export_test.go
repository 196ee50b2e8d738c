package store

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
)

// FirstSchema makes a database as the first migration alone left it, and returns it for
// rows to be written. Open brings it up to date.
func FirstSchema(t *testing.T, c Config) *sql.DB {
	t.Helper()
	const name = "0001_base.sql"
	text, err := fs.ReadFile(migrations, "migrations/"+name)
	if err != nil {
		t.Fatal(err)
	}
	var files fs.FS = fstest.MapFS{name: {Data: text}}
	driver, address, dialect := "pgx", c.URL, goose.DialectPostgres
	if c.URL == "" {
		driver, address, dialect, files = "sqlite", filepath.Join(c.Dir, FileName), goose.DialectSQLite3, sqliteFiles{files}
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// SchemaUpTo makes a database as the migrations up to a version left it, likewise.
func SchemaUpTo(t *testing.T, c Config, version int64) *sql.DB {
	t.Helper()
	driver, address, dialect, source := "pgx", c.URL, goose.DialectPostgres, arrays
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	if c.URL == "" {
		driver, address, dialect, source, files = "sqlite", filepath.Join(c.Dir, FileName), goose.DialectSQLite3, jsonRows, sqliteFiles{files}
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(accountKeysMigration(source)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return db
}

// FastKeys makes the nodes look more often whether the master key was changed.
func FastKeys(c Config) Config {
	c.keyRefresh = 50 * time.Millisecond
	return c
}

// AnnounceOnly is a rotation that is interrupted right after it began.
func AnnounceOnly(t *testing.T, s *Store, raw []byte) error {
	k, err := newMasterKey(raw)
	if err != nil {
		return err
	}
	return s.Tx(t.Context(), func(tx *Tx) error { return tx.announceKey(t.Context(), k) })
}

// SealedUnder counts the cells that are sealed under a key.
func SealedUnder(t *testing.T, s *Store, raw []byte) (n int) {
	t.Helper()
	k, err := newMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, col := range sealedColumns {
		m := 0
		err := s.Read(t.Context(), func(tx *Tx) error {
			return tx.Row(t.Context(), []any{&m}, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s LIKE $1", col.table, col.column), k.id+".%")
		})
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	return n
}
