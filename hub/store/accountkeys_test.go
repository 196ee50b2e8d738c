package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// firstRows are what accounts of the first schema stand in.
var firstRows = []string{
	"INSERT INTO organisations (id, name, created_at) VALUES ('o', 'Org', 1)",
	"INSERT INTO environments (id, org, name, public_name, created_at, updated_at) VALUES ('e', 'o', 'env', 'Env', 1, 1)",
	"INSERT INTO directories (id, env, kind, name, created_at, updated_at) VALUES ('d', 'e', 'ldap', 'people', 1, 1)",
}

func TestAccountsOfTheFirstSchemaAreKept(t *testing.T) {
	test := func(t *testing.T, c store.Config) {
		const n = 1234 // several batches of a migration
		db := store.FirstSchema(t, c)
		rows := slices.Clone(firstRows)
		for i := range n {
			rows = append(rows, fmt.Sprintf(`INSERT INTO accounts (num, id, env, directory, immutable_id, name, identifiers, subject, digest, generation, swept_at, created_at)
				VALUES (%d, 'a%d', 'e', 'd', 'id %d', 'Ada %d', '["Ada%d"]', 's%d', 'x', 7, %d, 1)`, 3*i+1, i, i, i, i, i, i%2),
				fmt.Sprintf("INSERT INTO account_identifiers (identifier, account) VALUES ('ada%d', %d)", i, 3*i+1),
				fmt.Sprintf("INSERT INTO account_groups (account, grp) VALUES (%d, 'g')", 3*i+1))
		}
		tx, err := db.Begin()
		for _, q := range append(rows, "INSERT INTO directory_groups (env, directory, immutable_id, name) VALUES ('e', 'd', 'g', 'Group')") {
			if err == nil {
				_, err = tx.Exec(q)
			}
		}
		if err = errors.Join(err, tx.Commit(), db.Close()); err != nil {
			t.Fatal(err)
		}
		s := storetest.Open(t, c)
		f := storetest.Fixture{Env: store.Environment{ID: "e"}, Directory: store.Directory{ID: "d", Env: "e"}}
		for i := 0; i < n; i += 2 {
			do(t, s, func(ctx context.Context, tx *store.Tx) error { return wasKept(ctx, t, tx, i) })
		}
		f.Accounts(t, s, protocol.Account{ID: "id 1", Name: "Back", Identifiers: []string{"back"}}, protocol.Account{ID: "id 2", Name: "Renamed", Identifiers: []string{"renamed"}}, protocol.Account{ID: "new", Name: "New"})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			old, err := tx.FindAccounts(ctx, "e", "ada2")
			back, errBack := tx.Account(ctx, "e", "a1")
			count, errCount := tx.CountAccounts(ctx, "e", "d")
			if len(old) != 0 || back.Name != "Back" || back.Subject != "s1" || count != n/2+2 {
				t.Errorf("old %v, back %+v, %d accounts", old, back, count)
			}
			return errors.Join(err, errBack, errCount)
		})
	}
	t.Run("sqlite", func(t *testing.T) { test(t, storetest.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) {
		c := storetest.SQLite(t)
		c.URL = testenv.SharedPostgres(t).Database(t)
		test(t, c)
	})
}

// wasKept compares one account with what firstRows wrote of it.
func wasKept(ctx context.Context, t *testing.T, tx *store.Tx, i int) error {
	a, err := tx.AccountOf(ctx, "e", "d", fmt.Sprint("id ", i))
	if err != nil {
		return fmt.Errorf("account %d: %w", i, err)
	}
	found, errFind := tx.FindAccounts(ctx, "e", fmt.Sprint("ADA", i))
	groups, errGroups := tx.AccountGroups(ctx, "e", a.ID)
	if a.ID != fmt.Sprint("a", i) || a.Name != fmt.Sprint("Ada ", i) || a.Subject != fmt.Sprint("s", i) || len(found) != 1 || found[0].ID != a.ID || len(groups) != 1 {
		t.Errorf("account %d: %+v, found %v, groups %v", i, a, found, groups)
	}
	return errors.Join(errFind, errGroups)
}

// Nothing of an account outlives it: no identifier may find what comes into its place.
func TestNothingOfARemovedAccountIsLeft(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for name, remove := range map[string]func(context.Context, *store.Tx, storetest.Fixture) error{
			"directory": func(ctx context.Context, tx *store.Tx, f storetest.Fixture) error {
				return tx.DeleteDirectory(ctx, f.Env.ID, f.Directory.ID)
			},
			"environment": func(ctx context.Context, tx *store.Tx, f storetest.Fixture) error {
				return tx.DeleteEnvironment(ctx, f.Env.ID)
			},
		} {
			kept, gone := storetest.Seed(t, s), storetest.Seed(t, s)
			before := accountRows(t, s)
			ada := protocol.Account{ID: "1", Name: "Ada", Identifiers: []string{"ada", "ada@example.com"}, Groups: []protocol.Group{{ID: "g"}}}
			kept.Accounts(t, s, ada)
			gone.Accounts(t, s, ada, protocol.Account{ID: "2", Identifiers: []string{"bob"}, Groups: []protocol.Group{{ID: "g"}, {ID: "h"}}})
			do(t, s, func(ctx context.Context, tx *store.Tx) error { return remove(ctx, tx, gone) })
			if got, want := accountRows(t, s), [3]int{before[0] + 1, before[1] + 2, before[2] + 1}; got != want {
				t.Errorf("%s removed: %v rows are left, want %v", name, got, want)
			}
		}
	})
}

// accountRows counts accounts, their identifiers and their memberships.
func accountRows(t *testing.T, s *store.Store) (n [3]int) {
	t.Helper()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		return tx.Row(ctx, []any{&n[0], &n[1], &n[2]},
			"SELECT (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM account_identifiers), (SELECT COUNT(*) FROM account_groups)")
	})
	return n
}
