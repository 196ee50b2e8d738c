package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

// auditIDs are the ids of the rows with a trace.
func auditIDs(t *testing.T, s *store.Store, org, trace string) []string {
	t.Helper()
	rows, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.AuditRow, error) {
		return tx.AuditRows(t.Context(), org, store.AuditFilter{Trace: trace, Count: store.MaxAudit, OldestFirst: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids
}

// pending are the rows that wait for their index.
func pending(t *testing.T, s *store.Store) []string {
	t.Helper()
	rows, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.AuditLeaf, error) {
		rows, _, err := tx.PendingAudit(t.Context(), store.MaxAudit)
		return rows, err
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range rows {
		if r.Leaf == "" {
			t.Errorf("%s waits for its index and is not there", r.ID)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// Rows of many callers are written together: those whose callers failed, panicked or went
// away are not among them, whether they were looked at before or stood beside other work.
func TestP19_AnAuditRowIsThereExactlyIfWhatItTellsOfIs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		add := func(ctx context.Context, tx *store.Tx, id string) error {
			return tx.AppendAudit(ctx, store.AuditRow{ID: id, Org: f.Org.ID, Env: f.Env.ID, Kind: "k", Trace: "group", Leaf: "{}"})
		}
		var want []string
		var wg sync.WaitGroup
		for i := range 96 {
			id := fmt.Sprintf("row-%03d", i)
			fails := i%4 == 3
			if !fails {
				want = append(want, id)
			}
			do := []func(context.Context, func(*store.Tx) error) error{s.Tx, s.Step, s.Record}[i/4%3]
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer func() { _ = recover() }()
				err := do(ctx, func(tx *store.Tx) error {
					if err := add(ctx, tx, id); err != nil {
						return err
					}
					switch i % 4 {
					case 1:
						if err := tx.SetSetting(ctx, "of "+id, "x"); err != nil {
							return err
						}
					case 2:
						_, err := tx.AuditRow(ctx, f.Org.ID, id)
						return err
					case 3:
						switch i / 12 % 3 {
						case 0:
							panic("no")
						case 1:
							cancel()
							_, err := tx.Setting(ctx, "n")
							return err
						default:
							if _, err := tx.AuditRow(ctx, f.Org.ID, id); err != nil {
								return err
							}
						}
						return errors.New("no")
					}
					return nil
				})
				if (err != nil) != fails {
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		wg.Wait()
		if got := auditIDs(t, s, f.Org.ID, "group"); !slices.Equal(got, want) {
			t.Errorf("there are %d rows: %v", len(got), got)
		}
		if got := pending(t, s); !slices.Equal(got, want) {
			t.Errorf("%d rows wait for their index: %v", len(got), got)
		}
		for i := range 96 {
			id := fmt.Sprintf("row-%03d", i)
			if there := setting(t, s, "of "+id) == "x"; there != (i%4 == 1) {
				t.Errorf("the work beside %s is there: %v", id, there)
			}
		}
	})
}

// An id that is used already is refused, and takes nothing with it that was there.
func TestAnAuditRowIsNeverReplaced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		put := func(leaf string) error {
			return s.Record(t.Context(), func(tx *store.Tx) error {
				return tx.AppendAudit(t.Context(), store.AuditRow{ID: "same", Org: f.Org.ID, Kind: "k", Trace: "same", Leaf: leaf})
			})
		}
		if err := put("first"); err != nil {
			t.Fatal(err)
		}
		if err := put("second"); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("the second row: %v", err)
		}
		row, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.AuditRow, error) { return tx.AuditRow(t.Context(), f.Org.ID, "same") })
		if err != nil || row.Leaf != "first" || len(pending(t, s)) != 1 {
			t.Fatalf("error %v, leaf %q", err, row.Leaf)
		}
	})
}

// What is remembered of an environment ends with it, within the transaction that deletes it
// and for whoever comes next, also where another process deleted it.
func TestAnEnvironmentThatIsGoneHasNoOrganisation(t *testing.T) {
	ctx := t.Context()
	c := storetest.SQLite(t)
	s := storetest.Open(t, c)
	f := storetest.Seed(t, s)
	org := func(do func(context.Context, func(*store.Tx) error) error) (org string, err error) {
		err = do(ctx, func(tx *store.Tx) (err error) {
			org, err = tx.OrganisationOf(ctx, f.Env.ID)
			return err
		})
		return org, err
	}
	for range 2 {
		for name, do := range map[string]func(context.Context, func(*store.Tx) error) error{"Tx": s.Tx, "Step": s.Step, "Record": s.Record} {
			if got, err := org(do); got != f.Org.ID || err != nil {
				t.Fatalf("%s: %q, %v", name, got, err)
			}
		}
	}
	err := s.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.OrganisationOf(ctx, f.Env.ID); err != nil {
			return err
		}
		if err := tx.DeleteEnvironment(ctx, f.Env.ID); err != nil {
			return err
		}
		if _, err := tx.OrganisationOf(ctx, f.Env.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("who deleted it: %v", err)
		}
		return errors.New("never mind")
	})
	if got, err2 := org(s.Tx); err == nil || got != f.Org.ID || err2 != nil {
		t.Fatalf("after a change of mind: %q, %v", got, err2)
	}
	other, err := sql.Open("sqlite", filepath.Join(c.Dir, store.FileName)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.ExecContext(ctx, "DELETE FROM environments WHERE id = $1", f.Env.ID); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(context.Context, func(*store.Tx) error) error{"Tx": s.Tx, "Step": s.Step, "Record": s.Record} {
		if name != "Tx" { // beside the writer it is seen with the next transaction
			if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.SetSetting(ctx, "seen", name) }); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := org(do); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func emptyPostgres(t testing.TB) store.Config {
	c := storetest.SQLite(t)
	c.URL = testenv.SharedPostgres(t).Database(t)
	return c
}

// A log that is there when its tables are made anew has its order and what waits for one.
func TestTheOrderOfTheLogOutlivesItsNewTables(t *testing.T) {
	for name, config := range map[string]func(testing.TB) store.Config{"sqlite": storetest.SQLite, "postgres": emptyPostgres} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			db := store.SchemaUpTo(t, c, 152)
			for i := range 300 {
				id := fmt.Sprintf("e%03d", i)
				if _, err := db.ExecContext(t.Context(), "INSERT INTO audit_events (id, org, env, kind, account, trace, time, leaf) VALUES ($1, 'o', '', 'k', '', '', 1, '{}')", id); err != nil {
					t.Fatal(err)
				}
				text, args := "INSERT INTO audit_pending (event) VALUES ($1)", []any{id}
				if i < 200 {
					text, args = "INSERT INTO audit_entries (event, seq) VALUES ($1, $2)", []any{id, i}
				}
				if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s := storetest.Open(t, c)
			if got := pending(t, s); len(got) != 100 || got[0] != "e200" || got[99] != "e299" {
				t.Errorf("%d rows wait for their index: %v", len(got), got)
			}
			entries, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.AuditLeaf, error) { return tx.AuditEntries(t.Context(), 0, 1000) })
			if err != nil || len(entries) != 200 || entries[7].ID != "e007" || entries[199].Index != 199 {
				t.Errorf("%d rows have an index: %v", len(entries), err)
			}
			one, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.AuditLeaf, error) { return tx.AuditEntry(t.Context(), "e123") })
			if err != nil || one.Index != 123 {
				t.Errorf("entry 123: %+v, %v", one, err)
			}
			rows, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.AuditRow, error) {
				return tx.AuditRows(t.Context(), "o", store.AuditFilter{Kinds: []string{"k"}, Count: store.MaxAudit})
			})
			if err != nil || len(rows) != 300 || rows[0].ID != "e299" || rows[299].Leaf != "{}" {
				t.Errorf("%d rows are found: %v", len(rows), err)
			}
		})
	}
}
