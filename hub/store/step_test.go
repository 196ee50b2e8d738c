package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// from moves a setting from one value to the next.
func from(ctx context.Context, tx *store.Tx, name, was, is string) error {
	return tx.Swap(ctx, "UPDATE settings SET value = $3 WHERE name = $1 AND value = $2", name, was, is)
}

func TestStepHappensAsAWholeOrNotAtAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, boom := t.Context(), errors.New("boom")
		step := func(end error) error {
			return s.Step(ctx, func(tx *store.Tx) error {
				return errors.Join(tx.SetSetting(ctx, "a", "1"), tx.SetSetting(ctx, "b", "2"), end)
			})
		}
		if err := step(boom); !errors.Is(err, boom) || setting(t, s, "a")+setting(t, s, "b") != "" {
			t.Fatalf("error %v, rows %q, %q", err, setting(t, s, "a"), setting(t, s, "b"))
		}
		if err := step(nil); err != nil || setting(t, s, "a")+setting(t, s, "b") != "12" {
			t.Fatalf("error %v, rows %q, %q", err, setting(t, s, "a"), setting(t, s, "b"))
		}
	})
}

// A step whose first write would do and whose second does not leaves nothing, and says why.
func TestStepThatAnotherOneOvertookIsDecidedAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if err := set(ctx, s, "state", "asked"); err != nil {
			t.Fatal(err)
		}
		runs := 0
		err := s.Step(ctx, func(tx *store.Tx) error {
			runs++
			if runs == 1 {
				if err := from(context.WithoutCancel(ctx), tx, "state", "asked", "mine"); err != nil {
					return err
				}
				return tx.Swap(ctx, "UPDATE settings SET value = 'x' WHERE name = 'nobody'")
			}
			return from(ctx, tx, "state", "other", "mine")
		})
		if !errors.Is(err, store.ErrConflict) || setting(t, s, "state") != "asked" {
			t.Fatalf("error %v, state %q after %d runs", err, setting(t, s, "state"), runs)
		}
	})
}

// What a step has written itself it reads as it is, and what it deletes takes along what
// belongs to it: both need a transaction, and get one.
func TestStepReadsWhatItHasWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, f := t.Context(), storetest.Seed(t, s)
		err := s.Step(ctx, func(tx *store.Tx) error {
			if err := tx.SetSetting(ctx, "a", "1"); err != nil {
				return err
			}
			v, err := tx.Setting(ctx, "a")
			if err == nil && v != "1" {
				err = fmt.Errorf("read %q", v)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Step(ctx, func(tx *store.Tx) error {
			if err := tx.DeleteEnvironment(ctx, f.Env.ID); err != nil {
				return err
			}
			if _, err := tx.Directory(ctx, f.Env.ID, f.Directory.ID); !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("the directory of a deleted environment: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestP07_OneOfManyStepsWins lets many callers move one row on: whoever is second finds it
// moved on, and nothing else of theirs is written.
func TestP07_OneOfManyStepsWins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if err := set(ctx, s, "state", "asked"); err != nil {
			t.Fatal(err)
		}
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				err := s.Step(ctx, func(tx *store.Tx) error {
					if v, err := tx.Setting(ctx, "state"); err != nil || v != "asked" {
						return errors.Join(err, store.ErrConflict)
					}
					if err := tx.SetSetting(ctx, fmt.Sprint("seen", i), "x"); err != nil {
						return err
					}
					return from(ctx, tx, "state", "asked", fmt.Sprint("given to ", i))
				})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		seen := 0
		for i := range 200 {
			seen += len(setting(t, s, fmt.Sprint("seen", i)))
		}
		if won.Load() != 1 || seen != 1 || !strings.HasPrefix(setting(t, s, "state"), "given to ") {
			t.Fatalf("%d won, %d left a trace, state %q", won.Load(), seen, setting(t, s, "state"))
		}
	})
}

// Steps and transactions of many callers at once: each does its own, and those that fail
// undo their own only.
func TestStepsAndTransactionsDoNotDisturbOneAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		var wg sync.WaitGroup
		for i := range 90 {
			run := s.Step
			if i%2 == 1 {
				run = s.Tx
			}
			wg.Go(func() {
				defer func() { _ = recover() }()
				_ = run(ctx, func(tx *store.Tx) error {
					if err := tx.SetSetting(ctx, fmt.Sprint("n", i), "x"); err != nil {
						return err
					}
					switch i % 5 {
					case 1:
						return errors.New("no")
					case 2:
						panic("no")
					case 3:
						return from(ctx, tx, "nobody", "", "")
					}
					return nil
				})
			})
		}
		wg.Wait()
		ownWorkAlone(t, s)
	})
}

// TestPersonHasOneKey lets many steps at once say something of somebody for the first time:
// all of it opens under the key that stays.
func TestPersonHasOneKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, f := t.Context(), storetest.Seed(t, s)
		keys := make([]string, 40)
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				err := s.Step(ctx, func(tx *store.Tx) error {
					k, err := tx.NeedPersonKey(ctx, f.Env.ID, "ann")
					keys[i] = k.ID
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range keys {
			if id == "" || id != keys[0] {
				t.Fatalf("keys %q", keys)
			}
		}
	})
}
