package store_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

func TestABatchIsStoredWhateverItsAccountsHaveInCommon(t *testing.T) {
	for name, batch := range map[string][]protocol.Account{
		"one account":      {{ID: "1", Name: "Kim", Identifiers: []string{"kim"}, Groups: []protocol.Group{{ID: "g"}}}},
		"all but the id":   {{ID: "1", Name: "Kim", Identifiers: []string{"kim"}}, {ID: "2", Name: "Kim", Identifiers: []string{"kim"}}},
		"nothing":          {{ID: "1", Name: "Kim", Identifiers: []string{"kim"}}, {ID: "2", Name: "Lee", BirthDate: "hash", Disabled: true, Identifiers: []string{"lee", "l"}}},
		"no identifiers":   {{ID: "1", Name: "Kim"}, {ID: "2", Name: "Lee"}},
		"words of JSON":    {{ID: "null", Name: "null", Identifiers: []string{"null"}}, {ID: "17", Name: "[1,\"a\"]", Identifiers: []string{"{}"}}, {ID: "true", Name: "0x1"}},
		"letters of JSON":  {{ID: "\"1\\", Name: "\"\\\t", Identifiers: []string{"a\"b\\c\td", "müller\u2028", "<&>", "\\u0041"}}, {ID: "2\"", Identifiers: []string{"\"", "😀"}, Groups: []protocol.Group{{ID: "g\""}}}},
		"numbers as texts": {{ID: "007", Name: "1e3", Identifiers: []string{"12"}}, {ID: "7", Name: "1e3", Identifiers: []string{"012"}}},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *store.Store) {
				f := storetest.Seed(t, s)
				for range 2 { // new, then rewritten
					f.Accounts(t, s, batch...)
				}
				for _, want := range batch {
					do(t, s, func(ctx context.Context, tx *store.Tx) error { return isStored(ctx, t, tx, f, want) })
				}
			})
		})
	}
}

// A field that the digest forgets would never be written again after the first time.
func TestTheDigestOfAnAccountIsOfEachOfItsFieldsButTheTime(t *testing.T) {
	seen := map[string]string{}
	check := func(what string, a protocol.Account) {
		d := store.AccountDigest(a)
		if other, twice := seen[d]; twice {
			t.Errorf("%s has the digest of %s", what, other)
		}
		seen[d] = what
	}
	check("nothing", protocol.Account{})
	fields := reflect.TypeFor[protocol.Account]()
	for i := range fields.NumField() {
		var a protocol.Account
		switch f := reflect.ValueOf(&a).Elem().Field(i); f.Interface().(type) {
		case string:
			f.SetString("x")
		case bool:
			f.SetBool(true)
		case []string:
			f.Set(reflect.ValueOf([]string{"x"}))
		case []protocol.Group:
			f.Set(reflect.ValueOf([]protocol.Group{{ID: "x"}}))
		case time.Time:
			if a.UpdatedAt = time.Now(); store.AccountDigest(a) != store.AccountDigest(protocol.Account{}) {
				t.Error("a sign-in changes the digest")
			}
			continue
		default:
			t.Fatalf("no value for the field %s", fields.Field(i).Name)
		}
		check(fields.Field(i).Name, a)
	}
	check("two identifiers", protocol.Account{Identifiers: []string{"x", "y"}})
	check("one of both", protocol.Account{Identifiers: []string{"xy"}})
	check("the other order", protocol.Account{Identifiers: []string{"y", "x"}})
	check("a group's name", protocol.Account{Groups: []protocol.Group{{ID: "x", Name: "x"}}})
	check("a group's kind", protocol.Account{Groups: []protocol.Group{{ID: "x", Kind: "x"}}})
	check("a group instead of identifiers", protocol.Account{Groups: []protocol.Group{{ID: "x", Name: "y"}}})
}

// A pass that is mistaken about what is stored writes nothing.
func TestAccountsAreWrittenOnlyOverWhatIsThere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, other := storetest.Seed(t, s), storetest.Seed(t, s)
		ada := protocol.Account{ID: "1", Name: "Ada", Identifiers: []string{"ada"}}
		f.Accounts(t, s, ada)
		other.Accounts(t, s, ada)
		row := int64(0)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.KnownAccounts(ctx, other.Env.ID, other.Directory.ID, func(k store.KnownAccount) { row = k.Row })
		})
		before := accountRows(t, s)
		for name, a := range map[string]store.AccountWrite{
			"new, and there already":  {Account: ada},
			"a row that is not there": {Account: ada, Row: 1 << 40},
			"another directory's row": {Account: ada, Row: row},
		} {
			a.Name = "Eve"
			fresh := store.AccountWrite{Account: protocol.Account{ID: "2", Identifiers: []string{"bob"}}}
			want(t, s, store.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
				return tx.PutAccounts(ctx, f.Env.ID, f.Directory.ID, 2, []store.AccountWrite{fresh, a})
			})
			if after := accountRows(t, s); after != before {
				t.Errorf("%s: %v rows became %v", name, before, after)
			}
		}
		for _, side := range []storetest.Fixture{f, other} {
			do(t, s, func(ctx context.Context, tx *store.Tx) error { return isStored(ctx, t, tx, side, ada) })
		}
	})
}

// isStored compares an account with what the store has of it.
func isStored(ctx context.Context, t *testing.T, tx *store.Tx, f storetest.Fixture, want protocol.Account) error {
	got, err := tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, want.ID)
	if err != nil {
		return fmt.Errorf("%q: %w", want.ID, err)
	}
	if got.Name != want.Name || got.BirthDate != want.BirthDate || got.Disabled != want.Disabled || !slices.Equal(got.Identifiers, want.Identifiers) {
		t.Errorf("stored %+v\nwant %+v", got, want)
	}
	for _, text := range want.Identifiers {
		found, err := tx.FindAccounts(ctx, f.Env.ID, text)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(found, func(a store.Account) bool { return a.ID == got.ID }) {
			t.Errorf("%q does not find %q", text, want.ID)
		}
	}
	return nil
}

func TestIDsOfAccountsAreUniqueAndBearTheirVersion(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		var batch []protocol.Account
		for i := range 600 { // more than one statement takes
			batch = append(batch, protocol.Account{ID: strconv.Itoa(i), Name: "Kim"})
		}
		f.Accounts(t, s, batch...)
		seen := map[string]bool{}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			all, err := tx.Accounts(ctx, f.Env.ID, store.AccountFilter{Count: len(batch)})
			for _, a := range all {
				seen[a.ID] = true
				if len(a.ID) != 36 || a.ID[14] != '7' || a.ID[19] < '8' || a.ID[19] > 'b' {
					t.Errorf("%q is no UUID of version 7 (RFC 9562 §5.7)", a.ID)
				}
			}
			return err
		})
		if len(seen) != len(batch) {
			t.Errorf("%d ids for %d accounts", len(seen), len(batch))
		}
	})
}
