package directory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/match"
)

func TestNamesThatCollideInTheDirectoryAreForPeople(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, ctx := storetest.Seed(t, s), t.Context()
		f.Accounts(t, s, protocol.Account{ID: "1", Name: "Jürgen Müller"}, protocol.Account{ID: "2", Name: "Mueller, Juergen"},
			protocol.Account{ID: "3", Name: "Anna Weber"}, protocol.Account{ID: "4", Name: "Anna Webber"})
		d := &Directories{store: s}
		judge := func(id, given, family string, strength match.Strength) (match.Grade, match.Reason) {
			t.Helper()
			a, err := store.Get(ctx, s, func(tx *store.Tx) (store.Account, error) { return tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, id) })
			if err != nil {
				t.Fatal(err)
			}
			g, why, err := Judge(ctx, s, a, strength, match.Document{Given: given, Family: family})
			if err != nil {
				t.Fatal(err)
			}
			return g, why
		}
		if err := d.KeyNames(ctx, f.Env.ID, f.Directory.ID); err != nil {
			t.Fatal(err)
		}
		if g, why := judge("1", "JUERGEN", "MUELLER", match.CommonName); g != match.Review || why != match.NameIsCommon {
			t.Errorf("two of one name: %s %s", g, why)
		}
		if g, _ := judge("1", "JUERGEN", "MUELLER", match.WeakName); g != match.Match {
			t.Errorf("weakly: %s", g)
		}
		if g, why := judge("3", "Anna Maria", "Weber", match.CommonName); g != match.Match {
			t.Errorf("one of her name: %s %s", g, why)
		}
		keys, n, err := ReadCommonNames(f.Env.ID, strings.NewReader("name,count\nAnna Weber,500\nOtto Kern,3\n"), 100)
		if err == nil {
			err = s.Tx(ctx, func(tx *store.Tx) error { return tx.SetCommonNames(ctx, f.Env.ID, keys) })
		}
		if err != nil || n != 1 {
			t.Errorf("%d names, %v", n, err)
		}
		if g, why := judge("3", "Anna Maria", "Weber", match.CommonName); g != match.Review || why != match.NameIsCommon {
			t.Errorf("on the list: %s %s", g, why)
		}
		// whoever is renamed collides no longer, and whoever is swept neither
		f.Accounts(t, s, protocol.Account{ID: "2", Name: "Otto Kern"})
		if err := d.KeyNames(ctx, f.Env.ID, f.Directory.ID); err != nil {
			t.Fatal(err)
		}
		if g, why := judge("1", "JUERGEN", "MUELLER", match.CommonName); g != match.Match {
			t.Errorf("after the other was renamed: %s %s", g, why)
		}
		left, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.NamedAccount, error) {
			return tx.UnkeyedNames(ctx, f.Env.ID, f.Directory.ID, 10)
		})
		if err != nil || len(left) != 0 {
			t.Errorf("%d names are left, %v", len(left), err)
		}
	})
}

func TestNamesWithoutKeysAreComparedAsWell(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, ctx := storetest.Seed(t, s), t.Context()
		f.Accounts(t, s, protocol.Account{ID: "1", Name: "Jürgen Müller"}, protocol.Account{ID: "2", Name: "Anna Weber"}, protocol.Account{ID: "3", Name: "Weber, Ana Maria"})
		if err := (&Directories{store: s}).KeyNames(ctx, f.Env.ID, f.Directory.ID); err != nil {
			t.Fatal(err)
		}
		bind := func(given, family string) (store.Account, error) {
			return Bind(ctx, s, Binding{Env: f.Env.ID, Directory: f.Directory.ID, Strength: match.WeakName, Document: match.Document{Given: given, Family: family}})
		}
		common := func(id string) bool {
			t.Helper()
			a, err := store.Get(ctx, s, func(tx *store.Tx) (store.Account, error) { return tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, id) })
			if err != nil {
				t.Fatal(err)
			}
			_, why, err := Judge(ctx, s, a, match.CommonName, match.Document{Given: "Jürgen", Family: "Müller"})
			if err != nil {
				t.Fatal(err)
			}
			return why == match.NameIsCommon
		}
		if a, err := bind("Jürgen", "Müller"); err != nil || a.ImmutableID != "1" || common("1") {
			t.Fatalf("alone: %v, %v", a.ImmutableID, err)
		}
		f.Accounts(t, s, protocol.Account{ID: "4", Name: "Mueller, Juergen"})
		if _, err := bind("Jürgen", "Müller"); err != ErrSeveral || !common("1") {
			t.Errorf("another one of the name came: %v", err)
		}
		f.Accounts(t, s, protocol.Account{ID: "4", Name: "Otto Kern"})
		if a, err := bind("Otto", "Kern"); err != nil || a.ImmutableID != "4" || common("1") {
			t.Errorf("renamed: %v, %v", a.ImmutableID, err)
		}
		crowd := make([]protocol.Account, maxUnkeyed)
		for i := range crowd {
			crowd[i] = protocol.Account{ID: fmt.Sprint("crowd", i), Name: "Kim Example"}
		}
		f.Accounts(t, s, crowd...)
		if _, err := bind("Jürgen", "Müller"); err != ErrSeveral || !common("1") {
			t.Errorf("too many to compare: %v", err)
		}
	})
}

func TestListsOfCommonNamesAreReadStrictly(t *testing.T) {
	for _, text := range []string{"Anna Weber", "Anna Weber,500,1", "name,count\nAnna,many", "Anna,-1", "\"Anna,1"} {
		if _, _, err := ReadCommonNames("env", strings.NewReader(text), 1); err == nil && text != "name,count" {
			t.Errorf("%q was read", text)
		}
	}
}

func FuzzCommonNames(f *testing.F) {
	f.Add("name,count\nAnna Weber,500\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys, n, err := ReadCommonNames("env", strings.NewReader(text), 2)
		if err != nil && (keys != nil || n != 0) || len(keys) > n*match.MaxKeys {
			t.Fatalf("%d names, %d keys, %v", n, len(keys), err)
		}
	})
}
