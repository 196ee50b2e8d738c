package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"testing"
	"time"
)

// A trap is an argument that no driver survives.
type trap struct{}

// Value implements driver.Valuer.
func (trap) Value() (driver.Value, error) { panic("trap") }

// Whoever writes for others and panics has not written for them, and they hear so.
func TestP07_AStepThatWasNotCarriedOutDidNotSucceed(t *testing.T) {
	db, err := openSQLite(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := db.(*sqliteDB) // never closed: package sql waits for the statement that panicked
	ctx := t.Context()
	insert := func(name any) func(querier) error {
		return func(q querier) error {
			_, err := q.exec(ctx, "INSERT INTO used (name) VALUES ($1)", name)
			return err
		}
	}
	if err := d.write(ctx, func(q querier) error { _, err := q.exec(ctx, "CREATE TABLE used (name TEXT PRIMARY KEY)"); return err }); err != nil {
		t.Fatal(err)
	}
	gathered := func(n int) {
		for end := time.Now().Add(10 * time.Second); ; {
			d.gathering.mu.Lock()
			waits := d.gathering.next != nil && len(d.gathering.next.plans) == n
			d.gathering.mu.Unlock()
			if waits {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d steps do not wait for the writer", n)
			}
		}
	}
	var wg sync.WaitGroup
	<-d.turn
	wg.Go(func() {
		defer func() { _ = recover() }()
		t.Errorf("it survived: %v", d.step(ctx, insert(trap{})))
	})
	gathered(1)
	wg.Go(func() {
		if err := d.step(ctx, insert("a")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a step that nobody carried out: %v", err)
		}
	})
	gathered(2)
	d.turn <- struct{}{}
	wg.Wait()
	if err := d.step(context.WithoutCancel(ctx), insert("a")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
