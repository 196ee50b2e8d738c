package store_test

import (
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// defaultsOf returns the names of an environment's templates, and of those that are the default.
func defaultsOf(t *testing.T, s *store.Store, env string) (names, defaults []string) {
	t.Helper()
	all, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Template, error) { return tx.Templates(t.Context(), env) })
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if names = append(names, one.Name); one.Default {
			defaults = append(defaults, one.Name)
		}
	}
	return names, defaults
}

func TestAnEnvironmentBeginsWithOneTemplateWhichIsTheDefault(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		if names, defaults := defaultsOf(t, s, f.Env.ID); len(names) != 1 || len(defaults) != 1 {
			t.Errorf("%q, by default %q", names, defaults)
		}
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.AddTemplate(t.Context(), &store.Template{Env: f.Env.ID, Name: "other", Default: true, Body: []byte("{}")})
		})
		if names, defaults := defaultsOf(t, s, f.Env.ID); err != nil || len(names) != 2 || len(defaults) != 1 || defaults[0] != "other" {
			t.Errorf("%q, by default %q, %v", names, defaults, err)
		}
	})
}

// Environments of a state in which they began with none are given one; what was there stays.
func TestAnEnvironmentOfAnOlderStateHasADefaultTemplate(t *testing.T) {
	for name, config := range map[string]func(testing.TB) store.Config{"sqlite": storetest.SQLite, "postgres": emptyPostgres} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			db := store.SchemaUpTo(t, c, 163)
			for _, query := range []string{
				"INSERT INTO organisations (id, name, created_at) VALUES ('o', 'o', 1)",
				"INSERT INTO environments (id, org, name, public_name, created_at, updated_at) VALUES ('bare', 'o', 'e', 'e', 1, 1), ('kept', 'o', 'k', 'k', 1, 1)",
				"INSERT INTO templates (env, id, name, is_default, body, created_at) VALUES ('kept', 't', 'theirs', 1, '{}', 1)",
			} {
				if _, err := db.ExecContext(t.Context(), query); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s := storetest.Open(t, c)
			fresh := storetest.Seed(t, s).Env.ID
			for env, want := range map[string]string{"bare": "Default", "kept": "theirs", fresh: "Default"} {
				if names, defaults := defaultsOf(t, s, env); len(names) != 1 || len(defaults) != 1 || names[0] != want {
					t.Errorf("%s: %q, by default %q", env, names, defaults)
				}
			}
			same, err := store.Get(t.Context(), s, func(tx *store.Tx) (bool, error) {
				old, err := tx.Templates(t.Context(), "bare")
				if err != nil {
					return false, err
				}
				now, err := tx.Templates(t.Context(), fresh)
				return len(old) == 1 && len(now) == 1 && string(old[0].Body) == string(now[0].Body), err
			})
			if err != nil || !same {
				t.Errorf("the migration writes another template than a new environment has: %v", err)
			}
		})
	}
}
