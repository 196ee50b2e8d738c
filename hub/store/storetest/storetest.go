// Package storetest opens real stores for tests: SQLite in a folder of the test, and a
// database of its own on a real PostgreSQL.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
)

// MasterKey is the master key of every store that this package opens.
var MasterKey = bytes.Repeat([]byte{7}, store.MasterKeySize)

// Each runs a test on both databases. The package's TestMain must call testenv.Run.
func Each(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	EachConfig(t, func(t *testing.T, c store.Config) { test(t, Open(t, c)) })
}

// EachConfig is Each for tests that open the store themselves, or several times.
func EachConfig(t *testing.T, test func(t *testing.T, c store.Config)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns the configuration of an empty store in a new folder.
func SQLite(t testing.TB) store.Config {
	return store.Config{Dir: testenv.Dir(t), MasterKey: MasterKey, Log: logger(t)}
}

// Postgres returns the configuration of an empty store in a new database.
func Postgres(t testing.TB) store.Config {
	t.Helper()
	p := testenv.SharedPostgres(t)
	c := SQLite(t)
	c.URL = p.Clone(t, template(t, p))
	return c
}

// Open opens a store and closes it when the test ends.
func Open(t testing.TB, c store.Config) *store.Store {
	t.Helper()
	if c.URL == "" && bytes.Equal(c.MasterKey, MasterKey) {
		copied(t, filepath.Join(c.Dir, store.FileName))
	}
	s, err := store.Open(context.WithoutCancel(t.Context()), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// schema is what the stores of this process are copied from: migrating each one would take
// longer than most tests.
var schema struct {
	postgres, sqlite sync.Mutex
	made             bool   // the database of PostgreSQL; guarded by postgres
	file             []byte // of SQLite; guarded by sqlite
}

// template is the name of PostgreSQL's database with the schema in it.
func template(t testing.TB, p *testenv.Postgres) string {
	t.Helper()
	const name = "schema"
	schema.postgres.Lock()
	defer schema.postgres.Unlock()
	if !schema.made {
		p.Create(t, name)
		migrate(t, store.Config{URL: p.URL(name), Dir: testenv.Dir(t), MasterKey: MasterKey, Log: logger(t)})
		schema.made = true
	}
	return name
}

// copied puts SQLite's file with the schema in it where there is none yet. One that is there
// is not opened: SQLite's locks would go with the handle.
func copied(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err == nil {
		_, err = f.Write(file(t))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// file is SQLite's file with the schema in it.
func file(t testing.TB) []byte {
	t.Helper()
	schema.sqlite.Lock()
	defer schema.sqlite.Unlock()
	if schema.file == nil {
		c := SQLite(t)
		migrate(t, c)
		var err error
		if schema.file, err = os.ReadFile(filepath.Join(c.Dir, store.FileName)); err != nil {
			t.Fatal(err)
		}
	}
	return schema.file
}

// migrate makes a store with the schema in it, and nothing else.
func migrate(t testing.TB, c store.Config) {
	t.Helper()
	s, err := store.Open(context.WithoutCancel(t.Context()), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
