// Package storetest opens real stores for tests: SQLite in a folder of the test, and a
// database of its own on a real PostgreSQL.
package storetest

import (
	"bytes"
	"context"
	"log/slog"
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

// made guards the database with the schema in it, which the others are copied from:
// migrating each one would take longer than most tests.
var made struct {
	sync.Mutex
	done bool
}

func template(t testing.TB, p *testenv.Postgres) string {
	t.Helper()
	const name = "schema"
	made.Lock()
	defer made.Unlock()
	if made.done {
		return name
	}
	p.Create(t, name)
	s, err := store.Open(t.Context(), store.Config{URL: p.URL(name), Dir: testenv.Dir(t), MasterKey: MasterKey, Log: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	made.done = true
	return name
}
