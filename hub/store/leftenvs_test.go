package store_test

import (
	"context"
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// An environment that an older version removed stands in nobody's list after the update.
// Nobody reaches more than before: a list of which nothing is left is not one of all.
func TestT25_AnEnvironmentThatWasRemovedEarlierStandsInNobodysList(t *testing.T) {
	for name, config := range map[string]func(testing.TB) store.Config{"sqlite": storetest.SQLite, "postgres": emptyPostgres} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			db := store.SchemaUpTo(t, c, 166)
			lists := map[string]struct {
				kept string
				want []string
			}{
				"all":        {`["*"]`, []string{"*"}},
				"all and it": {`["*","gone"]`, []string{"*", "gone"}},
				"two":        {`["one","two"]`, []string{"one", "two"}},
				"one and it": {`["gone","one"]`, []string{"one"}},
				"it":         {`["gone"]`, nil},
				"foreign":    {`["theirs"]`, nil},
				"part":       {`["on_","neo","ONE"]`, nil},
				"never":      {`null`, nil},
			}
			for _, query := range []string{
				"INSERT INTO organisations (id, name, created_at) VALUES ('o', 'o', 1), ('other', 'other', 1)",
				"INSERT INTO environments (id, org, name, public_name, created_at, updated_at) VALUES ('one', 'o', 'e', 'e', 1, 1), ('two', 'o', 'e', 'e', 2, 1), ('on_', 'other', 'e', 'e', 1, 1), ('theirs', 'other', 'e', 'e', 1, 1)",
			} {
				if _, err := db.ExecContext(t.Context(), query); err != nil {
					t.Fatal(err)
				}
			}
			for id, l := range lists {
				_, err := db.ExecContext(t.Context(), "INSERT INTO staff (org, id, name, mail, role, created_at, envs) VALUES ('o', $1, 'n', $1, 'admin', 1, $2)", id, l.kept)
				if err == nil {
					_, err = db.ExecContext(t.Context(), "INSERT INTO api_keys (id, org, name, hash, role, envs, enabled, created_at) VALUES ($1, 'o', 'n', $1, 'user', $2, 1, 1)", id, l.kept)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			do(t, storetest.Open(t, c), func(ctx context.Context, tx *store.Tx) error {
				for id, l := range lists {
					who, err := tx.Staff(ctx, "o", id)
					k, keyErr := tx.APIKey(ctx, "o", id)
					if err != nil || keyErr != nil || !slices.Equal(who.Envs, l.want) || !slices.Equal(k.Envs, l.want) {
						t.Errorf("%s: works in %q, key for %q (%v, %v)", id, who.Envs, k.Envs, err, keyErr)
					}
					if k.Enabled != (len(l.want) > 0 || id == "never") {
						t.Errorf("%s: the key is enabled: %v", id, k.Enabled)
					}
				}
				return nil
			})
		})
	}
}
