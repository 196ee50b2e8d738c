package store

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func pooled(t *testing.T) *sqliteDB {
	t.Helper()
	db, err := openSQLite(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.close() })
	d := db.(*sqliteDB)
	if err := d.write(t.Context(), func(q querier) error {
		_, err := q.exec(t.Context(), "CREATE TABLE things (n BIGINT)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func count(ctx context.Context, q querier) (n int, err error) {
	rows, err := q.query(ctx, "SELECT count(*) FROM things")
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	rows.Next()
	return n, rows.Scan(&n)
}

func TestOneConnectionServesAStoreWithLittleToDo(t *testing.T) {
	d := pooled(t)
	for range 20 {
		if err := d.read(t.Context(), func(q querier) error { _, err := count(t.Context(), q); return err }); err != nil {
			t.Fatal(err)
		}
	}
	d.readers.rest()
	warm := 0
	for _, c := range d.readers.idle {
		if c.warm {
			warm++
		}
	}
	if warm != 1 {
		t.Errorf("%d connections have something in their cache, want 1", warm)
	}
}

func TestAConnectionRestsOnceAfterItsWork(t *testing.T) {
	d := pooled(t)
	d.readers.rest()
	d.restWriter()
	if !d.writer.warm {
		t.Error("the writer rests although it has just written")
	}
	d.restWriter()
	if d.writer.warm || d.writer.used {
		t.Error("the writer keeps its cache")
	}
	d.restWriter()
	if d.writer.warm {
		t.Error("a rest is taken for work")
	}
}

func TestRestDisturbsNobody(t *testing.T) {
	d := pooled(t)
	const writers, each = 4, 50
	ended := make(chan struct{})
	var resting, all sync.WaitGroup
	resting.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				d.readers.rest()
				d.restWriter()
			}
		}
	})
	for range writers {
		all.Go(func() {
			for range each {
				err := d.write(t.Context(), func(q querier) error { _, err := q.exec(t.Context(), "INSERT INTO things VALUES (1)"); return err })
				if err == nil {
					err = d.read(t.Context(), func(q querier) error { _, err := count(t.Context(), q); return err })
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	close(ended)
	resting.Wait()
	if err := d.look(t.Context(), func(q querier) error {
		n, err := count(t.Context(), q)
		if n != writers*each {
			t.Errorf("%d rows, want %d", n, writers*each)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestWhoWaitsForAConnectionMayLeave(t *testing.T) {
	p := newSQLitePool(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.take(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
