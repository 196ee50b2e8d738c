package storetest

import (
	"context"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Fixture is one organisation with an environment and a directory in it.
type Fixture struct {
	Org       store.Organisation
	Env       store.Environment
	Directory store.Directory
}

// Seed writes a fixture. Called again it writes another organisation beside the first.
func Seed(t testing.TB, s *store.Store) Fixture {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	f, err := store.Change(ctx, s, func(tx *store.Tx) (f Fixture, err error) {
		if f.Org, err = tx.CreateOrganisation(ctx, store.Organisation{Name: "Example"}); err != nil {
			return f, err
		}
		f.Env, err = tx.CreateEnvironment(ctx, store.Environment{Org: f.Org.ID, Name: "production", PublicName: "Example"})
		if err != nil {
			return f, err
		}
		f.Directory, err = tx.CreateDirectory(ctx, store.Directory{Env: f.Env.ID, Kind: "ldap", Name: "people"})
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Accounts writes accounts into the fixture's directory, as a pass would.
func (f Fixture) Accounts(t testing.TB, s *store.Store, accounts ...protocol.Account) {
	t.Helper()
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		rows := map[string]int64{}
		err := tx.KnownAccounts(t.Context(), f.Env.ID, f.Directory.ID, func(k store.KnownAccount) { rows[k.ImmutableID] = k.Row })
		if err != nil {
			return err
		}
		writes := make([]store.AccountWrite, len(accounts))
		for i, a := range accounts {
			writes[i] = store.AccountWrite{Account: a, Digest: store.AccountDigest(a), Row: rows[a.ID]}
		}
		return tx.PutAccounts(t.Context(), f.Env.ID, f.Directory.ID, 1, writes)
	})
	if err != nil {
		t.Fatal(err)
	}
}
