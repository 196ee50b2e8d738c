package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func set(ctx context.Context, s *store.Store, name, value string) error {
	return s.Tx(ctx, func(tx *store.Tx) error { return tx.SetSetting(ctx, name, value) })
}

func setting(t *testing.T, s *store.Store, name string) string {
	t.Helper()
	v, err := store.Get(t.Context(), s, func(tx *store.Tx) (string, error) { return tx.Setting(t.Context(), name) })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return v
}

func TestTransactionHappensAsAWholeOrNotAtAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, boom := t.Context(), errors.New("boom")
		err := s.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.SetSetting(ctx, "a", "1"); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) || setting(t, s, "a") != "" {
			t.Fatalf("error %v, row %q", err, setting(t, s, "a"))
		}
	})
}

func TestPanicInATransactionLeavesTheStoreUsable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		func() {
			defer func() { _ = recover() }()
			_ = s.Tx(ctx, func(tx *store.Tx) error {
				_ = tx.SetSetting(ctx, "a", "1")
				panic("boom")
			})
		}()
		if err := set(ctx, s, "b", "2"); err != nil || setting(t, s, "a") != "" || setting(t, s, "b") != "2" {
			t.Fatalf("error %v, a=%q b=%q", err, setting(t, s, "a"), setting(t, s, "b"))
		}
	})
}

// ownWorkAlone says that of ninety callers those stand whose number ends in 0, 4, 5 or 9:
// the others undid their work, by an error, a panic or a conflict.
func ownWorkAlone(t *testing.T, s *store.Store) {
	t.Helper()
	for i := range 90 {
		want := ""
		if i%5 == 0 || i%5 == 4 {
			want = "x"
		}
		if got := setting(t, s, fmt.Sprint("n", i)); got != want {
			t.Errorf("n%d = %q, want %q", i, got, want)
		}
	}
}

// Failures, panics and cancelled callers among many writers undo their own work only.
func TestCallersOfOneGroupDoNotDisturbOneAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var wg sync.WaitGroup
		for i := range 90 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer func() { _ = recover() }()
				_ = s.Tx(ctx, func(tx *store.Tx) error {
					if err := tx.SetSetting(ctx, fmt.Sprint("n", i), "x"); err != nil {
						return err
					}
					switch i % 5 {
					case 1:
						return errors.New("no")
					case 2:
						panic("no")
					case 3:
						cancel()
						_, err := tx.Setting(ctx, "n0")
						return err
					}
					return nil
				})
			})
		}
		wg.Wait()
		ownWorkAlone(t, s)
	})
}

// Read-modify-write without locks loses no update, as transactions are serializable.
func TestConcurrentCountersLoseNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if err := set(ctx, s, "n", ""); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() {
				err := s.Tx(ctx, func(tx *store.Tx) error {
					v, err := tx.Setting(ctx, "n")
					if err != nil {
						return err
					}
					return tx.SetSetting(ctx, "n", v+"+")
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := setting(t, s, "n"); len(got) != 60 {
			t.Fatalf("%d of 60 updates are left", len(got))
		}
	})
}

func TestReadersSeeOneUnchangingViewAndCannotWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		err := s.Read(ctx, func(tx *store.Tx) error {
			if _, err := tx.Setting(ctx, "late"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("before: %v", err)
			}
			if err := set(ctx, s, "late", "1"); err != nil {
				t.Error(err)
			}
			if _, err := tx.Setting(ctx, "late"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the view changed: %v", err)
			}
			return tx.SetSetting(ctx, "forbidden", "1")
		})
		if err == nil || setting(t, s, "forbidden") != "" {
			t.Fatalf("a reader wrote: %v", err)
		}
	})
}

func TestExpiredCallerDoesNotWaitForItsTurn(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Tx(t.Context(), func(*store.Tx) error { close(inside); <-leave; return nil })
	})
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := set(ctx, s, "a", "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(leave)
	wg.Wait()
	if err := set(t.Context(), s, "b", "1"); err != nil {
		t.Fatal(err)
	}
}

func TestRowsOutliveAReopenedStore(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(set(t.Context(), s, "a", "1"), s.Close()); err != nil {
			t.Fatal(err)
		}
		if got := setting(t, storetest.Open(t, c), "a"); got != "1" {
			t.Fatalf("a = %q", got)
		}
	})
}

func TestSQLiteFileIsOnlyForItsUser(t *testing.T) {
	c := storetest.SQLite(t)
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, name := range []string{"", "-wal"} {
		info, err := os.Stat(filepath.Join(c.Dir, store.FileName+name))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

func TestBadAddressOfTheStoreIsRefusedWithoutItsPassword(t *testing.T) {
	for _, url := range []string{"mysql://u:hunter2@h/d", "postgres://u:hunter2@h:port/d"} {
		c := storetest.SQLite(t)
		c.URL = url
		_, err := store.Open(t.Context(), c)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestTwoNodesMayStartOnAnEmptyDatabaseAtOnce(t *testing.T) {
	c := storetest.SQLite(t)
	c.URL = testenv.SharedPostgres(t).Database(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	wg.Wait()
}

// P26: nothing proceeds without the truth, and no restart is needed when it is back.
func TestP26_StoreThatGoesAwayFailsClosedAndComesBack(t *testing.T) {
	p := testenv.StartPostgres(t)
	c := storetest.SQLite(t)
	c.URL = p.Database(t)
	s := storetest.Open(t, c)
	ctx := t.Context()
	if err := set(ctx, s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	for range 5 {
		ran := false
		err := s.Tx(ctx, func(tx *store.Tx) error { ran = true; return tx.SetSetting(ctx, "a", "2") })
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("write: %v (ran %v)", err, ran)
		}
		if _, err := store.Get(ctx, s, func(tx *store.Tx) (string, error) { return tx.Setting(ctx, "a") }); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("read: %v", err)
		}
	}
	if err := s.Ping(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("ping: %v", err)
	}
	p.Start(t)
	if err := set(ctx, s, "b", "1"); err != nil {
		t.Fatal(err)
	}
	if a := setting(t, s, "a"); a != "1" {
		t.Fatalf("a = %q", a)
	}
}

// A transaction whose server dies in the middle is reported as such.
func TestP26_ServerLostInsideATransaction(t *testing.T) {
	p := testenv.StartPostgres(t)
	c := storetest.SQLite(t)
	c.URL = p.Database(t)
	s := storetest.Open(t, c)
	ctx := t.Context()
	var tries atomic.Int32
	err := s.Tx(ctx, func(tx *store.Tx) error {
		if tries.Add(1) == 1 {
			p.Stop()
		}
		return tx.SetSetting(ctx, "a", "1")
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
}

func TestNewIDIsARandomUUID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := store.NewID()
		if len(id) != 36 || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
}

func TestTimesAreKeptToTheMillisecond(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8_000_000, time.FixedZone("x", 3600))
	if got := store.Time(store.Millis(at)); !got.Equal(at) || got.Location() != time.UTC {
		t.Fatal(got)
	}
	if !store.Time(store.Millis(time.Time{})).IsZero() {
		t.Fatal("the zero time")
	}
}

var otherKey = bytes.Repeat([]byte{9}, store.MasterKeySize)
