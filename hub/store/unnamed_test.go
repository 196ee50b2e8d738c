package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

// beforeBlocks is the last migration before names stood in blocks (0149).
const beforeBlocks = 148

// TestNamesThatHadKeysKeepThem brings a filled database of either kind up to date: of three
// accounts one has keys of its name, one of a former name, and one none.
func TestNamesThatHadKeysKeepThem(t *testing.T) {
	test := func(t *testing.T, c store.Config) {
		const n = 3000
		fillBeforeBlocks(t, c, n)
		s := storetest.Open(t, c)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			unkeyed, err := tx.UnkeyedNames(ctx, "e", "d", 2*n)
			if len(unkeyed) != n/3*2 {
				t.Errorf("%d names have no keys, want %d", len(unkeyed), n/3*2)
			}
			for _, key := range []int64{0, 3, n/3*3 - 3} {
				found, errFound := tx.AccountsNamed(ctx, "e", "d", []int64{-key - 1})
				if err = errors.Join(err, errFound); len(found) != 1 || found[0].ID != fmt.Sprint("a", key) {
					t.Errorf("by key %d: %v", -key-1, found)
				}
			}
			var keys, misplaced int
			return errors.Join(err, tx.Row(ctx, []any{&keys, &misplaced}, "SELECT COUNT(*), COUNT(CASE WHEN block <> account / 4096 THEN 1 END) FROM account_name_keys"),
				counted(t, keys, 4*n/3, misplaced))
		})
	}
	t.Run("sqlite", func(t *testing.T) { test(t, storetest.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) {
		c := storetest.SQLite(t)
		c.URL = testenv.SharedPostgres(t).Database(t)
		test(t, c)
	})
}

func counted(t *testing.T, keys, want, misplaced int) error {
	t.Helper()
	if keys != want || misplaced != 0 {
		t.Errorf("%d keys, of which %d stand in another block; want %d", keys, misplaced, want)
	}
	return nil
}

// fillBeforeBlocks writes accounts of the schema before, over three blocks.
func fillBeforeBlocks(t *testing.T, c store.Config, n int) {
	t.Helper()
	db := store.SchemaUpTo(t, c, beforeBlocks)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	write := func(query string, args ...any) {
		if err == nil {
			_, err = tx.Exec(query, args...)
		}
	}
	for _, q := range firstRows {
		write(q)
	}
	for i := range n {
		num := 4*i + 1
		write(`INSERT INTO accounts (num, id, env, directory, immutable_id, key, name, identifiers, digest, generation, created_at)
			VALUES ($1, $2, 'e', 'd', $3, $3, $4, '[]', 'x', 1, 1)`, num, fmt.Sprint("a", i), fmt.Sprint("id ", i), fmt.Sprint("Ada ", i))
		if i%3 == 2 {
			continue
		}
		write("INSERT INTO account_names (account, name) VALUES ($1, $2)", num, fmt.Sprint("Ada ", i+i%3))
		for k := range 2 {
			write("INSERT INTO account_name_keys (key, account) VALUES ($1, $2)", -i-1-k*n, num)
		}
	}
	if err = errors.Join(err, tx.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
}
